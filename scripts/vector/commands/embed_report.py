"""What `embed` says: a plan before it, a summary after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vector.embedding import EmbedOptions
from vector.embedding.plan import EmbedPlan
from vector.embedding.writer import EmbedSummary
from vector.wording import counted, duration, money, one_line

REASONS = {
    "space_new": "in a space that has no vector yet",
    "new": "new",
    "text_changed": "with a changed text",
    "failure_due": "that failed before and are due again",
    "failure_retried": "quarantined, tried again",
}
TOKENS_BY = {
    "tokenizer": "counted by the model's tokenizer",
    "earlier_runs": "by the tokens a byte of earlier runs",
    "bytes": "a token for three bytes",
}


def plans_text(plans: Sequence[EmbedPlan], options: EmbedOptions) -> str:
    """A block a space; their sum, if there are several; and the limits that would end the run early."""
    blocks = [_plan_text(plan, options) for plan in plans]
    todo = [plan for plan in plans if plan.chunks]
    cost, seconds = _sum(plan.cost for plan in todo), _sum(plan.seconds for plan in todo)
    if len(todo) > 1:
        tokens = sum(plan.tokens for plan in todo)
        blocks.append(
            f"in all: {counted(sum(plan.chunks for plan in todo), 'chunk')}, about {tokens:,} tokens"
            + (f", cost about {money(cost)}" if cost is not None else "")
            + (f", about {duration(seconds)}" if seconds is not None else "")
        )
    if options.max_cost is not None and (cost or 0) > options.max_cost:
        blocks.append(f"--max-cost {options.max_cost:g} would end the run before all is done")
    if options.max_seconds is not None and (seconds or 0) > options.max_seconds:
        blocks.append(f"--max-seconds {options.max_seconds:g} would end the run before all is done")
    return "\n".join(blocks)


def summary_text(summary: EmbedSummary) -> str:
    """What a run did to a space, in one to three lines."""
    key = one_line(summary.space_key)
    if summary.error:
        text = f"{key}: stopped early, {summary.written} of {summary.planned} vectors written"
        return f"{text}\n{_unusable_text(summary)}" if summary.unusable_texts else text
    if not summary.planned:
        return f"{key}: nothing to embed, every current chunk has its vector"
    rate = summary.written / summary.seconds if summary.seconds else 0
    quarantined = f", {summary.quarantined} quarantined (see `vector failures`)" if summary.quarantined else ""
    lines = [
        f"{key}: {summary.written} vectors written ({summary.reused} reused){quarantined}"
        f" in {summary.seconds:.1f} s, {rate:.0f}/s"
    ]
    if summary.texts:
        lines.append(f"  sent {_sent_text(summary)}")
    if summary.unusable_texts:
        lines.append(_unusable_text(summary))
    if summary.reused_tokens:
        lines.append(f"  saved about {counted(summary.reused_tokens, 'token')} by reuse")
    if summary.stopped_by:
        left = summary.planned - summary.written - summary.quarantined
        lines.append(f"  stopped by --{summary.stopped_by.replace('_', '-')}; {_are_left(left)}")
    return "\n".join(lines)


def _plan_text(plan: EmbedPlan, options: EmbedOptions) -> str:
    key = one_line(plan.space_key)
    if not plan.chunks:
        return f"{key}: nothing to embed"
    return "\n".join(
        [f"{key}: {counted(plan.chunks, 'chunk')} to embed"]
        + [f"  {name:<9} {text}" for name, text in _plan_lines(plan, options) if text]
    )


def _plan_lines(plan: EmbedPlan, options: EmbedOptions) -> list[tuple[str, str]]:
    reasons = [f"{plan.chunks_by_reason[name]:,} {REASONS[name]}" for name in REASONS if name in plan.chunks_by_reason]
    texts = f"{plan.texts_to_embed:,} to send"
    if plan.texts_reused:
        texts += f", {plan.texts_reused:,} whose vector the space has already"
    lines = [("why", ", ".join(reasons)), ("texts", f"{plan.texts:,} distinct: {texts}")]
    if plan.chunks_reused:
        lines.append(("reused", f"{counted(plan.chunks_reused, 'chunk')} without a call of the model"))
    if not plan.texts_to_embed:
        return lines
    about = "" if plan.tokens_by == "tokenizer" else "about "
    adaptive = "" if options.batch_size else ", or fewer if larger batches prove faster"
    return [
        *lines,
        ("input", f"{about}{counted(plan.tokens, 'token')} ({TOKENS_BY[plan.tokens_by]}), {plan.input_bytes:,} bytes"),
        ("requests", f"{plan.requests:,}{adaptive}"),
        ("cost", "" if plan.cost is None else f"{about}{money(plan.cost)}, in the currency of the price"),
        ("time", _time_text(plan.seconds)),
    ]


def _time_text(seconds: float | None) -> str:
    if seconds is None:
        return "not known before a first run"
    return f"about {duration(seconds)}, at the rate of earlier runs"


def _sent_text(summary: EmbedSummary) -> str:
    about = "" if summary.tokens_counted else "about "
    cost = "" if summary.cost is None else f", cost {about}{money(summary.cost)}"
    return (
        f"{counted(summary.texts, 'text')}, {about}{counted(summary.input_tokens, 'token')},"
        f" in {counted(summary.requests, 'request')}{cost}"
    )


def _unusable_text(summary: EmbedSummary) -> str:
    return (
        f"  sent without a vector to show for it, and perhaps paid for: {counted(summary.unusable_texts, 'text')},"
        f" about {counted(summary.unusable_tokens, 'token')}"
    )


def _are_left(chunks: int) -> str:
    return f"{counted(chunks, 'chunk')} {'is' if chunks == 1 else 'are'} left"


def _sum(numbers: Iterable[float | None]) -> float | None:
    """The sum of those that are known; None where none is."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None

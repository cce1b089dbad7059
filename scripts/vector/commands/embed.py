"""`embed`: what is pending, planned or embedded."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from vector.commands.shared import add_command, amount, chosen_spaces, open_store, positive, print_result
from vector.contracts.models import EmbeddingSpace
from vector.embedding import EmbedSummary, embed_space
from vector.errors import VectorError
from vector.planning import EmbedOptions, EmbedPlan, plan_space
from vector.runs import close_abandoned_runs
from vector.store import VectorStore

HELP = """examples:
  %(prog)s                          embed what is pending in every active space
  %(prog)s --plan                   say what a run would do, and do nothing
  %(prog)s --space minilm --limit 1000
  %(prog)s --target sqlserver --json

With --json, one object: {"spaces": [...]}. With --plan a space has the keys space_key, chunks, chunks_by_reason, texts,
texts_reused, texts_to_embed, input_bytes; else space_key, planned, written, reused, quarantined, texts, requests,
input_tokens, truncated, seconds, seconds_in_model, seconds_in_database, run_id, error."""


def add_to(commands: Any) -> None:
    """Declares `embed`."""
    embed = add_command(commands, "embed", _embed, "embed what is pending", HELP)
    embed.add_argument("--space", action="append", metavar="KEY", help="only this space; may be repeated")
    embed.add_argument("--limit", type=positive, metavar="N", help="at most N chunks a space")
    embed.add_argument("--batch-size", type=positive, metavar="N", help="texts a call of the model")
    embed.add_argument("--concurrency", type=positive, metavar="N", help="calls at a time")
    embed.add_argument("--retry-failed", action="store_true", help="try the quarantined texts again, too")
    embed.add_argument("--max-seconds", type=amount, metavar="S", help="send nothing more after S seconds")
    embed.add_argument("--max-cost", type=amount, metavar="X", help="send nothing that might cost more than X in all")
    embed.add_argument("--plan", action="store_true", help="say what would be done, and do nothing")


def _embed(arguments: argparse.Namespace) -> int:
    store = open_store(arguments)
    try:
        spaces = chosen_spaces(store, arguments.space)
        if arguments.plan:
            plans = [plan_space(store, space, _options(arguments)) for space in spaces]
            print_result(arguments, {"spaces": [plan.to_dict() for plan in plans]}, "\n".join(map(_plan_text, plans)))
            return 0
        close_abandoned_runs(store)
        summaries, exit_code = _embed_each(store, spaces, _options(arguments))
    finally:
        store.close()
    told = [_summary_text(summary) for summary in summaries if not summary.error or summary.written]
    print_result(arguments, {"spaces": [summary.to_dict() for summary in summaries]}, "\n".join(told))
    return exit_code


def _options(arguments: argparse.Namespace) -> EmbedOptions:
    return EmbedOptions(
        limit=arguments.limit,
        batch_size=arguments.batch_size,
        concurrency=arguments.concurrency,
        retry_failed=arguments.retry_failed,
        max_seconds=arguments.max_seconds,
        max_cost=arguments.max_cost,
    )


def _embed_each(
    store: VectorStore, spaces: Sequence[EmbeddingSpace], options: EmbedOptions
) -> tuple[list[EmbedSummary], int]:
    """The summaries, and the exit code. A space whose model cannot be used does not keep the others from theirs."""
    summaries: dict[str, EmbedSummary] = {}
    exit_code = 0

    def on_progress(summary: EmbedSummary) -> None:
        summaries[summary.space_key] = summary
        _progress(summary)

    for space in spaces:
        key = space.space_key or ""
        summaries[key] = EmbedSummary(key)
        try:
            quarantined = embed_space(store, space, options, on_progress).quarantined
            exit_code = max(exit_code, 1 if quarantined else 0)
        except VectorError as error:
            summaries[key].error = str(error)
            print(f"error: {key}: {error}", file=sys.stderr)
            exit_code = max(exit_code, error.exit_code)
    return list(summaries.values()), exit_code


def _plan_text(plan: EmbedPlan) -> str:
    if not plan.chunks:
        return f"{plan.space_key}: nothing to embed"
    reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in plan.chunks_by_reason.items())
    return (
        f"{plan.space_key}: {plan.chunks} chunks to embed ({reasons}); {plan.texts_to_embed} texts to send, "
        f"{plan.texts_reused} reused, {plan.input_bytes:,} bytes"
    )


def _summary_text(summary: EmbedSummary) -> str:
    if summary.error:
        return f"{summary.space_key}: stopped early, {summary.written} of {summary.planned} vectors written"
    if not summary.planned:
        return f"{summary.space_key}: nothing to embed, every current chunk has its vector"
    rate = summary.written / summary.seconds if summary.seconds else 0
    quarantined = f", {summary.quarantined} quarantined (see vector.embedding_failure)" if summary.quarantined else ""
    return (
        f"{summary.space_key}: {summary.written} vectors written ({summary.reused} reused){quarantined}"
        f" in {summary.seconds:.1f} s, {rate:.0f}/s"
    )


def _progress(summary: EmbedSummary) -> None:
    if sys.stderr.isatty() and summary.planned:
        done = summary.written + summary.quarantined
        end = "\n" if done >= summary.planned else ""
        print(f"\r{summary.space_key}: {done}/{summary.planned} chunks", end=end, file=sys.stderr, flush=True)

"""`embed`: what is pending, planned or embedded."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from vector.commands.embed_report import plans_text, summary_text
from vector.commands.output import say
from vector.commands.progress import Progress, shown_progress
from vector.commands.shared import add_command, amount, named_target, open_store, positive, print_result
from vector.contracts.models import EmbeddingSpace
from vector.embedding import EmbedOptions, EmbedSummary, embed_space
from vector.embedding.plan import EmbedPlan, plan_space, refuse_unpriced
from vector.errors import ConfigurationError, DatabaseFailed, VectorError
from vector.project.dbt import Dbt, DbtProject
from vector.project.selection import GUARDS
from vector.spaces.choosing import chosen_spaces
from vector.store import VectorStore
from vector.store.opening import open_to_write, writing
from vector.store.runs import close_abandoned_runs

HELP = """examples:
  %(prog)s                          embed what is pending in every active space
  %(prog)s --plan                   say what a run would do, take and cost, and do nothing
  %(prog)s --space bge-small --limit 1000
  %(prog)s --max-seconds 3600       stop after an hour; the next run goes on from there
  %(prog)s --max-cost 2.50          of spaces that have a price in the seed
  %(prog)s --retry-failed           with the texts that `vector failures` lists
  %(prog)s --target sqlserver --json

--max-seconds and --max-cost are for all spaces together; what was sent is always stored. A run that they end exits as
any other, with `stopped_by` in its summary.

Progress goes to stderr: a bar on a terminal, else one JSON object a line when a space begins, every 5 seconds at most,
and when it ends, with the keys event ("progress"), utc, space_key, run_id, done, planned, quarantined, rate (chunks a
second), eta_seconds, seconds, requests, input_tokens, cost, finished, stopped_by, error. Errors are lines that begin
with "error: ".

With --json, one object on stdout: {"spaces": [...]}, with `error` where a space failed. With --plan a space has
the keys
  space_key, chunks, chunks_by_reason (of new, text_changed, space_new, failure_due, failure_retried), texts,
  texts_reused, texts_to_embed, chunks_reused, input_bytes, tokens, tokens_by (tokenizer, earlier_runs or bytes),
  requests, cost, seconds;
else
  space_key, planned, written, reused, reused_tokens, quarantined, texts, requests, input_bytes, input_tokens,
  tokens_counted, cost, truncated, canary_texts, canary_requests, canary_tokens, unusable_texts, unusable_requests,
  unusable_tokens (sent and perhaps paid for without a vector; cost has them), max_batch_texts (what the server was
  found to take a request), seconds, seconds_in_model, seconds_in_database, seconds_idle, run_id, stopped_by
  (max_seconds or max_cost), error.
The run after a plan has planned = chunks, reused = chunks_reused, texts = texts_to_embed and the same input_bytes (with
--batch-size also the same requests), unless texts are refused or a limit ends it.

--verify adds failed_guards, the names of the tests that failed.

exit codes: 0 well, also when a limit ended the run; 1 some texts were quarantined; 2 usage or configuration; 3 a model
cannot be used; 4 a space was refused; 5 a guard failed; 70 unforeseen; 130 or 143 interrupted or terminated."""


# Exit code of a test of dbt that failed.
DBT_FAILED = 5


def add_to(commands: Any) -> None:
    """Declares `embed`."""
    embed = add_command(commands, "embed", _embed, "embed what is pending", HELP)
    embed.add_argument("--space", action="append", metavar="KEY", help="only this space; may be repeated")
    embed.add_argument("--limit", type=positive, metavar="N", help="at most N chunks a space")
    embed.add_argument("--batch-size", type=positive, metavar="N", help="always so many texts a request")
    embed.add_argument("--concurrency", type=positive, metavar="N", help="requests at a time")
    embed.add_argument("--retry-failed", action="store_true", help="try the quarantined texts again, too")
    embed.add_argument("--max-seconds", type=amount, metavar="S", help="send nothing more after S seconds")
    embed.add_argument("--max-cost", type=amount, metavar="X", help="send nothing that might cost more than X in all")
    embed.add_argument("--plan", action="store_true", help="say what would be done, and do nothing")
    embed.add_argument("--verify", action="store_true", help="then run dbt's tests of the ledgers (selector guards)")
    embed.add_argument("--quiet", action="store_true", help="show no progress")


def _embed(arguments: argparse.Namespace) -> int:
    options = _options(arguments)
    if arguments.plan and arguments.verify:
        raise ConfigurationError("--plan does nothing, so there is nothing to --verify; leave one out")
    if arguments.plan:
        with closing(open_store(arguments)) as store:
            return _plan(arguments, store, chosen_spaces(store, arguments.space), options)
    target = named_target(arguments)
    with writing(target), closing(open_to_write(target)) as store:
        spaces = chosen_spaces(store, arguments.space)
        close_abandoned_runs(store)
        with shown_progress(arguments.quiet) as progress:
            summaries, exit_code = embed_each(store, spaces, options, progress)
    told = [summary_text(summary) for summary in summaries if not summary.error or summary.written]
    errors = "; ".join(f"{summary.space_key}: {summary.error}" for summary in summaries if summary.error)
    value: dict[str, Any] = {"spaces": [summary.to_dict() for summary in summaries]}
    if arguments.verify:
        failed = _verified(arguments)
        value["failed_guards"] = failed
        told.append("guards: all hold" if not failed else f"guards: {', '.join(failed)} failed")
        errors = "; ".join(filter(None, [errors, *(f"{name} failed" for name in failed)]))
        exit_code = max(exit_code, DBT_FAILED if failed else 0)
    print_result(arguments, value, "\n".join(told), errors or None, stored="what was embedded is stored")
    return exit_code


def _verified(arguments: argparse.Namespace) -> list[str]:
    """Runs the tests of the selector `guards`, with the database closed; those that failed."""
    project = DbtProject.found(arguments.project_dir, arguments.profiles_dir, arguments.target, {})
    with Dbt(project) as dbt:
        run = dbt.run("test", *GUARDS, "--no-write-json")
    failed = [node.name for node in run.ended("fail", "error")]
    for name in failed:
        say(f"error: guard {name} failed: `dbt test --select {name}` shows why")
    return failed


def _options(arguments: argparse.Namespace) -> EmbedOptions:
    return EmbedOptions(
        limit=arguments.limit,
        batch_size=arguments.batch_size,
        concurrency=arguments.concurrency,
        retry_failed=arguments.retry_failed,
        max_seconds=arguments.max_seconds,
        max_cost=arguments.max_cost,
    )


def _plan(
    arguments: argparse.Namespace, store: VectorStore, spaces: Sequence[EmbeddingSpace], options: EmbedOptions
) -> int:
    plans: list[EmbedPlan] = []
    errors: list[str] = []
    exit_code = 0
    for space in spaces:
        try:
            refuse_unpriced(space, options)
            plans.append(plan_space(store, space, options))
        except VectorError as error:
            errors.append(f"{space.space_key}: {error}")
            say(f"error: {errors[-1]}")
            exit_code = max(exit_code, error.exit_code)
    value = {"spaces": [plan.to_dict() for plan in plans]}
    print_result(arguments, value, plans_text(plans, options), "; ".join(errors) or None)
    return exit_code


def embed_each(
    store: VectorStore, spaces: Sequence[EmbeddingSpace], options: EmbedOptions, progress: Progress
) -> tuple[list[EmbedSummary], int]:
    """The summaries, and the exit code. A space whose model cannot be used does not keep the others from theirs."""
    summaries: dict[str, EmbedSummary] = {}
    exit_code = 0
    started = time.monotonic()

    def on_progress(summary: EmbedSummary) -> None:
        summaries[summary.space_key] = summary
        progress.show(summary)

    for space in spaces:
        key = space.space_key or ""
        left = _what_is_left(options, time.monotonic() - started, summaries.values())
        summaries[key] = EmbedSummary(key)
        try:
            if left.max_seconds == 0:
                summaries[key] = _out_of_time(store, space, left)
                continue
            quarantined = embed_space(store, space, left, on_progress).quarantined
            exit_code = max(exit_code, 1 if quarantined else 0)
        except VectorError as error:
            summaries[key].error = str(error)
            progress.finish(summaries[key])
            say(f"error: {key}: {error}")
            exit_code = max(exit_code, error.exit_code)
            if isinstance(error, DatabaseFailed):
                break  # what the next model is paid for could not be stored either
        finally:
            progress.finish(summaries[key])
    return list(summaries.values()), exit_code


def _what_is_left(options: EmbedOptions, seconds: float, done: Iterable[EmbedSummary]) -> EmbedOptions:
    """The options for the next space, whose limits are what the spaces before it have left."""
    spent = sum(summary.cost or 0 for summary in done)
    return replace(
        options,
        max_seconds=None if options.max_seconds is None else max(0.0, options.max_seconds - seconds),
        max_cost=None if options.max_cost is None else max(0.0, options.max_cost - spent),
    )


def _out_of_time(store: VectorStore, space: EmbeddingSpace, options: EmbedOptions) -> EmbedSummary:
    """The summary of a space whose turn came too late: its model is not even opened."""
    planned = plan_space(store, space, options, priced=False).chunks
    return EmbedSummary(space.space_key or "", planned=planned, stopped_by="max_seconds" if planned else None)

"""The `vector` command, and the commands under scripts/: `embed`, `search`, `coverage`, `spaces`, `verify`.

Exit codes: 0 all is well; 1 some inputs were quarantined, or vectors changed; 2 usage or configuration; 3 the model
cannot be used; 4 a space was refused; 70 anything else, such as a full disk; 130 or 143 interrupted or terminated. With
several spaces, the highest.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from vector import __version__
from vector.contracts.models import EmbeddingSpace
from vector.embedding import EmbedOptions, EmbedSummary, embed_space
from vector.engines import engine_for_target
from vector.errors import ConfigurationError, VectorError
from vector.planning import EmbedPlan, plan_space
from vector.profile import load_target
from vector.providers import open_provider
from vector.retrieval import SearchResult, search
from vector.runs import close_abandoned_runs
from vector.store import VectorStore
from vector.verify import verify_vectors

EMBED_HELP = """examples:
  %(prog)s                          embed what is pending in every active space
  %(prog)s --plan                   say what a run would do, and do nothing
  %(prog)s --space minilm --limit 1000
  %(prog)s --target sqlserver --json

With --json, one object: {"spaces": [...]}. With --plan a space has the keys space_key, chunks, chunks_by_reason, texts,
texts_reused, texts_to_embed, input_bytes; else space_key, planned, written, reused, quarantined, texts, requests,
input_tokens, truncated, seconds, seconds_in_model, seconds_in_database, run_id, error."""

SEARCH_HELP = """examples:
  %(prog)s "Which moon has geysers?"
  %(prog)s "missions that returned samples" --source-type event --top-k 5
  %(prog)s "solar wind" --space minilm --json

With --json, one object with the keys retrieval_id, query, embedding_space_id, top_k, filters, candidates, latency_ms,
hits; a hit has rank, score, chunk_id, content_sha256, source_id, source_type, source_title, content."""


def main(argv: Sequence[str] | None = None, prog: str = "vector") -> int:
    """Runs the command line; the exit code. Errors of the package are one line on stderr."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    parser = _parser(prog)
    arguments = parser.parse_args(argv)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    try:
        return arguments.run(arguments)
    except VectorError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        if os.environ.get("VECTOR_DEBUG"):
            raise
        first_line = str(error).partition("\n")[0]
        print(f"error: {type(error).__name__}: {first_line} (VECTOR_DEBUG=1 shows where)", file=sys.stderr)
        return 70
    except (KeyboardInterrupt, _Terminated):
        print("stopped; what was finished is stored", file=sys.stderr)
        return 143 if _Terminated.received else 130


class _Terminated(BaseException):
    """SIGTERM: unwinds as Ctrl-C does, so that the run is closed. `received`, because an engine that it stops in the
    middle of a statement may raise KeyboardInterrupt instead."""

    received = False


def _terminate(number: int, frame: Any) -> None:
    _Terminated.received = True
    raise _Terminated("terminated")


class _Parser(argparse.ArgumentParser):
    """Argparse's own, but an error is one line, as every other error of a command is."""

    def error(self, message: str) -> NoReturn:
        """Prints the message and exits with 2."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = _Parser(prog, description="The vector runtime of an analytics warehouse.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")

    embed = _command(commands, "embed", _embed, "embed what is pending", EMBED_HELP)
    embed.add_argument("--space", action="append", metavar="KEY", help="only this space; may be repeated")
    embed.add_argument("--limit", type=_positive, metavar="N", help="at most N chunks a space")
    embed.add_argument("--batch-size", type=_positive, metavar="N", help="texts a call of the model")
    embed.add_argument("--concurrency", type=_positive, metavar="N", help="calls at a time")
    embed.add_argument("--plan", action="store_true", help="say what would be done, and do nothing")

    find = _command(commands, "search", _search, "search a space, and log it", SEARCH_HELP)
    find.add_argument("query", metavar="question")
    find.add_argument("--space", metavar="KEY", help="the space to search; needed where several are active")
    find.add_argument("--top-k", type=_positive, default=10, metavar="N", help="number of hits (default 10)")
    find.add_argument("--source-type", action="append", default=[], metavar="T", help="only this type; repeatable")
    find.add_argument("--no-log", action="store_true", help="do not record the search")

    _command(commands, "coverage", _coverage, "how far each space covers the current chunks")
    _command(commands, "spaces", _spaces, "list the embedding spaces")
    _command(commands, "verify", _verify, "check every stored vector against its hash")
    return parser


def _command(commands: Any, name: str, run: Any, summary: str, epilog: str | None = None) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--target", metavar="T", help="target of the dbt profile")
    parser.add_argument("--profiles-dir", metavar="DIR", help="folder of profiles.yml, as for dbt")
    parser.add_argument("--project-dir", metavar="DIR", help="folder of dbt_project.yml, as for dbt")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _positive(text: str) -> int:
    with suppress(ValueError):
        number = int(text)
        if 1 <= number < 2**31:  # the ledgers' integers
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {2**31 - 1}")


def _open_store(arguments: argparse.Namespace) -> VectorStore:
    target = load_target(arguments.project_dir, arguments.profiles_dir, arguments.target)
    return VectorStore(engine=engine_for_target(target))


def _chosen_spaces(store: VectorStore, keys: Sequence[str] | None) -> list[EmbeddingSpace]:
    active = store.list_embedding_spaces()
    if not active:
        raise ConfigurationError("no embedding space is active; add one to seeds/embedding_space_seed.csv")
    if not keys:
        return active
    by_key = {space.space_key: space for space in active}
    unknown = [key for key in keys if key not in by_key]
    if unknown:
        raise ConfigurationError(f"no active space is called {unknown[0]!r}; active are {', '.join(by_key)}")
    return [by_key[key] for key in dict.fromkeys(keys)]


def _embed(arguments: argparse.Namespace) -> int:
    store = _open_store(arguments)
    try:
        spaces = _chosen_spaces(store, arguments.space)
        if arguments.plan:
            plans = [plan_space(store, space, arguments.limit) for space in spaces]
            _print(arguments, {"spaces": [plan.to_dict() for plan in plans]}, "\n".join(map(_plan_text, plans)))
            return 0
        close_abandoned_runs(store)
        options = EmbedOptions(arguments.limit, arguments.batch_size, arguments.concurrency)
        summaries, exit_code = _embed_each(store, spaces, options)
    finally:
        store.close()
    told = [_summary_text(summary) for summary in summaries if not summary.error or summary.written]
    _print(arguments, {"spaces": [summary.to_dict() for summary in summaries]}, "\n".join(told))
    return exit_code


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


def _search(arguments: argparse.Namespace) -> int:
    store = _open_store(arguments)
    try:
        spaces = _chosen_spaces(store, [arguments.space] if arguments.space else None)
        if len(spaces) > 1:
            keys = ", ".join(space.space_key or "" for space in spaces)
            raise ConfigurationError(f"several spaces are active; choose one with --space: {keys}")
        provider = open_provider(spaces[0])
        try:
            result = search(
                store,
                spaces[0],
                provider,
                arguments.query,
                arguments.top_k,
                source_types=arguments.source_type,
                log=not arguments.no_log,
            )
        finally:
            provider.close()
    finally:
        store.close()
    _print(arguments, result.to_dict(), _result_text(result))
    return 0


def _result_text(result: SearchResult) -> str:
    lines = [f"{result.retrieval.query_text}"]
    for hit in result.hits:
        excerpt = " ".join(hit.content.split())
        lines.append(
            f"{hit.rank:>3}. {hit.score:.3f}  {hit.source_id or hit.chunk_id}  {hit.source_title or ''}".rstrip()
        )
        lines.append(f"            {excerpt[:100]}{'...' if len(excerpt) > 100 else ''}")
    if not result.hits:
        lines.append(
            "     nothing found: no current vector passes the filters (see `vector coverage` for what there is)"
        )
    logged = f", logged as {result.retrieval.retrieval_id}" if result.logged else ""
    lines.append(
        f"     {result.retrieval.candidate_count} vectors compared in {result.retrieval.latency_ms:.0f} ms{logged}"
    )
    return "\n".join(lines)


def _coverage(arguments: argparse.Namespace) -> int:
    columns = (
        "space_key", "is_active", "source_type", "chunk_count", "current_count", "pending_count", "quarantined_count",
        "stale_count", "truncated_count", "coverage_percent",
    )  # fmt: skip
    return _table(arguments, "space_coverage", columns, "space_key, source_type")


def _spaces(arguments: argparse.Namespace) -> int:
    columns = (
        "space_key",
        "provider",
        "model_name",
        "dimensions",
        "distance_metric",
        "is_active",
        "embedding_space_id",
    )
    return _table(arguments, "embedding_space", columns, "space_key")


def _verify(arguments: argparse.Namespace) -> int:
    store = _open_store(arguments)
    try:
        broken = verify_vectors(store)
        ((count,),) = store.engine.query(f"select count(*) from {store.engine.table('embedding')}")
    finally:
        store.close()
    lines = [f"embedding {embedding_id}: the vector is not the one that was written" for embedding_id in broken]
    lines.append(f"{count} vectors read, {len(broken)} of them changed since they were written")
    _print(arguments, {"vectors": count, "changed": broken}, "\n".join(lines))
    return 1 if broken else 0


def _table(arguments: argparse.Namespace, relation: str, columns: Sequence[str], order: str) -> int:
    store = _open_store(arguments)
    try:
        rows = store.engine.query(f"select {', '.join(columns)} from {store.engine.table(relation)} order by {order}")
    finally:
        store.close()
    cells = [list(columns), *([str(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    text = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
    _print(arguments, {"rows": [dict(zip(columns, row, strict=True)) for row in rows]}, text)
    return 0


def _print(arguments: argparse.Namespace, value: dict[str, Any], text: str) -> None:
    printed = json.dumps(value, ensure_ascii=False, default=str) if arguments.json else text
    if printed:
        print(printed)

"""`search`: one question to one space."""

from __future__ import annotations

import argparse
from typing import Any

from vector.commands.shared import (
    add_command,
    add_ranking_options,
    add_vars_option,
    chosen_policy,
    moment,
    open_store,
    positive,
    print_result,
    say,
    searched_space,
)
from vector.contracts.models import EmbeddingSpace
from vector.project.profile import find_project_dir
from vector.providers import open_provider
from vector.search.policy import HYBRID, SearchPolicy
from vector.search.redaction import redaction_is_set
from vector.search.search import SearchResult, search
from vector.store import VectorStore
from vector.wording import excerpt

HELP = """examples:
  %(prog)s "Which moon has geysers?"
  %(prog)s "missions that returned samples" --source-type event --top-k 5
  %(prog)s "solar wind" --mode dense --per-source 2 --tag lang=en --updated-from 2026-01-01
  %(prog)s "solar wind" --space minilm --json

With --json, one object with the keys retrieval_id, query, query_truncated (null: not known), embedding_space_id, top_k,
filters, policy, candidates, latency_ms, hits; a hit has rank, score, chunk_id, content_sha256, source_id, source_type,
source_title, content, components. docs/search.md tells what the options do."""


def add_to(commands: Any) -> None:
    """Declares `search`."""
    find = add_command(commands, "search", _search, "search a space, and log it", HELP)
    find.add_argument("query", metavar="question")
    find.add_argument("--space", metavar="KEY", help="the space to search; by default the live one")
    find.add_argument("--top-k", type=positive, default=10, metavar="N", help="number of hits (default 10)")
    filters = find.add_argument_group("filters")
    filters.add_argument("--source-type", action="append", default=[], metavar="T", help="only this type; repeatable")
    filters.add_argument("--source-id", action="append", default=[], metavar="ID", help="only this source; repeatable")
    filters.add_argument(
        "--tag", action="append", default=[], type=_tag, metavar="KEY=VALUE", help="only with this tag; repeatable: all"
    )
    filters.add_argument("--updated-from", type=moment, metavar="TIME", help="only sources updated then or later")
    filters.add_argument("--updated-before", type=moment, metavar="TIME", help="only sources updated before")
    add_ranking_options(find, HYBRID)
    log = find.add_argument_group("log")
    log.add_argument("--no-log", action="store_true", help="do not record the search")
    log.add_argument("--redact", action="store_true", help="record a hash of the question in place of it")
    add_vars_option(log)


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _search(arguments: argparse.Namespace) -> int:
    policy = chosen_policy(arguments)
    store = open_store(arguments)
    try:
        result = _result(store, searched_space(store, arguments.space), policy, arguments)
    finally:
        store.close()
    if result.retrieval.query_truncated_flag:
        given, used = result.query_tokens
        say(
            f"warning: the model read {used} of the question's {given} tokens; ask a shorter one, or search by words"
            " (--mode lexical)"
        )
    logged = f"the search is logged as {result.retrieval.retrieval_id}" if result.logged else ""
    print_result(arguments, result.to_dict(), _result_text(result), stored=logged)
    return 0


def _result(
    store: VectorStore, space: EmbeddingSpace, policy: SearchPolicy, arguments: argparse.Namespace
) -> SearchResult:
    provider = open_provider(space) if policy.needs_model else None
    try:
        return search(
            store,
            space,
            provider,
            arguments.query,
            arguments.top_k,
            source_types=arguments.source_type,
            source_ids=arguments.source_id,
            tags=arguments.tag,
            updated_from=arguments.updated_from,
            updated_before=arguments.updated_before,
            policy=policy,
            log=not arguments.no_log,
            redact=arguments.redact or redaction_is_set(find_project_dir(arguments.project_dir), arguments.vars),
        )
    finally:
        if provider is not None:
            provider.close()


def _why_nothing(result: SearchResult) -> str:
    policy = result.retrieval.policy or {}
    least = policy.get("min_score")
    if not result.retrieval.candidate_count:
        return "nothing current passes the filters (see `vector coverage` for what there is)"
    if policy.get("method") == "lexical":
        wordless = "no text that passes the filters has a word of the question"
        return wordless if least is None else f"{wordless}, or none reaches the lowest score asked for, {least}"
    return f"nothing reaches the lowest score asked for, {least}"


def _result_text(result: SearchResult) -> str:
    lines = [excerpt(result.retrieval.query_text)]
    for hit in result.hits:
        source = f"{excerpt(hit.source_id or hit.chunk_id)}  {excerpt(hit.source_title or '')}"
        lines.append(f"{hit.rank:>3}. {hit.score:.3f}  {source}".rstrip())
        lines.append(f"            {excerpt(hit.content, 100)}")
    if not result.hits:
        lines.append(f"     nothing found: {_why_nothing(result)}")
    logged = f", logged as {result.retrieval.retrieval_id}" if result.logged else ""
    by = {"dense": "vectors", "lexical": "words"}.get(result.retrieval.policy["method"], "vectors and words")
    compared = f"{result.retrieval.candidate_count} chunks compared by {by}"
    lines.append(f"     {compared} in {result.retrieval.latency_ms:.0f} ms{logged}")
    return "\n".join(lines)

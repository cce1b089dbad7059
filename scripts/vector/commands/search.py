"""`search`: one question to one space."""

from __future__ import annotations

import argparse
from typing import Any

from vector.commands.shared import add_command, open_store, positive, print_result, searched_space
from vector.providers import open_provider
from vector.retrieval import SearchResult, search

HELP = """examples:
  %(prog)s "Which moon has geysers?"
  %(prog)s "missions that returned samples" --source-type event --top-k 5
  %(prog)s "solar wind" --space minilm --json

With --json, one object with the keys retrieval_id, query, embedding_space_id, top_k, filters, candidates, latency_ms,
hits; a hit has rank, score, chunk_id, content_sha256, source_id, source_type, source_title, content."""


def add_to(commands: Any) -> None:
    """Declares `search`."""
    find = add_command(commands, "search", _search, "search a space, and log it", HELP)
    find.add_argument("query", metavar="question")
    find.add_argument("--space", metavar="KEY", help="the space to search; by default the live one")
    find.add_argument("--top-k", type=positive, default=10, metavar="N", help="number of hits (default 10)")
    find.add_argument("--source-type", action="append", default=[], metavar="T", help="only this type; repeatable")
    find.add_argument("--no-log", action="store_true", help="do not record the search")


def _search(arguments: argparse.Namespace) -> int:
    store = open_store(arguments)
    try:
        space = searched_space(store, arguments.space)
        provider = open_provider(space)
        try:
            result = search(
                store,
                space,
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
    print_result(arguments, result.to_dict(), _result_text(result))
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

"""`search`: one question to one space."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from vector.commands.output import bold, say
from vector.commands.shared import (
    add_command,
    add_ranking_options,
    add_vars_option,
    chosen_policy,
    moment,
    named_target,
    positive,
    print_lines,
    print_result,
)
from vector.contracts.models import EmbeddingSpace
from vector.errors import ConfigurationError
from vector.project.profile import find_project_dir
from vector.providers import open_provider
from vector.search.evidence import DEFAULT_MAX_TOKENS, DUPLICATE, OVER_BUDGET, Evidence, evidence
from vector.search.policy import HYBRID, SearchPolicy
from vector.search.redaction import redaction_is_set
from vector.search.search import FoundChunk, SearchResult, search
from vector.search.stages import EXACT
from vector.spaces.choosing import searched_space
from vector.store import VectorStore
from vector.store.opening import open_to_search
from vector.wording import counted, excerpt, printable

HELP = """examples:
  %(prog)s "Which moon has geysers?"
  %(prog)s "missions that returned samples" --source-type event --top-k 5
  %(prog)s "solar wind" --mode dense --per-source 2 --tag lang=en --updated-from 2026-01-01
  %(prog)s "solar wind" --space bge-small --json
  %(prog)s "solar wind" --jsonl --no-log
  %(prog)s "solar wind" --top-k 30 --evidence --max-tokens 1500 --json

With --json, one object with the keys retrieval_id, query, query_truncated (null: not known), embedding_space_id, top_k,
filters, policy, candidates, search_stage, latency_ms, hits; a hit has rank, score, chunk_id, content_sha256, source_id,
source_type, source_title, source_ref, start_offset, end_offset, context, content, components. With --evidence it has
max_tokens, tokens, tokens_by, passages, left_out in place of hits. With --jsonl, one object a line for each hit, or
passage: what hits, or passages, has, with the retrieval_id. docs/search.md tells what the options do."""


def add_to(commands: Any) -> None:
    """Declares `search`."""
    find = add_command(commands, "search", _search, "search a space, and log it", HELP)
    find.add_argument("query", metavar="question")
    find.add_argument("--jsonl", action="store_true", help="print one JSON object a hit, each a line")
    find.add_argument("--full", action="store_true", help="show the whole text of each hit, not its best sentence")
    find.add_argument("--space", metavar="KEY", help="the space to search; by default the live one")
    find.add_argument("--top-k", type=positive, default=10, metavar="N", help="number of hits (default 10)")
    find.add_argument("--exact", action="store_true", help="compare every vector, also in a large space")
    filters = find.add_argument_group("filters")
    filters.add_argument("--source-type", action="append", default=[], metavar="T", help="only this type; repeatable")
    filters.add_argument("--source-id", action="append", default=[], metavar="ID", help="only this source; repeatable")
    filters.add_argument(
        "--tag", action="append", default=[], type=_tag, metavar="KEY=VALUE", help="only with this tag; repeatable: all"
    )
    filters.add_argument("--updated-from", type=moment, metavar="TIME", help="only sources updated then or later")
    filters.add_argument("--updated-before", type=moment, metavar="TIME", help="only sources updated before")
    add_ranking_options(find, HYBRID)
    prompt = find.add_argument_group("evidence")
    prompt.add_argument("--evidence", action="store_true", help="give passages for a prompt in place of the hits")
    prompt.add_argument(
        "--max-tokens", type=positive, metavar="N", help=f"of all passages together (default {DEFAULT_MAX_TOKENS})"
    )
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
    if arguments.max_tokens and not arguments.evidence:
        raise ConfigurationError("--max-tokens is the budget of --evidence; give both, or neither")
    if arguments.json and arguments.jsonl:
        raise ConfigurationError("--json is one object, --jsonl one a hit; give one of them")
    if arguments.full and arguments.evidence:
        raise ConfigurationError("--full is of hits, and the passages of --evidence are whole; give one of them")
    policy = chosen_policy(arguments)
    store = open_to_search(named_target(arguments), variables=arguments.vars)
    try:
        found = _found(store, searched_space(store, arguments.space), policy, arguments)
    finally:
        store.close()
    result = found.result if isinstance(found, Evidence) else found
    if result.retrieval.query_truncated_flag and result.query_tokens:
        given, used = result.query_tokens
        say(
            f"warning: the model read {used} of the question's {given} tokens; ask a shorter one, or search by words"
            " (--mode lexical)"
        )
    if as_of := getattr(store, "as_of", None):
        say(f"note: the warehouse is being written; this is its state of {as_of:%Y-%m-%d %H:%M:%S} UTC")
    logged = f"the search is logged as {result.retrieval.retrieval_id}" if result.logged else ""
    text = _result_text(found, arguments.full) if isinstance(found, SearchResult) else printable(_evidence_text(found))
    if arguments.jsonl:
        print_lines(arguments, found.rows(), stored=logged)
    else:
        print_result(arguments, found.to_dict(), text, stored=logged, styled=True)
    return 0


def _found(
    store: VectorStore, space: EmbeddingSpace, policy: SearchPolicy, arguments: argparse.Namespace
) -> SearchResult | Evidence:
    provider = open_provider(space) if policy.needs_model else None
    ask = partial(evidence, max_tokens=arguments.max_tokens or DEFAULT_MAX_TOKENS) if arguments.evidence else search
    try:
        return ask(
            store,
            space,
            provider,
            arguments.query,
            top_k=arguments.top_k,
            source_types=arguments.source_type,
            source_ids=arguments.source_id,
            tags=arguments.tag,
            updated_from=arguments.updated_from,
            updated_before=arguments.updated_before,
            policy=policy,
            stage=EXACT if arguments.exact else None,
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


def _result_text(result: SearchResult, full: bool) -> str:
    """Printable, but for the codes around words of the question on a terminal."""
    lines = [excerpt(result.retrieval.query_text)]
    for hit, snippet in zip(result.hits, result.snippets, strict=True):
        place = "" if hit.start_offset is None else f"  characters {hit.start_offset} to {hit.end_offset}"
        lines.append(f"{hit.rank:>3}. {hit.score:.3f}  {_source(hit)}{place}")
        shown = printable(hit.content).splitlines() if full else [snippet.marked(*bold())]
        lines += [f"            {line}".rstrip() for line in shown]
    return "\n".join([*lines, *_closing_lines(result)])


def _evidence_text(found: Evidence) -> str:
    lines = []
    for number, passage in enumerate(found.passages, 1):
        ranks = ", ".join(str(hit.rank) for hit in sorted(passage.hits, key=lambda hit: hit.rank))
        place = (
            f"characters {passage.start_offset} to {passage.end_offset}, " if passage.start_offset is not None else ""
        )
        cut = ", cut" if passage.truncated else ""
        lines += [f"[{number}] {_source(passage.best)}  ({place}hits {ranks}{cut})", passage.content, ""]
    reasons = [reason for _, reason in found.left_out]
    left_out = ", ".join(
        f"{reasons.count(reason)} {words}"
        for reason, words in ((DUPLICATE, "as duplicates"), (OVER_BUDGET, "over the budget"))
        if reason in reasons
    )
    counted_by = "the space's tokenizer" if found.tokens_by == "tokenizer" else "an estimate from bytes"
    lines.append(
        f"     {counted(len(found.passages), 'passage')}, {found.tokens} of {found.max_tokens} tokens by {counted_by}"
        + (f"; hits left out: {left_out}" if left_out else "")
    )
    return "\n".join([*lines, *_closing_lines(found.result)])


def _source(hit: FoundChunk) -> str:
    return f"{excerpt(hit.source_id or hit.chunk_id)}  {excerpt(hit.context or hit.source_title or '')}".rstrip()


def _closing_lines(result: SearchResult) -> list[str]:
    nothing = [] if result.hits else [f"     nothing found: {_why_nothing(result)}"]
    logged = f", logged as {result.retrieval.retrieval_id}" if result.logged else ""
    by = {"dense": "vectors", "lexical": "words"}.get((result.retrieval.policy or {})["method"], "vectors and words")
    compared = f"{result.retrieval.candidate_count} chunks compared by {by}"
    return [*nothing, f"     {compared} in {result.retrieval.latency_ms:.0f} ms{logged}"]

"""`replay`: logged searches, run again."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from vector.commands.shared import add_command, moment, open_store, positive, print_result
from vector.contracts.models import VectorRetrieval
from vector.errors import ConfigurationError
from vector.project.profile import find_project_dir
from vector.search.replay import HitChange, Replay, logged_since, replay
from vector.search.rerankers import listed_rerankers
from vector.store import VectorStore
from vector.store.spaces import space_of_key
from vector.wording import excerpt, one_line

HELP = """examples:
  %(prog)s 7f1f9a52-54d1-4a3a-9a5b-0c8c0e3f6a11
  %(prog)s --since 2026-01-31 --limit 100 --json
  %(prog)s --since 2026-01-31 --space bge-small --no-evaluations

With --json, one object with the keys replays, replayed, changed, not_replayed (numbers but for the first); a replay has
retrieval_id, searched_utc, query, space_key, not_replayed, notes, unchanged, changes; a change has chunk_id, source_id,
change (new, gone, moved, text_changed), rank_then, rank_now, score_then, score_now."""


def add_to(commands: Any) -> None:
    """Declares `replay`."""
    again = add_command(commands, "replay", _replay, "run logged searches again, and show what changed", HELP)
    which = again.add_mutually_exclusive_group(required=True)
    which.add_argument("retrieval_id", nargs="?", help="the logged search")
    which.add_argument("--since", type=moment, metavar="TIME", help="all that were logged since, the latest first")
    again.add_argument("--limit", type=positive, metavar="N", help="with --since, at most so many")
    again.add_argument("--space", metavar="KEY", help="with --since, only those in this space")
    again.add_argument(
        "--no-evaluations", action="store_true", help="with --since, without those of RETRIEVE_TEST and DRIFT_TEST"
    )


def _replay(arguments: argparse.Namespace) -> int:
    replays: list[Replay] = []
    store = open_store(arguments)
    try:
        rerankers = listed_rerankers(find_project_dir(arguments.project_dir))
        for each in replay(store, _chosen(store, arguments), rerankers):
            replays.append(each)
            if not arguments.json:  # as they come: what follows may take long, or fail
                print_result(arguments, {}, _replay_text(each))
    finally:
        store.close()
    counts = {
        "replayed": sum(each.not_replayed is None for each in replays),
        "changed": sum(bool(each.changes) for each in replays),
        "not_replayed": sum(each.not_replayed is not None for each in replays),
    }
    print_result(arguments, {"replays": [each.to_dict() for each in replays], **counts}, _summary(counts))
    return 0


def _chosen(store: VectorStore, arguments: argparse.Namespace) -> Sequence[VectorRetrieval]:
    if arguments.since:
        space = None if arguments.space is None else space_of_key(store, arguments.space)
        return logged_since(
            store,
            arguments.since,
            arguments.limit,
            None if space is None else space.embedding_space_id,
            evaluations=not arguments.no_evaluations,
        )
    if arguments.space or arguments.limit or arguments.no_evaluations:
        raise ConfigurationError("--space, --limit and --no-evaluations go with --since; a retrieval id is one search")
    # SQL Server's tools show ids in upper case.
    found = store.get_retrieval(arguments.retrieval_id.strip().lower())
    if found is None:
        raise ConfigurationError(
            f"no search is logged as {arguments.retrieval_id!r}; `select retrieval_id from retrieval` lists them"
        )
    return [found]


def _replay_text(replayed: Replay) -> str:
    when = f"{replayed.searched_utc:%Y-%m-%d %H:%M}"
    which = one_line(f"{replayed.retrieval_id}  {when}  {replayed.space_key}")
    lines = [f"{which}  {excerpt(replayed.query)}"]
    if replayed.not_replayed:
        return "\n".join([*lines, f"     not replayed: {excerpt(replayed.not_replayed, 1000)}"])
    lines += [f"     {one_line(note.replace('_', ' '))}" for note in replayed.notes]
    lines += map(_change_text, replayed.changes)
    lines.append(f"     {replayed.unchanged} hits as they were")
    return "\n".join(lines)


def _change_text(change: HitChange) -> str:
    ranks = f"{change.rank_then or '-':>3} -> {change.rank_now or '-':<3}"
    scores = " -> ".join("-" if score is None else f"{score:.3f}" for score in (change.score_then, change.score_now))
    what = change.change.replace("_", " ")
    return f"     {what:<12} {ranks} {scores:<16} {excerpt(change.source_id or change.chunk_id)}"


def _summary(counts: dict[str, int]) -> str:
    return (
        f"{counts['replayed']} searches replayed, {counts['changed']} with other hits,"
        f" {counts['not_replayed']} not replayed"
    )

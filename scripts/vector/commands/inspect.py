"""`coverage`, `verify`: what the schema holds, and whether it is whole."""

from __future__ import annotations

import argparse
from typing import Any

from vector.commands.shared import add_command, open_store, print_result, print_table
from vector.store.verify import verify_vectors
from vector.wording import excerpt

COVERAGE_HELP = """With --json, one object: {"rows": [...]}, each with the keys space_key, is_active, source_type,
chunk_count, current_count, pending_count, quarantined_count, stale_count, truncated_count, coverage_percent."""

VERIFY_HELP = """With --json, one object with the keys vectors (how many were read), changed and sketches
(ids of embeddings whose vector, or sketch, is not the one that was written). The exit code is 1 where there is one."""


def add_to(commands: Any) -> None:
    """Declares both."""
    add_command(commands, "coverage", _coverage, "how far each space covers the current chunks", COVERAGE_HELP)
    add_command(commands, "verify", _verify, "check every stored vector against its hash", VERIFY_HELP)


def _coverage(arguments: argparse.Namespace) -> int:
    columns = (
        "space_key", "is_active", "source_type", "chunk_count", "current_count", "pending_count", "quarantined_count",
        "stale_count", "truncated_count", "coverage_percent",
    )  # fmt: skip
    return print_table(arguments, "space_coverage", columns, "space_key, source_type")


def _verify(arguments: argparse.Namespace) -> int:
    from vector.store.sketches import wrong_sketches  # brings numpy, which `coverage` does without

    store = open_store(arguments)
    try:
        broken = verify_vectors(store)
        wrong = wrong_sketches(store)
        ((count,),) = store.engine.query(f"select count(*) from {store.engine.table('embedding')}")
    finally:
        store.close()
    lines = [
        f"embedding {excerpt(embedding_id)}: the vector is not the one that was written" for embedding_id in broken
    ]
    lines += [
        f"embedding {excerpt(each)}: the sketch is not its vector's; make them anew with"
        " `vector spaces sketch KEY --renew`"
        for each in wrong
    ]
    lines.append(f"{count} vectors read, {len(broken)} of them changed since they were written")
    print_result(arguments, {"vectors": count, "changed": broken, "sketches": wrong}, "\n".join(lines))
    return 1 if broken or wrong else 0

"""What is looked for when a text or an id must be nowhere: pieces of it, as they stand in texts and in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from vector.contracts.identity import is_blank
from vector.contracts.ledgers import Column
from vector.engines.base import Engine

# Code points of a text that are looked for: in JSON with \u escapes each may become twelve bytes of ASCII, and SQL
# Server's CHARINDEX takes 8,000 bytes.
LONGEST = 250
# A shorter text says too little to be searched for in others: `yes` is in every table. It is compared whole.
SHORTEST = 16

_COLUMNS = (Column("piece", "piece", "text", length=4000), Column("is_json", "is_json", "integer"))


@dataclass(frozen=True)
class Probe:
    """A piece to look for, in columns of JSON or in others."""

    piece: str
    is_json: bool


def probes_of_texts(texts: Iterable[str]) -> list[Probe]:
    """The pieces of texts of at least SHORTEST characters: each whole or, of a long one, its middle."""
    found: dict[Probe, None] = {}
    for text in texts:
        if len(text.strip()) < SHORTEST or is_blank(text):
            continue
        start = max(0, (len(text) - LONGEST) // 2)
        piece = text[start : start + LONGEST]
        found[Probe(piece, False)] = None
        found.update(dict.fromkeys(Probe(each[1:-1], True) for each in _as_json(piece)))
    return list(found)


def probes_of_id(source_id: str) -> list[Probe]:
    """A source's id, as messages quote it and as JSON has it."""
    return [
        Probe(f"'{source_id}'", False),
        Probe(f'"{source_id}"', False),
        *(Probe(each, True) for each in _as_json(source_id)),
    ]


def _as_json(text: str) -> list[str]:
    """The text as a JSON string: as this package writes it, and with everything but ASCII escaped."""
    return list(dict.fromkeys(json.dumps(text, ensure_ascii=ascii_only) for ascii_only in (False, True)))


@contextmanager
def staged_probes(engine: Engine, probes: Sequence[Probe]) -> Iterator[str]:
    """The probes as a relation of `piece` and `is_json`."""
    with engine.staged(_COLUMNS, [(probe.piece, int(probe.is_json)) for probe in probes]) as staged:
        yield staged


def holds_a_probe(engine: Engine, staged: str, column: str, is_json: bool) -> str:
    """The condition that a column of `looked_at` has one of the staged probes in it."""
    # What is written as text may be JSON, and the other way round: text is looked for in both, JSON in JSON only.
    kinds = "" if is_json else "probe.is_json = 0 and "
    return (
        f"exists (select 1 from {staged} as probe where {kinds}{engine.contains(f'looked_at.{column}', 'probe.piece')})"
    )

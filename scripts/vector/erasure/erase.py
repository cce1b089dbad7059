"""Erases a source, or logged questions: every row that came of it, in one order on both engines.

First a row of the ledger `erasure` is written: from then on the source is kept out. Then go, in batches of a
transaction each, hits, vectors and failures; what else quotes the source (searches, jobs, runs); and, when its texts
have been looked for in every other column of text, these themselves: versions, chunks, the source's row. So a text is
searched for before it is gone, and an erasure that was interrupted goes on when it is asked for again: its row is open
until all is done.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from vector.contracts import ledgers
from vector.contracts.identity import compute_content_hash, is_blank, require_storable_text, utf16_units
from vector.contracts.models import Erasure, ErasureKind
from vector.engines.base import with_queue, with_sketches
from vector.engines.local_copies import drop_copies
from vector.engines.vector_cache import default_folder
from vector.erasure import quotes
from vector.erasure.places import OF_A_SOURCE
from vector.erasure.probes import Probe, probes_of_id, probes_of_texts
from vector.erasure.work import Work
from vector.errors import ConfigurationError
from vector.store import VectorStore
from vector.store.ledger_io import ConstraintRefusal
from vector.store.side_log import delete_searches, take_in
from vector.wording import counted

# A search or a run that is under way may write a row that refers to one that is about to go.
_PASSES = 5
_LONGEST = {
    column.name: column.length or 0
    for ledger in (ledgers.SOURCE_REGISTRY, ledgers.ERASURE)
    for column in ledger.columns
}
# The key of an erasure's counts that has the rows which it does not touch.
ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Subject:
    """What to erase: a source by its id, or the logged questions that hold a text, in capitals or not."""

    kind: ErasureKind
    name: str


@dataclass
class Erased:
    """What became of a subject: rows deleted by table, of this and interrupted runs of the same erasure; where its
    texts were found `elsewhere`, in rows that erasure does not touch: {table.column: rows}. `was_erased` says that it
    had been erased before, and nothing was left to do."""

    subject: Subject
    erasure: Erasure
    elsewhere: dict[str, int] = field(default_factory=dict)
    was_erased: bool = False

    @property
    def rows(self) -> dict[str, int]:
        """Rows deleted, by table."""
        return {name: count for name, count in self.erasure.counts.items() if name != ELSEWHERE}


@dataclass
class Report:
    """What was erased, and in words how the bytes were freed; empty for a dry run, or where nothing was to do."""

    erased: list[Erased]
    freed: str = ""


def erase(store: VectorStore, subjects: Sequence[Subject], reason: str, dry_run: bool = False) -> Report:
    """Erases them all, or goes on where an earlier run was interrupted; without a trace but a row each in the ledger
    `erasure`. With `dry_run` all is counted, and nothing written.

    Raises ConfigurationError for a source that nobody knows, a reason that names what is erased, and while another
    session erases; DatabaseFailed when the file cannot be written anew. Then run it again.
    """
    _check(subjects, reason)
    started = time.time()
    with _alone(store):
        plans = [(each, *_erasure_of(store, each, reason)) for each in subjects]
        report = Report([_erased(store, *plan, dry_run) for plan in plans])
        todo = [each for each in report.erased if not each.was_erased]
        if dry_run or not todo:
            return report
        drop_copies(default_folder())
        report.freed = store.engine.free_deleted()
        for each in todo:
            done = replace(each.erasure, completed_utc=datetime.now(UTC), cache_epoch=each.erasure.cache_epoch + 1)
            store.save_erasure(done)
            each.erasure = done
        # What was asked of a read copy meanwhile is taken in redacted; what cannot be taken in cannot be looked at.
        take_in(store)
        if deleted := delete_searches(store.engine, started):
            report.freed += f"; {counted(deleted, 'file')} of logged searches that cannot be taken in, deleted"
        return report


def lift(store: VectorStore, source_ids: Sequence[str], reason: str) -> list[Erasure]:
    """Lets sources in again that were erased: `dbt build` takes them up where they are still in the tables. Raises
    ConfigurationError for one that is not kept out, and writes nothing then."""
    subjects = [Subject(ErasureKind.SOURCE, each) for each in source_ids]
    _check(subjects, reason)
    with _alone(store):
        lifted = []
        for subject in subjects:
            known = [each for each in _open_erasures(store, subject) if each.lifted_utc is None]
            if not known:
                raise ConfigurationError(f"source {subject.name!r} is not kept out: it was not erased, or let in again")
            lifted += [replace(each, lifted_utc=datetime.now(UTC), lift_reason=reason) for each in known]
        for each in lifted:
            store.save_erasure(each)
        return lifted


def _check(subjects: Sequence[Subject], reason: str) -> None:
    require_storable_text(reason, "the reason")
    if is_blank(reason):
        raise ConfigurationError("the reason is empty; say why, without naming who or what")
    if utf16_units(reason) > _LONGEST["erasure_reason"]:
        raise ConfigurationError(f"the reason is longer than {_LONGEST['erasure_reason']} characters")
    for subject in subjects:
        what = "the source id" if subject.kind is ErasureKind.SOURCE else "the question"
        require_storable_text(subject.name, what)
        if is_blank(subject.name):
            raise ConfigurationError(f"{what} is empty")
        if subject.kind is ErasureKind.SOURCE and (
            subject.name.endswith(" ") or utf16_units(subject.name) > _LONGEST["source_id"]
        ):
            raise ConfigurationError(
                f"{what} {subject.name!r} is none that a ledger holds: it ends with a blank, or is"
                f" longer than {_LONGEST['source_id']} characters"
            )
        if subject.name.casefold() in reason.casefold():
            raise ConfigurationError(f"the reason names {what}, and is kept; say it without")


@contextmanager
def _alone(store: VectorStore) -> Iterator[None]:
    with with_queue(store.engine).exclusive("erasure") as held:
        if not held:
            raise ConfigurationError("another session erases; wait for it, and run this again")
        yield


def _open_erasures(store: VectorStore, subject: Subject) -> list[Erasure]:
    return [each for each in store.list_erasures(subject.kind) if each.is_of(subject.name)]


def _erasure_of(store: VectorStore, subject: Subject, reason: str) -> tuple[Erasure, bool]:
    """The erasure that is open, or still keeps a source out; else a new one. And whether it is new. Raises
    ConfigurationError for a source that nobody knows: it may be misspelt."""
    for each in _open_erasures(store, subject):
        if each.completed_utc is None or (subject.kind is ErasureKind.SOURCE and each.lifted_utc is None):
            return each, False
    if subject.kind is ErasureKind.SOURCE and not _is_known(store, subject.name):
        raise ConfigurationError(
            f"there is no source {subject.name!r}: it is in no row of source_registry, chunk or document; nothing was"
            " erased"
        )
    return Erasure.create_new(subject.kind, subject.name, reason), True


def _is_known(store: VectorStore, source_id: str) -> bool:
    names = ["source_registry", "chunk", *({"document"} - set(store.engine.missing_relations(["document"])))]
    return any(
        store.engine.query(f"select count(*) from {store.engine.table(name)} where source_id = ?", [source_id])[0][0]
        for name in names
    )


def _erased(store: VectorStore, subject: Subject, erasure: Erasure, is_new: bool, dry_run: bool) -> Erased:
    steps: Callable[[Work, str], dict[str, int]] = (
        _erase_source if subject.kind is ErasureKind.SOURCE else _erase_questions
    )
    done = Erased(subject, erasure)
    if dry_run or erasure.completed_utc is not None:
        counted = Work(store, replace(erasure, counts={}), dry_run=True)
        done.elsewhere = steps(counted, subject.name)
        if dry_run:
            done.erasure = counted.erasure
            return done
        done.was_erased = not counted.erasure.counts
        if done.was_erased:
            return done
    # Open again, and so kept out; other hosts drop their copies now, and once more when all is done.
    counts = erasure.counts if erasure.completed_utc is None else {**erasure.counts, ELSEWHERE: {}}
    work = Work(store, replace(erasure, counts=counts, completed_utc=None, cache_epoch=erasure.cache_epoch + 1))
    store.save_erasure(work.erasure)
    done.elsewhere = _in_passes(lambda: steps(work, subject.name))
    done.erasure = work.erasure
    return done


def _in_passes(steps: Callable[[], dict[str, int]]) -> dict[str, int]:
    for left in reversed(range(_PASSES)):
        try:
            return steps()
        except ConstraintRefusal:
            if not left:
                raise
    raise AssertionError("unreachable")


def _erase_source(work: Work, source_id: str) -> dict[str, int]:
    """Deletes what came of a source; where its texts are found besides."""
    table, one = work.engine.table, [source_id]
    of_source = f"in (select chunk_id from {table('chunk')} where source_id = ?)"

    def delete(name: str, *key: str, where: str = f"chunk_id {of_source}") -> None:
        work.delete(name, key, f"select {', '.join(key)} from {table(name)} where {where}", one)

    delete("retrieval_hit", "retrieval_id", "chunk_id")
    if with_sketches(work.engine):
        of_vectors = f"embedding_id in (select embedding_id from {table('embedding')} where chunk_id {of_source})"
        delete("embedding_sketch", "embedding_id", where=of_vectors)
    delete("embedding", "embedding_id")
    delete("embedding_failure", "embedding_failure_id")
    if not work.engine.missing_relations(["space_map"]):  # on DuckDB only
        delete("space_map", "embedding_space_id", "chunk_id")
    texts, names = probes_of_texts(_texts(work, source_id)), probes_of_id(source_id)
    quotes.delete_searches(work, [*texts, *names], chunks_of=source_id)
    quotes.delete_jobs(work, texts, names)
    found = _verified(work, [*texts, *names], _rows_of_others(work, source_id), source_id)
    delete("chunk_version", "chunk_id", "content_sha256")
    delete("chunk", "chunk_id", where="source_id = ?")
    delete("source_registry", "source_id", where="source_id = ?")
    return found


def _texts(work: Work, source_id: str) -> set[str]:
    """Every text that a chunk of the source has or had."""
    table = work.engine.table
    rows = work.engine.stream(
        f"select content from {table('chunk')} where source_id = ? union all select version.content"
        f" from {table('chunk_version')} as version inner join {table('chunk')} as chunk"
        " on chunk.chunk_id = version.chunk_id where chunk.source_id = ?",
        [source_id, source_id],
    )
    return {text for (text,) in rows}


def _rows_of_others(work: Work, source_id: str) -> dict[str, quotes.Others]:
    of_source = f"in (select chunk_id from {work.engine.table('chunk')} where source_id = ?)"
    of_another = quotes.Others(" and coalesce(looked_at.source_id, '') <> ?", [source_id])
    return {
        "chunk_version": quotes.Others(f" and looked_at.chunk_id not {of_source}", [source_id]),
        "chunk": of_another,
        "source_registry": of_another,
    }


def _erase_questions(work: Work, text: str) -> dict[str, int]:
    """Deletes the logged searches of users whose question holds the text, with their hits, and what quotes the
    questions; where they are found besides. Judged questions stand in a table of yours, and are nobody's."""
    wanted, digest = _folded(text), compute_content_hash(text)
    asked = work.engine.stream(
        f"select retrieval_id, query_text, query_sha256 from {work.engine.table('retrieval')}"
        " where eval_query_id is null"
    )
    found = {
        retrieval_id: question
        for retrieval_id, question, sha256 in asked
        if sha256 == digest or wanted in _folded(question)
    }
    probes = probes_of_texts(set(found.values()))
    quotes.delete_jobs(work, probes)
    # A text of a source is not a question, whatever it says; and of the log itself each question was read.
    elsewhere = _verified(work, probes, dict.fromkeys((*OF_A_SOURCE, "retrieval")))
    work.delete_of("retrieval_hit", ("retrieval_id", "chunk_id"), "retrieval_id", found)
    work.delete_of("retrieval", ("retrieval_id",), "retrieval_id", found)
    return elsewhere


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _verified(
    work: Work, probes: Sequence[Probe], others: Mapping[str, quotes.Others | None], source_id: str | None = None
) -> dict[str, int]:
    """Where the texts are found besides, which the erasure's row keeps: they are gone when an interrupted run goes
    on."""
    if work.dry_run:
        return {}
    found = {**work.erasure.counts.get(ELSEWHERE, {}), **quotes.elsewhere(work, probes, others, source_id)}
    if found:
        work.erasure.counts = {**work.erasure.counts, ELSEWHERE: found}
        work.store.save_erasure(work.erasure)
    return found

"""Searches that could not write the ledgers, because another process was writing them: kept beside the warehouse, and
taken in by the next one that writes.

    .vector-warehouse.duckdb/searches/<retrieval_id>.json      a search with its hits, as the ledgers will hold them

A file is written whole under another name, then renamed, and never changed: whoever is killed leaves a whole search or
none. It is deleted when its rows are committed; a search that was taken in before is known by its id. The folder is its
owner's only, and what a search keeps to itself in the ledger, it keeps to itself here.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from vector.contracts import ledgers
from vector.contracts.ledgers import Ledger
from vector.contracts.models import ErasureKind, VectorRetrieval, VectorRetrievalHit
from vector.engines.base import Engine, with_queue
from vector.errors import InvalidRecord
from vector.files import is_ours_alone, replace_file
from vector.store import ledger_io
from vector.store.store import VectorStore
from vector.store.versions import known_versions

logger = logging.getLogger(__name__)

_FOLDER = "searches"
_NAME = re.compile(r"[0-9A-Za-z-]{1,64}\Z")
# Searches of a transaction.
_BATCH = 200
# Seconds after which a file that was begun is a dead process's.
_BEGUN_SECONDS = 600.0


@dataclass(frozen=True)
class LoggedSearch:
    """A search of the side log. `erasures` is the number of erasures that the searched warehouse knew."""

    retrieval: VectorRetrieval
    hits: tuple[VectorRetrievalHit, ...]
    erasures: int


def keep_beside(beside: Path, retrieval: VectorRetrieval, hits: Sequence[VectorRetrievalHit], erasures: int) -> None:
    """Logs a search in the folder beside a warehouse; when this returns, it is on the disk. Raises OSError;
    InvalidRecord for an id that is none of ours."""
    content = {
        "erasures": erasures,
        "retrieval": _as_json(ledgers.RETRIEVAL, retrieval),
        "hits": [_as_json(ledgers.RETRIEVAL_HIT, hit) for hit in hits],
    }
    if not _NAME.match(retrieval.retrieval_id):
        raise InvalidRecord(f"retrieval {retrieval.retrieval_id!r}: its id cannot be a file's name; let one be made")
    folder = beside / _FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    begun = folder / f".{retrieval.retrieval_id}.{secrets.token_hex(4)}"
    try:
        with open(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(json.dumps(content))  # by the encoder in C, which json.dump does not use
            file.flush()
            os.fsync(file.fileno())
        replace_file(begun, folder / f"{retrieval.retrieval_id}.json")
    except BaseException:
        begun.unlink(missing_ok=True)
        raise
    if os.name != "nt":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def take_in(store: VectorStore) -> int:
    """Moves the searches beside the warehouse into its ledgers; how many were new there.

    A hit whose text is no longer in the ledgers is left out. Where something was erased since the search, which may be
    what was asked or found, the search is kept redacted. A file that cannot be taken in stays, and a log line says so.
    """
    beside = store.engine.beside
    if beside is None or not (files := _files(beside)):
        return 0
    with with_queue(store.engine).exclusive("searches") as alone:
        return _taken_in(store, beside, files) if alone else 0


def erasures_of(engine: Engine) -> int:
    """The number that each erasure of a source or a question adds to, when it begins and when it ends."""
    sql = f"select coalesce(sum(cache_epoch), 0) from {engine.table('erasure')} where kind <> ?"
    return int(engine.lookup(sql, [ErasureKind.PRUNING.value])[0][0])


def delete_searches(engine: Engine, before: float) -> int:
    """Deletes what is beside the warehouse from before a moment (seconds since 1970), whole or not: an erasure cannot
    tell whether it holds what has to go. How many files there were. Raises OSError."""
    deleted = 0
    if engine.beside is not None:
        for path in (engine.beside / _FOLDER).glob("*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
                    deleted += 1
    return deleted


def _files(beside: Path) -> list[Path]:
    """The whole ones, the oldest first; remains of a killed process are deleted."""
    found = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(beside / _FOLDER) as entries:
        for each in entries:
            with suppress(FileNotFoundError):
                changed = each.stat().st_mtime
                if each.name.startswith("."):
                    if time.time() - changed > _BEGUN_SECONDS:
                        os.unlink(each.path)
                elif each.name.endswith(".json"):
                    found.append((changed, Path(each.path)))
    return [path for _, path in sorted(found)]


def _taken_in(store: VectorStore, beside: Path, files: Sequence[Path]) -> int:
    if not is_ours_alone(folder := beside / _FOLDER):
        logger.warning(
            "%s: others can write to it, or own it, so its searches are not taken in; `chmod go-w` it", folder
        )
        return 0
    erasures, taken, refused = erasures_of(store.engine), 0, []
    for start in range(0, len(files), _BATCH):
        read, unread = _read(files[start : start + _BATCH])
        refused += unread
        known = ledger_io.existing_rows(
            store.engine, ledgers.RETRIEVAL, [(search.retrieval.retrieval_id,) for search in read.values()]
        )
        new = {
            path: _as_of_now(search, erasures)
            for path, search in read.items()
            if (search.retrieval.retrieval_id,) not in known
        }
        refused += _save(store, new)
        left = {path for path, _ in refused}
        taken += len(new.keys() - left)
        for path in read.keys() - left:
            path.unlink(missing_ok=True)
    if refused:
        path, reason = refused[0]
        logger.warning(
            "%d logged searches beside the warehouse cannot be taken in, such as %s: %s",
            len(refused),
            path,
            reason,
        )
    return taken


def _read(files: Iterable[Path]) -> tuple[dict[Path, LoggedSearch], list[tuple[Path, str]]]:
    read, unread = {}, []
    for path in files:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            retrieval = _from_json(ledgers.RETRIEVAL, content["retrieval"])
            hits = tuple(_from_json(ledgers.RETRIEVAL_HIT, each) for each in content["hits"])
            if path.name != f"{retrieval.retrieval_id}.json" or {hit.retrieval_id for hit in hits} - {path.stem}:
                raise ValueError("it is not of the search that its name says")
            read[path] = LoggedSearch(retrieval, hits, int(content["erasures"]))
        except FileNotFoundError:
            pass  # another session has taken it in
        except (OSError, ValueError, KeyError, TypeError, AttributeError, InvalidRecord) as error:
            unread.append((path, f"{type(error).__name__}: {error}"))
    return read, unread


def _as_of_now(search: LoggedSearch, erasures: int) -> LoggedSearch:
    if search.erasures == erasures:
        return search
    return replace(search, retrieval=replace(search.retrieval.redacted(), filters=None))


def _save(store: VectorStore, searches: dict[Path, LoggedSearch]) -> list[tuple[Path, str]]:
    """Saves them together or, where one is refused, each alone; the refused ones, and why."""
    if not searches:
        return []
    pairs = {(hit.chunk_id, hit.content_sha256 or "") for search in searches.values() for hit in search.hits}
    known = known_versions(store.engine, pairs)
    try:
        store.save_retrievals(
            [search.retrieval for search in searches.values()],
            [hit for search in searches.values() for hit in search.hits if (hit.chunk_id, hit.content_sha256) in known],
        )
        return []
    except InvalidRecord as error:
        if len(searches) == 1:
            return [(path, str(error)) for path in searches]
    return [refused for path, search in searches.items() for refused in _save(store, {path: search})]


def _as_json(ledger: Ledger, record: Any) -> dict[str, Any]:
    row = zip(ledger.columns, ledger.to_row(record), strict=True)
    return {column.name: _plain(value) for column, value in row if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.tolist() if hasattr(value, "tolist") else value


def _from_json(ledger: Ledger, values: dict[str, Any]) -> Any:
    def read(column: ledgers.Column) -> Any:
        value = values.get(column.name)
        return datetime.fromisoformat(value) if column.kind == "utc" and value is not None else value

    return ledger.from_row(tuple(map(read, ledger.columns)), list)

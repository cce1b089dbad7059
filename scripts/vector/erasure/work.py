"""One erasure under way: deletes in batches, and keeps count in the erasure's own row, in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from vector.contracts import ledgers
from vector.contracts.ledgers import Column, key_column
from vector.contracts.models import Erasure
from vector.engines.base import Engine
from vector.errors import DatabaseFailed
from vector.store import VectorStore, ledger_io

Result = TypeVar("Result")

# Rows of a statement: SQL Server locks the whole table from 5,000 on.
BATCH = 2000


@dataclass
class Work:
    """An erasure and the store that it is of. With `dry_run` everything is counted, and nothing is written."""

    store: VectorStore
    erasure: Erasure
    dry_run: bool = False

    @property
    def engine(self) -> Engine:
        """The store's."""
        return self.store.engine

    def delete(self, table: str, key: Sequence[str], select: str, parameters: Sequence[Any] = ()) -> None:
        """Deletes the rows whose key the select gives, in batches."""
        if self.dry_run:
            ((found,),) = self.engine.query(f"select count(*) from ({select}) as counted", parameters)
            self._count(table, int(found))
            return
        batch = (
            f"select * from ({select}) as found order by {', '.join(key)} offset 0 rows fetch next {BATCH} rows only"
        )
        while rows := self.engine.query(batch, parameters):
            if not self._delete_batch(table, key, rows):
                raise DatabaseFailed(f"{table}: rows that are there cannot be deleted, such as {rows[0]}")

    def delete_of(self, table: str, key: Sequence[str], parent: str, values: Iterable[str]) -> None:
        """Deletes the rows whose column `parent` has one of the values."""
        for batch in batches(values):
            with self.engine.staged([key_column(parent)], [(each,) for each in batch]) as staged:
                columns = ", ".join(f"ledger.{name}" for name in key)
                self.delete(
                    table, key,
                    f"select {columns} from {self.engine.table(table)} as ledger"
                    f" inner join {staged} as staged on staged.{parent} = ledger.{parent}",
                )  # fmt: skip

    def blank(self, table: str, key: str, values: Iterable[str], columns: dict[str, str | None]) -> None:
        """Sets columns of the rows with these keys; counted as `<table>_blanked`."""
        kept = [Column(name, name, "text") for name in columns]
        for batch in batches(values):
            if not self.dry_run:

                def write(batch: list[str] = batch) -> None:
                    rows = [(each, *columns.values()) for each in batch]
                    with self.engine.staged([key_column(key), *kept], rows) as staged:
                        self.engine.update_from(table, staged, list(columns), [key])
                    self._count(f"{table}_blanked", len(batch))
                    self.save()

                self._atomically(write)
            else:
                self._count(f"{table}_blanked", len(batch))

    def save(self) -> None:
        """Writes the erasure's row as it is now; in the transaction that is open."""
        ledger_io.save(self.engine, ledgers.ERASURE, [self.erasure])

    def _delete_batch(self, table: str, key: Sequence[str], rows: Sequence[tuple]) -> int:
        def write() -> int:
            with self.engine.staged([key_column(name) for name in key], rows) as staged:
                deleted = self.engine.delete_from(table, staged, key)
            self._count(table, deleted)
            self.save()
            return deleted

        return self._atomically(write)

    def _atomically(self, write: Callable[[], Result]) -> Result:
        """Raises ConstraintRefusal where a row has come that refers to one that would go."""
        before = dict(self.erasure.counts)

        def work() -> Result:
            self.erasure.counts = dict(before)  # a transaction that is tried again counts once
            return write()

        try:
            with ledger_io.refusals_explained(self.engine, ledgers.ERASURE):
                return self.engine.atomically(work)
        except BaseException:
            self.erasure.counts = before
            raise

    def _count(self, what: str, rows: int) -> None:
        if rows:
            self.erasure.counts = {**self.erasure.counts, what: self.erasure.counts.get(what, 0) + rows}


def batches(values: Iterable[str]) -> Iterator[list[str]]:
    """The values, BATCH at a time."""
    remaining = iter(values)
    while batch := list(islice(remaining, BATCH)):
        yield batch

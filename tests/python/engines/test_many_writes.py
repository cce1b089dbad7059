"""The log of a DuckDB file while a run writes for long."""

from pathlib import Path

import duckdb
import pytest
from support import ScratchProject

from vector.engines.duckdb.engine import DuckDBEngine

MEGABYTE = 2**20


@pytest.fixture
def engine(tmp_path):
    """An engine over a file with a table."""
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute("create schema vector; create table vector.written (text varchar)")
        yield DuckDBEngine(connection)


def write(engine, megabytes):
    for _ in range(megabytes):
        engine.execute(
            "insert into vector.written select md5(concat(random(), n)) from range(?) as n", [MEGABYTE // 32]
        )


def log_size(engine):
    log = Path(f"{engine.location}.wal")
    return log.stat().st_size if log.exists() else 0


def test_a_run_puts_checkpoints_off_and_leaves_them_as_they_were(engine):
    (before,) = engine.query("select current_setting('checkpoint_threshold')")
    with engine.many_writes():
        with engine.many_writes():  # another run of the process
            write(engine, 12)
        write(engine, 12)
        assert log_size(engine) > 20 * MEGABYTE
    assert engine.query("select current_setting('checkpoint_threshold')") == [before]
    write(engine, 1)
    assert log_size(engine) < 16 * MEGABYTE


def test_a_run_that_fails_leaves_them_as_they_were_too(engine):
    (before,) = engine.query("select current_setting('checkpoint_threshold')")
    with pytest.raises(ZeroDivisionError), engine.many_writes():
        raise ZeroDivisionError
    assert engine.query("select current_setting('checkpoint_threshold')") == [before]


def test_embed_puts_them_off(project: ScratchProject, monkeypatch):
    seen = []
    insert = DuckDBEngine.insert_new

    def insert_new(self, *arguments, **options):
        seen.extend(self.query("select current_setting('checkpoint_threshold')"))
        return insert(self, *arguments, **options)

    monkeypatch.setattr(DuckDBEngine, "insert_new", insert_new)
    with project.connect() as connection:
        connection.execute("delete from embedding")
    project.embed()
    assert ("1.0 GiB",) in seen

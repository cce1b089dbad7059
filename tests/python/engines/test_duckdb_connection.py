"""A signal whose handler raises, Ctrl-C's for one, while a database of DuckDB is opened: it ends as a signal does."""

from __future__ import annotations

import os
import signal
import threading

import duckdb
import pytest

from vector.engines import engine_for_target
from vector.engines.duckdb import connection, sessions
from vector.project.profile import Target

LONG = "select count(*) from range(10000000) as a (i), range(1000) as b (j) where (a.i * b.j) % 7 = 3"
STEPS = {
    "the file is opened": (connection, "_opened_by_dbt", {"extensions": ["json"]}),
    "its memory is set": (connection, "_halve_memory", {}),
    "its settings are set": (connection, "set_option", {"settings": {"threads": 1}}),
}


@pytest.mark.skipif(os.name == "nt", reason="Windows interrupts no statement")
@pytest.mark.parametrize("step", STEPS)
def test_a_signal_while_a_database_is_opened(step, tmp_path, monkeypatch):
    path = tmp_path / "warehouse.duckdb"
    duckdb.connect(str(path)).close()
    (tmp_path / "dbt_project.yml").write_text("name: a_project\n", encoding="utf-8")
    module, name, settings = STEPS[step]
    monkeypatch.setattr(module, name, interrupted)
    profile = {"type": "duckdb", "path": str(path), "schema": "vector", **settings}
    target = Target("vector_runtime", "dev", "duckdb", "vector", profile, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        engine_for_target(target)


@pytest.mark.skipif(os.name == "nt", reason="Windows interrupts no statement")
def test_a_signal_while_a_further_session_is_made(monkeypatch):
    monkeypatch.setattr(sessions, "set_option", interrupted)
    with duckdb.connect() as first, pytest.raises(KeyboardInterrupt):
        sessions.session(first, {"threads": 1})


def interrupted(*_) -> None:
    """Runs a long statement, and raises what DuckDB makes of a signal in its midst."""
    threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()
    # In one thread: where others are at work, DuckDB may see the signal only when the statement has ended.
    duckdb.connect(config={"threads": 1}).execute(LONG)
    raise AssertionError("no signal came")

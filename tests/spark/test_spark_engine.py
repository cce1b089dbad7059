"""The engine's own promises: texts come back as they were given, and of two writers of one key one fails and tries
again."""

import threading
from datetime import datetime

import pytest

from vector.contracts.ledgers import Column
from vector.engines.spark.engine import SparkEngine, is_conflict
from vector.errors import ConfigurationError
from vector.jobs.queue import JobQueue

HOSTILE = [
    "", "'", "''", "\\", "\\'", '"', "`", "?", ":name", "${env:HOME}", "${spark.master}", "%s", "--", "/* */", ";",
    "\0", "a\0b", "\n\r\t", "\N{GRINNING FACE}", "e\u0301\u202e", "\x7f\x85\u2028", "' or 1 = 1 --", "\\u0041",
    "x" * 1_000_000, "\\'é" * 300_000,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_texts_come_back_as_they_were_given(own, text):
    engine = own.store.engine
    assert engine.query("select ?, '?', length(?) >= 0", [text, text]) == [(text, "?", True)]
    columns = [Column("k", "k", "text"), Column("t", "t", "utc"), Column("v", "v", "vector")]
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901)
    with engine.staged(columns, [(text, moment, [0.1, -2.5])]) as staged:
        ((found, then, vector),) = engine.query(f"select k, t, v from {staged} where k = ? and t = ?", [text, moment])
    assert (found, then) == (text, moment)
    assert engine.decode_vector(vector) == pytest.approx([0.1, -2.5])


def test_of_two_writers_of_the_same_keys_each_key_is_written_once(own):
    engine = own.store.engine
    engine.session.sql("create table vector.twice (k string not null, v bigint) using iceberg")
    columns = [Column("k", "k", "text"), Column("v", "v", "integer")]
    others = [SparkEngine(engine.session.newSession(), "vector") for _ in range(3)]
    barrier, counts, errors = threading.Barrier(3), [], []

    def write(of):
        try:
            with of.staged(columns, [(f"key {number}", 1) for number in range(50)]) as staged:
                barrier.wait()
                counts.append(of.insert_new("twice", staged, ("k", "v"), ("k",)))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(each,)) for each in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert engine.query("select count(*), count(distinct k) from vector.twice") == [(50, 50)]
    with engine.staged(columns, [("key 1", 7), ("key 99", 7)]) as staged:
        assert engine.update_from("twice", staged, ("v",), ("k",)) == 1
        assert engine.insert_new("twice", staged, ("k", "v"), ("k",)) == 1
        assert engine.insert_new("twice", staged, ("k", "v"), ("k",)) == 0
        assert engine.delete_from("twice", staged, ("k",)) == 2
    assert engine.query("select count(*), max(v) from vector.twice") == [(49, 1)]


@pytest.mark.parametrize(
    "message",
    [
        "IllegalStateException: Runtime file filtering is not possible: the table has been concurrently modified",
        "ValidationException: Found conflicting files that can contain records matching true",
        "org.apache.iceberg.exceptions.CommitFailedException: Requirement failed: branch main was created concurrently",
        "org.apache.iceberg.jdbc.UncheckedSQLException: Failed to execute: [SQLITE_BUSY] The database file is locked",
    ],
)
def test_what_another_commit_does_is_tried_again(message):
    assert is_conflict(RuntimeError(message))


def test_there_is_no_queue_and_a_line_says_what_to_run(own):
    with pytest.raises(ConfigurationError, match="its executors are the workers.*run `vector embed`"):
        JobQueue(own.store, "worker")


def test_what_is_missing_is_named(own):
    assert own.store.engine.missing_relations(["chunk", "embedding_pending", "nothing"]) == ["nothing"]


def test_the_worker_says_so_too(own):
    done = own.lake.vector("worker", "--once")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "its executors are the workers" in line

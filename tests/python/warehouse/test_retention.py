"""What retention deletes of the log, and what it keeps."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from vector.contracts.models import VectorRetrieval, VectorRetrievalHit
from vector.embedding import embed_space

NOW = datetime.now(UTC)


@pytest.fixture
def logged(project):
    """Writes a search of a moment to the log, with three hits; its id."""
    with project.store() as store:
        space = store.get_embedding_space_by_key("hash")
        embed_space(store, space)
        run_id, chunks = store.list_runs()[0].run_id, store.list_chunks(limit=3)

        def log(created, by=None, query=None):
            made = VectorRetrieval.create_new(
                space.embedding_space_id, "the orbit of a moon", 3, created_utc=created, eval_query_id=query,
                run_id=run_id if by == "run" else None,
            )  # fmt: skip
            hits = [VectorRetrievalHit(made.retrieval_id, n, chunk.chunk_id, 0.5) for n, chunk in enumerate(chunks, 1)]
            store.save_retrieval(made, hits)
            return made.retrieval_id

        yield log


@pytest.fixture
def aged(logged):
    """Searches of 100 days ago: a user's, one of a run, and one that answers a judged question without a run."""
    long_ago = NOW - timedelta(days=100)
    return {
        "user": logged(long_ago),
        "run": logged(long_ago, by="run", query="q01"),
        "day": logged(long_ago, None, "q01"),
    }


def left(project):
    hits = project.query("select distinct retrieval_id from retrieval_hit")
    ids = project.query("select retrieval_id from retrieval")
    assert set(hits) <= set(ids)
    return {retrieval_id for (retrieval_id,) in ids}


def today():
    """Midnight of the day in which the caller's operation will run: within its last minutes, the next one's."""
    soon = datetime.now(UTC) + timedelta(minutes=3)
    midnight = soon.replace(hour=0, minute=0, second=0, microsecond=0)
    time.sleep(max(0.0, (midnight - datetime.now(UTC)).total_seconds()))
    return midnight


def delete_old(project, arguments):
    return project.dbt("run-operation", "delete_old_retrievals", "--args", arguments)


def test_whole_searches_older_than_so_many_days_are_deleted(project, logged, aged):
    recent = logged(NOW - timedelta(days=10))
    before = left(project)
    counted = delete_old(project, "{days: 90, dry_run: true}")
    assert "Would delete 1 searches and 3 hits" in counted.output
    assert left(project) == before

    done = delete_old(project, "{days: 90}")
    assert done.success, done.output
    assert "Deleted 1 searches and 3 hits" in done.output
    assert left(project) == before - {aged["user"]}
    assert recent in before

    assert "Deleted 0 searches and 0 hits" in delete_old(project, "{days: 90}").output
    assert delete_old(project, "{days: 90, evaluations: true}").success
    assert left(project) == before - set(aged.values())
    tested = project.test("--select", "retrieval", "retrieval_hit")
    assert tested.success, tested.output


def test_an_evaluation_is_kept_or_deleted_whole(project, logged):
    """The boundary, 30 days before the operation runs, falls between the searches of a run, and into a day of
    searches without one."""
    boundary_day = today() - timedelta(days=30)
    of_run = {logged(NOW - timedelta(days=days), by="run", query="q01") for days in (40, 20)}
    of_day = {logged(boundary_day, None, f"q{i}") for i in (1, 2)} | {
        logged(boundary_day + timedelta(hours=23), None, "q3")
    }
    day_before = logged(boundary_day - timedelta(seconds=1), None, "q1")
    before = left(project)
    done = delete_old(project, "{days: 30, evaluations: true}")
    assert "Deleted 1 searches and 3 hits" in done.output
    assert left(project) == before - {day_before}

    assert delete_old(project, "{days: 10, evaluations: true}").success
    assert not left(project) & (of_run | of_day)


@pytest.mark.parametrize("days", ["0", "-1", "'90'", "ninety", "null", "1.5", "true", "36501", "800000"])
def test_days_are_a_whole_number_within_a_century(project, aged, days):
    refused(project, f"{{days: {days}}}", "give a whole number from 1 to 36500, as {days: 90}")


@pytest.mark.parametrize("name", ["dry_run", "evaluations"])
@pytest.mark.parametrize("value", ['"false"', '""', "0", "1", "null", "[]", "perhaps"])
@pytest.mark.long
def test_a_switch_is_true_or_false(project, aged, name, value):
    refused(project, f"{{days: 5, {name}: {value}}}", f"{name} is ")


def refused(project, arguments, told):
    before = left(project)
    done = delete_old(project, arguments)
    assert not done.success
    assert told in done.output
    assert left(project) == before


def test_thousands_are_deleted_in_batches_and_all_of_them(project, aged):
    """More rows than a batch has, of searches with hits and without."""
    with project.connect() as connection:
        connection.execute(
            "insert into retrieval select retrieval.* replace (cast(uuid() as varchar) as retrieval_id)"
            " from retrieval, range(4500) where retrieval_id = ?",
            [aged["user"]],
        )
    kept = left(project) - {
        row[0]
        for row in project.query(
            "select retrieval_id from retrieval where run_id is null"
            " and eval_query_id is null"
            " and created_utc < now()::timestamp - interval 90 days"
        )
    }
    done = delete_old(project, "{days: 90}")
    assert "Deleted 4501 searches and 3 hits" in done.output
    assert left(project) == kept

"""Rows that somebody else wrote, each of which once ended commands that had nothing to do with it."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vector.contracts.json_column import MOST_LEVELS, UnreadableJson, json_object, loaded_json, number_in, parsed_json
from vector.contracts.models import JobStatus, JobType, RunStatus
from vector.engines.filters import SearchFilters
from vector.engines.vector_cache import usable_vector
from vector.errors import InvalidRecord, VectorError
from vector.jobs.queue import JobQueue
from vector.search.policy import SearchPolicy
from vector.store.runs import recorded_run
from vector.wording import json_text

# DuckDB takes these for JSON.
HOSTILE = {
    "5,000 digits": '{"n": ' + "9" * 5000 + "}",
    "a large real": '{"n": 1e400}',
    "100,000 brackets": "[" * 100_000 + "]" * 100_000,
    "deep objects": '{"a":' * 500 + "1" + "}" * 500,
    "an array": "[1]",
    "a number": "7",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.text() | st.text('[]{}",:0e9.') | JSON.map(json.dumps))
def test_any_text_is_json_or_says_why_it_is_none(text):
    """And nothing but ValueError comes out of it."""
    try:
        value = parsed_json(text)
    except ValueError:
        assert isinstance(loaded_json(text, "a row"), UnreadableJson)
        assert json_object(text) == {}
        return
    assert loaded_json(text, "a row") == value
    json.dumps(value, allow_nan=False)
    number_in(json_object(text), "n") + 1.5


@pytest.mark.parametrize("text", [*HOSTILE.values(), "{not json", "", "NaN", "[" * 100_000, "\ud800", '{"n": -1e999}'])
def test_what_cannot_be_read_refuses_every_use_and_keeps_its_text(text):
    found = loaded_json(text, "job 7: input_json", (dict,))
    assert isinstance(found, UnreadableJson)
    assert found.text == text
    for use in (
        bool,
        len,
        list,
        dict,
        lambda value: value["a"],
        lambda value: "a" in value,
        lambda value: value.get("a"),
    ):
        with pytest.raises(InvalidRecord, match="job 7: input_json .*; correct the row"):
            use(found)
    assert len(found.reason) < 300, "nothing of it is quoted"


def test_levels_are_counted_and_brackets_in_texts_are_none():
    assert parsed_json("[" * MOST_LEVELS + "]" * MOST_LEVELS)
    with pytest.raises(ValueError, match="deeper than 100 levels"):
        parsed_json("[" * (MOST_LEVELS + 1) + "]" * (MOST_LEVELS + 1))
    assert parsed_json(json.dumps(["[" * 1000] * 3))
    assert len(parsed_json(json.dumps([[n] for n in range(500)]))) == 500


@given(st.dictionaries(st.sampled_from(["method", "bm25", "fusion", "mmr", "pool", "rerank", "per_source"]), JSON))
def test_any_logged_policy_is_followed_or_refused(policy):
    with contextlib.suppress(VectorError):
        SearchPolicy.from_json(policy)


@given(
    st.dictionaries(st.sampled_from(["source_type", "source_id", "tags", "updated_from", "updated_before", "x"]), JSON)
)
@pytest.mark.long
def test_any_logged_filters_are_followed_or_refused(filters):
    with contextlib.suppress(VectorError):
        SearchFilters.from_json(filters)


def insert(project, table, **values):
    """A row like the first of its table, but for these values."""
    with project.connect() as connection:
        changes = ", ".join(f"cast(? as varchar)::{kind} as {name}" for name, (kind, _) in values.items())
        connection.execute(
            f"insert into {table} select * replace ({changes}) from (select * from {table} limit 1)",
            [value for _, value in values.values()],
        )


@pytest.mark.long
def test_bad_rows_stop_no_command(project):
    for n, text in enumerate(["{not json", *HOSTILE.values()]):
        insert(
            project, "embedding_space", embedding_space_id=("varchar", f"space-{n}"), space_key=("varchar", f"bad-{n}"),
            preprocess_policy_json=("varchar", text), is_active=("boolean", "false"),
        )  # fmt: skip
    for n, text in enumerate(HOSTILE.values()):
        insert(
            project, "job", job_id=("varchar", f"bad-{n}"), input_json=("varchar", text), status=("varchar", "NEW"),
            attempt_count=("integer", "0"), by_hand_flag=("boolean", None), priority=("integer", "999"),
            completed_utc=("timestamp", None), available_utc=("timestamp", "2020-01-01"),
        )  # fmt: skip
        insert(project, "retrieval", retrieval_id=("varchar", f"bad-{n}"), policy_json=("varchar", text))
        insert(
            project, "run", run_id=("varchar", f"bad-{n}"), metrics_json=("varchar", text),
            completed_utc=("timestamp", "290000-01-01"),
        )  # fmt: skip
    with project.store() as store:
        good = JobQueue(store, "the test").enqueue(JobType.EMBED_CHUNKS, {"space_key": "hash"})
    done = project.vector("worker", "--once")
    assert done.exit_code == 1, done
    with project.store() as store:
        assert store.get_job(good.job_id).status is JobStatus.SUCCEEDED
        dead = store.list_jobs(status="DEADLETTER")
        assert {job.job_id for job in dead} == {f"bad-{n}" for n in range(len(HOSTILE))}
        assert all("input_json" in job.last_error and job.job_id in job.last_error for job in dead)
    for command in (
        ["jobs", "list"], ["--json", "jobs", "list"], ["jobs", "list", "--json"], ["jobs", "show", "bad-0"],
        ["jobs", "show", "bad-0", "--json"], ["jobs", "retry", "bad-0"], ["jobs", "cancel", "bad-0"],
        ["jobs", "requeue-dead"], ["spaces", "list"], ["coverage"], ["embed"], ["search", "moons"],
        ["replay", "--since", "2020-01-01"], ["report", "--out", str(project.folder / "report.html")],
    ):  # fmt: skip
        if command[0] == "--json":
            continue
        done = project.vector(*command)
        assert done.exit_code == 0, (command, done)
    for mart in ("dead_letter", "job_queue_health", "run_history", "retrieval_audit"):
        assert project.query(f"select * from {mart}")


def hit_vector(project, numbers):
    """Puts another vector into the row of one current chunk."""
    with project.connect() as connection:
        row = connection.execute("select * from embedding order by chunk_id limit 1").fetchone()
        names = [each[0] for each in connection.description]
        values = dict(zip(names, row, strict=True))
        connection.execute("delete from embedding where chunk_id = ?", [values["chunk_id"]])
        connection.execute(
            f"insert into embedding ({', '.join(names)}) values ({', '.join('?' * len(names))})",
            list({**values, "vector": numbers}.values()),
        )


@pytest.mark.parametrize("number", [None, "nan", "inf", 0.0])
@pytest.mark.long
def test_an_unusable_vector_is_left_out_and_told_and_the_others_are_found(project, caplog, number):
    hit_vector(project, [number if number is None else float(number)] * 8)
    for command in (
        ["search", "moons"], ["search", "moons", "--mode", "hybrid"], ["search", "moons", "--mmr", "0.5"],
        ["replay", "--since", "2020-01-01"], ["embed"],
        ["report", "--out", str(project.folder / "report.html")],
    ):  # fmt: skip
        done = project.vector(*command)
        assert done.exit_code == 0, (command, done)
        if command[0] == "search":
            assert "1 of the vectors of space" in caplog.text
            assert "`vector verify` names them" in caplog.text
        caplog.clear()
    done = project.vector("verify", "--json")
    assert (done.exit_code, len(json.loads(done.stdout)["changed"])) == (1, 1)


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_chunk_found_by_its_words_alone_does_not_end_a_diverse_search(project, number):
    hit_vector(project, [float(number)] * 8)
    ((chunk_id, content),) = project.query(
        "select chunk_id, content from chunk where chunk_id = (select min(chunk_id) from embedding)"
    )
    assert chunk_id in project.vector("search", content[:200], "--mode", "lexical", "--json").stdout
    done = project.vector("search", content[:200], "--mmr", "0.5", "--json")
    assert (done.exit_code, chunk_id in done.stdout) == (0, False), done


def test_a_vector_is_finite_and_of_its_space():
    assert usable_vector([1, 2], 2).tolist() == [1, 2]
    for value in (
        None,
        [],
        [1],
        [1, 2, 3],
        [1, None],
        [1, "a"],
        [1, float("nan")],
        [1, 1e39],
        [[1, 2]],
        {"a": 1},
        "ab",
    ):
        assert usable_vector(value, 2) is None


# Each was taken by a ledger's constraints, and ended a command for all other rows.
@pytest.mark.long
def test_times_spellings_and_sizes_that_a_ledger_takes_stop_no_command(project):
    far, small = ("timestamp", "290000-01-01"), "a" * 36
    huge = json.dumps({name: int("9" * 308) for name in ("input_bytes", "seconds", "planned", "written", "cost")})
    for n in range(5):
        insert(
            project, "run", run_id=("varchar", f"far-{n}"), started_utc=far, completed_utc=far,
            metrics_json=("varchar", huge),
        )  # fmt: skip
    for n, filters in enumerate(
        ({"updated_from": "0001-01-01T00:00:00+14:00"}, {"updated_before": "9999-12-31T23-14"})
    ):
        insert(
            project, "retrieval", retrieval_id=("varchar", f"far-{n}"), filters_json=("varchar", json.dumps(filters))
        )
    insert(project, "retrieval", retrieval_id=("varchar", "short"), query_embedding=("float[]", "[1.0, 2.0]"))
    for by_hand, most in (("true", "1"), (None, "3")):
        insert(
            project, "job", job_id=("varchar", f"{by_hand}-{small}"[:36]), status=("varchar", "RUNNING"),
            input_json=("varchar", '{ "space_key" : "hash" }'), by_hand_flag=("boolean", by_hand),
            max_attempts=("integer", most), attempt_count=("integer", "1"), completed_utc=("timestamp", None),
            lease_expires_utc=("timestamp", None), locked_utc=("timestamp", "2020-01-01"), locked_by=("varchar", "x:1"),
        )  # fmt: skip
    for command in (
        ["embed"], ["replay", "--since", "2020-01-01"], ["replay", "--since", "2020-01-01", "--json"], ["failures"],
        ["report", "--out", str(project.folder / "report.html")], ["jobs", "list"], ["worker", "--once"],
    ):  # fmt: skip
        done = project.vector(*command)
        assert done.exit_code == 0, (command, done)
    with project.store() as store:
        found = {job.job_id: job for job in store.list_jobs()}
        for name in ("true", "None"):
            assert found[f"{name}-{small}"[:36]].last_error.startswith("abandoned")


def test_a_number_of_a_run_is_one_that_there_can_be():
    for value in (-1, 1e19, 1e300, int("9" * 308), 1e-300, True, "7", None, [], float("nan")):
        assert number_in({"n": value}, "n") == 0
    assert [number_in({"n": value}, "n") for value in (0, 7, 0.5, 10**18)] == [0, 7, 0.5, 10**18]


@pytest.mark.long
def test_a_price_that_is_none_turns_no_limit_off_and_stops_no_other_space(project):
    with project.store() as store:
        other = store.get_or_create_embedding_space("hash", "other", 8, space_key="other")
        store.engine.execute("delete from embedding where chunk_id in (select chunk_id from embedding limit 3)")
    for price in ("nan", "inf", "-5", "1e300"):
        with project.connect() as connection:
            connection.execute(
                "update embedding_space set price_per_million_tokens = cast(? as double) where space_key = 'hash'",
                [price],
            )
        for options in ([], ["--max-cost", "1"]):
            done = project.vector("embed", *options)
            assert done.exit_code == 2, (price, done)
            assert "space hash: price_per_million_tokens is" in done.stderr
        for command in (["spaces", "--json"], ["report", "--out", str(project.folder / "report.html")]):
            assert project.vector(*command).exit_code == 0, price
    ((open_runs,),) = project.query("select count(*) from run where status = 'RUNNING'")
    assert open_runs == 0
    rows = dict(project.query("select embedding_space_id, count(*) from embedding group by all"))
    chunks = project.query("select count(*) from chunk where retired_utc is null")[0][0]
    assert rows.pop(other.embedding_space_id) == chunks
    assert list(rows.values()) == [chunks - 3]


def test_json_that_is_printed_has_no_number_that_json_lacks():
    value = {"a": float("nan"), "b": [float("inf"), 1.5, (float("-inf"),)], "c": None, "d": True}
    read = json.loads(json_text(value), parse_constant=pytest.fail)
    assert read == {"a": None, "b": [None, 1.5, [None]], "c": None, "d": True}


def test_a_run_whose_metrics_cannot_be_stored_is_closed(store):
    with recorded_run(store, JobType.EMBED_CHUNKS, {}) as run:
        run.metrics = {"cost": float("nan")}
    found = store.get_run(run.run_id)
    assert (found.status, found.metrics) == (RunStatus.SUCCEEDED, None)

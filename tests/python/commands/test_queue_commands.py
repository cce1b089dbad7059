"""`enqueue`, `jobs`, `worker --dry-run` and dbt's `enqueue_pending`, as people use them."""

import io
import json

import pytest
from queue_support import EFFECT, create_effects, do, effects, empty_queue, handlers

from vector.cli import main
from vector.jobs.queue import JobQueue

WORKER = ("worker", "--once", "--backoff-seconds", "0")


@pytest.fixture(autouse=True)
def queue(project):
    """The project's queue, empty, and handlers that do next to nothing."""
    with project.store() as store:
        empty_queue(store.engine.connection)
        if store.engine.missing_relations([EFFECT]):
            create_effects(store.engine)
    with handlers(do):
        yield


def enqueued(project, *arguments, job_type="EMBED_CHUNKS"):
    """The jobs that `enqueue --json` gives."""
    done = project.vector("enqueue", job_type, *arguments, "--json")
    assert done.exit_code == 0, done
    return json.loads(done.stdout)["jobs"]


def told(project, *arguments):
    """What a command says with --json."""
    done = project.vector(*arguments, "--json")
    assert done.exit_code == 0, done
    return json.loads(done.stdout)


def test_a_job_is_queued_listed_done_and_shown(project):
    (job,) = enqueued(project, "--input", '{"n": 7}', "--priority", "5", "--max-attempts", "2", "--space", "hash")
    assert (job["status"], job["priority"], job["max_attempts"], job["queued"]) == ("NEW", 5, 2, True)
    assert job["embedding_space_id"] == project.query("select embedding_space_id from embedding_space")[0][0]
    assert [each["job_id"] for each in told(project, "worker", "--dry-run")["jobs"]] == [job["job_id"]]
    assert told(project, "jobs", "show", job["job_id"])["runs"] == []
    done = told(project, *WORKER, "--worker-id", "w1")
    assert (done["worker_id"], done["succeeded"], done["dead"]) == ("w1", 1, 0)
    shown = told(project, "jobs", "show", job["job_id"])
    assert shown["status"] == "SUCCEEDED"
    assert [(run["worker_id"], run["metrics"]) for run in shown["runs"]] == [("w1", {"written": 1})]
    text = project.vector("jobs", "show", job["job_id"]).stdout
    assert "SUCCEEDED by w1" in text
    assert job["job_id"] in project.vector("jobs", "list", "--status", "SUCCEEDED").stdout
    assert told(project, "jobs", "list", "--status", "NEW")["jobs"] == []
    assert told(project, "jobs", "list", "--types", "DRIFT_TEST,CHUNK_SOURCE")["jobs"] == []
    with project.store() as store:
        assert effects(store.engine) == [7]


def test_a_file_of_inputs_is_a_job_each_or_none(project, tmp_path, monkeypatch):
    path = tmp_path / "inputs.json"
    path.write_text('[{"n": 1}, {"n": 2}]', encoding="utf-8")
    assert [job["input_json"] for job in enqueued(project, "--input-file", str(path))] == [{"n": 1}, {"n": 2}]
    monkeypatch.setattr("sys.stdin", io.StringIO('{"n": 3}'))
    assert [job["input_json"] for job in enqueued(project, "--input-file", "-")] == [{"n": 3}]
    path.write_text('[{"n": 4}, {"bad": true}]', encoding="utf-8")
    done = project.vector("enqueue", "EMBED_CHUNKS", "--input-file", str(path))
    assert (done.exit_code, done.stderr) == (2, "error: EMBED_CHUNKS: bad: is refused\n")
    assert len(told(project, "jobs", "list")["jobs"]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--input", "{"), "--input is no JSON"),
        (("--input", "[]"), "must be a JSON object, is list"),
        (("--input", '{"limit": NaN}'), "EMBED_CHUNKS: --input is no JSON: NaN is no number of JSON"),
        (("--input", '{"limit": -Infinity}'), "EMBED_CHUNKS: --input is no JSON: -Infinity is no number of JSON"),
        (("--input", '{"limit": 1e999}'), "EMBED_CHUNKS: --input is no JSON: a number is too large"),
        (("--input", "[" * 100_000), "EMBED_CHUNKS: --input is no JSON: it is nested deeper than 100 levels"),
        (("--input-file", "missing.json"), "missing.json: No such file"),
        (("--space", "unknown"), "no space is called 'unknown'"),
    ],
)
def test_a_wrong_option_is_one_line(project, arguments, message):
    done = project.vector("enqueue", "EMBED_CHUNKS", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_same_work_is_named_and_not_queued_again(project):
    (first,) = enqueued(project, "--dedupe-key", "k")
    (again,) = enqueued(project, "--dedupe-key", "k")
    assert (again["job_id"], again["queued"]) == (first["job_id"], False)
    assert "is there already, NEW" in project.vector("enqueue", "EMBED_CHUNKS", "--dedupe-key", "k").stdout


def test_delayed_work_is_not_due(project):
    enqueued(project, "--delay-seconds", "3600", "--input", '{"n": 1}')
    assert told(project, "worker", "--dry-run")["jobs"] == []
    assert project.vector(*WORKER).stdout.endswith("nothing was due\n")


def test_a_job_that_is_given_up_makes_the_worker_exit_with_1(project):
    (job,) = enqueued(project, "--input", '{"n": 1, "fails_until": 1}', "--max-attempts", "1")
    done = project.vector(*WORKER)
    assert (done.exit_code, "1 dead" in done.stdout) == (1, True)
    assert "ValueError: attempt 1 of job 1 fails" in project.vector("jobs", "list").stdout
    assert project.query("select dead_reason, last_error from dead_letter") == [
        ("attempts_used_up", "ValueError: attempt 1 of job 1 fails")
    ]
    with project.connect() as connection:
        connection.execute("""update job set input_json = '{"n":1}'""")
    assert told(project, "jobs", "requeue-dead", "--types", "DRIFT_TEST")["changed"] == []
    assert told(project, "jobs", "requeue-dead")["changed"] == [job["job_id"]]
    assert project.vector(*WORKER).exit_code == 0
    assert project.query("select run_number, status from run_history order by 1") == [(1, "FAILED"), (2, "SUCCEEDED")]
    ((succeeded, failed, percent),) = project.query(
        "select succeeded_run_count, failed_run_count, failure_percent from job_queue_health"
    )
    assert (succeeded, failed, percent) == (1, 1, 50.0)


def test_jobs_are_cancelled_and_retried_by_id(project):
    (job,), (other,) = enqueued(project, "--input", '{"n": 1}'), enqueued(project, "--input", '{"n": 2}')
    assert told(project, "jobs", "cancel", job["job_id"])["changed"] == [job["job_id"]]
    refused = project.vector("jobs", "cancel", job["job_id"], "unknown", other["job_id"])
    assert refused.exit_code == 2
    assert refused.stdout == f"{other['job_id']}: cancelled\n"
    assert refused.stderr.count("error: job ") == 2
    assert told(project, "jobs", "retry", job["job_id"])["changed"] == [job["job_id"]]
    assert [each["job_id"] for each in told(project, "worker", "--dry-run")["jobs"]] == [job["job_id"]]
    done = project.vector("jobs", "show", "unknown")
    assert (done.exit_code, done.stderr) == (2, "error: there is no job unknown\n")


def test_a_job_of_a_space_is_counted_to_it(project):
    """Whether or not --space says so: the reports have the space of what is in the input."""
    for given, *options in (['{"n": 1, "space_key": "hash"}'], ['{"n": 2}'], ['{"n": 3, "space_key": "unknown"}']):
        enqueued(project, "--input", given, *options)
    assert project.vector(*WORKER).exit_code == 0
    assert sorted(
        project.query("select input_json, space_key from run_history inner join job on job.job_id = run_history.job_id")
    ) == [('{"n":1,"space_key":"hash"}', "hash"), ('{"n":2}', None), ('{"n":3,"space_key":"unknown"}', None)]


def test_a_job_that_cannot_be_retried_says_why(project):
    (job,) = enqueued(project, "--dedupe-key", "k", "--input", '{"n": 1}')

    def refusal(job_id):
        done = project.vector("jobs", "retry", job_id)
        assert (done.exit_code, done.stdout.strip()) == (2, "")
        return done.stderr

    assert refusal("unknown") == "error: job unknown: there is no such job; see `vector jobs list`\n"
    assert refusal(job["job_id"]) == f"error: job {job['job_id']}: is NEW; only FAILED and DEADLETTER are retried\n"
    told(project, "jobs", "cancel", job["job_id"])
    (other,) = enqueued(project, "--dedupe-key", "k", "--input", '{"n": 2}')
    assert refusal(job["job_id"]) == (
        f"error: job {job['job_id']}: an open job has its dedupe key 'k' already; wait for it, or cancel it\n"
    )
    told(project, "jobs", "cancel", other["job_id"])
    with project.connect() as connection:
        connection.execute("update job set by_hand_flag = true where job_id = ?", [job["job_id"]])
    assert refusal(job["job_id"]) == f"error: job {job['job_id']}: was run by hand; run the command again\n"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--lease-seconds", "4.9", "argument --lease-seconds: '4.9' is not a number of seconds from 5"),
        ("--lease-seconds", "nan", "argument --lease-seconds: 'nan' is not a number of seconds from 5"),
        ("--poll-seconds", "0", "argument --poll-seconds: '0' is not a number of seconds above 0"),
        ("--poll-seconds", "x", "argument --poll-seconds: 'x' is not a number of seconds above 0"),
    ],
)
def test_times_that_no_worker_can_keep_are_refused(option, value, message, capsys):
    with pytest.raises(SystemExit) as raised:
        main(["worker", "--once", option, value])
    assert raised.value.code == 2
    assert message in capsys.readouterr().err


def test_a_worker_id_that_no_ledger_holds_is_refused(project):
    done = project.vector("worker", "--once", "--worker-id", "w" * 201)
    assert (done.exit_code, done.stderr) == (2, "error: worker id: must have 1 to 200 characters, has 201\n")


# dbt


def pending(project, sql="delete from embedding"):
    with project.connect() as connection:
        connection.execute(sql)


def test_what_is_pending_is_queued_once_and_found_by_python(project):
    pending(project)
    done = project.dbt("run-operation", "enqueue_pending", "--args", "{priority: 200}")
    assert done.success, done.output
    assert "enqueue_pending: hash" in done.output
    done = project.dbt("run-operation", "enqueue_pending")
    assert "nothing to queue" in done.output
    (job,) = told(project, "jobs", "list")["jobs"]
    ((space_id,),) = project.query("select embedding_space_id from embedding_space")
    assert (job["job_type"], job["input_json"], job["status"]) == ("EMBED_CHUNKS", {"space_key": "hash"}, "NEW")
    assert (job["priority"], job["embedding_space_id"], job["dedupe_key"]) == (200, space_id, f"embed:{space_id}")
    (same,) = enqueued(project, "--dedupe-key", f"embed:{space_id}")
    assert (same["job_id"], same["queued"]) == (job["job_id"], False)
    with project.store() as store:
        queue = JobQueue(store, "w")
        (claimed,) = queue.claim()
        assert claimed.job.job_id == job["job_id"]
        assert queue.complete(claimed)
    done = project.dbt("run-operation", "enqueue_pending")
    assert "enqueue_pending: hash" in done.output, "the job is done, and the chunks are pending still"


def test_nothing_is_queued_where_nothing_is_pending(project):
    pending(project, "select 1")
    # The fixture has deleted the vectors with their runs.
    project.embed()
    before = project.query("select count(*) from job")
    done = project.dbt("run-operation", "enqueue_pending")
    assert "nothing to queue" in done.output
    assert project.query("select count(*) from job") == before


def test_an_inactive_space_is_not_queued(project):
    pending(project, "delete from embedding; update embedding_space set is_active = false")
    assert "nothing to queue" in project.dbt("run-operation", "enqueue_pending").output

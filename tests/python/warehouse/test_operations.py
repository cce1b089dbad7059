"""What operators do to a live warehouse, and what goes wrong on them: nothing is lost, mixed, or paid for twice."""

import csv
import json
import os
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
from support import PROJECT_DIR, read_csv
from tokenizers import Tokenizer

from vector.chunking import normalize_text
from vector.chunking.policies import policy_of_row
from vector.contracts.models import JobStatus, JobType, RunStatus, VectorJob, VectorRun
from vector.errors import ConfigurationError, ProviderError
from vector.providers.hash import HashProvider
from vector.providers.onnx_models import DEFAULT_MODEL, locate_tokenizer
from vector.spaces.canaries import CANARIES
from vector.spaces.pinning import PinResult
from vector.store import VectorStore
from vector.store.runs import _is_abandoned

pytestmark = pytest.mark.long


def test_a_space_is_switched_off_described_anew_and_switched_on(project):
    (space,) = project.rows("embedding_space_seed")
    project.write_rows("embedding_space_seed", [{**space, "is_active": "false", "description": "resting"}])
    project.refresh()
    assert project.query("select is_active, description from embedding_space") == [(False, "resting")]
    assert project.vector("embed").exit_code == 2  # no space is active
    project.write_rows("embedding_space_seed", [space])
    project.refresh()
    assert "nothing to embed" in project.embed()


def test_a_new_default_space_is_not_filled_unasked_in_a_warehouse_of_the_last_version(project):
    """There the last version's default has vectors; what is embedded anew is for its user to say."""
    (default,) = read_csv(PROJECT_DIR / "seeds" / "embedding_space_seed.csv")
    former = {
        "space_key": "minilm", "provider": "onnx", "model_name": "all-MiniLM-L6-v2", "dimensions": "384",
        "model_digest": "sha256:8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        "normalize_flag": "true", "distance_metric": "cosine", "truncation": "end", "max_tokens": "256",
        "is_active": "true",
    }  # fmt: skip

    def declared(*rows):
        project.write_rows("embedding_space_seed", rows)
        nodes = ("embedding_space_seed", "embedding_space_input", "embedding_space_identity", "embedding_space")
        assert project.dbt("build", "--select", *nodes, "--exclude-resource-type", "test", "unit_test").success
        active = project.query("select space_key, is_active from embedding_space where space_key <> 'hash'")
        return dict(active)

    assert declared(former) == {"minilm": True}
    ((space_id,),) = project.query("select embedding_space_id from embedding_space where space_key = 'minilm'")
    assert space_id == "390d583f-32ba-2be6-9405-dec2dbd7add3", "as ever, so that its vectors are its own"
    assert declared(default) == {"minilm": True, "bge-small": False}
    assert declared(default) == {"minilm": True, "bge-small": False}
    assert declared(default, former) == {"minilm": True, "bge-small": True}
    assert declared(default, {**former, "is_active": "false"}) == {"minilm": False, "bge-small": True}
    assert declared(default) == {"minilm": False, "bge-small": True}


@pytest.mark.parametrize("option", ["--empty", "--sample=1 day"])
def test_a_build_of_a_part_of_the_sources_writes_no_ledger(project, option):
    before = project.contents()
    assert project.dbt("run", option).success
    project.build()
    assert project.contents() == before


def test_a_source_that_is_empty_for_a_moment_is_told_and_comes_back_for_nothing(project):
    events = project.rows("event")
    project.write_rows("event", [])
    project.refresh()
    assert "source_type_has_not_vanished" in project.test().ended("warn")
    project.write_rows("event", events)
    project.refresh()
    assert "source_type_has_not_vanished" in project.test().ended("pass")
    assert "nothing to embed" in project.embed()


class SlowProvider(HashProvider):
    """A hash that takes its time, three calls at once, of which one fails at once. Canaries do not count."""

    preferred_batch_size = 10
    preferred_concurrency = 3

    def __init__(self, space):
        super().__init__(space)
        self.seen, self.lock = [], threading.Lock()

    def embed(self, texts):
        if texts[0] in CANARIES:
            return super().embed(texts)
        with self.lock:
            first = not self.seen
            self.seen += texts
        if first:
            raise ProviderError("the first call fails")
        time.sleep(0.3)
        return super().embed(texts)


def test_calls_in_flight_when_another_fails_are_stored(project, monkeypatch):
    with project.connect() as connection:
        connection.execute("delete from embedding")
    providers = []
    monkeypatch.setattr(
        "vector.embedding.run.open_provider", lambda space: providers.append(SlowProvider(space)) or providers[-1]
    )
    assert project.vector("embed").exit_code == 3
    called = len(providers[0].seen) // 10
    assert called >= 3
    assert project.query("select count(distinct input_content_sha256) from embedding") == [((called - 1) * 10,)]


class VanishingProvider(HashProvider):
    """A hash behind a server that is gone as soon as it has answered."""

    model_digest = "sha256:" + "1" * 64
    answered = False

    def embed(self, texts):
        self.answered = True
        return super().embed(texts)

    def current_digest(self):
        if self.answered:
            raise ProviderError("nobody listens")
        return self.model_digest


def test_what_a_server_answered_before_it_went_is_stored(project, monkeypatch):
    with project.connect() as connection:
        connection.execute("delete from embedding")
    monkeypatch.setattr("vector.embedding.run.open_provider", VanishingProvider)
    monkeypatch.setattr("vector.embedding.sending.pin_or_check", lambda *_: PinResult(False, None, 0, 0, 0, 0.0, 1.0))
    assert project.vector("embed").exit_code == 0
    assert project.query("select count(*) from embedding_pending") == [(0,)]


def test_no_run_builds_into_the_schema_of_the_chat_runtime(project):
    project.edit("profiles.yml", "schema: vector", "schema: llm")
    done = project.dbt("run")
    assert not done.success
    assert "belongs to another runtime" in done.output
    assert project.vector("coverage").exit_code == 2
    assert project.query("select count(*) from information_schema.tables where table_schema = 'llm'") == [(0,)]


def test_no_store_opens_on_the_schema_of_the_chat_runtime():
    with duckdb.connect() as connection, pytest.raises(ConfigurationError, match="belongs to another runtime"):
        VectorStore(connection=connection, schema="LLM")


@pytest.mark.parametrize(
    ("worker", "age", "closed"),
    [
        (f"{socket.gethostname()}:{os.getpid()}", timedelta(0), True),  # an earlier process of this number
        (f"{socket.gethostname()}:1", timedelta(days=2), False),  # alive
        ("another-host:1", timedelta(hours=1), False),
        ("another-host:1", timedelta(days=2), True),
    ],
    ids=["gone", "alive", "elsewhere", "elsewhere long ago"],
)
def test_runs_of_processes_that_are_gone_are_closed(project, worker, age, closed):
    with project.store() as store:
        job = VectorJob.create_new(
            JobType.EMBED_CHUNKS,
            {},
            status=JobStatus.RUNNING,
            locked_by=worker,
            locked_utc=datetime.now(UTC) - age,
        )
        store.save_job(job)
        run = VectorRun.create_new(job.job_id, worker)
        store.save_run(run)
    project.embed()
    assert project.query("select status from run where run_id = ?", run.run_id) == [
        ("FAILED" if closed else "RUNNING",)
    ]


def test_on_windows_no_process_is_looked_for(monkeypatch):
    """There os.kill with any signal but two ends the process."""
    killed = []
    monkeypatch.setattr("vector.store.runs.sys.platform", "win32")
    monkeypatch.setattr("vector.store.runs.os.kill", lambda *arguments: killed.append(arguments))
    now = datetime.now(UTC)
    for number, age, abandoned in ((999_999, 1, False), (999_999, 25, True), (os.getpid(), 0, True)):
        worker = f"{socket.gethostname()}:{number}"
        job = VectorJob.create_new(JobType.EMBED_CHUNKS, {}, locked_by=worker, locked_utc=now - timedelta(hours=age))
        assert _is_abandoned(job) is abandoned
    assert killed == []


@pytest.mark.parametrize(
    ("run_status", "job_status"),
    [(None, "DEADLETTER"), (RunStatus.SUCCEEDED, "SUCCEEDED"), (RunStatus.FAILED, "DEADLETTER")],
)
def test_a_job_whose_process_was_killed_between_two_rows_is_closed(project, run_status, job_status):
    """Before its run was recorded, or after that was closed."""
    gone = f"{socket.gethostname()}:999999999"
    with project.store() as store:
        job = VectorJob.create_new(JobType.EMBED_CHUNKS, {}, status=JobStatus.RUNNING, locked_by=gone)
        store.save_job(job)
        if run_status:
            error = "RuntimeError: well" if run_status is RunStatus.FAILED else None
            store.save_run(VectorRun.create_new(job.job_id, gone, status=run_status, error=error))
    project.embed()
    last_error = {None: "abandoned: the process ended without closing its run", RunStatus.FAILED: "RuntimeError: well"}
    assert project.query("select status, last_error, locked_by from job where job_id = ?", job.job_id) == [
        (job_status, last_error.get(run_status), None)
    ]


def test_what_nobody_foresaw_is_one_line_and_no_success(project, monkeypatch):
    def full(*arguments):
        raise OSError("No space left on device\nand more")

    monkeypatch.setattr("vector.commands.embed.plan_space", full)
    done = project.vector("embed", "--plan")
    assert done.exit_code == 70
    assert done.stderr == "error: OSError: No space left on device (VECTOR_DEBUG=1 shows where)\n"


def test_searches_without_hits_are_in_the_audit(project):
    assert project.vector("search", "anything", "--source-type", "no such type").exit_code == 0
    assert project.query("select query_text, rank, candidate_count from retrieval_audit where rank is null") == [
        ("anything", None, 0)
    ]


def test_the_demo_fits_the_default_model():
    model_limit = 256
    tokenizer_file = locate_tokenizer(DEFAULT_MODEL)
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_truncation()
    policies = {}
    with (PROJECT_DIR / "seeds/chunk_policy.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["is_active"] == "true":
                settings = ("policy_version", "chunk_size", "overlap", "max_chunks_per_source", "method", "tokenizer")
                policies[row["source_type"]] = policy_of_row(tuple(row[name] for name in settings))
    with (PROJECT_DIR / "seeds/demo/page.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            payload = json.loads(row["payload_json"])
            policy = policies["page_non_latin" if payload["lang"] in ("ar", "hi", "ja", "ru", "zh") else "*"]
            text = normalize_text(f"{payload['title']}\n\n{payload['body']['text']}")
            for content, _, _ in policy.windows(text):
                assert len(tokenizer.encode(content).ids) <= model_limit, row["page_id"]

"""Documents that would take all time or memory: each fails alone, within its limits, and its neighbours are read."""

import contextlib
import os
import signal
import sys
import time
from dataclasses import replace

import pytest
from hostile_documents import DOCUMENTS, REFUSED
from hypothesis import given, settings
from hypothesis import strategies as st

import vector.chunking.extraction_process as extraction_process
from vector.chunking.extraction import check_json_path, extract_text
from vector.chunking.extraction_process import ExtractionProcess, Stopped
from vector.chunking.limits import ExtractionLimits
from vector.chunking.splitting import SplitterPolicy
from vector.contracts.models import JobStatus, JobType, SourceStatus
from vector.errors import ConfigurationError, ExtractionLimit, InvalidRecord, SourceUnreadable
from vector.jobs.queue import JobQueue

LIMITS = ExtractionLimits(seconds=60, memory_mb=1024, input_mb=16, output_mb=16)
TIGHT = replace(LIMITS, seconds=1, memory_mb=300, output_mb=4)
# What the process has when it starts, and the limit on top of it.
MOST_RESIDENT_KB = 450_000
NEIGHBOUR = ("<p>Io has <b>geysers</b></p>", "html", None, "text")


@pytest.fixture
def no_process():
    """None waits from an earlier test."""
    extraction_process.end_all()


def read(given, reader):
    """Reads a document as its job would."""
    text = given["from"]["text"]
    if "policy_version" in given:
        return list(reader.windows(SplitterPolicy(method=given["policy_version"]), text))
    return reader.extract_text(text, given["format"], given.get("json_path"), given.get("value_format", "text"))


def resident_kb(process_id):
    """The most memory that a process has had."""
    with open(f"/proc/{process_id}/status") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1])


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.long
def test_a_document_that_takes_too_much_fails_alone(name):
    started = time.monotonic()
    told = None
    try:
        read(DOCUMENTS[name], ExtractionProcess(TIGHT))
    except SourceUnreadable as error:
        told = error
    if isinstance(told, ExtractionLimit):
        assert str(told).startswith("extraction_limit: ")
        assert " VECTOR_EXTRACT_" in str(told)
    assert time.monotonic() - started < 20, "one second, and what a busy machine needs besides"
    if sys.platform == "linux":
        for child in extraction_process._idle:
            assert resident_kb(child._process.pid) < MOST_RESIDENT_KB
    assert ExtractionProcess(LIMITS).extract_text(*NEIGHBOUR).strip() == "Io has geysers"


@pytest.mark.parametrize("name", REFUSED)
def test_a_query_that_may_take_for_ever_is_refused_when_it_is_queued(name):
    with pytest.raises(InvalidRecord, match="json_path"):
        check_json_path(REFUSED[name]["json_path"])
    with pytest.raises(InvalidRecord, match="json_path"):
        read(REFUSED[name], ExtractionProcess(LIMITS))


@settings(max_examples=60, deadline=None)
@given(st.text("$.*[]?@()<=>!&|,:'\"09ea ~^#-", max_size=60))
def test_any_query_is_one_or_is_refused(query):
    try:
        check_json_path(f"${query}")
    except InvalidRecord:
        return
    reader = ExtractionProcess(replace(TIGHT, seconds=5))
    with contextlib.suppress(SourceUnreadable):
        reader.extract_text('{"a": [["b", {"a": "c"}], "d"]}', "json", f"${query}", "text")


def test_the_process_reads_as_this_one_would(no_process):
    reader = ExtractionProcess(LIMITS)
    for given_text, text_format in (
        ("<table><tr><td>a<td>b<tr><td>cccc<td>d</table>", "html"),
        ("[[a|b]]'''c'''", "wikitext"),
    ):
        assert reader.extract_text(given_text, text_format, None, "text") == extract_text(given_text, text_format)
    policy, text = (
        SplitterPolicy(chunk_size=40, overlap=5, max_chunks_per_source=7),
        "Io is a moon. It has geysers.\n\n日本 " * 9,
    )
    assert list(reader.windows(policy, text)) == list(policy.windows(text))[:8]
    assert len(extraction_process._idle) == 1, "one process read all"


def test_the_process_has_nothing_of_the_workers(monkeypatch, no_process):
    monkeypatch.setenv("VECTOR_TEST_API_KEY", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    ExtractionProcess(LIMITS).extract_text(*NEIGHBOUR)
    if sys.platform == "linux":
        (child,) = extraction_process._idle
        with open(f"/proc/{child._process.pid}/environ", "rb") as environment:
            assert b"secret" not in environment.read()


def test_sizes_are_limited_on_the_way_in_and_out():
    reader = ExtractionProcess(replace(LIMITS, input_mb=0.001, output_mb=0.0005))
    with pytest.raises(ExtractionLimit, match=r"the payload has 0.0 MB; VECTOR_EXTRACT_INPUT_MB is 0.001"):
        reader.extract_text("é" * 501, "text", None, "text")
    for text_format in ("text", "html"):
        assert reader.extract_text("a" * 499, text_format, None, "text").strip() == "a" * 499
        with pytest.raises(ExtractionLimit, match="VECTOR_EXTRACT_OUTPUT_MB"):
            reader.extract_text("a" * 501, text_format, None, "text")
    with pytest.raises(ExtractionLimit, match="VECTOR_EXTRACT_INPUT_MB"):
        list(reader.windows(SplitterPolicy(), "a" * 1001))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited where the system tells of it")
def test_memory_is_limited():
    reader = ExtractionProcess(replace(LIMITS, memory_mb=60))
    with pytest.raises(ExtractionLimit, match="VECTOR_EXTRACT_MEMORY_MB is 60"):
        reader.extract_text("[" + '{"a":"b"},' * 400_000 + "1]", "json", "$..*", "text")
    assert ExtractionProcess(LIMITS).extract_text(*NEIGHBOUR)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_a_process_that_somebody_kills_is_replaced(no_process):
    reader = ExtractionProcess(LIMITS)
    reader.extract_text(*NEIGHBOUR)
    (child,) = extraction_process._idle
    os.kill(child._process.pid, signal.SIGKILL)
    child._process.wait()
    assert reader.extract_text(*NEIGHBOUR)


def test_a_worker_that_must_end_does_not_wait(no_process):
    asked = []
    reader = ExtractionProcess(LIMITS, lambda: bool(asked.append(1) or len(asked) > 3))
    started = time.monotonic()
    with pytest.raises(Stopped):
        read(DOCUMENTS["wikitext open links"], reader)
    assert time.monotonic() - started < 20
    assert not extraction_process._idle


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "much", "1e300", "1e20"])
@pytest.mark.parametrize("variable", ["SECONDS", "MEMORY_MB", "INPUT_MB", "OUTPUT_MB"])
def test_a_setting_that_is_no_number_is_named(monkeypatch, variable, value):
    monkeypatch.setenv(f"VECTOR_EXTRACT_{variable}", value)
    with pytest.raises(
        ConfigurationError, match=f"VECTOR_EXTRACT_{variable} is '{value}'; make it a number above (0|50) and up"
    ):
        ExtractionLimits.from_environment()


@pytest.mark.parametrize("variable", ["SECONDS", "MEMORY_MB", "INPUT_MB", "OUTPUT_MB"])
def test_the_largest_setting_is_one(monkeypatch, variable, no_process):
    monkeypatch.setenv(f"VECTOR_EXTRACT_{variable}", "1e9")
    assert ExtractionProcess(ExtractionLimits.from_environment()).extract_text(*NEIGHBOUR).strip() == "Io has geysers"


def test_with_the_least_memory_a_small_text_is_read(no_process):
    reader = ExtractionProcess(replace(LIMITS, memory_mb=50.1))
    assert reader.extract_text(*NEIGHBOUR).strip() == "Io has geysers"
    assert reader.extract_text("'''Io'''", "wikitext", None, "text") == "Io"


def test_a_wrong_setting_ends_the_worker_and_no_job(project):
    job = queued(project, "good", {"from": {"text": "Io"}})
    project.environment = {"VECTOR_EXTRACT_SECONDS": "a minute"}
    done = project.vector("worker", "--once")
    assert (done.exit_code, "VECTOR_EXTRACT_SECONDS is 'a minute'" in done.stderr) == (2, True), done
    with project.store() as store:
        assert store.get_job(job.job_id).attempt_count == 0


def test_every_character_of_private_use_and_half_a_pair_are_read():
    private = "".join(map(chr, range(0xE000, 0xF900)))
    assert extract_text(f"<p>{private}&amp;</p>", "html").strip() == f"{private}&"
    reader = ExtractionProcess(LIMITS)
    assert reader.extract_text("Io &#xd800; here", "wikitext", None, "text") == "Io \ufffd here"


def queued(project, name, given, **options):
    """Queues a hostile document, by the id of its source."""
    with project.store() as store:
        return JobQueue(store, "the test").enqueue(
            JobType.CHUNK_SOURCE, {"source_id": f"note:{name}", "source_type": "note", **given}, **options
        )


@pytest.mark.long
def test_a_worker_gives_a_source_up_and_does_the_next(project, tmp_path):
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "large.txt").write_bytes(b"a" * 1_100_000)
    project.environment = {
        "VECTOR_EXTRACT_SECONDS": "2", "VECTOR_EXTRACT_INPUT_MB": "1", "VECTOR_LAKE_DIR": str(lake),
    }  # fmt: skip
    bad = [
        queued(project, "slow", DOCUMENTS["wikitext open links"], priority=200),
        queued(project, "large", {"from": {"path": "large.txt"}}, priority=200),
        queued(project, "long", {"from": {"text": "a" * 1_100_000}}, priority=200),
    ]
    good = queued(project, "good", {"from": {"text": "<p>Io"}, "format": "html"})
    done = project.vector("worker", "--once")
    assert done.exit_code == 1, done
    with project.store() as store:
        assert store.get_job(good.job_id).status is JobStatus.SUCCEEDED
        assert len(store.list_chunks("note:good")) == 1
        for job in bad:
            found = store.get_job(job.job_id)
            assert (found.status, found.attempt_count) == (JobStatus.DEADLETTER, 1)
            assert found.last_error.startswith("ExtractionLimit: extraction_limit: ")
            source = store.get_source(job.input_json["source_id"])
            assert source.status is SourceStatus.ERROR
            assert source.error_message.startswith("extraction_limit: ")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
@pytest.mark.long
def test_a_worker_ends_in_its_drain_time_whatever_it_reads(project):
    job = queued(project, "slow", DOCUMENTS["wikitext open links"])
    health = project.folder / "health.json"
    health.unlink(missing_ok=True)
    process = project.start("worker", "--loop", "--drain-seconds", "1", "--health-file", str(health))
    try:
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up and not (health.exists() and job.job_id in health.read_text()):
            time.sleep(0.1)
        time.sleep(2)  # it reads now
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
        # A second, two of grace, and what a busy machine needs besides.
        assert time.monotonic() - asked < 15
        assert process.returncode == 143, told
    finally:
        process.kill()
    with project.store() as store:
        found = store.get_job(job.job_id)
        assert (found.status, found.attempt_count) == (JobStatus.NEW, 0), "put back, the attempt not counted"

"""Chunk policies of method `extract`: SQL registers payloads, CHUNK_SOURCE takes their text out and cuts it."""

import json
import time
from dataclasses import replace

import pytest

from vector.chunking import ParagraphPolicy
from vector.chunking.extraction import extract, format_of_payload
from vector.chunking.extraction_policy import ExtractionPolicy
from vector.chunking.policies import policy_of_row
from vector.chunking.sources import SourceDocument, cut
from vector.contracts.models import JobType
from vector.errors import ConfigurationError, InvalidRecord
from vector.jobs import active_sources
from vector.jobs.active_jobs import Outcome
from vector.jobs.handlers import chunk_source
from vector.jobs.worker import Worker, WorkerOptions
from vector.project.dbt import Dbt, DbtRun
from vector.store import VectorStore

pytestmark = pytest.mark.long

SIZE, OVERLAP = 60, 10
WORDS = "Io has more than four hundred volcanoes that are active, and Loki is the largest of them. "
NAMES = ("one", "two", "three")
# The demo's other pages are gone.
OF_THE_DEMO = {"relationships of eval_judgment_input", "source_type_has_not_vanished"}


def html(text):
    return f"<html><head><script>var hidden = 1;</script></head><body><p>{text}</p></body></html>"


def put_payloads(project, payloads, policy="page-html-v1", method="extract"):
    """Makes these the only pages, by name, under a policy of the method; and builds."""
    rows = [
        {"page_id": name, "payload_json": json.dumps(page(text)), "fetched_utc": "2026-01-01T00:00:00"}
        for name, text in payloads.items()
    ]
    project.write_rows("page", rows)
    others = [row for row in project.rows("chunk_policy") if row["source_type"] != "page"]
    ours = {
        "policy_version": policy, "source_type": "page", "chunk_size": str(SIZE), "overlap": str(OVERLAP),
        "max_chunks_per_source": "1000", "is_active": "true", "method": method,
    }  # fmt: skip
    project.write_rows("chunk_policy", [*others, ours])
    return project.refresh()


def page(text):
    return {"body": {"text": text}, "lang": "en", "tags": []}


def state(project, name):
    """Status, number of chunks and error of a page, and how many current chunks it has."""
    return project.query(
        "select status, chunk_count, error_message, (select count(*) from chunk"
        " where chunk.source_id = source_registry.source_id and retired_utc is null)"
        " from source_registry where source_id = ?",
        f"page:{name}",
    )[0]


def told(project, *arguments):
    done = project.vector(*arguments, "--json")
    assert done.exit_code == 0, done
    return json.loads(done.stdout)


def enqueue(project, *arguments):
    return told(project, "enqueue", "CHUNK_SOURCE", "--pending", *arguments)


def work(project):
    return told(project, "worker", "--once", "--types", "CHUNK_SOURCE")


def pending(project):
    return dict(project.query("select source_id, pending_reason from source_pending"))


def not_well(project):
    """The tests that fail or warn."""
    done = project.test()
    return (done.ended("fail") | done.ended("error") | done.ended("warn")) - OF_THE_DEMO


def test_a_payload_is_registered_extracted_kept_and_extracted_anew(project):
    put_payloads(project, {name: html(WORDS * 3 + name) for name in NAMES})
    assert [state(project, name) for name in NAMES] == [("registered", 0, None, 0)] * 3
    assert project.query("select count(*) from chunk where content like '%<%' and retired_utc is null") == [(0,)]
    assert pending(project) == {f"page:{name}": "new" for name in NAMES}
    project.embed()
    assert not not_well(project)

    assert enqueue(project, "--dry-run")["queued"] == 3
    assert enqueue(project, "--limit", "1") == {
        "pending": 3, "open": 0, "queued": 1, "by_source_type": {"page": 1}
    }  # fmt: skip
    assert enqueue(project)["queued"] == 2
    assert enqueue(project) == {"pending": 3, "open": 3, "queued": 0, "by_source_type": {}}
    assert work(project)["succeeded"] == 3
    windows = list(ParagraphPolicy(SIZE, OVERLAP).windows(f"{WORDS * 3}one\n"))
    rows = project.query(
        "select content, cast(offsets_json->>'start_offset' as integer) as start_offset,"
        " cast(offsets_json->>'end_offset' as integer) from chunk"
        " where source_id = 'page:one' and retired_utc is null order by start_offset"
    )
    assert rows == windows
    assert state(project, "one") == ("indexed", len(windows), None, len(windows))
    assert (pending(project), enqueue(project)["queued"]) == ({}, 0)

    before = project.contents("job", "run")
    output = project.refresh().output
    assert "source_registry: nothing new or changed" in output
    assert "chunk: nothing new or changed" in output
    assert project.contents("job", "run") == before
    project.embed()
    assert not not_well(project)

    # Changed, renamed, vanished, and a new one.
    with project.store() as store:
        store.save_source(replace(store.get_source("page:two"), title="As it was called"))
    put_payloads(project, {"one": html(WORDS * 4 + "one"), "two": html(WORDS * 3 + "two"), "four": html("Four. " * 20)})
    assert state(project, "one") == ("pending", len(windows), None, len(windows))
    assert state(project, "three")[3] == 0
    assert (state(project, "two")[0], state(project, "two")[3]) == ("pending", len(windows))
    assert pending(project) == {"page:one": "payload_changed", "page:two": "title_changed", "page:four": "new"}
    project.embed()
    assert not_well(project) == {"source_is_extracted"}
    assert (enqueue(project)["queued"], work(project)["succeeded"]) == (3, 3)
    assert [state(project, name)[0] for name in ("one", "two")] == ["indexed"] * 2
    assert "nothing new or changed" in project.refresh().output
    project.embed()
    assert not not_well(project)

    # It comes back, and its vectors are there.
    put_payloads(project, {"one": html(WORDS * 4 + "one"), "three": html(WORDS * 3 + "three")})
    assert state(project, "three") == ("registered", 0, None, 0)
    assert (enqueue(project)["queued"], work(project)["succeeded"]) == (1, 1)
    assert "nothing to embed" in project.embed()

    # Another policy: extracted anew; one that SQL cuts by: cut by it at once.
    put_payloads(project, {"one": html(WORDS * 4 + "one")}, policy="page-html-v2")
    assert (state(project, "one")[0], pending(project)) == ("pending", {"page:one": "policy_changed"})
    assert (enqueue(project)["queued"], work(project)["succeeded"]) == (1, 1)
    assert project.query("select distinct policy_version from source_registry where source_id = 'page:one'") == [
        ("page-html-v2",)
    ]
    put_payloads(project, {"one": html(WORDS)}, policy="page-v3", method="characters")
    status, count, error, current = state(project, "one")
    assert (status, error, count) == ("indexed", None, current)
    assert project.query("select bool_or(content like '%<body>%') from chunk where retired_utc is null") == [(True,)]
    put_payloads(project, {"one": html(WORDS)})
    assert state(project, "one") == ("registered", 0, None, 0)


def test_a_payload_that_cannot_be_read_keeps_the_chunks_and_is_not_tried_for_ever(project):
    put_payloads(project, {"one": html(WORDS * 3), "three": "<p> </p>"})
    assert (enqueue(project)["queued"], work(project)["succeeded"]) == (2, 2)
    assert state(project, "three") == ("error", 0, "content is empty", 0)
    count = state(project, "one")[1]
    put_payloads(project, {"one": html(WORDS * 4), "two": " [1, 2]", "three": "<p> </p>"})
    project.environment["VECTOR_EXTRACT_INPUT_MB"] = "0.0001"
    assert enqueue(project)["queued"] == 2
    done = project.vector("worker", "--once", "--json")
    assert (done.exit_code, json.loads(done.stdout)["dead"], json.loads(done.stdout)["failed"]) == (1, 1, 1)
    for _ in range(2):
        assert pending(project) == {}
        status, chunks, error, current = state(project, "one")
        assert (status, chunks, current) == ("error", count, count)
        assert error.startswith("extraction_limit: the payload has 0.0 MB")
        assert state(project, "two")[0] == "error"
        assert "it must find strings only" in state(project, "two")[2]
        assert state(project, "three") == ("error", 0, "content is empty", 0)
        assert "source_registry: nothing new or changed" in project.refresh().output
    done = project.test("--select", "source_can_be_indexed", "source_registry_matches_chunks")
    assert done.ended("warn") == {"source_can_be_indexed"}
    del project.environment["VECTOR_EXTRACT_INPUT_MB"]
    told(project, "jobs", "requeue-dead")
    assert work(project)["succeeded"] == 1
    assert state(project, "one")[0] == "indexed"


def test_dbt_queues_as_the_command_does(project):
    put_payloads(project, {name: html(WORDS + name) for name in NAMES})
    run = ("run-operation", "enqueue_sources", "--args")
    assert "enqueue_sources: would queue page 3" in project.dbt(*run, "{dry_run: true}").output
    assert "enqueue_sources: nothing to queue" in project.dbt(*run, '{source_type: "o\'clock"}').output
    assert "enqueue_sources: page 2" in project.dbt(*run, "{limit: 2, priority: 7}").output
    assert enqueue(project) == {"pending": 3, "open": 2, "queued": 1, "by_source_type": {"page": 1}}
    assert "enqueue_sources: nothing to queue" in project.dbt(*run, "{}").output
    rows = project.query(
        "select input_json, dedupe_key, embedding_space_id, job_type, status, max_attempts from job"
        " where dedupe_key like 'extract:%' order by input_json"
    )
    assert [json.loads(row[0])["source_id"] for row in rows] == [f"page:{name}" for name in sorted(NAMES)]
    # One that Python wrote, two of SQL: alike but for their priority.
    assert len({(len(row[1]), *row[2:]) for row in rows}) == 1
    assert {row[0].replace(json.loads(row[0])["source_id"], "") for row in rows} == {
        '{"from":{"source_id":""},"source_id":""}'
    }
    assert work(project)["succeeded"] == 3


def test_refresh_extracts_between_build_and_embed(project, monkeypatch):
    put_payloads(project, {name: html(WORDS + name) for name in NAMES})
    planned = told(project, "refresh", "--dry-run", "--quiet")
    assert planned["extract"] == {"pending": 3, "open": 0, "queued": 3, "by_source_type": {"page": 3}}
    # A job of somebody else, whose worker has the files, is left alone.
    told(
        project,
        "enqueue",
        "CHUNK_SOURCE",
        "--input",
        '{"source_id": "note:1", "source_type": "n", "from": {"path": "a.txt"}}',
    )
    done = told(project, "refresh", "--quiet")
    extract = done["extract"]
    assert extract.pop("seconds") > 0
    assert extract == {**planned["extract"], "succeeded": 3, "failed": 0, "dead": 0}
    warned = {node["name"] for step in ("build", "test") for node in done[step]["warned"]}
    assert not [name for name in warned if "extract" in name or "live" in name or "indexed" in name], warned
    assert project.query("select count(*) from embedding_pending") == [(0,)]
    assert project.query("select count(*) from embedding_current where source_id = 'page:one'") > [(0,)]
    assert project.query("select count(*) from job where status = 'NEW'") == [(1,)]

    put_payloads(project, {"one": "[1]"})
    monkeypatch.setattr(Dbt, "run", lambda *_, **__: DbtRun())  # it has built all
    done = project.vector("refresh", "--quiet", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["extract"]["failed"] == 1
    assert "extract: 1 payload could not be read" in done.stderr


def test_many_are_done_together_and_one_that_fails_keeps_none_from_it(project, monkeypatch):
    """A job was taken over, a payload cannot be read, a source cannot be stored, and one has vanished."""
    names = ["unreadable", "taken", "unstorable", "vanished", *(f"page {n}" for n in range(8))]
    payloads = {name: "[1]" if name == "unreadable" else html(WORDS + name) for name in names}
    put_payloads(project, payloads)
    assert enqueue(project)["queued"] == 12
    put_payloads(project, {name: text for name, text in payloads.items() if name != "vanished"})
    readings, stored, read, save = [], [], active_sources.read_documents, chunk_source.store_sources

    def reading(store, source_ids):
        readings.append(len(source_ids))
        key = active_sources.dedupe_key("page:taken")
        job = store.engine.table("job")
        store.engine.execute(f"update {job} set locked_run_id = 'of another' where dedupe_key = ?", [key])
        return read(store, source_ids)

    def storing(store, ready):
        stored.append(len(ready))
        if any(source.source_id == "page:unstorable" for source, _ in ready):
            raise InvalidRecord("it is refused")
        return save(store, ready)

    monkeypatch.setattr(active_sources, "read_documents", reading)
    monkeypatch.setattr(active_sources, "_STORED_TOGETHER", 6)
    monkeypatch.setattr(chunk_source, "store_sources", storing)
    monkeypatch.setattr(chunk_source, "store_source", lambda store, source, chunks: storing(store, [(source, chunks)]))
    done = json.loads(project.vector("worker", "--once", "--json").stdout)
    assert {name: done[name] for name in ("succeeded", "failed", "dead", "lost")} == {
        "succeeded": 8, "failed": 1, "dead": 2, "lost": 1
    }  # fmt: skip
    assert readings == [12]
    assert max(stored) > 1
    assert [state(project, f"page {n}")[0] for n in range(8)] == ["indexed"] * 8
    rows = project.query(
        "select job.status, run.status, run.metrics_json->>'source_id', job.input_json->>'source_id', run.error"
        " from job inner join run on run.job_id = job.job_id where dedupe_key like 'extract:%'"
    )
    for status, of_run, named, source_id, error in rows:
        if status == "SUCCEEDED":
            assert (of_run, named, error) == ("SUCCEEDED", source_id, None)
        elif source_id != "page:taken":
            assert (of_run, named) == ("FAILED", None)
    errors = {row[3]: row[4] for row in rows}
    assert "it is refused" in errors["page:unstorable"]
    assert "is no row of the view document" in errors["page:vanished"]
    assert "it must find strings only" in errors["page:unreadable"]


def test_a_stop_puts_back_what_was_not_begun(project, monkeypatch):
    put_payloads(project, {f"page {n}": html(WORDS) for n in range(6)})
    enqueue(project)
    run_many = active_sources.run_many
    with project.store() as store:
        options = WorkerOptions("w", job_types=(JobType.CHUNK_SOURCE,), drain_seconds=0.0)
        worker = Worker(lambda: VectorStore(engine=store.engine.another()), options)

        def stopped_meanwhile(store, documents, source_ids, should_stop):
            ended = run_many(store, documents, source_ids, should_stop)
            worker.stop()
            while not should_stop():
                time.sleep(0.01)
            return ended

        monkeypatch.setattr(active_sources, "run_many", stopped_meanwhile)
        monkeypatch.setattr(active_sources, "_STORED_TOGETHER", 2)
        worker.run()
    assert worker.counts == {Outcome.SUCCEEDED: 2, Outcome.RELEASED: 4}
    assert project.query(
        "select status, attempt_count, count(*) from job where dedupe_key like 'extract:%' group by all order by all"
    ) == [("NEW", 0, 4), ("SUCCEEDED", 1, 2)]
    monkeypatch.undo()
    assert (work(project)["succeeded"], pending(project)) == (4, {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["EMBED_CHUNKS", "--pending"], "--pending is for CHUNK_SOURCE, not EMBED_CHUNKS"),
        (["CHUNK_SOURCE", "--dry-run"], "--dry-run is for --pending"),
        (["CHUNK_SOURCE", "--limit", "3"], "--limit is for --pending"),
        (["CHUNK_SOURCE", "--pending", "--dedupe-key", "k"], "--dedupe-key does not go with --pending"),
    ],
)
def test_options_that_do_not_go_together(project, arguments, message):
    done = project.vector("enqueue", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


# Without dbt


def test_chunks_of_an_article_have_its_title_and_headings_as_context():
    body = "<p>A moon of Jupiter.</p><h2>Volcanoes</h2><p>Loki is first.</p>"
    payload = f"<title>Io</title><div class='mw-parser-output'>{body}</div>"
    article = extract(payload, "article")
    document = SourceDocument("page:io", "page", {}, article.text, article_title=article.title)
    policy = ExtractionPolicy(24, 0, payload_format="article")
    for title, shown in ((None, "Io"), ("The moon Io", "The moon Io")):
        source, chunks = cut(replace(document, title=title), policy)
        assert [(each.content.split()[-1], each.context) for each in chunks] == [
            ("Jupiter.", shown), ("Volcanoes", f"{shown} > Volcanoes"), ("first.", f"{shown} > Volcanoes"),
        ]  # fmt: skip
        assert source.title == title


@pytest.mark.parametrize(
    ("count", "size", "reading", "working", "expected"),
    [
        (20, 80_000, 1.0, 0.2, 1000),  # 10 s of 10 ms each
        (1000, 4_000_000, 6.0, 10.0, 2000),  # five times the reading, but no more than the most
        (20, 320_000_000, 1.0, 0.2, 2),  # 16 MB each
        (20, 80_000, 1.0, 400.0, 1),  # 20 s each
        (3, 0, 0.0, 0.0, 2000),
    ],
)
def test_as_many_are_read_next_as_pay_for_the_reading(count, size, reading, working, expected):
    assert active_sources.next_count(count, size, reading, working) == expected


@pytest.mark.parametrize(
    ("of_payload", "message"),
    [
        (("pdf", None, None), "payload_format must be one of text, html"),
        (("json", None, None), "json_path is missing"),
        (("json", "$[", None), "must be a JSONPath query"),
        (("json", "$.a", "json"), "value_format must be one of"),
        (("html", "$.a", None), "are for payload_format json"),
        ((None, None, "html"), "are for payload_format json"),
    ],
)
def test_a_policy_that_cannot_extract_is_named(of_payload, message):
    with pytest.raises(ConfigurationError, match="chunk policy 'v'") as caught:
        policy_of_row(("v", 800, 100, 1000, "extract", None, *of_payload))
    assert message in str(caught.value)


def test_a_policy_of_payloads_says_what_it_takes_for_what():
    policy = policy_of_row(("v", 800, 100, 9, "extract", None, "json", "$.text", ""))
    assert policy == ExtractionPolicy(800, 100, 9, "v", "json", "$.text", None)
    assert policy.to_dict() == {
        "chunk_size": 800, "overlap": 100, "max_chunks_per_source": 9, "version": "v", "method": "extract",
        "payload_format": "json", "json_path": "$.text",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ("<p>x</p>", "html"), ("plain", "html"), (' {"a": 1}', "json"), ("[]", "json"), ("[1] says <b>", "html"),
        ("{{Infobox}}", "html"), ("[" * 100_000, "html"), ("", "html"),
    ],
)  # fmt: skip
def test_a_payload_looks_like_its_format(payload, found):
    assert format_of_payload(payload) == found

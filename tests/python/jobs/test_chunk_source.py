"""CHUNK_SOURCE: the same rows as the SQL path, once; what changed and no more; nothing lost with a source."""

import json
import os
from contextlib import contextmanager

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from job_support import run_job
from parity import (
    HOSTILE,
    Warehouse,
    characters,
    fill_documents,
    policies,
    texts_with_headings,
    titles,
)

from vector.chunking import ChunkingPolicy, sources
from vector.chunking.sources import SourceDocument, cut
from vector.contracts import ledgers
from vector.contracts.models import SourceStatus
from vector.errors import ConfigurationError, InvalidRecord, SourceUnreadable
from vector.jobs.handlers import chunk_source
from vector.store import VectorStore

# When a row was written, which alone may differ between the two paths.
TIMES = ("created_utc", "updated_utc", "last_indexed_utc", "row_version")
POLICY = (
    "insert into chunk_policy (policy_version, source_type, chunk_size, overlap, max_chunks_per_source, is_active,"
    " description, method) values ('{version}', '{type}', {size}, {overlap}, {cap}, true, '', '{method}')"
)


def chunk(store, source_id, origin, **given):
    """The metrics of a CHUNK_SOURCE of a note."""
    return run_job(
        store, chunk_source, "CHUNK_SOURCE", {"source_id": source_id, "source_type": "note", "from": origin, **given}
    )


def refresh(store, source_id, **given):
    """The metrics of a CHUNK_SOURCE of a source that dbt keeps."""
    return run_job(
        store, chunk_source, "CHUNK_SOURCE", {"source_id": source_id, "from": {"source_id": source_id}, **given}
    )


def written(metrics):
    return {name: metrics[name] for name in ("inserted", "updated", "retired", "unchanged")}


def current(store, source_id):
    """The source's current chunks in order."""
    return sorted(store.list_chunks(source_id), key=lambda each: each.offsets["chunk_index"])


def add_policy(store, version, size, overlap, cap=1000, source_type="note", method="characters"):
    store.engine.execute(
        POLICY.format(version=version, type=source_type, size=size, overlap=overlap, cap=cap, method=method)
    )


# The same rows as SQL


@pytest.fixture(scope="module")
def registering(built_project):
    return Warehouse(
        built_project,
        models=["document", "document_registration", "chunk_window"],
        inputs=["document_input", "chunk_policy_input", "erasure"],
    )


def as_columns(ledger, record):
    row = dict(zip(ledger.column_names, ledger.to_row(record), strict=True))
    return {name: value for name, value in row.items() if name not in TIMES}


def same_columns(row, of_sql):
    """Both rows without what the other lacks: SQL's views have no times of writing, the ledger no chunk_index, and
    what Python cuts no fingerprint."""
    names = row.keys() & of_sql.keys() - {"document_sha256"}
    return {name: row[name] for name in names}, {name: of_sql[name] for name in names}


# Few, as test_sql_parity.py compares the same SQL with the same `cut` in many: here is what it leaves out of a row.
@settings(max_examples=15, deadline=None)
@given(
    texts=st.lists(st.text(characters, max_size=60) | texts_with_headings, min_size=1, max_size=6),
    policy=policies(),
    title=titles,
)
@example(texts=["", "a\0b", " ", "a\r\nb\rc", "😀" * 30], policy=ChunkingPolicy(7, 3, 2, 'v"\\'), title="T")
@pytest.mark.long
def test_any_text_is_registered_and_cut_as_sql_does(registering, texts, policy, title):
    given_sources = [(f"{position}:s", text, policy) for position, text in enumerate(texts)]
    fill_documents(registering, given_sources, title=title)
    registered, chunks = [], []
    for position, (source_id, text, _) in enumerate(given_sources):
        source, made = cut(SourceDocument(source_id, f"type {position}", {}, text, title, managed_by="dbt"), policy)
        registered.append(as_columns(ledgers.SOURCE_REGISTRY, source))
        chunks += [as_columns(ledgers.CHUNK, each) for each in made]
    of_sql = {row["source_id"]: row for row in registering.rows("select * from document_registration")}
    for row in registered:
        mine, other = same_columns(row, of_sql.pop(row["source_id"]))
        assert mine == other
        assert {"content_sha256", "char_count", "chunk_count", "chunk_capped_flag", "error_message"} <= mine.keys()
    of_sql |= {row["chunk_id"]: row for row in registering.rows("select * from chunk_window")}
    for row in chunks:
        mine, other = same_columns(row, of_sql.pop(row["chunk_id"]))
        assert mine == other
        assert {
            "content",
            "context",
            "content_sha256",
            "offsets_json",
            "policy_json",
            "byte_count",
            "managed_by",
        } <= mine.keys()
    assert of_sql == {}


LEDGERS = ("source_registry", "chunk", "chunk_version")


def put_hostile_pages(project, policy):
    """Pages of every pinned text, and the policy for them, in the tables that dbt reads."""
    with project.connect() as connection:
        for position, entry in enumerate(HOSTILE["texts"]):
            text = "".join(piece * times for piece, times in entry["pieces"])
            payload = json.dumps({"body": {"text": text}, "tags": ["é"]})
            connection.execute(
                "insert into vector_demo.page select * replace (? as page_id, ? as payload_json)"
                " from vector_demo.page limit 1",
                [f"hostile-{position}", payload],
            )
        connection.execute("update vector_demo.page set payload_json = '{}' where page_id = 'apollo'")
        connection.execute(
            "update chunk_policy set policy_version = ?, chunk_size = ?, overlap = ?, max_chunks_per_source = ?,"
            " is_active = true where source_type = 'page'",
            [policy.version, policy.chunk_size, policy.overlap, policy.max_chunks_per_source],
        )


@contextmanager
def read_once(store):
    """A table of the view `document` in its place: each read of one source would read them all."""
    rename = "alter {} {} rename to {}".format
    store.engine.execute("create table all_documents as from document")
    for each in (rename("view", "document", "the_view"), rename("table", "all_documents", "document")):
        store.engine.execute(each)
    yield
    store.engine.execute("drop table document")
    store.engine.execute(rename("view", "the_view", "document"))


def rows_without_times(project):
    found = {}
    with project.connect() as connection:
        for name in LEDGERS:
            cursor = connection.execute(f"select * from {name} order by 1, 2")
            columns = [column[0] for column in cursor.description]
            found[name] = [
                # A retired row is retired, whenever that was.
                {
                    **{key: value for key, value in row.items() if key not in TIMES},
                    "retired_utc": bool(row.get("retired_utc")),
                }
                for row in (dict(zip(columns, values, strict=True)) for values in cursor.fetchall())
            ]
    return found


@pytest.mark.long
def test_both_paths_leave_the_same_ledgers(project):
    """New texts, a changed policy, a lost text: what dbt makes of all of them, CHUNK_SOURCE makes source by source."""
    policy = ChunkingPolicy(40, 10, 60, "hostile-40-v1")
    put_hostile_pages(project, policy)
    with project.store() as store:
        ids = [row[0] for row in store.engine.query("select source_id from document where source_type = 'page'")]
        with read_once(store):
            for source_id in ids:
                refresh(store, source_id)
    by_python = rows_without_times(project)

    assert len(ids) > 60
    assert project.dbt("run").output.count("nothing new or changed") >= 3, (
        "dbt finds nothing that it would do otherwise"
    )
    assert rows_without_times(project) == by_python
    project.reset()
    put_hostile_pages(project, policy)
    project.dbt("run", "--select", "source_registry", "chunk", "chunk_version")
    assert rows_without_times(project) == by_python


# Once, and only what changed

TEXT = "".join(f"Sentence {number} of the note. " for number in range(100))


def test_again_writes_nothing(project):
    origin = {"text": TEXT}
    with project.store() as store:
        add_policy(store, "note-v1", 200, 20)
        assert written(chunk(store, "note:1", origin)) == {"inserted": 14, "updated": 0, "retired": 0, "unchanged": 0}
    before = project.contents("job", "run")
    with project.store() as store:
        metrics = chunk(store, "note:1", origin)
    assert metrics["source_written"] is False
    assert written(metrics) == {"inserted": 0, "updated": 0, "retired": 0, "unchanged": 14}
    assert project.contents("job", "run") == before


def test_a_changed_text_changes_its_chunks_and_no_other(store):
    add_policy(store, "note-v1", 200, 20)
    chunk(store, "note:1", {"text": TEXT})
    first = current(store, "note:1")
    edited = TEXT[:500] + "X" + TEXT[501:-300]
    metrics = chunk(store, "note:1", {"text": edited})
    second = {each.chunk_id: each for each in current(store, "note:1")}
    kept = [each for each in first if each.chunk_id in second]
    changed = [each for each in kept if second[each.chunk_id].content_sha256 != each.content_sha256]
    # The windows of 200 that start at 360 and, of the end, are shorter or gone.
    assert [each.offsets["start_offset"] for each in changed] == [360]
    gone, new = len(first) - len(kept), len(second) - len(kept)
    assert written(metrics) == {"inserted": new, "updated": 1, "retired": gone, "unchanged": len(kept) - 1}
    assert gone > 0
    assert "".join(each.content[:180] for each in second.values() if each.offsets["start_offset"] < 360) == edited[:360]
    assert store.get_source("note:1").char_count == len(edited)

    back = chunk(store, "note:1", {"text": TEXT})
    assert [each.content for each in current(store, "note:1")] == [each.content for each in first]
    assert back["inserted"] == 0, "retired chunks come back as themselves"


def test_a_failure_half_way_leaves_all_as_it_was(project, monkeypatch):
    with project.store() as store:
        chunk(store, "note:1", {"text": TEXT})
    before = project.contents("job", "run")
    with project.store() as store, monkeypatch.context() as patch:
        patch.setattr("vector.chunking.sources.keep_versions", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            chunk(store, "note:1", {"text": TEXT[:900]})
    assert project.contents("job", "run") == before


def test_unfit_texts_are_errors_of_their_source_as_in_sql(store):
    chunk(store, "note:1", {"text": "a note"})
    for text, message in (("", "content is empty"), ("a\0b", "content holds the character U+0000")):
        metrics = chunk(store, "note:1", {"text": text})
        source = store.get_source("note:1")
        assert (source.status, source.error_message, source.chunk_count) == (SourceStatus.ERROR, message, 0)
        assert (metrics["status"], metrics["error_message"], current(store, "note:1")) == ("error", message, [])
    assert chunk(store, "note:1", {"text": "a note"})["status"] == "indexed"
    store.engine.execute("delete from chunk_policy where source_type = '*'")
    assert chunk(store, "note:1", {"text": "a note"})["error_message"] == "no active chunk policy for this source type"


def test_a_cap_is_registered(store):
    add_policy(store, "note-v1", 10, 0, cap=2)
    metrics = chunk(store, "note:1", {"text": "x" * 30})
    assert (metrics["capped"], metrics["chunks"], store.get_source("note:1").chunk_capped_flag) == (True, 2, True)
    assert chunk(store, "note:1", {"text": "x" * 20})["capped"] is False


# Where texts come from


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setenv("VECTOR_LAKE_DIR", str(tmp_path))
    return tmp_path


def test_a_file_of_the_lake(store, lake):
    (lake / "io.html").write_text("<h1>Io</h1><p>A <b>moon</b>.</p>")
    os.utime(lake / "io.html", (1_700_000_000, 1_700_000_000))
    metrics = chunk(store, "note:io", {"path": "io.html"}, title="Io", tags={"lang": "en"})
    (made,) = current(store, "note:io")
    source = store.get_source("note:io")
    assert made.content.split() == ["Io", "A", "moon."]
    assert (source.title, source.tags, source.source_ref) == ("Io", {"lang": "en"}, {"path": "io.html"})
    assert source.source_updated_utc.timestamp() == 1_700_000_000
    assert metrics["extractors"] == {"inscriptis": metrics["extractors"]["inscriptis"]}


def test_a_payload_in_json(store):
    payload = json.dumps({"parse": {"wikitext": "'''Io''' is a [[moon]]."}})
    chunk(store, "note:io", {"text": payload}, format="json", json_path="$.parse.wikitext", value_format="wikitext")
    assert [each.content for each in current(store, "note:io")] == ["Io is a moon."]


@pytest.mark.long
def test_an_analytics_source_under_an_id_and_a_policy_of_its_own(project):
    with project.store() as store:
        before_it = current(store, "page:apollo")
        chunk(store, "sentences:apollo", {"source_id": "page:apollo"}, policy_version="lake-sentences-800-v1")
        made, of_dbt = store.get_source("sentences:apollo"), store.get_source("page:apollo")
        assert made.content_sha256 == of_dbt.content_sha256
        assert (made.title, made.tags, made.managed_by) == (of_dbt.title, of_dbt.tags, "python")
        chunks = current(store, "sentences:apollo")
        assert chunks[0].policy["method"] == "sentences"
        assert current(store, "page:apollo") == before_it
    before = project.contents("job", "run")
    assert project.dbt("run").success
    assert project.contents("job", "run") == before, "dbt leaves Python's rows alone"
    done = project.test("--exclude", "source_can_be_indexed")
    assert done.success, done.output


@pytest.mark.parametrize("origin", [{"path": "a.txt"}, {"source_id": "page:apollo"}])
def test_a_source_that_vanishes_keeps_its_chunks_and_says_so(store, lake, origin):
    (lake / "a.txt").write_text("the text")
    chunk(store, "note:1", origin)
    before, chunks = store.get_source("note:1"), current(store, "note:1")
    (lake / "a.txt").unlink()
    store.engine.execute("update vector_demo.page set page_id = 'moved' where page_id = 'apollo'")
    for _ in range(2):
        with pytest.raises(SourceUnreadable, match="no such file|no row of the view document"):
            chunk(store, "note:1", origin)
    source = store.get_source("note:1")
    assert source.status is SourceStatus.ERROR
    assert "no such file" in source.error_message or "no row of the view" in source.error_message
    assert (source.content_sha256, source.chunk_count) == (before.content_sha256, before.chunk_count)
    assert current(store, "note:1") == chunks
    (lake / "a.txt").write_text("the text")
    store.engine.execute("update vector_demo.page set page_id = 'apollo' where page_id = 'moved'")
    assert written(chunk(store, "note:1", origin))["unchanged"] == len(chunks)
    assert (store.get_source("note:1").status, store.get_source("note:1").error_message) == (SourceStatus.INDEXED, None)


def test_a_source_that_never_was_is_registered_as_an_error(store, lake):
    with pytest.raises(SourceUnreadable, match="'gone.txt': no such file"):
        chunk(store, "note:1", {"path": "gone.txt"}, title="Gone")
    source = store.get_source("note:1")
    assert (source.status, source.chunk_count, source.title) == (SourceStatus.ERROR, 0, "Gone")


# Who keeps what


def test_a_source_of_dbt_is_not_written_over(project):
    before = project.contents("job", "run")
    with project.store() as store:
        store.engine.execute(
            "insert into vector_demo.page select * replace ('new' as page_id) from vector_demo.page limit 1"
        )
        for source_id in ("page:apollo", "page:new"):
            with pytest.raises(InvalidRecord, match=f"'{source_id}' belongs to dbt"):
                chunk(store, source_id, {"text": "other words"})
        with pytest.raises(InvalidRecord, match="policy_version 'paragraphs-800-v1', not 'lake-sentences-800-v1'"):
            refresh(store, "page:apollo", policy_version="lake-sentences-800-v1")
        with pytest.raises(InvalidRecord, match="source_type 'page', not 'note'"):
            refresh(store, "page:apollo", source_type="note")
        with pytest.raises(InvalidRecord, match="'page:none' is no row of the view document"):
            refresh(store, "page:none")
        metrics = refresh(store, "page:apollo", policy_version="paragraphs-800-v1", source_type="page")
        assert metrics["unchanged"] == len(current(store, "page:apollo")) > 9
    assert project.contents("job", "run") == before


@pytest.mark.long
def test_json_that_python_would_write_otherwise_is_refused(project):
    project.edit("models/demo/stg_page.sql", """',"table":"page"}')""", """', "table":"page"}')""")
    project.dbt("run", "--select", "stg_page+")
    with project.store() as store, pytest.raises(InvalidRecord, match="source_ref_json is not canonical JSON"):
        refresh(store, "page:apollo")


# Invalid inputs


@pytest.mark.parametrize(
    ("given_input", "message"),
    [
        ({}, "'source_id' is a required property"),
        ({"source_id": "s"}, "'from' is a required property; keys are source_id"),
        ({"source_id": "s", "from": {"text": ""}}, "source_type is missing"),
        ({"source_id": "s", "source_type": "t", "from": {}}, 'key from: .* give one of {"text": ...}'),
        ({"source_id": "s", "source_type": "t", "from": {"text": "", "path": "a"}}, "key from: .* too many"),
        ({"source_id": "s", "source_type": "t", "from": {"url": "x"}}, r"key from: .*\('url' was unexpected\)"),
        ({"source_id": 1, "source_type": "t", "from": {"text": ""}}, "key source_id: 1 is not of type 'string'"),
        ({"source_id": "s", "source_type": "t", "from": {"text": ""}, "fromat": "x"}, "'fromat' was unexpected"),
        ({"source_id": "s", "source_type": "t", "from": {"path": "../a.txt"}}, "below the folder VECTOR_LAKE_DIR"),
        ({"source_id": "s", "source_type": "t", "from": {"path": "a.pdf"}}, "'a.pdf' says no format; give format"),
        ({"source_id": "s", "source_type": "t", "from": {"path": "a.json"}}, "json_path is missing"),
        (
            {"source_id": "s", "source_type": "t", "from": {"text": ""}, "json_path": "$"},
            "json_path: is for format json",
        ),
        ({"source_id": "s", "source_type": "t", "from": {"path": "a.json"}, "json_path": "a"}, "RFC 9535"),
        ({"source_id": "s", "source_type": "t", "from": {"text": ""}, "title": "a\0"}, "key title: NUL"),
        ({"source_id": "s", "source_type": "t", "from": {"text": "\ud83d"}}, "lone surrogate"),
        ({"source_id": "s", "from": {"source_id": "s"}, "title": "t"}, "key title: source 's' is an analytics source"),
        ({"source_id": "s" * 401, "source_type": "t", "from": {"text": ""}}, "key source_id: .* is too long"),
        ([], "is not of type 'object'"),
    ],
)
def test_invalid_inputs_name_the_key(given_input, message):
    with pytest.raises(InvalidRecord, match=message):
        chunk_source.validate(given_input)


def test_a_long_text_is_not_quoted_in_full():
    with pytest.raises(InvalidRecord) as caught:
        chunk_source.validate({"source_id": "s", "source_type": "t", "from": {"text": "x" * 10_000, "path": "a"}})
    assert len(str(caught.value)) < 600


def test_validation_spells_the_input_out_and_is_stable():
    given_input = {"source_id": "s", "source_type": "t", "from": {"path": "a//b.json"}, "json_path": "$.x"}
    checked = chunk_source.validate(given_input)
    assert checked == {**given_input, "from": {"path": "a/b.json"}, "format": "json", "value_format": "text"}
    assert chunk_source.validate(checked) == checked


def test_unknown_policies_are_named(store):
    with pytest.raises(ConfigurationError, match="'v9' is not an active row of chunk_policy_input"):
        chunk(store, "note:1", {"text": "x"}, policy_version="v9")
    store.engine.execute("update chunk_policy set is_active = false where policy_version = 'lake-sentences-800-v1'")
    with pytest.raises(ConfigurationError, match="is not an active row"):
        chunk(store, "note:1", {"text": "x"}, policy_version="lake-sentences-800-v1")


def test_a_source_that_another_session_adds_meanwhile_is_stored(store, monkeypatch):
    """Neither session finds the new source, so both insert it; the second to do so is refused once."""
    lock, turns = sources._lock, []

    def after_a_rival(locked, source_ids):
        lock(locked, source_ids)
        (source_id,) = source_ids
        turns.append(source_id)
        if len(turns) == 1:
            rival = VectorStore(engine=store.engine.another())
            chunk(rival, source_id, {"text": "the rival's text"})
            rival.close()

    monkeypatch.setattr(sources, "_lock", after_a_rival)
    metrics = chunk(store, "note:raced", {"text": "the text that came last"})
    assert len(turns) == 3, "the rival's, and twice its own"
    assert metrics["source_written"]
    assert [each.content for each in current(store, "note:raced")] == ["the text that came last"]

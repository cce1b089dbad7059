"""Documents as their models give them: read by name, blank ones told, and seeds whose columns change."""

import csv

import pytest

from vector.chunking import Chunker, ChunkingPolicy
from vector.chunking.sources import SourceDocument, cut, store_source
from vector.contracts.identity import compute_content_hash
from vector.contracts.models import VectorChunk
from vector.errors import InvalidRecord

pytestmark = pytest.mark.long

STAGING = "models/demo/stg_event.sql"
EVENT = {
    "source_id": "'event:1'", "source_type": "'event'", "source_ref_json": "'{}'", "title": "'A title'",
    "content": "'The text'", "tags_json": "'{}'", "updated_utc": "timestamp '2026-01-01'",
}  # fmt: skip


def select(columns):
    return "select " + ", ".join(f"{value} as {name}" for name, value in columns.items())


def test_the_order_of_a_models_columns_says_nothing(project):
    project._write(project.folder / STAGING, select(dict(reversed(EVENT.items()))))
    done = project.dbt("run", "-s", "stg_event", "document_input", "document")
    assert done.success, done.output
    found = project.query("select title, content, source_type from document where source_id = 'event:1'")
    assert found == [("A title", "The text", "event")]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"content": None, "contents": "'The text'"}, "Document model stg_event lacks content; a document has the"),
        ({"title": "7"}, "Document model stg_event has title as integer, not as text; a document has the columns"),
    ],
)
def test_a_document_model_that_breaks_the_contract_ends_the_build(project, changed, told):
    columns = {name: value for name, value in {**EVENT, **changed}.items() if value is not None}
    before = project.contents()
    project._write(project.folder / STAGING, select(columns))
    done = project.dbt("run", "-s", "stg_event+")
    assert not done.success
    assert told in done.output
    assert project.contents() == before


BLANKS = "\n" * 4000
TEXTS = {
    "event:blank": " \u200b\ufeff\u00ad\u3000\n",
    "event:tail": f"vacation days{BLANKS}",
    "event:middle": f"first{BLANKS}second",
    "event:seen": "text",
}


def test_blank_texts_are_told_and_are_no_chunks_and_old_ones_are_retired(project):
    values = ", ".join(f"('{source_id}', '{text}')" for source_id, text in TEXTS.items())
    columns = {**EVENT, "source_id": "source_id", "content": "content"}
    project._write(project.folder / STAGING, f"{select(columns)} from (values {values}) as given (source_id, content)")
    project.edit(
        "macros/cross_db/is_blank.sql",
        "not regexp_matches({{ text }}, '[^{{ vector_runtime.blank_class() }}]')",
        "false",
    )
    selected = ("-s", "demo", "documents", "source_registry", "chunk", "chunk_version", "chunk_catalog")
    # As an earlier version has left it: blank chunks are current, and have vectors.
    assert project.dbt("run", *selected).success
    project.embed()
    old = dict(_counts(project))
    assert old["event:blank"] == ("indexed", None, 1, None)
    assert old["event:tail"][2] > 5
    project.edit(
        "macros/cross_db/is_blank.sql",
        "false",
        "not regexp_matches({{ text }}, '[^{{ vector_runtime.blank_class() }}]')",
    )
    # The chunking_version is the same; a release would raise it.
    assert project.dbt("run", *selected, "--vars", "cut_all: true").success
    found = dict(_counts(project))
    assert found["event:blank"] == ("error", "content is blank", 0, None)
    assert found["event:seen"] == old["event:seen"] == ("indexed", None, 1, None)
    for source_id in ("event:tail", "event:middle"):
        status, _, chunk_count, blank_char_count = found[source_id]
        assert (status, chunk_count) == ("indexed", 1 if source_id == "event:tail" else 2)
        assert blank_char_count > 1000
    current = (
        "select count(*) from embedding_current inner join chunk using (chunk_id) where trim(content, chr(10)) = ''"
    )
    assert project.query(current) == [(0,)]
    rewritten = "select chunk_id from chunk where source_id = 'event:seen' and created_utc < updated_utc"
    assert project.query(rewritten) == [], "what was right is not written again"
    tests = ("chunks_cover_their_source", "source_registry_matches_chunks", "chunk_has_its_current_version")
    assert project.test("-s", *tests).success
    # The test of gaps has eyes.
    with project.connect() as connection:
        connection.execute(
            "update chunk set retired_utc = now() where source_id = 'event:middle' and retired_utc is null"
            " and content like '%second%'"
        )
    assert "chunks_cover_their_source" in project.test("-s", *tests).ended("fail")


def _counts(project):
    rows = project.query(
        "select source_id, status, error_message, chunk_count, blank_char_count from source_registry"
        " where source_id in ('event:blank', 'event:tail', 'event:middle', 'event:seen')"
    )
    return [(row[0], row[1:]) for row in rows]


def test_python_registers_and_tests_blank_windows_alike(project, store):
    policy = ChunkingPolicy(700, 140, 1000, "page-700-v1")
    for source_id, text in TEXTS.items():
        store_source(store, *cut(SourceDocument(f"of python {source_id}", "note", {}, text), policy))
    assert store.get_source("of python event:blank").error_message == "content is blank"
    assert store.get_source("of python event:tail").chunk_count == 1
    assert store.get_source("of python event:middle").blank_char_count > 1000
    store.engine.close()
    assert project.test("-s", "chunks_cover_their_source", "source_registry_matches_chunks").success


def test_a_blank_chunk_is_refused_unless_it_is_retired(store, chunk):
    (kept,) = Chunker(ChunkingPolicy()).chunk("x", "note:2", "note")
    content = " \u200b"
    blank = VectorChunk.from_dict(
        {**kept.to_dict(), "content": content, "content_sha256": compute_content_hash(content), "byte_count": 4}
    )
    with pytest.raises(InvalidRecord, match=f"chunk {kept.chunk_id}: its content has no visible character"):
        store.save_chunk(blank)
    blank.retired_utc = blank.created_utc
    assert store.save_chunk(blank).inserted == 1


def test_seeds_keep_texts_and_are_made_anew_when_their_columns_change(project):
    policies = project.rows("chunk_policy")
    policies[0]["policy_version"] = "1"
    project.write_rows("chunk_policy", policies[:1])
    space = project.rows("embedding_space_seed")[0]
    project.write_rows("embedding_space_seed", [{**space, "space_key": "2024", "model_tag": "007"}])
    with project.connect() as connection:
        # As an earlier version made it: a number, and not all of the columns.
        connection.execute("create or replace table chunk_policy (policy_version integer, source_type varchar)")
    done = project.dbt(
        "build",
        "-s",
        "chunk_policy",
        "embedding_space_seed",
        "embedding_space_identity",
        "--exclude-resource-type",
        "test",
        "unit_test",
    )
    assert done.success, done.output
    assert project.query("select policy_version, source_type, chunk_size from chunk_policy") == [("1", "*", 800)]
    assert project.query("select space_key, model_tag from embedding_space_seed") == [("2024", "007")]
    # A column more, between others, and then the same again.
    path = project.seed_path("chunk_policy")
    rows = project.rows("chunk_policy")
    project._write(
        path, path.read_text(encoding="utf-8").replace("source_type,", "source_type,note,", 1).replace("*,", "*,5,", 1)
    )
    assert next(csv.DictReader(path.open(encoding="utf-8")))["note"] == "5"
    for _ in range(2):
        done = project.dbt("seed", "-s", "chunk_policy")
        assert done.success, done.output
        assert project.query("select policy_version, note, chunk_size from chunk_policy") == [("1", 5, 800)]
    assert len(rows) == 1

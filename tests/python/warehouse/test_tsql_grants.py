"""docs/sqlserver.md grants each role what its commands write, and no more than it says."""

import re
from collections import defaultdict

import pytest
from support import LEDGERS, PROJECT_DIR

from vector.contracts.models import EmbeddingFailure, EmbeddingSpace
from vector.engines.duckdb.engine import DuckDBEngine

DOCS = PROJECT_DIR / "docs" / "sqlserver.md"
_TABLE = re.compile(r'(?:\w+\.|"\w+"\.|\[\w+\]\.)*["\[]?(\w+)["\]]?')


def granted():
    """{role: {(right, table)}}, the rights of the roles that it is a member of included."""
    script = DOCS.read_text(encoding="utf-8")
    rights = defaultdict(set)
    for verbs, table, role in re.findall(r"^ +grant ([a-z, ]+) on vector\.(\w+) to (\w+);", script, re.MULTILINE):
        rights[role] |= {(verb, table) for verb in verbs.split(", ")}
    for parent, member in re.findall(r"^ +alter role (\w+) add member (vector_\w+);", script, re.MULTILINE):
        rights[member] |= rights[parent]
    return rights


@pytest.fixture
def written(monkeypatch):
    """What is written through an engine: {(right, table)}."""
    found = set()

    def watched(name, right):
        real = getattr(DuckDBEngine, name)

        def record(self, table, *arguments, **options):
            found.add((right, table))
            return real(self, table, *arguments, **options)

        monkeypatch.setattr(DuckDBEngine, name, record)

    watched("insert_new", "insert")
    watched("update_from", "update")
    watched("delete_from", "delete")
    execute, query, claim = DuckDBEngine.execute, DuckDBEngine.query, DuckDBEngine.claim

    def statement(real):
        def record(self, sql, *arguments):
            if match := re.match(r"\s*(insert|update|delete)(?: into| from)?\s+(\S+)", sql):
                table = _TABLE.fullmatch(match[2])[1]
                if table in LEDGERS:
                    found.add((match[1], table))
            return real(self, sql, *arguments)

        return record

    def claimed(self, request):
        found.add(("update", "job"))
        return claim(self, request)

    monkeypatch.setattr(DuckDBEngine, "execute", statement(execute))
    monkeypatch.setattr(DuckDBEngine, "query", statement(query))
    monkeypatch.setattr(DuckDBEngine, "claim", claimed)
    return found


def run(project, *arguments):
    done = project.vector(*arguments)
    assert done.exit_code == 0, done
    return done


def test_search_writes_what_a_searcher_may(project, written):
    run(project, "search", "Which moon has geysers?")
    assert written == granted()["vector_searcher"]


def test_embed_writes_what_an_embedder_may(project, written):
    with project.store() as store:
        store.engine.execute(f"delete from {store.engine.table('embedding')}")
    written.clear()
    run(project, "embed")
    assert ("insert", "embedding") in written
    assert written <= granted()["vector_embedder"]


def test_a_worker_writes_what_a_worker_may(project, written):
    with project.store() as store:
        store.save_embedding_space(EmbeddingSpace.create_new("hash", "draft", 8, space_key="draft", is_active=False))
    written.clear()
    run(project, "enqueue", "EMBED_CHUNKS", "--input", '{"space_key": "hash"}')
    run(project, "worker", "--once")
    run(project, "spaces", "retire", "draft")
    assert {("insert", "run"), ("insert", "space_publication")} <= written
    assert written <= granted()["vector_worker"]


def test_readers_write_nothing(project, written):
    for command in (("coverage",), ("failures",), ("verify",), ("spaces", "list"), ("jobs", "list")):
        run(project, *command)
    assert written == set()


def test_a_worker_may_write_every_ledger_that_python_fills():
    tables = {table for _, table in granted()["vector_worker"]}
    # Sketches are DuckDB's.
    assert tables == {
        name
        for name in LEDGERS
        if name not in ("embedding_space", "erasure") and not name.startswith("embedding_sketch")
    }


def test_erase_writes_what_an_eraser_may_and_nobody_else_deletes(project, written):
    asked = project.query("select query_text from retrieval limit 1")[0][0]
    job = '{"source_id": "note:1", "source_type": "note", "from": {"text": "A note of a moon and its volcanoes."}}'
    run(project, "enqueue", "CHUNK_SOURCE", "--input", job)
    run(project, "worker", "--once")
    run(project, "embed")
    with project.store() as store:
        (chunk,) = store.list_chunks("note:1")
        space = store.get_embedding_space_by_key("hash")
        failure = (chunk.chunk_id, space.embedding_space_id, chunk.content_sha256, "refused", "no")
        store.save_embedding_failures([EmbeddingFailure.create_new(*failure)])
        (ended, *_) = (each for each in store.list_runs() if each.metrics and each.embedding_space_id)
        ended.error = "of 'note:1'"
        store.save_run(ended)
        embeds = store.get_job(ended.job_id)
        embeds.last_error = "of 'note:1'"
        store.save_job(embeds)
    written.clear()
    run(project, "erase", "--source-id", "note:1", "--query", asked, "--reason", "request 17")
    rights = granted()
    assert written == rights["vector_eraser"]
    assert [role for role, those in rights.items() if any(right == "delete" for right, _ in those)] == ["vector_eraser"]

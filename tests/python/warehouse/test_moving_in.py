"""docs/moving-in.md, as a script over a schema of before."""

import json
import re

import pytest
from support import PROJECT_DIR

from vector.chunking import Chunker, ChunkingPolicy
from vector.contracts.identity import compute_content_hash
from vector.contracts.models import VectorEmbedding
from vector.providers import open_provider

pytestmark = pytest.mark.long

SCRIPT, COMPARISON = re.findall(
    r"^```sql\n(.*?)^```", (PROJECT_DIR / "docs/moving-in.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
LEGACY = """
create schema llm;
create table llm.chunk (
    chunk_id varchar primary key, source_id varchar, source_type varchar, source_ref_json varchar, offsets_json varchar,
    content varchar, content_sha256 varchar, byte_count bigint, policy_json varchar,
    created_utc timestamp default current_localtimestamp()
);
create table llm.embedding_space (
    embedding_space_id uuid primary key, provider varchar, model_name varchar, model_tag varchar, model_digest varchar,
    dimensions integer, normalize_flag boolean, distance_metric varchar, preprocess_policy_json varchar,
    transform_ref varchar
);
create table llm.embedding (
    embedding_id uuid default uuid(), chunk_id varchar, embedding_space_id uuid, input_content_sha256 varchar,
    vector_json varchar, vector_sha256 varchar, created_utc timestamp default current_localtimestamp()
);
insert into llm.embedding_space
select uuid(), provider, model_name, model_tag, model_digest, dimensions, normalize_flag, distance_metric,
    preprocess_policy_json, transform_ref
from vector.embedding_space where space_key = 'hash';
"""


@pytest.fixture
def moved(project, store, space):
    """The old schema: {name: chunk id} of what is in it. The sources of page:io are dbt's, and have no vector here."""
    provider = open_provider(space)
    policy = ChunkingPolicy(40, 5, 100, "old-1")
    whole = Chunker(policy).chunk("A source that came over whole, in some chunks, 日本 𝄞 .", "old:whole", "note")
    part = Chunker(policy).chunk(
        "A source of which one chunk has a text that its hash does not prove.", "old:part", "note"
    )
    theirs = store.list_chunks("page:io")
    with project.connect() as connection:
        connection.execute(LEGACY)
        connection.execute(
            "delete from vector.embedding"
            " where chunk_id in (select chunk_id from vector.chunk where source_id = 'page:io')"
        )

        def keep(chunk, chunk_id=None, content=None):
            connection.execute(
                "insert into llm.chunk (chunk_id, source_id, source_type, source_ref_json, offsets_json, content,"
                " content_sha256, byte_count, policy_json) values (?, ?, ?, '{}', ?, ?, ?, ?, ?)",
                [
                    chunk_id or chunk.chunk_id, chunk.source_id, chunk.source_type, json.dumps(chunk.offsets),
                    content or chunk.content, chunk.content_sha256, chunk.byte_count, json.dumps(chunk.policy),
                ],
            )  # fmt: skip

        def embed(chunk, vector=None, sha256=None):
            found = provider.embed([chunk.content]).vectors[0].tolist() if vector is None else vector
            connection.execute(
                "insert into llm.embedding"
                " (chunk_id, embedding_space_id, input_content_sha256, vector_json, vector_sha256)"
                " select ?, embedding_space_id, ?, ?, 'of their own' from llm.embedding_space",
                [chunk.chunk_id, sha256 or chunk.content_sha256, json.dumps(found)],
            )

        for chunk in (*whole, *part[1:], *theirs):
            keep(chunk)
        keep(part[0], content="Another text.")
        keep(whole[0], chunk_id="an id of their own")
        for chunk in (whole[0], *part, theirs[0]):
            embed(chunk)
        embed(whole[0])  # twice: no unique key kept them from it
        embed(whole[1], sha256=compute_content_hash("an earlier text"))
        embed(theirs[1], vector=[1.0])
        embed(theirs[2], vector=[1.0] * space.dimensions)
        embed(theirs[3], vector=[float("nan")] * space.dimensions)
    return {"whole": whole, "part": part, "theirs": theirs}


def test_ids_and_vectors_that_are_proven_move_and_the_old_schema_stays(project, store, space, moved):
    def legacy():
        return [project.query(f"select rowid, * from llm.{name} order by rowid") for name in ("chunk", "embedding")]

    before, provider = legacy(), open_provider(space)
    for _ in range(2):
        with project.connect() as connection:
            connection.execute(SCRIPT)
        counts = project.query("select count(*) from vector.chunk union all select count(*) from vector.embedding")
    with project.connect() as connection:
        connection.execute(SCRIPT)
    assert project.query("select count(*) from vector.chunk union all select count(*) from vector.embedding") == counts
    assert legacy() == before

    whole, part, theirs = moved["whole"], moved["part"], moved["theirs"]
    assert {chunk.chunk_id for chunk in store.list_chunks("old:whole")} == {chunk.chunk_id for chunk in whole}
    assert {chunk.chunk_id for chunk in store.list_chunks("old:part")} == {chunk.chunk_id for chunk in part[1:]}
    assert store.list_chunks("page:io") == theirs
    statuses = (
        "select source_id, status, chunk_count from vector.source_registry where source_id like 'old:%' order by 1"
    )
    assert project.query(statuses) == [
        ("old:part", "pending", len(part) - 1),
        ("old:whole", "pending", len(whole)),  # of which one chunk has an id of their own
    ]
    kept = [whole[0], *part[1:], theirs[0]]
    for chunk in kept:
        (found,) = store.list_embeddings(chunk.chunk_id, space.embedding_space_id)
        vector = provider.embed([chunk.content]).vectors[0]
        wanted = VectorEmbedding.create_new(chunk.chunk_id, space.embedding_space_id, chunk.content_sha256, vector)
        assert (found.vector, found.vector_sha256) == (wanted.vector, wanted.vector_sha256)
    left = {chunk.chunk_id for chunk in (*whole, *part, *theirs)} - {chunk.chunk_id for chunk in kept}
    pending = {
        row[0] for row in project.query("select chunk_id from vector.embedding_pending where space_key = 'hash'")
    }
    assert pending == left - {part[0].chunk_id}
    assert ("hash", len(pending)) in {(row[0], row[3]) for row in project.query(COMPARISON)}

    assert project.vector("verify").exit_code == 0
    project.embed()
    tested = project.dbt("test")
    assert tested.success, tested.output

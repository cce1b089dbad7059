"""Which vectors pruning deletes, and which it keeps; and where its settings come from."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from support import VECTOR

from vector.chunking import Chunker, ChunkingPolicy
from vector.contracts.models import (
    EmbeddingSpace,
    VectorEmbedding,
    VectorRetrieval,
    VectorRetrievalHit,
    VectorSourceRegistry,
)
from vector.spaces.publications import retire

pytestmark = pytest.mark.long

NOW = datetime.now(UTC)


def at(days):
    return NOW - timedelta(days=days)


@pytest.fixture
def aged(project):
    """Vectors of each kind, by name: (embedding id, is prunable after 90 days)."""
    with project.store() as store:
        space = store.get_embedding_space_by_key("hash")
        others = {}
        for key, active in (("retired", False), ("retired_active", True), ("draft", False)):
            made = EmbeddingSpace.create_new("hash", key, 8, space_key=key, is_active=False)
            store.save_embedding_space(made)
            others[key] = made
            if key != "draft":
                retire(store, made)
            made.is_active = active
            store.save_embedding_space(made)
        store.save_source(VectorSourceRegistry("note:1", "note", {}))
        chunker, ids = Chunker(ChunkingPolicy()), {}

        def embed(name, text, number, of=space):
            (chunk,) = chunker.chunk(text.ljust(40, "."), f"note:{number}", "note")
            store.save_source(VectorSourceRegistry(f"note:{number}", "note", {}))
            store.save_chunk(chunk)
            made = VectorEmbedding.create_new(chunk.chunk_id, of.embedding_space_id, chunk.content_sha256, VECTOR)
            store.save_embedding(made)
            ids[name] = made.embedding_id
            return chunk

        old = {}
        for number, (name, found) in enumerate((("superseded", False), ("superseded_found", True), ("just", False)), 1):
            chunk = embed(name, "The first text.", number)
            if found:
                asked = VectorRetrieval.create_new(space.embedding_space_id, "Who?", 1)
                store.save_retrieval(asked, [VectorRetrievalHit(asked.retrieval_id, 1, chunk.chunk_id, 0.5)])
            embed(f"{name}_now", "The second text.", number)
            old[chunk.chunk_id] = name
        gone = embed("gone", "A text that went.", 4)
        went = embed("went_lately", "A text that went lately.", 5)
        embed("retired", "Of a retired space.", 6, others["retired"])
        embed("retired_active", "Of a retired space that is active.", 7, others["retired_active"])
        embed("draft", "Of a draft.", 8, others["draft"])
        back = embed("came_and_went", "A.", 9)
        embed("came_and_went_now", "B.", 9)
        embed("ignored", "A.", 9)
    with project.connect() as connection:
        for chunk_id, name in old.items():
            days = 10 if name == "just" else 100
            connection.execute(
                "update chunk_version set created_utc = case when content like 'The first%' then ? else ? end"
                " where chunk_id = ?", [at(400), at(days), chunk_id],
            )  # fmt: skip
        connection.execute("update chunk set retired_utc = ? where chunk_id = ?", [at(100), gone.chunk_id])
        connection.execute("update chunk set retired_utc = ? where chunk_id = ?", [at(10), went.chunk_id])
        # B. came later than A., and A. is back: it is B. that is not needed, since the chunk's last change.
        connection.execute(
            "update chunk_version set created_utc = case when content like 'A%' then ? else ? end where chunk_id = ?",
            [at(400), at(300), back.chunk_id],
        )
        connection.execute("update chunk set updated_utc = ? where chunk_id = ?", [at(100), back.chunk_id])
        connection.execute("update space_publication set published_utc = ?", [at(100)])
    ids.pop("ignored")
    return ids


PRUNED = {"superseded", "gone", "retired", "came_and_went_now"}


def left(project, ids):
    there = {each for (each,) in project.query("select embedding_id from embedding")}
    return {name for name, each in ids.items() if each in there}


def prune(project, arguments="{}"):
    return project.dbt("run-operation", "prune_embeddings", "--args", arguments)


def test_what_nothing_needs_any_more_is_pruned(project, aged):
    before = project.query("select count(*) from embedding")[0][0]
    pending = project.query("select * from embedding_pending order by all")
    counted = prune(project, "{days: 90, dry_run: true}")
    assert "Would delete 4 vectors that nothing has needed since" in counted.output, counted.output
    assert "; 1 more stay, as logged searches found them." in counted.output
    assert left(project, aged) == set(aged)
    assert project.query("select count(*) from erasure") == [(0,)]

    done = prune(project, "{days: 90}")
    assert done.success, done.output
    assert "Deleted 4 vectors" in done.output
    assert left(project, aged) == set(aged) - PRUNED
    assert project.query("select count(*) from embedding") == [(before - 4,)]
    ((kind, reason, counts, epoch, completed),) = project.query(
        "select kind, erasure_reason, counts_json, cache_epoch, completed_utc is not null from erasure"
    )
    assert (kind, epoch, completed) == ("pruning", 2, True)
    assert reason == "prune_embeddings, older than 90 days"
    assert json.loads(counts) == {"embedding": 4}

    assert "Deleted 0 vectors" in prune(project, "{days: 90}").output
    assert project.query("select count(*) from erasure") == [(1,)]
    tested = project.test("--select", "embedding", "erasure", "retrieval_hit", "retrieval_hit_is_of_its_own_space")
    assert tested.success, tested.output
    assert project.query("select * from embedding_pending order by all") == pending  # nothing is paid for again


def test_thousands_are_pruned_in_batches(project, aged):
    with project.connect() as connection:
        connection.execute(
            "insert into chunk by name select chunk.* replace ('copy' || range as chunk_id) from chunk, range(4500)"
            " where chunk_id = (select chunk_id from embedding where embedding_id = ?)", [aged["gone"]],
        )  # fmt: skip
        connection.execute(
            "insert into chunk_version by name select chunk_id, content_sha256, content, created_utc from chunk"
            " where chunk_id like 'copy%'"
        )
        connection.execute(
            "insert into embedding by name select embedding.* replace (cast(uuid() as varchar) as embedding_id,"
            " 'copy' || range as chunk_id) from embedding, range(4500) where embedding_id = ?", [aged["gone"]],
        )  # fmt: skip
    assert "Deleted 4504 vectors" in prune(project, "{days: 90}").output
    assert left(project, aged) == set(aged) - PRUNED


def test_the_defaults_are_in_one_variable(project, aged):
    none = prune(project)
    assert not none.success
    assert "set embedding_days in the variable retention" in none.output
    assert "set retrieval_days" in project.dbt("run-operation", "delete_old_retrievals").output

    settings = "retention: {retrieval_days: null, embedding_days: null}"
    project.edit("dbt_project.yml", settings, "retention: {retrieval_days: 30, embedding_days: 200}")
    assert "Deleted 0 searches" in project.dbt("run-operation", "delete_old_retrievals").output
    assert "Deleted 0 vectors" in prune(project).output
    assert "Would delete 4 vectors" in prune(project, "{days: 90, dry_run: true}").output
    told = project.vector("doctor").stdout
    assert "ok     retention: logged searches 30 days, vectors that nothing needs 200 days" in told
    assert "retention: {'retrieval_days': 30, 'embedding_days': 200} (dbt_project.yml)" in told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{retrieval_day: 30}", "unknown key retrieval_day"),
        ("{embedding_days: 0}", "embedding_days is 0"),
        ("{embedding_days: '90'}", "embedding_days is '90'"),
        ("[90]", "give keys and values"),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_clear_line(project, given, told):
    settings = "retention: {retrieval_days: null, embedding_days: null}"
    project.edit("dbt_project.yml", settings, f"retention: {given}")
    shown = project.vector("doctor")
    assert shown.exit_code == 2
    (line,) = [line for line in shown.stdout.splitlines() if "retention:" in line and line.startswith("WRONG")]
    assert told in line
    assert not prune(project).success
    if "embedding_days" not in given:
        assert told in prune(project, "{days: 90}").output
        assert told in project.dbt("run-operation", "delete_old_retrievals", "--args", "{days: 90}").output


@pytest.mark.parametrize("days", ["0", "-1", "'90'", "1.5", "true", "36501"])
def test_days_are_a_whole_number_within_a_century(project, aged, days):
    done = prune(project, f"{{days: {days}}}")
    assert not done.success
    assert "give a whole number from 1 to 36500, as {days: 90}" in done.output
    assert left(project, aged) == set(aged)

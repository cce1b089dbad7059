"""Each invariant is guarded: planted in a built and embedded database, its violation turns a dbt test red."""

import threading
from dataclasses import dataclass

import duckdb
import numpy as np
import pytest
from support import PROJECT_DIR, drop_constraints

from vector.embedding import EmbedOptions, embed_space
from vector.providers.base import EmbeddingProvider, EmbeddingReply
from vector.spaces.canaries import CANARIES
from vector.store.verify import verify_vectors

FOREIGN_KEY, CHECK, DUPLICATE = "[Ff]oreign key", "CHECK constraint", "Duplicate key"

ONE_EMBEDDING = "where embedding_id = (select min(embedding_id) from embedding)"
ONE_CANARY = "where canary_index = 3"
ONE_CHUNK = "where chunk_id = (select min(chunk_id) from chunk)"


def publication(number, action, previous, space="min"):
    """A row about the first space, or the last one."""
    return f"""
        insert into space_publication
        select cast(uuid() as varchar), {number}, {space}(embedding_space_id), {previous}, '{action}', now(), 'w', null,
            null
        from embedding_space
    """


PUBLISHED = publication(1, "publish", "null")
FIRST, LAST = (f"(select {end}(embedding_space_id) from embedding_space)" for end in ("min", "max"))
# The first space was superseded and retired.
RETIRED = f"""
    {PUBLISHED};
    insert into embedding_space select * replace ('other' as embedding_space_id, 'other' as space_key)
    from embedding_space;
    {publication(2, "publish", FIRST, "max")};
    {publication(3, "retire", "null")}
"""


def window_of_a_long_page(position):
    """The chunk at a place among those of a page of many: 0 is the first, -1 the last."""
    return f"""where chunk_id = (
        select list(chunk_id order by start_offset)[{position + 1 if position >= 0 else position}]
        from chunk_catalog where source_id = 'page:apollo'
    )"""


@dataclass(frozen=True)
class Violation:
    """What SQL plants, which dbt test must see it (of a generic one: on what), which constraint refuses it."""

    test: str
    plant: str
    on: str | None = None
    refused: str | None = None

    @property
    def red(self) -> str:
        """What turns red."""
        return f"{self.test} of {self.on}" if self.on else self.test


VIOLATIONS = (
    # 1. At most one embedding per chunk, space and input hash.
    Violation(
        "is_idempotent_on",
        f"insert into embedding select * replace (cast(uuid() as varchar) as embedding_id)"
        f" from embedding {ONE_EMBEDDING}",
        on="embedding",
        refused=DUPLICATE,
    ),
    Violation(
        "is_idempotent_on",
        f"insert into chunk_version from chunk_version {ONE_CHUNK}",
        on="chunk_version",
        refused=DUPLICATE,
    ),
    # 2. A vector has its space's dimensions, is finite, and of norm 1 where the space says so.
    Violation(
        "vector_has_dimensions", f"update embedding set vector = [1.0] {ONE_EMBEDDING}", on="embedding", refused=CHECK
    ),
    Violation(
        "vector_has_dimensions",
        f"update embedding set vector = [1.0], dimensions = 1 {ONE_EMBEDDING}",
        on="embedding",
        refused=FOREIGN_KEY,
    ),
    *(
        Violation(
            "vector_is_finite",
            f"update embedding set vector = list_prepend(cast({value} as float), vector[2:]) {ONE_EMBEDDING}",
            on="embedding",
        )
        for value in ("'nan'", "'inf'", "'-inf'", "null")
    ),
    Violation(
        "vector_is_unit_length",
        f"update embedding set vector = list_transform(vector, lambda x: 1.01 * x) {ONE_EMBEDDING}",
        on="embedding",
    ),
    Violation(
        "belongs_to_space",
        f"update embedding set embedding_space_id = 'unknown' {ONE_EMBEDDING}",
        on="embedding",
        refused=FOREIGN_KEY,
    ),
    Violation(
        "is_sha256",
        f"update embedding set vector_sha256 = upper(vector_sha256) {ONE_EMBEDDING}",
        on="embedding",
    ),
    # The same of the canaries.
    Violation(
        "is_idempotent_on",
        f"insert into embedding_canary from embedding_canary {ONE_CANARY}",
        on="embedding_canary",
        refused=DUPLICATE,
    ),
    Violation(
        "vector_has_dimensions",
        f"update embedding_canary set vector = [1.0] {ONE_CANARY}",
        on="embedding_canary",
        refused=CHECK,
    ),
    Violation(
        "vector_is_finite",
        f"update embedding_canary set vector = list_prepend(cast('nan' as float), vector[2:]) {ONE_CANARY}",
        on="embedding_canary",
    ),
    Violation(
        "vector_is_unit_length",
        f"update embedding_canary set vector = list_transform(vector, lambda x: 1.01 * x) {ONE_CANARY}",
        on="embedding_canary",
    ),
    Violation(
        "belongs_to_space",
        f"update embedding_canary set embedding_space_id = 'unknown' {ONE_CANARY}",
        on="embedding_canary",
        refused=FOREIGN_KEY,
    ),
    Violation("is_sha256", f"update embedding_canary set canary_sha256 = 'none' {ONE_CANARY}", on="embedding_canary"),
    Violation(
        "embedding_space_id_is_the_digest_of_its_identity", "update embedding_space set model_name = 'another model'"
    ),
    Violation(
        "embedding_space_id_is_the_digest_of_its_identity",
        """update embedding_space set preprocess_policy_json = '{"query_prefix":"another: "}'""",
    ),
    # 3. A hash is that of its text, and a vector's input was a version of its chunk.
    Violation("sha256_matches", f"update chunk set content = content || ' ' {ONE_CHUNK}", on="chunk"),
    Violation("sha256_matches", f"update chunk_version set content = content || ' ' {ONE_CHUNK}", on="chunk_version"),
    Violation("sha256_matches", "update retrieval set query_text = 'another question'", on="retrieval"),
    Violation(
        "embedding_input_is_a_chunk_version",
        f"update embedding set input_content_sha256 = repeat('0', 64) {ONE_EMBEDDING}",
        refused=FOREIGN_KEY,
    ),
    Violation(
        "chunk_has_its_current_version",
        f"update chunk set content = 'never kept', content_sha256 = sha256('never kept') {ONE_CHUNK}",
    ),
    # 4. Hits come from their own space, and search reads neither stale nor retired vectors.
    Violation(
        "retrieval_hit_is_of_its_own_space",
        """
        insert into embedding_space
        select * replace ('other' as embedding_space_id, 'other' as space_key) from embedding_space;
        insert into retrieval
        select * replace ('r' as retrieval_id, 'other' as embedding_space_id) from retrieval limit 1;
        insert into retrieval_hit select * replace ('r' as retrieval_id) from retrieval_hit limit 1
        """,
    ),
    Violation(
        "search_reads_only_current_vectors",
        f"""
        update chunk set content_sha256 = repeat('0', 64) {ONE_CHUNK};
        create or replace view embedding_current as
        select embedding.*, chunk.source_id, chunk.source_type from embedding join chunk using (chunk_id)
        where chunk.retired_utc is null
        """,
    ),
    Violation(
        "search_reads_only_current_vectors",
        f"""
        update chunk set retired_utc = now() {ONE_CHUNK};
        create or replace view embedding_current as
        select embedding.*, chunk.source_id, chunk.source_type from embedding join chunk using (chunk_id)
        where embedding.input_content_sha256 = chunk.content_sha256
        """,
    ),
    # 5. What dbt says of a source is true of its chunks.
    Violation("chunks_cover_their_source", f"update chunk set retired_utc = now() {window_of_a_long_page(0)}"),
    Violation("chunks_cover_their_source", f"update chunk set retired_utc = now() {window_of_a_long_page(1)}"),
    Violation("chunks_cover_their_source", f"update chunk set retired_utc = now() {window_of_a_long_page(-1)}"),
    Violation("source_registry_matches_chunks", f"update chunk set retired_utc = now() {ONE_CHUNK}"),
    Violation(
        "source_registry_matches_chunks",
        "update source_registry set retired_utc = now() where source_id = 'page:apollo'",
    ),
    Violation(
        "chunk_policy_is_immutable",
        f"""update chunk set policy_json = replace(policy_json, '"chunk_size":', '"chunk_size":1') {ONE_CHUNK}""",
    ),
    Violation(
        "chunk_policy_is_immutable",
        """
        update chunk set managed_by = 'python' where source_id = 'page:apollo';
        update chunk set policy_json = replace(policy_json, '"chunk_size":', '"chunk_size":1')
        where chunk_id = (select min(chunk_id) from chunk where source_id = 'page:apollo')
        """,
    ),
    Violation(
        "chunks_cover_their_source",
        f"""
        update source_registry set managed_by = 'python' where source_id = 'page:apollo';
        update chunk set retired_utc = now() {window_of_a_long_page(1)}
        """,
    ),
    Violation("source_can_be_indexed", "update source_registry set status = 'error' where source_id = 'page:apollo'"),
    Violation(
        "source_type_has_not_vanished", "update source_registry set retired_utc = now() where source_type = 'page'"
    ),
    Violation(
        "one_model_fills_a_space",
        "update run set model_digest = 'another' where run_id in (select run_id from embedding);"
        " update embedding_space set model_digest = 'its own'",
    ),
    Violation("is_not_negative", "update embedding_space set price_per_million_tokens = -1", on="embedding_space"),
    Violation("few_texts_are_truncated", "update embedding set truncated_flag = true"),
    Violation(
        "sketches_find_the_nearest",
        "insert into embedding_sketch_recall by name (select embedding_space_id, 'vectors' as asked,"
        " 1 as sketch_version, 9 as vector_count, 20 as question_count, 200 as expected_count, 195 as found_count"
        " from embedding_space)",
    ),
    Violation("model_reads_its_texts", "update embedding set input_tokens = 9999, tokens_estimated_flag = false"),
    Violation(
        "one_model_fills_a_space",
        f"update run set model_digest = 'one'; update embedding_canary set model_digest = 'another' {ONE_CANARY}",
    ),
    # One space is live, and it is complete.
    *(
        Violation("publications_follow_each_other", f"{PUBLISHED}; {wrong}")
        for wrong in (
            "update space_publication set publication_number = 2",
            "update space_publication set previous_space_id = embedding_space_id",
            publication(2, "publish", "(select min(embedding_space_id) from embedding_space)"),
            publication(2, "rollback", "null"),
            publication(2, "retire", "null"),
        )
    ),
    Violation("publications_follow_each_other", f"{RETIRED}; {publication(4, 'rollback', LAST)}"),
    Violation(
        "is_idempotent_on",
        f"{PUBLISHED}; {publication(1, 'retire', 'null')}",
        on="space_publication",
        refused=DUPLICATE,
    ),
    Violation("live_space_is_covered", f"{PUBLISHED}; delete from embedding {ONE_EMBEDDING}"),
    Violation("run_has_a_job", "update run set job_id = 'unknown'", refused=FOREIGN_KEY),
    # 8. A job's state is what its runs and its lease say.
    Violation("job_attempts_within_maximum", "update job set attempt_count = max_attempts + 1"),
    Violation("succeeded_job_has_a_succeeded_run", "update run set status = 'FAILED'"),
    Violation(
        "succeeded_job_has_a_succeeded_run", "delete from embedding; delete from embedding_canary; delete from run"
    ),
    Violation(
        "running_job_keeps_its_lease",
        "update job set status = 'RUNNING', lease_expires_utc = now() at time zone 'utc' - interval 1 hour",
    ),
    # 9. What was erased is gone, and a payload's text is that of today.
    Violation(
        "erased_source_is_gone",
        "insert into erasure (erasure_id, kind, erasure_reason, salt, subject_sha256, counts_json, cache_epoch,"
        " created_utc, completed_utc) select 'e', 'source', 'asked for', 's', sha256('s:page:apollo'), '{}', 2,"
        " now() at time zone 'utc', now() at time zone 'utc'",
    ),
    Violation("source_is_extracted", "update source_registry set status = 'pending' where source_id = 'page:apollo'"),
    # What people give for documents.
    Violation(
        "is_in_one_document_model", "insert into vector_demo.page from vector_demo.page limit 1", on="document_input"
    ),
    Violation("document_model_has_rows", "delete from vector_demo.event"),
    # What people write into seeds.
    *(
        Violation("chunk_policy_is_valid", f"update chunk_policy set {wrong}", on="chunk_policy_input")
        for wrong in ("overlap = chunk_size", "method = 'pages'", "method = 'sentences'", "tokenizer = 'of characters'")
    ),
    Violation(
        "one_active_row_each",
        "insert into chunk_policy select * replace ('again' as policy_version) from chunk_policy limit 1",
        on="chunk_policy_input",
    ),
    Violation(
        "space_key_keeps_its_identity",
        "update embedding_space_seed set model_name = 'another model'",
        on="embedding_space_identity",
    ),
)


def test_all_tests_are_green_before(project):
    done = project.test()
    assert done.success, done.output
    assert {violation.red for violation in VIOLATIONS} <= done.ended("pass")
    assert project.query("select count(*) from retrieval_hit") == [(20,)], "a test of no rows would prove nothing"


def test_every_guard_has_a_violation_here():
    guards = {
        path.stem for folder in ("generic", "invariants") for path in (PROJECT_DIR / "tests" / folder).glob("*.sql")
    }
    assert guards == {violation.test for violation in VIOLATIONS}


def test_a_table_without_constraints_has_the_same_rows(project):
    before = project.contents()
    with project.connect() as connection:
        drop_constraints(connection)
    assert project.contents() == before, "so what turns red below is the planted row, not the copy"


@pytest.mark.parametrize("violation", VIOLATIONS, ids=lambda violation: violation.red)
def test_violation_turns_its_test_red(project, violation):
    with project.connect() as connection:
        if violation.refused:
            with pytest.raises(duckdb.ConstraintException, match=violation.refused):
                connection.execute(violation.plant)
            drop_constraints(connection)
        connection.execute(violation.plant)

    done = project.test("--select", f"test_name:{violation.test}" if violation.on else violation.test)

    assert violation.red in done.ended("fail") | done.ended("warn"), done.output
    assert not done.ended("error"), done.output


@pytest.mark.parametrize(
    "vector",
    ["list_reverse(vector)", "[cast('nan' as float)] || vector[2:]", "[cast(null as float)] || vector[2:]"],
    ids=["another of the same length", "NaN", "null"],
)
def test_a_vector_that_is_not_the_one_of_its_hash_is_found(project, vector):
    """SQL cannot hash the bytes of a float, so this one is checked by Python."""
    with project.store() as store:
        assert verify_vectors(store) == []
        store.engine.connection.execute(f"update embedding set vector = {vector} {ONE_EMBEDDING}")
        planted = store.engine.query("select min(embedding_id) from embedding")
        assert [(embedding_id,) for embedding_id in verify_vectors(store)] == planted


class WatchfulProvider(EmbeddingProvider):
    """Whenever the model is called, waits until no transaction is open: for ever, if one is held over the call."""

    endpoint_url = model_digest = None
    preferred_batch_size, preferred_concurrency = 16, 1

    def __init__(self, idle):
        self.idle = idle
        self.calls = 0

    def embed(self, texts):
        self.calls += 1
        # The batch before this one may be on its way to the database, so a transaction may be open, but not for long.
        assert self.idle.wait(timeout=10), "a transaction stays open while the model is called"
        vectors = np.tile(np.eye(1, 8, dtype=np.float32), (len(texts), 1))
        return EmbeddingReply(vectors, [None] * len(texts), [None] * len(texts))

    def close(self):
        pass


def test_no_transaction_is_open_while_the_model_is_called(project, monkeypatch):
    """Invariant 6; its other half, that nothing finished is paid for twice, is in test_chain and test_kill."""
    idle = threading.Event()
    idle.set()
    provider = WatchfulProvider(idle)
    monkeypatch.setattr("vector.embedding.run.open_provider", lambda space: provider)
    with project.store() as store:
        atomically = store.engine.atomically

        def watched(work):
            idle.clear()
            try:
                return atomically(work)
            finally:
                idle.set()

        monkeypatch.setattr(store.engine, "atomically", watched)
        space = store.get_or_create_embedding_space("watchful", "watchful", 8)
        summary = embed_space(store, space, EmbedOptions(limit=100))
    canary_calls = len(CANARIES) + 1  # each alone, and all together
    assert (provider.calls - canary_calls, summary.written) == (7, 100)


def test_the_legacy_schema_is_never_written_to(project):
    """Invariant 7: a chat runtime's schema `llm` beside ours comes out byte for byte as it went in."""
    with project.connect() as connection:
        connection.execute("""
            create schema llm;
            create table llm.chunk (chunk_id varchar primary key, content varchar, vector float[]);
            insert into llm.chunk select chunk_id, content, vector from embedding join chunk using (chunk_id);
            create view llm.everything as from llm.chunk
        """)
    before = legacy(project)

    pages = project.rows("page")
    project.write_rows("page", pages[1:])
    project.build("--full-refresh")
    project.embed()
    assert project.vector("search", "Which moon has geysers?").exit_code == 0

    assert legacy(project) == before
    assert len(before[0]) > 300


def legacy(project):
    """Rows with their places, and everything the catalog says of the schema."""
    return (
        project.query("select rowid, * from llm.chunk order by rowid"),
        project.query("select * exclude (estimated_size) from duckdb_tables() where schema_name = 'llm'"),
        project.query("select * from duckdb_views() where schema_name = 'llm'"),
        project.query("select * from duckdb_constraints() where schema_name = 'llm'"),
    )

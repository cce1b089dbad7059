"""The store: saves, gets and lists the records of the schema `vector`, on any engine.

    store = VectorStore(connection=conn)
    space = store.get_or_create_embedding_space(provider="ollama", model_name="nomic-embed-text", dimensions=768)
    store.save_embedding(VectorEmbedding.create_new(...))

dbt owns the tables; run `dbt build` before opening a store. Saving twice writes once: every save says, as a
SaveResult, how many rows it inserted, updated and found unchanged.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from vector.contracts import ledgers
from vector.contracts.ledgers import Column
from vector.contracts.models import (
    EmbeddingCanary,
    EmbeddingFailure,
    EmbeddingSpace,
    Erasure,
    EvaluationInterval,
    SpacePublication,
    VectorChunk,
    VectorEmbedding,
    VectorJob,
    VectorRetrieval,
    VectorRetrievalHit,
    VectorRun,
    VectorSourceRegistry,
)
from vector.engines import engine_for_connection
from vector.engines.base import Engine, with_sketches
from vector.errors import ConfigurationError, InvalidRecord
from vector.store import ledger_io
from vector.store.aliases import Aliases
from vector.store.checks import checked_canary, checked_chunk, checked_embedding, checked_retrieval, checked_space
from vector.store.ledger_io import ConstraintRefusal, SaveResult
from vector.store.tombstones import refuse_erased
from vector.store.vector_batch import VectorBatch
from vector.store.versions import hits_of_versions, keep_versions, require_versions

logger = logging.getLogger(__name__)

# With the column of the foreign key to the space.
_EMBEDDING, _EMBEDDING_CANARY = (
    replace(ledger, columns=(*ledger.columns, Column("dimensions", "dimensions", "integer")))
    for ledger in (ledgers.EMBEDDING, ledgers.EMBEDDING_CANARY)
)
# Seconds to wait for another session that makes the same space.
_PAUSES = (0.01, 0.05, 0.25, 1)
# What a store needs to be built.
RELATIONS = [
    *(ledger.table for ledger in ledgers.LEDGERS), "chunk_version",
    "embedding_state", "embedding_pending", "embedding_current", "space_status", "search_setting",
]  # fmt: skip
SKETCHES = ["embedding_sketch", "embedding_sketch_mean", "embedding_sketch_recall"]


def _is_for_a_worker(job: VectorJob) -> bool:
    return not job.by_hand_flag and getattr(job.status, "value", job.status) in ("NEW", "FAILED")


class VectorStore(Aliases):
    """The ledgers of one schema over one connection. The methods of `Aliases` are other names of some of these.

    `connection` is an open duckdb, pyodbc or mssql_python connection with no transaction open; `engine` may be given
    instead. Raises ConfigurationError when the connection is of another kind or `dbt build` has not made the schema.
    """

    def __init__(self, connection: Any = None, schema: str = "vector", *, engine: Engine | None = None):
        if (connection is None) == (engine is None):
            raise ConfigurationError("VectorStore needs a connection, or an engine, and not both")
        self.engine = engine or engine_for_connection(connection, schema)
        missing = self.engine.missing_relations([*RELATIONS, *(SKETCHES if with_sketches(self.engine) else ())])
        if missing:
            named = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            raise ConfigurationError(
                f"{self.engine.location}: schema {self.engine.schema} lacks {named}; run `dbt build` first"
            )

    def require_built(self, *names: str) -> None:
        """Raises ConfigurationError, which names the first, when relations that not everything needs are not there."""
        missing = self.engine.missing_relations(names)
        if missing:
            raise ConfigurationError(f"{missing[0]} is not built; run `dbt build` first")

    # Embedding spaces

    def save_embedding_space(self, space: EmbeddingSpace) -> SaveResult:
        """Adds a space, or changes its description and active flag. Raises as save_embedding_spaces does."""
        return self.save_embedding_spaces([space])

    def save_embedding_spaces(self, spaces: Iterable[EmbeddingSpace]) -> SaveResult:
        """Adds spaces, or changes their description and active flag, all or none.

        Raises InvalidRecord when the id of a new space is not the digest of its identity, when anything else of a
        known space is changed, or when a `space_key` belongs to another space.
        """
        known = self._spaces()
        kept = ledger_io.records_of(ledgers.EMBEDDING_SPACE, spaces)
        return self._save(ledgers.EMBEDDING_SPACE, [checked_space(space, known) for space in kept])

    def get_embedding_space(self, embedding_space_id: str) -> EmbeddingSpace | None:
        """The space, or None."""
        return ledger_io.get(self.engine, ledgers.EMBEDDING_SPACE, embedding_space_id=embedding_space_id)

    def get_embedding_space_by_key(self, space_key: str) -> EmbeddingSpace | None:
        """The space with this readable key, or None."""
        return ledger_io.get(self.engine, ledgers.EMBEDDING_SPACE, space_key=space_key)

    def get_or_create_embedding_space(
        self, provider: str, model_name: str, dimensions: int, **attributes: Any
    ) -> EmbeddingSpace:
        """The space of this identity, made if there is none; `attributes` are further fields of EmbeddingSpace.

        Race-free: the id is a digest of the identity, so sessions that create it at once write one row.
        """
        wanted = EmbeddingSpace.create_new(provider, model_name, dimensions, **attributes)
        pauses = iter(_PAUSES)
        while not (found := self.get_embedding_space(wanted.embedding_space_id)):
            made = checked_space(wanted, self._spaces())
            rows = ledger_io.rows_by_key(self.engine, ledgers.EMBEDDING_SPACE, [made])
            try:
                self._write(
                    ledgers.EMBEDDING_SPACE,
                    partial(ledger_io.insert_new, self.engine, ledgers.EMBEDDING_SPACE, rows.values()),
                )
            except ConstraintRefusal:
                # Another session is making it now: on DuckDB its key is taken a moment before its row can be seen.
                pause = next(pauses, None)
                if pause is None:
                    raise
                time.sleep(pause)
        return found

    def list_embedding_spaces(self, active_only: bool = True) -> list[EmbeddingSpace]:
        """Spaces by key."""
        where = {"is_active": True if active_only else None}
        return ledger_io.find(self.engine, ledgers.EMBEDDING_SPACE, where, order="space_key", often=True)

    def save_space_publication(self, publication: SpacePublication) -> SaveResult:
        """Adds a publication: one insert, which is the switch. See vector.spaces.publications for what must hold before
        it.

        Raises InvalidRecord when another one has its number, or a space is unknown.
        """
        return self._save(ledgers.SPACE_PUBLICATION, [publication])

    def list_space_publications(self) -> list[SpacePublication]:
        """Publications by number, all spaces'."""
        return ledger_io.find(self.engine, ledgers.SPACE_PUBLICATION, {}, order="publication_number")

    # Jobs and runs

    def save_job(self, job: VectorJob) -> SaveResult:
        """Adds a job, or changes its state. Raises as save_jobs does."""
        return self.save_jobs([job])

    def save_jobs(self, jobs: Iterable[VectorJob]) -> SaveResult:
        """Adds jobs, or changes their state, all or none.

        Raises InvalidRecord when a worker could make nothing of a new job that is due to one (docs/operations.md).
        """
        kept = ledger_io.records_of(ledgers.JOB, jobs)
        ledger_io.rows_by_key(self.engine, ledgers.JOB, kept)  # raises for what no ledger holds, before it is looked at
        due = {(job.job_id,): job for job in reversed(kept) if _is_for_a_worker(job)}
        known = ledger_io.existing_rows(self.engine, ledgers.JOB, due)
        for key in due.keys() - known.keys():
            # By name, as the queue finds its handlers: the kinds of job are a wing above this one.
            importlib.import_module("vector.jobs.handlers").require_doable(self, due[key])
        return self._save(ledgers.JOB, kept)

    def get_job(self, job_id: str) -> VectorJob | None:
        """The job, or None."""
        return ledger_io.get(self.engine, ledgers.JOB, job_id=job_id)

    def list_jobs(self, status: Any = None, job_type: Any = None, limit: int | None = None) -> list[VectorJob]:
        """Jobs, the oldest first; `status` and `job_type` are enum members or their values."""
        where = {"status": getattr(status, "value", status), "job_type": getattr(job_type, "value", job_type)}
        return ledger_io.find(self.engine, ledgers.JOB, where, order="created_utc, job_id", limit=limit)

    def save_run(self, run: VectorRun) -> SaveResult:
        """Adds a run, or changes its outcome."""
        return self.save_runs([run])

    def save_runs(self, runs: Iterable[VectorRun]) -> SaveResult:
        """Adds runs, or changes their outcome, all or none."""
        return self._save(ledgers.RUN, runs)

    def get_run(self, run_id: str) -> VectorRun | None:
        """The run, or None."""
        return ledger_io.get(self.engine, ledgers.RUN, run_id=run_id)

    def list_runs(self, job_id: str | None = None, limit: int | None = None) -> list[VectorRun]:
        """Runs, the oldest first."""
        return ledger_io.find(self.engine, ledgers.RUN, {"job_id": job_id}, order="started_utc, run_id", limit=limit)

    # Sources and chunks

    def save_source(self, source: VectorSourceRegistry) -> SaveResult:
        """Adds a source, or changes it."""
        return self.save_sources([source])

    def save_sources(self, sources: Iterable[VectorSourceRegistry]) -> SaveResult:
        """Adds or changes sources, all or none. Raises InvalidRecord for one that was erased, and not let in again."""
        kept = list(sources)

        def write() -> SaveResult:
            refuse_erased(self.engine, (source.source_id for source in kept))
            return ledger_io.save(self.engine, ledgers.SOURCE_REGISTRY, kept)

        return self._write(ledgers.SOURCE_REGISTRY, write)

    def get_source(self, source_id: str) -> VectorSourceRegistry | None:
        """The source, or None."""
        return ledger_io.get(self.engine, ledgers.SOURCE_REGISTRY, source_id=source_id)

    def list_sources(self, source_type: str | None = None, limit: int | None = None) -> list[VectorSourceRegistry]:
        """Sources by id, retired ones included."""
        return ledger_io.find(self.engine, ledgers.SOURCE_REGISTRY, {"source_type": source_type}, limit=limit)

    def save_chunk(self, chunk: VectorChunk) -> SaveResult:
        """Adds a chunk, or changes its text; its versions stay."""
        return self.save_chunks([chunk])

    def save_chunks(self, chunks: Iterable[VectorChunk]) -> SaveResult:
        """Adds or changes chunks, all or none.

        Raises InvalidRecord when a hash or byte count is not that of the content, the offsets are none, or the source
        was erased and not let in again.
        """
        kept = [checked_chunk(chunk) for chunk in ledger_io.records_of(ledgers.CHUNK, chunks)]

        def write() -> SaveResult:
            refuse_erased(self.engine, (chunk.source_id for chunk in kept))
            result = ledger_io.save(self.engine, ledgers.CHUNK, kept)
            keep_versions(self.engine, ((chunk.chunk_id, chunk.content_sha256) for chunk in kept))
            return result

        return self._write(ledgers.CHUNK, write)

    def get_chunk(self, chunk_id: str) -> VectorChunk | None:
        """The chunk with its current text, or None."""
        return ledger_io.get(self.engine, ledgers.CHUNK, chunk_id=chunk_id)

    def chunk_exists(self, chunk_id: str) -> bool:
        """Whether there is such a chunk, retired or not."""
        return self.get_chunk(chunk_id) is not None

    def list_chunks(
        self, source_id: str | None = None, include_retired: bool = False, limit: int | None = None
    ) -> list[VectorChunk]:
        """Chunks by id, current ones unless asked otherwise."""
        null = () if include_retired else ("retired_utc",)
        return ledger_io.find(self.engine, ledgers.CHUNK, {"source_id": source_id}, limit=limit, null=null)

    # Embeddings

    def save_embedding(self, embedding: VectorEmbedding) -> SaveResult:
        """Adds a vector. One that is there already (same chunk, space and input hash) is left as it is, and counted
        as unchanged. Raises as save_embeddings does."""
        result = self.save_embeddings([embedding])
        if not result:
            logger.info("embedding of chunk %s is there already, nothing written", embedding.chunk_id)
        return result

    def save_embeddings(self, embeddings: Iterable[VectorEmbedding]) -> SaveResult:
        """Adds vectors, all or none of the new ones.

        Raises InvalidRecord, and writes nothing, when a vector has another length than its space, holds NaN or
        infinity, does not match its `vector_sha256`, or belongs to an unknown space, chunk or run, or its input hash
        is that of no version of its chunk.
        """
        spaces = self._spaces()
        kept = [checked_embedding(each, spaces) for each in ledger_io.records_of(_EMBEDDING, embeddings)]
        rows = ledger_io.rows_by_key(self.engine, _EMBEDDING, kept)
        inserted = self._write_embeddings(list(rows.values()), [(chunk_id, sha256) for chunk_id, _, sha256 in rows])
        return SaveResult(inserted=inserted, unchanged=len(kept) - inserted)

    def save_vector_batch(self, batch: VectorBatch) -> SaveResult:
        """Adds vectors as save_embeddings does, and several times as fast, as no record is made of each.

        Raises InvalidRecord, and writes nothing, when a vector is not one of the batch's space, or the space, a chunk
        or its text's version is unknown.
        """
        if not len(batch):
            return SaveResult()
        rows = batch.rows(_EMBEDDING.column_names, self.engine.encode_vector)
        versions = list(zip(batch.chunk_ids, batch.input_content_sha256, strict=True))
        # A run embeds what has no vector; another session may have been faster.
        inserted = self._write_embeddings(rows, versions, all_new=True)
        return SaveResult(inserted=inserted, unchanged=len(rows) - inserted)

    def _write_embeddings(self, rows: list[tuple], versions: list[tuple[str, str]], *, all_new: bool = False) -> int:
        """The number of rows that were new. `versions` are their chunk ids and content
        hashes; `all_new` as the engine has it."""

        def write(thought_new: bool) -> int:
            inserted = ledger_io.insert_new(self.engine, _EMBEDDING, rows, all_new=thought_new)
            if with_sketches(self.engine):
                # Its module brings numpy, and the class that this is.
                sketches = importlib.import_module("vector.store.sketches")
                sketches.write_with_vectors(self.engine, rows, _EMBEDDING.column_names, inserted)
            return inserted

        def write_with_versions() -> int:
            keep_versions(self.engine, versions)
            require_versions(self.engine, versions)
            return write(False)

        # The foreign key, where there is one, knows whether the versions are there; to look for them first would read
        # all of them.
        if not self.engine.transactional:
            require_versions(self.engine, versions)
            return self._write(_EMBEDDING, lambda: write(all_new))
        try:
            return self._write(_EMBEDDING, lambda: write(all_new))
        except ConstraintRefusal:
            return self._write(_EMBEDDING, write_with_versions)

    def get_embedding(self, embedding_id: str) -> VectorEmbedding | None:
        """The embedding, or None."""
        return ledger_io.get(self.engine, ledgers.EMBEDDING, embedding_id=embedding_id)

    def list_embeddings(
        self, chunk_id: str | None = None, embedding_space_id: str | None = None, limit: int | None = None
    ) -> list[VectorEmbedding]:
        """Embeddings by key, those of earlier texts included."""
        where = {"chunk_id": chunk_id, "embedding_space_id": embedding_space_id}
        return ledger_io.find(self.engine, ledgers.EMBEDDING, where, limit=limit)

    def save_embedding_canaries(self, canaries: Iterable[EmbeddingCanary]) -> SaveResult:
        """Adds canary vectors, all or none of the new ones; one that is there already is left as it is.

        Raises InvalidRecord, and writes nothing, when a vector is none of its space, holds NaN or infinity, does not
        match its `vector_sha256`, or belongs to an unknown space or run.
        """
        spaces = self._spaces()
        kept = [checked_canary(each, spaces) for each in ledger_io.records_of(_EMBEDDING_CANARY, canaries)]
        rows = ledger_io.rows_by_key(self.engine, _EMBEDDING_CANARY, kept)
        inserted = self._write(
            _EMBEDDING_CANARY, lambda: ledger_io.insert_new(self.engine, _EMBEDDING_CANARY, rows.values())
        )
        return SaveResult(inserted=inserted, unchanged=len(kept) - inserted)

    def list_embedding_canaries(self, embedding_space_id: str | None = None) -> list[EmbeddingCanary]:
        """Canary vectors by space and index."""
        return ledger_io.find(self.engine, ledgers.EMBEDDING_CANARY, {"embedding_space_id": embedding_space_id})

    def save_embedding_failures(self, failures: Iterable[EmbeddingFailure]) -> SaveResult:
        """Quarantines inputs that a model refused."""
        return self._save(ledgers.EMBEDDING_FAILURE, failures)

    def get_embedding_failure(self, embedding_failure_id: str) -> EmbeddingFailure | None:
        """The quarantined input, or None."""
        return ledger_io.get(self.engine, ledgers.EMBEDDING_FAILURE, embedding_failure_id=embedding_failure_id)

    def list_embedding_failures(
        self, embedding_space_id: str | None = None, input_content_sha256: str | None = None
    ) -> list[EmbeddingFailure]:
        """Quarantined inputs by key."""
        where = {"embedding_space_id": embedding_space_id, "input_content_sha256": input_content_sha256}
        return ledger_io.find(self.engine, ledgers.EMBEDDING_FAILURE, where)

    # Retrievals

    def save_retrieval(self, retrieval: VectorRetrieval, hits: Sequence[VectorRetrievalHit] = ()) -> SaveResult:
        """Logs a search with its hits, all or nothing. Raises as save_retrievals does."""
        return self.save_retrievals([retrieval], hits)

    def save_retrievals(
        self, retrievals: Iterable[VectorRetrieval], hits: Iterable[VectorRetrievalHit] = ()
    ) -> SaveResult:
        """Logs searches with their hits, all or nothing. A hit without a content hash gets its chunk's current one.

        Raises InvalidRecord when a query vector is none of its space, or a hit is of none of these retrievals or of
        an unknown chunk.
        """
        kept, kept_hits = self._checked_retrievals(retrievals, hits)

        def write() -> SaveResult:
            if not self.engine.transactional:  # a search without its row was never logged
                return self._save_hits(kept_hits) + ledger_io.save(self.engine, ledgers.RETRIEVAL, kept)
            return ledger_io.save(self.engine, ledgers.RETRIEVAL, kept) + self._save_hits(kept_hits)

        return self._write(ledgers.RETRIEVAL, write)

    def _checked_retrievals(
        self, retrievals: Iterable[VectorRetrieval], hits: Iterable[VectorRetrievalHit]
    ) -> tuple[list[VectorRetrieval], list[VectorRetrievalHit]]:
        spaces = self._spaces()
        kept = [checked_retrieval(each, spaces) for each in ledger_io.records_of(ledgers.RETRIEVAL, retrievals)]
        kept_hits = ledger_io.records_of(ledgers.RETRIEVAL_HIT, hits)
        ids = {retrieval.retrieval_id for retrieval in kept}
        for hit in kept_hits:
            if hit.retrieval_id not in ids:
                raise InvalidRecord(f"retrieval {', '.join(sorted(ids)[:3])}: a hit names another retrieval")
        return kept, kept_hits

    def save_retrieval_hits(self, hits: Iterable[VectorRetrievalHit]) -> SaveResult:
        """Adds hits to logged searches, all or none. Raises InvalidRecord when a chunk or retrieval is unknown."""
        kept = ledger_io.records_of(ledgers.RETRIEVAL_HIT, hits)
        return self._write(ledgers.RETRIEVAL_HIT, lambda: self._save_hits(kept))

    def get_retrieval(self, retrieval_id: str) -> VectorRetrieval | None:
        """The logged search, or None."""
        return ledger_io.get(self.engine, ledgers.RETRIEVAL, retrieval_id=retrieval_id)

    def list_retrievals(self, embedding_space_id: str | None = None, limit: int | None = None) -> list[VectorRetrieval]:
        """Logged searches, the latest first."""
        where = {"embedding_space_id": embedding_space_id}
        return ledger_io.find(
            self.engine, ledgers.RETRIEVAL, where, order="created_utc desc, retrieval_id", limit=limit
        )

    def get_retrieval_hit(self, retrieval_id: str, rank: int) -> VectorRetrievalHit | None:
        """The hit of this rank of a logged search, or None."""
        return ledger_io.get(self.engine, ledgers.RETRIEVAL_HIT, retrieval_id=retrieval_id, rank=rank)

    def list_retrieval_hits(self, retrieval_id: str) -> list[VectorRetrievalHit]:
        """Hits of a logged search by rank."""
        return ledger_io.find(self.engine, ledgers.RETRIEVAL_HIT, {"retrieval_id": retrieval_id}, order="rank")

    def save_evaluation_intervals(self, intervals: Iterable[EvaluationInterval]) -> SaveResult:
        """Stores how sure the means of evaluations, and their differences, are."""
        return self._save(ledgers.EVALUATION_INTERVAL, intervals)

    def save_erasure(self, erasure: Erasure) -> SaveResult:
        """Adds an erasure, or changes how far it has come, and whether it is lifted."""
        return self._save(ledgers.ERASURE, [erasure])

    def list_erasures(self, kind: Any = None) -> list[Erasure]:
        """Erasures, the oldest first; `kind` is an enum member or its value."""
        where = {"kind": getattr(kind, "value", kind)}
        return ledger_io.find(self.engine, ledgers.ERASURE, where, order="created_utc, erasure_id")

    def latest(self) -> VectorStore:
        """The store to ask the next question with: this one, unless it reads a copy (vector.store.opening)."""
        return self

    @property
    def lasting(self) -> VectorStore:
        """The store that all those of `latest` come from."""
        return self

    def close(self) -> None:
        """Closes the connection."""
        self.engine.close()

    def __enter__(self) -> VectorStore:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _spaces(self) -> dict[str, EmbeddingSpace]:
        return {space.embedding_space_id: space for space in self.list_embedding_spaces(active_only=False)}

    def _save(self, ledger: ledgers.Ledger, records: Iterable[Any]) -> SaveResult:
        kept = list(records)
        return self._write(ledger, lambda: ledger_io.save(self.engine, ledger, kept))

    def _write(self, ledger: ledgers.Ledger, work: Callable[[], Any]) -> Any:
        with ledger_io.refusals_explained(self.engine, ledger):
            return self.engine.atomically(work)

    def _save_hits(self, hits: Sequence[VectorRetrievalHit]) -> SaveResult:
        return ledger_io.save(self.engine, ledgers.RETRIEVAL_HIT, hits_of_versions(self.engine, hits))

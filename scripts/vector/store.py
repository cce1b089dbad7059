"""The store: saves, gets and lists the records of the schema `vector`, on any engine.

    store = VectorStore(connection=conn)
    space = store.get_or_create_embedding_space(provider="ollama", model_name="nomic-embed-text", dimensions=768)
    store.save_embedding(VectorEmbedding.create_new(...))

dbt owns the tables; run `dbt build` before opening a store. Saving twice writes once: every save says, as a
SaveResult, how many rows it inserted, updated and found unchanged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vector import ledger_io
from vector.contracts import ledgers
from vector.contracts.identity import as_float32, compute_content_hash, compute_vector_hash, require_storable_text
from vector.contracts.ledgers import Column
from vector.contracts.models import (
    EmbeddingFailure,
    EmbeddingSpace,
    VectorChunk,
    VectorEmbedding,
    VectorJob,
    VectorRetrieval,
    VectorRetrievalHit,
    VectorRun,
    VectorSourceRegistry,
)
from vector.engines import engine_for_connection
from vector.engines.base import Engine
from vector.errors import ConfigurationError, InvalidRecord
from vector.ledger_io import SaveResult

logger = logging.getLogger(__name__)

_CHUNK_VERSION_KEY = (Column("chunk_id", "", "text"), Column("content_sha256", "", "text"))
_RELATIONS = [*(ledger.table for ledger in ledgers.LEDGERS), "chunk_version", "embedding_pending", "embedding_current"]


class VectorStore:
    """The ledgers of one schema over one connection.

    `connection` is an open duckdb, pyodbc or mssql_python connection with no transaction open; `engine` may be given
    instead. Raises ConfigurationError when the connection is of another kind or `dbt build` has not made the schema.
    """

    def __init__(self, connection: Any = None, schema: str = "vector", *, engine: Engine | None = None):
        if (connection is None) == (engine is None):
            raise ConfigurationError("VectorStore needs a connection, or an engine, and not both")
        self.engine = engine or engine_for_connection(connection, schema)
        missing = self.engine.missing_relations(_RELATIONS)
        if missing:
            raise ConfigurationError(f"schema {self.engine.schema} lacks {', '.join(missing)}; run `dbt build` first")

    # Embedding spaces

    def save_embedding_space(self, space: EmbeddingSpace) -> SaveResult:
        """Adds a space, or changes its description and active flag.

        Raises InvalidRecord when anything else of a known space is changed, or its `space_key` belongs to another.
        """
        if not space.space_key:
            space = replace(space, space_key=_default_space_key(space))
        if space.updated_utc is None:
            space = replace(space, updated_utc=space.created_utc)
        holder = ledger_io.get(self.engine, ledgers.EMBEDDING_SPACE, space_key=space.space_key)
        if holder and holder.embedding_space_id != space.embedding_space_id:
            raise InvalidRecord(
                f"space_key {space.space_key!r} belongs to space {holder.embedding_space_id}; choose another key"
            )
        return self._save(ledgers.EMBEDDING_SPACE, [space])

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
        found = self.get_embedding_space(wanted.embedding_space_id)
        if found:
            return found
        try:
            self.save_embedding_space(wanted)
        except Exception as error:
            if not self.engine.is_duplicate_key(error):
                raise
        return self.get_embedding_space(wanted.embedding_space_id) or wanted

    def list_embedding_spaces(self, active_only: bool = True) -> list[EmbeddingSpace]:
        """Spaces by key."""
        where = {"is_active": True if active_only else None}
        return ledger_io.find(self.engine, ledgers.EMBEDDING_SPACE, where, order="space_key")

    # Jobs and runs

    def save_job(self, job: VectorJob) -> SaveResult:
        """Adds a job, or changes its state."""
        return self._save(ledgers.JOB, [job])

    def get_job(self, job_id: str) -> VectorJob | None:
        """The job, or None."""
        return ledger_io.get(self.engine, ledgers.JOB, job_id=job_id)

    def list_jobs(self, status: Any = None, job_type: Any = None, limit: int | None = None) -> list[VectorJob]:
        """Jobs, the oldest first; `status` and `job_type` are enum members or their values."""
        where = {"status": getattr(status, "value", status), "job_type": getattr(job_type, "value", job_type)}
        return ledger_io.find(self.engine, ledgers.JOB, where, order="created_utc, job_id", limit=limit)

    def save_run(self, run: VectorRun) -> SaveResult:
        """Adds a run, or changes its outcome."""
        return self._save(ledgers.RUN, [run])

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
        """Adds or changes sources, all or none."""
        return self._save(ledgers.SOURCE_REGISTRY, sources)

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

        Raises InvalidRecord when a hash or byte count is not that of the content.
        """
        chunks = [replace(chunk, updated_utc=chunk.updated_utc or chunk.created_utc) for chunk in chunks]
        for chunk in chunks:
            if chunk.content_sha256 != compute_content_hash(chunk.content):
                raise InvalidRecord(f"chunk {chunk.chunk_id}: content_sha256 is not the hash of its content")
            if chunk.byte_count != len(chunk.content.encode()):
                raise InvalidRecord(f"chunk {chunk.chunk_id}: byte_count is not the length of its content in UTF-8")

        def write() -> SaveResult:
            result = ledger_io.save(self.engine, ledgers.CHUNK, chunks)
            self._keep_versions([(chunk.chunk_id, chunk.content_sha256) for chunk in chunks])
            return result

        return self.engine.atomically(write)

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

    def save_embeddings(self, embeddings: Sequence[VectorEmbedding]) -> SaveResult:
        """Adds vectors, all or none of the new ones.

        Raises InvalidRecord, and writes nothing, when a vector has another length than its space, holds NaN or
        infinity, does not match its `vector_sha256`, or belongs to an unknown space or chunk, or its input hash is
        that of no version of its chunk.
        """
        embeddings = list(embeddings)
        spaces = {space.embedding_space_id: space for space in self.list_embedding_spaces(active_only=False)}
        rows = []
        for embedding in embeddings:
            vector = _checked_vector(embedding, spaces)
            row = ledgers.EMBEDDING.to_row(embedding)
            position = ledgers.EMBEDDING.column_names.index("vector")
            rows.append((*row[:position], self.engine.encode_vector(vector), *row[position + 1 :], len(vector)))
        ledger = replace(
            ledgers.EMBEDDING, columns=(*ledgers.EMBEDDING.columns, Column("dimensions", "dimensions", "integer"))
        )
        by_key = {(row[1], row[2], row[3]): row for row in reversed(rows)}

        def write() -> int:
            return ledger_io.insert_new(self.engine, ledger, by_key.values())

        def write_with_versions() -> int:
            self._keep_versions([(key[0], key[2]) for key in by_key])
            self._require_versions({(key[0], key[2]) for key in by_key})
            return write()

        # The foreign key knows whether the versions are there; to look for them first would read all of them.
        try:
            inserted = self.engine.atomically(write)
        except Exception as error:
            if not self.engine.is_unknown_reference(error):
                raise
            inserted = self.engine.atomically(write_with_versions)
        return SaveResult(inserted=inserted, unchanged=len(embeddings) - inserted)

    def get_embedding(self, embedding_id: str) -> VectorEmbedding | None:
        """The embedding, or None."""
        return ledger_io.get(self.engine, ledgers.EMBEDDING, embedding_id=embedding_id)

    def list_embeddings(
        self, chunk_id: str | None = None, embedding_space_id: str | None = None, limit: int | None = None
    ) -> list[VectorEmbedding]:
        """Embeddings by key, those of earlier texts included."""
        where = {"chunk_id": chunk_id, "embedding_space_id": embedding_space_id}
        return ledger_io.find(self.engine, ledgers.EMBEDDING, where, limit=limit)

    def save_embedding_failures(self, failures: Iterable[EmbeddingFailure]) -> SaveResult:
        """Quarantines inputs that a model refused."""
        return self._save(ledgers.EMBEDDING_FAILURE, failures)

    def list_embedding_failures(self, embedding_space_id: str | None = None) -> list[EmbeddingFailure]:
        """Quarantined inputs by key."""
        return ledger_io.find(self.engine, ledgers.EMBEDDING_FAILURE, {"embedding_space_id": embedding_space_id})

    # Retrievals

    def save_retrieval(self, retrieval: VectorRetrieval, hits: Sequence[VectorRetrievalHit] = ()) -> SaveResult:
        """Logs a search with its hits, all or nothing. A hit without a content hash gets its chunk's current one.

        Raises InvalidRecord when a hit is of another retrieval or of an unknown chunk.
        """
        retrieval = replace(
            retrieval, query_sha256=retrieval.query_sha256 or compute_content_hash(retrieval.query_text)
        )
        if retrieval.query_embedding is not None:
            vector = np.asarray(retrieval.query_embedding, dtype=np.float32)
            retrieval = replace(retrieval, query_embedding=self.engine.encode_vector(vector))
        if any(hit.retrieval_id != retrieval.retrieval_id for hit in hits):
            raise InvalidRecord(f"retrieval {retrieval.retrieval_id}: a hit names another retrieval")
        return self.engine.atomically(
            lambda: ledger_io.save(self.engine, ledgers.RETRIEVAL, [retrieval]) + self._save_hits(hits)
        )

    def save_retrieval_hits(self, hits: Sequence[VectorRetrievalHit]) -> SaveResult:
        """Adds hits to a logged search, all or none. Raises InvalidRecord when a chunk is unknown."""
        return self.engine.atomically(lambda: self._save_hits(hits))

    def get_retrieval(self, retrieval_id: str) -> VectorRetrieval | None:
        """The logged search, or None."""
        return ledger_io.get(self.engine, ledgers.RETRIEVAL, retrieval_id=retrieval_id)

    def list_retrievals(self, embedding_space_id: str | None = None, limit: int | None = None) -> list[VectorRetrieval]:
        """Logged searches, the latest first."""
        where = {"embedding_space_id": embedding_space_id}
        return ledger_io.find(
            self.engine, ledgers.RETRIEVAL, where, order="created_utc desc, retrieval_id", limit=limit
        )

    def list_retrieval_hits(self, retrieval_id: str) -> list[VectorRetrievalHit]:
        """Hits of a logged search by rank."""
        return ledger_io.find(self.engine, ledgers.RETRIEVAL_HIT, {"retrieval_id": retrieval_id}, order="rank")

    def close(self) -> None:
        """Closes the connection."""
        self.engine.close()

    def _save(self, ledger: ledgers.Ledger, records: Iterable[Any]) -> SaveResult:
        kept = list(records)
        return self.engine.atomically(lambda: ledger_io.save(self.engine, ledger, kept))

    def _save_hits(self, hits: Sequence[VectorRetrievalHit]) -> SaveResult:
        chunk_ids = {hit.chunk_id for hit in hits if hit.content_sha256 is None}
        chunks = ledger_io.existing_rows(self.engine, ledgers.CHUNK, [(chunk_id,) for chunk_id in chunk_ids])
        unknown = sorted(chunk_ids - {key[0] for key in chunks})
        if unknown:
            raise InvalidRecord(f"retrieval hit: chunk {unknown[0]} is not in the ledger; save the chunk first")
        position = ledgers.CHUNK.column_names.index("content_sha256")
        hits = [
            hit if hit.content_sha256 else replace(hit, content_sha256=chunks[(hit.chunk_id,)][position])
            for hit in hits
        ]
        self._require_versions({(hit.chunk_id, hit.content_sha256) for hit in hits})
        return ledger_io.save(self.engine, ledgers.RETRIEVAL_HIT, hits)

    def _keep_versions(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Adds the current texts of these chunks to their history, where dbt has not done so yet."""
        version = self.engine.table("chunk_version")
        with self.engine.staged(_CHUNK_VERSION_KEY, sorted(set(pairs))) as staged:
            self.engine.execute(
                f"insert into {version} (chunk_id, content_sha256, content, created_utc)"
                f" select chunk.chunk_id, chunk.content_sha256, chunk.content, chunk.updated_utc"
                f" from {staged} as staged inner join {self.engine.table('chunk')} as chunk"
                " on chunk.chunk_id = staged.chunk_id and chunk.content_sha256 = staged.content_sha256"
                f" where not exists (select 1 from {version} as version"
                " where version.chunk_id = staged.chunk_id and version.content_sha256 = staged.content_sha256)"
            )

    def _require_versions(self, pairs: set[tuple[str, str]]) -> None:
        """Raises InvalidRecord unless each (chunk, content hash) is a version in the history."""
        with self.engine.staged(_CHUNK_VERSION_KEY, sorted(pairs)) as staged:
            missing = self.engine.query(
                f"select staged.chunk_id, staged.content_sha256 from {staged} as staged"
                f" left join {self.engine.table('chunk_version')} as version"
                " on version.chunk_id = staged.chunk_id and version.content_sha256 = staged.content_sha256"
                " where version.chunk_id is null order by staged.chunk_id"
            )
        if missing:
            chunk_id, content_sha256 = missing[0]
            if self.get_chunk(chunk_id) is None:
                raise InvalidRecord(f"chunk {chunk_id} is not in the ledger; save the chunk, or run `dbt build`, first")
            raise InvalidRecord(f"chunk {chunk_id} never had a text with the hash {content_sha256}")


def _default_space_key(space: EmbeddingSpace) -> str:
    return f"{space.provider}-{space.model_name}-{space.dimensions}-{space.embedding_space_id[:8]}"


def _checked_vector(embedding: VectorEmbedding, spaces: dict[str, EmbeddingSpace]) -> np.ndarray:
    """The vector as float32, shape (dimensions,). Raises InvalidRecord naming what is wrong with it."""
    space = spaces.get(embedding.embedding_space_id)
    if space is None:
        raise InvalidRecord(
            f"embedding space {embedding.embedding_space_id} is not in the ledger;"
            " make it with get_or_create_embedding_space, or add it to the seed and run `dbt build`"
        )
    about = f"embedding of chunk {embedding.chunk_id}"
    require_storable_text(embedding.embedding_id, f"{about}: embedding_id")
    if len(embedding.vector) != space.dimensions:
        raise InvalidRecord(
            f"{about}: the vector has {len(embedding.vector)} elements, space {space.space_key} has {space.dimensions}"
        )
    try:
        vector = as_float32(embedding.vector)
        actual = compute_vector_hash(vector)
    except InvalidRecord as error:
        raise InvalidRecord(f"{about}: {error}") from None
    if actual != embedding.vector_sha256:
        raise InvalidRecord(f"{about}: vector_sha256 is not the hash of the vector")
    if space.distance_metric == "cosine" and not vector.any():
        raise InvalidRecord(
            f"{about}: a vector of zeros has no direction, and space {space.space_key} compares directions"
        )
    return vector

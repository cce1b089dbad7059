"""Source documents that Python registers and cuts: the rows that the SQL path would write for the same text and policy.

`document.sql` and `document_registration.sql` are the other half of this module; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from vector.chunking.articles import Heading
from vector.chunking.context import contexts
from vector.chunking.policies import named_policy, policy_of_row
from vector.chunking.windows import Chunker, ChunkingPolicy, CutText, normalize_text
from vector.contracts import ledgers
from vector.contracts.identity import canonical_json, compute_content_hash, is_blank
from vector.contracts.json_column import parsed_json
from vector.contracts.models import SourceStatus, VectorChunk, VectorSourceRegistry
from vector.errors import ConfigurationError, InvalidRecord, VectorError
from vector.store import VectorStore, ledger_io
from vector.store.checks import checked_chunk
from vector.store.tombstones import refuse_erased
from vector.store.versions import keep_versions


@dataclass(frozen=True)
class SourceDocument:
    """A source's text and what is said of it. `content` is None where the source has none; `headings` are those of an
    article, and `article_title` what it calls itself, for the chunks' context where there is no title. `metadata_error`
    is what of the rest cannot be kept. `payload_sha256` is the hash of the payload that the text was taken out of, if
    it was; `document_sha256` the fingerprint of a row of `document` that SQL would cut."""

    source_id: str
    source_type: str
    source_ref: dict[str, Any]
    content: str | None
    title: str | None = None
    tags: Any = None
    source_updated_utc: datetime | None = None
    managed_by: str = "python"
    headings: tuple[Heading, ...] = ()
    article_title: str | None = None
    metadata_error: str | None = None
    payload_sha256: str | None = None
    document_sha256: str | None = None


@dataclass(frozen=True)
class StoredSource:
    """What was written, in rows. `unchanged` counts chunks."""

    source_written: bool
    inserted: int
    updated: int
    retired: int
    unchanged: int


def cut(
    document: SourceDocument,
    policy: ChunkingPolicy | None,
    windows: Callable[[str], Iterator[tuple[str, int, int]]] | None = None,
) -> tuple[VectorSourceRegistry, list[VectorChunk]]:
    """The registry's row and the current chunks of a document under a policy, its text normalised first; `windows` as
    for Chunker.

    A text that cannot be chunked, or the lack of a policy, is no error here: the row says it, and there are no chunks.
    """
    text = None if document.content is None else normalize_text(document.content)
    problem = content_error(text, policy)
    found = CutText([], capped=False, blank_char_count=None)
    if problem is None and text is not None:
        found = Chunker(policy, windows).cut(text, document.source_id, document.source_type, document.source_ref)
    # In the order of document_registration.sql, and of source_registry.sql for what was extracted.
    errors = [each for each in (problem, document.metadata_error) if each]
    if document.payload_sha256:
        errors.reverse()
    now = datetime.now(UTC)
    source = VectorSourceRegistry(
        document.source_id,
        document.source_type,
        document.source_ref,
        content_sha256=document.payload_sha256 or (None if text is None else compute_content_hash(text)),
        last_indexed_utc=now,
        chunk_count=len(found.chunks),
        tags=document.tags,
        status=SourceStatus.ERROR if errors else SourceStatus.INDEXED,
        title=document.title,
        char_count=None if text is None else len(text),
        policy_version=policy.version if policy else None,
        chunk_capped_flag=found.capped,
        error_message=errors[0] if errors else None,
        managed_by=document.managed_by,
        source_updated_utc=document.source_updated_utc,
        blank_char_count=found.blank_char_count,
        extracted_sha256=document.payload_sha256,
        extraction_error=problem if document.payload_sha256 else None,
        document_sha256=document.document_sha256,
    )
    title = document.title or document.article_title
    above = contexts(title, text or "", [chunk.offsets["start_offset"] for chunk in found.chunks])
    return source, [
        replace(
            chunk,
            context=context,
            managed_by=document.managed_by,
            updated_utc=now,
            document_sha256=document.document_sha256,
        )
        for chunk, context in zip(found.chunks, above, strict=True)
    ]


def content_error(text: str | None, policy: ChunkingPolicy | None) -> str | None:
    """Why there can be no chunks, in the words of document.sql."""
    if text is None:
        return "content is null: the payload lacks the text or is not valid JSON"
    if not text:
        return "content is empty"
    if "\0" in text:
        return "content holds the character U+0000"
    if is_blank(text):
        return "content is blank"
    return None if policy else "no active chunk policy for this source type"


def store_source(store: VectorStore, source: VectorSourceRegistry, chunks: Sequence[VectorChunk]) -> StoredSource:
    """Makes these the source's row and its current chunks, as store_sources does."""
    return store_sources(store, [(source, chunks)])


def store_sources(
    store: VectorStore, sources: Sequence[tuple[VectorSourceRegistry, Sequence[VectorChunk]]]
) -> StoredSource:
    """Makes these the rows of different sources and their current chunks, all or nothing: what is the same is left
    alone, and current chunks of theirs that are not among these are retired. The counts are of all of them.

    Raises ConstraintRefusal when a constraint refuses a row twice: the first time it may be that of a source that
    another session has just added.
    """
    if not sources:
        return StoredSource(False, 0, 0, 0, 0)
    engine = store.engine
    kept = [checked_chunk(chunk) for _, chunks in sources for chunk in chunks]
    ids = {chunk.chunk_id for chunk in kept}
    source_ids = [source.source_id for source, _ in sources]

    def work() -> StoredSource:
        refuse_erased(engine, source_ids)
        _lock(store, source_ids)
        saved_source = ledger_io.save(engine, ledgers.SOURCE_REGISTRY, [source for source, _ in sources])
        now = datetime.now(UTC)
        gone = [
            replace(chunk, retired_utc=now, updated_utc=now)
            for chunk in _current_chunks(store, source_ids)
            if chunk.chunk_id not in ids
        ]
        saved = ledger_io.save(engine, ledgers.CHUNK, kept)
        retired = ledger_io.save(engine, ledgers.CHUNK, gone)
        keep_versions(engine, ((chunk.chunk_id, chunk.content_sha256) for chunk in kept))
        return StoredSource(bool(saved_source), saved.inserted, saved.updated, retired.updated, saved.unchanged)

    def stored() -> StoredSource:
        with ledger_io.refusals_explained(engine, ledgers.CHUNK):
            return engine.atomically(work)

    try:
        return stored()
    except ledger_io.ConstraintRefusal:
        return stored()


def _lock(store: VectorStore, source_ids: Sequence[str]) -> None:
    """Holds the sources' rows until the transaction ends: two jobs over one source then take turns."""
    store.engine.execute(
        f"update {store.engine.table('source_registry')} set updated_utc = updated_utc"
        f" where source_id in ({_marks(source_ids)})",
        source_ids,
    )


def _current_chunks(store: VectorStore, source_ids: Sequence[str]) -> list[VectorChunk]:
    columns = ledgers.CHUNK.column_names
    rows = store.engine.query(
        f"select {', '.join(columns)} from {store.engine.table('chunk')}"
        f" where retired_utc is null and source_id in ({_marks(source_ids)})",
        source_ids,
    )
    return [ledgers.CHUNK.from_row(row, store.engine.decode_vector) for row in rows]


def _marks(values: Collection[str]) -> str:
    return ", ".join("?" * len(values))


def store_unreadable(
    store: VectorStore, document: SourceDocument, reason: str, policy_version: str | None = None
) -> None:
    """Registers that the source's text cannot be had now, or not of this payload by the policy of this version. What
    is known of its last text stays, chunks included."""
    known = store.get_source(document.source_id)
    if known is None or (known.retired_utc and document.payload_sha256):
        known = VectorSourceRegistry(
            document.source_id,
            document.source_type,
            document.source_ref,
            chunk_count=0,
            title=document.title,
            tags=document.tags,
        )
    now = datetime.now(UTC)
    of_payload: dict[str, Any] = {}
    if document.payload_sha256:
        of_payload = {
            "content_sha256": document.payload_sha256,
            "extracted_sha256": document.payload_sha256,
            "extraction_error": reason,
            "policy_version": policy_version,
            "managed_by": document.managed_by,
        }
    store.save_source(replace(known, status=SourceStatus.ERROR, error_message=reason, updated_utc=now, **of_payload))


# A document and its policy.
ReadDocument = tuple[SourceDocument, ChunkingPolicy | None]


def read_document(store: VectorStore, source_id: str, as_dbt_stores_it: bool = False) -> ReadDocument | None:
    """The row of an analytics source in the view `document`, and its policy: the one that SQL cuts it by, or an
    ExtractionPolicy; None if it has none.

    Raises InvalidRecord when a JSON column holds no JSON or, with `as_dbt_stores_it` and of a text that SQL cuts too,
    JSON that is not canonical: it could not be written back byte for byte.
    """
    for row in _document_rows(store, [source_id]):
        return _document_of(store, row, as_dbt_stores_it, {})
    return None


def read_documents(store: VectorStore, source_ids: Sequence[str]) -> dict[str, ReadDocument | VectorError]:
    """The rows of many sources in `document`, by id, as read_document gives them, or its error; those that it lacks are
    left out. One reading of the view takes as long as for one, where that looks at every row: `source_id` is made by
    a staging view. At most 2,000, for the parameters that SQL Server takes."""
    found: dict[str, ReadDocument | VectorError] = {}
    policies: dict[str, ChunkingPolicy] = {}
    for row in _document_rows(store, source_ids):
        try:
            found[row[0]] = _document_of(store, row, True, policies)
        except VectorError as error:
            found[row[0]] = error
    return found


def _document_rows(store: VectorStore, source_ids: Sequence[str]) -> list[tuple]:
    if store.engine.missing_relations(["document"]):
        raise ConfigurationError("the view document is not built; run `dbt build` first")
    return store.engine.query(
        "select source_id, source_type, source_ref_json, content, title, tags_json, source_updated_utc, metadata_error,"
        " document_sha256, method, policy_version, chunk_size, overlap, max_chunks_per_source"
        f" from {store.engine.table('document')} where source_id in ({_marks(source_ids)})",
        source_ids,
    )


def _document_of(
    store: VectorStore, row: tuple, as_dbt_stores_it: bool, policies: dict[str, ChunkingPolicy]
) -> ReadDocument:
    """`policies` has those of method `extract` that were read already."""
    source_id, source_type, source_ref, content, title, tags, updated, metadata_error, fingerprint, *policy_row = row
    method, version, *sizes = policy_row
    canonical = as_dbt_stores_it and method != "extract"
    document = SourceDocument(
        source_id,
        source_type,
        _json_value(source_ref, f"document {source_id!r}: source_ref_json", canonical),
        content,
        title,
        _json_value(tags, f"document {source_id!r}: tags_json", canonical),
        None if updated is None else updated.replace(tzinfo=UTC),
        managed_by="dbt",
        metadata_error=metadata_error,
        document_sha256=None if method == "extract" else fingerprint,
    )
    if method == "extract":
        if version not in policies:
            policies[version] = named_policy(store, version)
        return document, policies[version]
    return document, None if version is None else policy_of_row((version, *sizes, method, None))


def _json_value(text: str | None, about: str, canonical: bool) -> Any:
    if text is None:
        return None
    try:
        value = parsed_json(text)
    except ValueError as error:
        raise InvalidRecord(f"{about} is not JSON ({error}); correct its staging view") from None
    if canonical and canonical_json(value) != text:
        raise InvalidRecord(
            f"{about} is not canonical JSON (keys sorted, no blanks), so Python cannot write what dbt writes;"
            " correct its staging view, or let dbt chunk the source"
        )
    return value

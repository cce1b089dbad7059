"""CHUNK_SOURCE: reads one source, extracts its text, cuts it by a policy, and writes registry and chunks.

Input (described in docs/operations.md):

    source_id       id of the source; needed
    source_type     kind of source; needed unless dbt keeps the source
    from            where the text is, one of {"text": inline}, {"path": file below VECTOR_LAKE_DIR},
                    {"source_id": a row of the view `document`}; by default the source itself: its row, or else the
                    path that its registry entry names (`path` or `lake_uri` of source_ref_json)
    format          text, html, article (an HTML page, or a reply of MediaWiki's API), wikitext or json; by default what
                    a path's extension says, else text
    json_path       the JSONPath query (RFC 9535) of the texts in json; needed with that format, and only there
    value_format    text, html, article or wikitext: what the texts in json are
    policy_version  an active chunk policy; by default that of the source type, else of `*`
    title, tags, source_ref   what the registry says of the source

A source that dbt keeps is only written as dbt would: `from` names itself, and nothing else is given but, if at all,
the source type and the policy version that it has anyway. One whose chunk policy is of method `extract` is a payload:
its text is taken out as the policy says, and cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from vector.chunking import ChunkingPolicy
from vector.chunking.extraction import (
    FORMATS,
    LONGEST_JSON_PATH,
    VALUE_FORMATS,
    check_json_path,
    extractor_versions,
    format_of_file,
)
from vector.chunking.extraction_policy import ExtractionPolicy
from vector.chunking.extraction_process import ExtractionProcess, Stopped
from vector.chunking.lake import checked_lake_path, find_lake_file, read_lake_text
from vector.chunking.limits import ExtractionLimits
from vector.chunking.policies import named_policy, policy_of_type
from vector.chunking.sources import (
    ReadDocument,
    SourceDocument,
    content_error,
    cut,
    read_document,
    store_source,
    store_sources,
    store_unreadable,
)
from vector.chunking.splitting import SplitterPolicy
from vector.contracts.identity import compute_content_hash
from vector.contracts.models import SourceStatus, VectorChunk, VectorSourceRegistry
from vector.errors import InvalidRecord, SourceUnreadable, VectorError
from vector.jobs.context import JobContext, JobStopped
from vector.jobs.handlers.input_schema import checked_input, require_storable
from vector.store import VectorStore
from vector.store.tombstones import refuse_erased

_ID = {"type": "string", "minLength": 1, "maxLength": 400}
SCHEMA = {
    "type": "object",
    "required": ["source_id", "from"],
    "additionalProperties": False,
    "properties": {
        "source_id": {**_ID, "description": "an id of 1 to 400 characters, such as note:1"},
        "source_type": {"type": "string", "minLength": 1, "maxLength": 100, "description": "one word, such as note"},
        "from": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
            "description": 'one of {"text": ...}, {"path": ...}, {"source_id": ...}',
            "properties": {
                "text": {"type": "string"},
                "path": {"type": "string", "minLength": 1, "description": "a path below the folder VECTOR_LAKE_DIR"},
                "source_id": {**_ID, "description": "the id of a row of the view document"},
            },
        },
        "format": {"enum": list(FORMATS)},
        "json_path": {"type": "string", "minLength": 1, "maxLength": LONGEST_JSON_PATH},
        "value_format": {"enum": list(VALUE_FORMATS)},
        "policy_version": {"type": "string", "minLength": 1, "maxLength": 100},
        "title": {"type": ["string", "null"]},
        "tags": {"type": ["object", "null"]},
        "source_ref": {"type": "object"},
    },
}
# Of an article, in a run's metrics.
SHOWN_HEADINGS = 100
# A document with its text, its policy, and the formats that were read.
_Read = tuple[SourceDocument, ChunkingPolicy | None, tuple[str, ...]]
# What may be said of a source that dbt keeps.
_OF_DBT = {"source_id", "source_type", "from", "policy_version"}


def validate(input_json: dict[str, Any]) -> dict[str, Any]:
    """The input with its path in plain form and its format spelt out. Raises InvalidRecord as the module says."""
    given = checked_input(input_json, SCHEMA, "CHUNK_SOURCE")
    require_storable({**given, **given["from"], "text": None}, "CHUNK_SOURCE")
    compute_content_hash(given["from"].get("text", ""))  # a NUL becomes an error of the source, a lone surrogate cannot
    if _is_of_dbt(given):
        extra = sorted(given.keys() - _OF_DBT)
        if extra:
            raise InvalidRecord(
                f"CHUNK_SOURCE input, key {extra[0]}: source {given['source_id']!r} is an analytics source itself, of"
                " which dbt says that; leave the key out, or give the chunks a source_id of their own"
            )
        return given
    if "source_type" not in given:
        raise InvalidRecord("CHUNK_SOURCE input: source_type is missing; give one word, such as note")
    if "path" in given["from"]:
        given["from"] = {"path": checked_lake_path(given["from"]["path"])}
    given["format"] = given.get("format") or _default_format(given["from"])
    return _with_json_settings(given)


def with_origin(store: VectorStore, given: dict[str, Any]) -> dict[str, Any]:
    """The input of a registered source with its origin, and what the registry says of it where the input is silent.

    Raises InvalidRecord when the source is Python's own and its registry entry names no path.
    """
    source_id = given["source_id"]
    known = store.get_source(source_id)
    if known is None or read_document(store, source_id) is not None:
        return {**given, "from": {"source_id": source_id}}
    ref = known.source_ref if isinstance(known.source_ref, Mapping) else {}
    path = ref.get("path") or ref.get("lake_uri")
    if not isinstance(path, str):
        raise InvalidRecord(
            f"CHUNK_SOURCE input: source {source_id!r} is no row of the view document, and its registry entry names no"
            " path; say in `from` where its text is"
        )
    said = {"source_type": known.source_type, "title": known.title, "source_ref": dict(ref)}
    if isinstance(known.tags, Mapping):
        said["tags"] = dict(known.tags)
    return {**said, **given, "from": {"path": path}}


def require(store: VectorStore, given: dict[str, Any]) -> None:
    """Raises InvalidRecord or UnusableInput when the source, its origin in the view `document` or its policy is not
    there, or is dbt's and described otherwise. Files are not looked for: the worker's host may be another one."""
    if _is_of_dbt(given):
        _of_dbt(store, given)
        return
    _refuse_source_of_dbt(store, given["source_id"])
    if "policy_version" in given:
        named_policy(store, given["policy_version"])
    origin = given["from"].get("source_id")
    if origin is not None and read_document(store, origin) is None:
        raise InvalidRecord(f"source {origin!r} is no row of the view document; run `dbt build`, or name another")


def _is_of_dbt(given: dict[str, Any]) -> bool:
    return given["from"].get("source_id") == given["source_id"]


def _default_format(origin: dict[str, str]) -> str:
    if "path" not in origin:
        return "text"
    found = format_of_file(origin["path"])
    if found is None:
        raise InvalidRecord(
            f"CHUNK_SOURCE input: the extension of path {origin['path']!r} says no format;"
            f" give format, one of {', '.join(FORMATS)}"
        )
    return found


def _with_json_settings(given: dict[str, Any]) -> dict[str, Any]:
    if given["format"] == "json":
        if "json_path" not in given:
            raise InvalidRecord(
                'CHUNK_SOURCE input: json_path is missing; format json needs one, such as "$.body.text"'
            )
        check_json_path(given["json_path"])
        return {"value_format": "text", **given}
    for key in ("json_path", "value_format"):
        if key in given:
            raise InvalidRecord(f"CHUNK_SOURCE input, key {key}: is for format json, this one is {given['format']}")
    return given


def run(context: JobContext) -> dict[str, Any]:
    """Chunks the source of the job and gives metrics: counts of chunks by what became of them, the text's length in
    code points, the policy, and the registry's status.

    A text without anything to chunk (empty, with U+0000, without a policy) is stored as an error of the source, as dbt
    does. Raises SourceUnreadable when the text cannot be had, ExtractionLimit when it takes too much to have it or to
    cut it: the registry then says so, and the stored chunks stay. Raises JobStopped when the worker must end.
    """
    store, request = context.store, validate(context.job.input_json)
    refuse_erased(store.engine, [request["source_id"]])
    reader = ExtractionProcess(ExtractionLimits.from_environment(), context.should_stop)
    try:
        read = _as_dbt if _is_of_dbt(request) else _as_python
        document, policy, formats = read(store, request, reader)
        context.heartbeat()
        source, chunks = _cut(store, document, policy, reader)
    except Stopped:
        raise JobStopped from None
    context.heartbeat()
    stored = store_source(store, source, chunks)
    return {**asdict(stored), **_metrics(document, source, chunks, formats)}


def _metrics(
    document: SourceDocument, source: VectorSourceRegistry, chunks: list[VectorChunk], formats: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "source_id": source.source_id,
        "status": SourceStatus(source.status).value,
        "error_message": source.error_message,
        "policy_version": source.policy_version,
        "chunks": len(chunks),
        "capped": source.chunk_capped_flag,
        "char_count": source.char_count,
        "headings": [asdict(each) for each in document.headings[:SHOWN_HEADINGS]],
        "extractors": extractor_versions(*formats),
    }


def run_many(
    store: VectorStore,
    documents: Mapping[str, ReadDocument | VectorError],
    source_ids: Sequence[str],
    should_stop: Callable[[], bool],
) -> dict[str, dict[str, Any] | Exception]:
    """Chunks sources of dbt that were read before, in one transaction: by id the metrics, or the error that `run` would
    raise. A source that cannot be stored, or read, keeps no other from it."""
    reader = ExtractionProcess(ExtractionLimits.from_environment(), should_stop)
    ended: dict[str, dict[str, Any] | Exception] = {}
    ready: list[tuple[VectorSourceRegistry, list[VectorChunk]]] = []
    for source_id in dict.fromkeys(source_ids):
        try:
            if should_stop():
                raise Stopped
            document, policy, formats = _with_text(store, _found(source_id, documents.get(source_id)), reader)
            source, chunks = _cut(store, document, policy, reader)
            ready.append((source, chunks))
            ended[source_id] = _metrics(document, source, chunks, formats)
        except Stopped:
            ended[source_id] = JobStopped()
        except Exception as error:
            ended[source_id] = error
    try:
        store_sources(store, ready)
    except Exception:
        for source, chunks in ready:
            try:
                store_source(store, source, chunks)
            except Exception as error:
                ended[source.source_id] = error
    return ended


def _cut(
    store: VectorStore, document: SourceDocument, policy: ChunkingPolicy | None, reader: ExtractionProcess
) -> tuple[VectorSourceRegistry, list[VectorChunk]]:
    """As vector.chunking.sources.cut. A splitter may take long over any text; characters are counted here."""
    if not isinstance(policy, SplitterPolicy):
        return cut(document, policy)
    try:
        return cut(document, policy, partial(reader.windows, policy))
    except SourceUnreadable as error:
        store_unreadable(store, document, str(error))
        raise


def _as_dbt(store: VectorStore, request: dict[str, Any], reader: ExtractionProcess) -> _Read:
    """A source that dbt keeps, as dbt has it; of a payload, its text."""
    return _with_text(store, _of_dbt(store, request), reader)


def _of_dbt(store: VectorStore, request: dict[str, Any]) -> ReadDocument:
    """The document, a payload as it is, and the policy of a source that dbt keeps, as dbt has them."""
    source_id = request["source_id"]
    document, policy = _found(source_id, read_document(store, source_id, as_dbt_stores_it=True))
    known = {"source_type": document.source_type, "policy_version": policy.version if policy else None}
    for key, value in known.items():
        if request.get(key, value) != value:
            raise InvalidRecord(
                f"source {document.source_id!r} belongs to dbt, which has {key} {value!r}, not {request[key]!r}; leave"
                " the key out, or give the chunks a source_id of their own"
            )
    return document, policy


def _found(source_id: str, found: ReadDocument | VectorError | None) -> ReadDocument:
    """The row of `document`. Raises the error that it is, and InvalidRecord where there is none."""
    if found is None:
        raise InvalidRecord(
            f"source {source_id!r} is no row of the view document; dbt retires what has vanished from its sources: run"
            " `dbt build`"
        )
    if isinstance(found, VectorError):
        raise found
    return found


def _with_text(store: VectorStore, found: ReadDocument, reader: ExtractionProcess) -> _Read:
    """The document as SQL would cut it, or, of a payload, with its text."""
    document, policy = found
    if not isinstance(policy, ExtractionPolicy) or content_error(document.content, policy):
        return document, policy, ("text",)
    return _extracted(store, document, policy, reader)


def _extracted(
    store: VectorStore, document: SourceDocument, policy: ExtractionPolicy, reader: ExtractionProcess
) -> _Read:
    payload = document.content or ""
    document = replace(document, payload_sha256=compute_content_hash(payload))
    payload_format, value_format = policy.format_of(payload), policy.value_format or "text"
    try:
        found = reader.extract(payload, payload_format, policy.json_path, value_format)
    except SourceUnreadable as error:
        store_unreadable(store, document, str(error), policy.version)
        raise
    # The title is dbt's to say.
    document = replace(document, content=found.text, headings=found.headings, article_title=found.title)
    return document, policy, (payload_format, value_format)


def _as_python(store: VectorStore, request: dict[str, Any], reader: ExtractionProcess) -> _Read:
    """A source that CHUNK_SOURCE keeps."""
    _refuse_source_of_dbt(store, request["source_id"])
    origin = request["from"]
    document = SourceDocument(
        request["source_id"],
        request["source_type"],
        request.get("source_ref") or ({"source_id": request["source_id"]} if "text" in origin else origin),
        None,
        request.get("title"),
        request.get("tags"),
    )
    try:
        document = _read(store, request, document, reader)
    except SourceUnreadable as error:
        store_unreadable(store, document, str(error))
        raise
    formats = (request["format"], request.get("value_format", "text"))
    if "policy_version" in request:
        return document, named_policy(store, request["policy_version"]), formats
    return document, policy_of_type(store, document.source_type), formats


def _refuse_source_of_dbt(store: VectorStore, source_id: str) -> None:
    known = store.get_source(source_id)
    if (known and known.managed_by == "dbt") or read_document(store, source_id) is not None:
        raise InvalidRecord(
            f"source {source_id!r} belongs to dbt, which would write over it; give the chunks a source_id of their own,"
            f' or {{"source_id": "{source_id}"}} as `from`, to chunk it as dbt does'
        )


def _read(
    store: VectorStore, request: dict[str, Any], document: SourceDocument, reader: ExtractionProcess
) -> SourceDocument:
    """The document with its text."""
    origin = request["from"]
    if "text" in origin:
        payload = origin["text"]
    elif "path" in origin:
        file = find_lake_file(origin["path"])
        payload = read_lake_text(file, origin["path"], reader.limits)
        changed = datetime.fromtimestamp(int(file.stat().st_mtime), UTC)
        document = replace(document, source_updated_utc=changed)
    else:
        payload, document = _read_analytics(store, request, document)
    found = reader.extract(payload, request["format"], request.get("json_path"), request.get("value_format", "text"))
    title = document.title if "title" in request else document.title or found.title
    return replace(document, content=found.text, title=title, headings=found.headings)


def _read_analytics(
    store: VectorStore, request: dict[str, Any], document: SourceDocument
) -> tuple[str, SourceDocument]:
    """The text of an analytics source, and the document with what that says of itself where the input is silent."""
    wanted = request["from"]["source_id"]
    found = read_document(store, wanted)
    if found is None:
        raise SourceUnreadable(f"source {wanted!r} is no row of the view document; run `dbt build`, or name another")
    origin, _ = found
    if origin.content is None:
        raise SourceUnreadable(f"source {wanted!r} has no text: its content is null")
    return origin.content, replace(
        document,
        title=request.get("title", origin.title),
        tags=request.get("tags", origin.tags),
        source_updated_utc=origin.source_updated_utc,
    )

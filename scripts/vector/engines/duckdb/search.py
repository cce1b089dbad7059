"""Exact search on DuckDB: in one pass over the vectors of a space, or of those alone that filters leave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from vector.engines.base import Engine, Found, SearchHit, SearchRequest
from vector.engines.filters import SearchFilters

SCORES = {
    "cosine": "list_cosine_similarity({vector}, cast(? as float[]))",
    "dot": "list_inner_product({vector}, cast(? as float[]))",
    "euclidean": "-list_distance({vector}, cast(? as float[]))",
}

# What names a chunk and its text in 64 bits. Where the keys are stored uncompressed (`ledger_compression`), this join
# is a fifth of what a search takes; that of `embedding_current`, which compares 128 characters a row, is a third.
_VERSION_HASH = "hash(chunk_id, {sha256})"

# Up to so many chunks that filters leave, the rows of their vectors are looked up first, and only these vectors read
# (benchmarks/README.md, Exact search).
FEW = 10_000


def search(engine: Engine, request: SearchRequest) -> Found:
    """The best of the current vectors that pass the filters.

    The vectors of `embedding_current` are told from stale and retired ones by a hash of a chunk's id and text. Two that
    differ may have one hash, about once in 2^64 pairs: so the hits are looked up among the current chunks, and should
    one not be there, the search is done again through the view.
    """
    try:
        if _leaves_few(engine, request):
            rows = _query(engine, *_by_rows(engine, request))
        else:
            rows = _query(engine, *_by_hash(engine, request))
            if not _all_current(engine, rows):
                rows = _query(engine, *_by_view(engine, request))
    except duckdb.InvalidInputException:
        # A vector of another length, or with a null in it.
        rows = _query(engine, *_by_usable(engine, request))
    mean, compared, unusable = rows[0][3:] if rows else (0.0, 0, 0)
    if unusable:
        from vector.engines.vector_cache import tell_unusable  # brings numpy

        tell_unusable(unusable, request.embedding_space_id)
    return Found([SearchHit(chunk_id, sha256, float(score)) for chunk_id, sha256, score, *_ in rows], compared, mean)


def has_tag(key: str, value: str) -> tuple[str, list[Any]]:
    """The condition that the object `source.tags_json` has this value at the key, or in the array there."""
    # RFC 6901: a pointer takes any key.
    pointer = f"/{key.replace('~', '~0').replace('/', '~1')}"
    # Of an array, a pointer takes positions; it has no keys.
    tags = "case when try(json_type(source.tags_json)) = 'OBJECT' then source.tags_json end"
    found = f"try(json_extract({tags}, ?))"
    text = f"try(json_extract_string({tags}, ?))"
    return f"list_contains(coalesce(try_cast({found} as varchar[]), [{text}]), ?)", [pointer, pointer, value]


def _leaves_few(engine: Engine, request: SearchRequest) -> bool:
    """Whether filters leave no more than FEW chunks."""
    if not request.filters:
        return False
    chunks, values = current_chunks(engine, request.filters, "1")
    ((count,),) = engine.query(f"select count(*) from ({chunks} limit {FEW + 1})", values)
    return count <= FEW


def current_chunks(engine: Engine, filters: SearchFilters, columns: str) -> tuple[str, list[Any]]:
    """A select of the current chunks that pass the filters, and its parameters."""
    conditions, values = engine.filter_conditions(filters)
    return (
        f"select {columns} from {engine.table('chunk')} as searched"
        f" where {' and '.join(['searched.retired_utc is null', *conditions])}"
    ), values


def _by_rows(engine: Engine, request: SearchRequest) -> tuple[str, list[Any]]:
    current, values = current_chunks(engine, request.filters, "chunk_id, content_sha256")
    compared = (
        f"with found as materialized (select rowid as row from {engine.table('embedding')} where embedding_space_id = ?"
        f" and (chunk_id, input_content_sha256) in ({current}))"
        f" select chunk_id, input_content_sha256, {SCORES[request.distance_metric].format(vector='vector')} as score"
        f" from {engine.table('embedding')} where rowid in (select row from found)"
    )
    return _best_of(compared), [request.embedding_space_id, *values, request.vector.tolist(), request.top_k]


def _by_hash(engine: Engine, request: SearchRequest) -> tuple[str, list[Any]]:
    current, values = current_chunks(engine, request.filters, _VERSION_HASH.format(sha256="content_sha256"))
    compared = (
        f"select chunk_id, input_content_sha256, {SCORES[request.distance_metric].format(vector='vector')} as score"
        f" from {engine.table('embedding')} where embedding_space_id = ?"
        f" and {_VERSION_HASH.format(sha256='input_content_sha256')} in ({current})"
    )
    return _best_of(compared), [request.vector.tolist(), request.embedding_space_id, *values, request.top_k]


def _by_view(engine: Engine, request: SearchRequest) -> tuple[str, list[Any]]:
    conditions, values = engine.filter_conditions(request.filters)
    score = SCORES[request.distance_metric].format(vector="searched.vector")
    compared = (
        f"select searched.chunk_id, searched.input_content_sha256, {score} as score"
        f" from {engine.table('embedding_current')} as searched"
        f" where {' and '.join(['searched.embedding_space_id = ?', *conditions])}"
    )
    return _best_of(compared), [request.vector.tolist(), request.embedding_space_id, *values, request.top_k]


def _by_usable(engine: Engine, request: SearchRequest) -> tuple[str, list[Any]]:
    """As `_by_view`, without the vectors of which none can be compared. The others are copied: the functions fail on a
    null that is in the same block of rows, even in a row that no condition lets through."""
    conditions, values = engine.filter_conditions(request.filters)
    dimensions = len(request.vector)
    searched = (
        "select searched.chunk_id, searched.input_content_sha256, searched.vector,"
        f" coalesce(len(searched.vector) = {dimensions} and list_count(searched.vector) = {dimensions}, false) as fits"
        f" from {engine.table('embedding_current')} as searched"
        f" where {' and '.join(['searched.embedding_space_id = ?', *conditions])}"
    )
    score = SCORES[request.distance_metric].format(vector="vector")
    sql = (
        f"with searched as materialized ({searched}), fitting as materialized (select * from searched where fits),"
        f" compared as materialized (select chunk_id, input_content_sha256, {score} as score from fitting),"
        f" counted as (select scored.*, total from ({_SCORED}) as scored, (select count(*) as total from searched))"
        f" {_BEST}"
    )
    return sql, [request.embedding_space_id, *values, request.vector.tolist(), request.top_k]


# Summed as Kahan does: whichever thread adds first, the mean is the same to the last digits.
_SCORED = (
    "select favg(score) filter (isfinite(score)) as mean, count(*) filter (isfinite(score)) as usable from compared"
)
_BEST = (
    "select compared.*, counted.mean, counted.usable, counted.total - counted.usable from compared, counted"
    " where isfinite(compared.score) order by compared.score desc, compared.chunk_id limit ?"
)


def _best_of(compared: str) -> str:
    return (
        f"with compared as materialized ({compared})"
        f", counted as (select scored.*, total from ({_SCORED}) as scored, (select count(*) as total from compared))"
        f" {_BEST}"
    )


def _query(engine: Engine, sql: str, parameters: list[Any]) -> list[tuple]:
    # Left to itself, DuckDB may build the hash join on the side of the embeddings, copying every vector.
    ((disabled,),) = engine.query("select current_setting('disabled_optimizers')")
    with settings(engine, disabled_optimizers=",".join(filter(None, [disabled, "build_side_probe_side"]))):
        return engine.query(sql, parameters)


@contextmanager
def settings(engine: Engine, **values: Any) -> Iterator[None]:
    """These settings of DuckDB, and what they were afterwards. None of them changes what a statement finds."""
    (before,) = engine.query(f"select {', '.join(f'current_setting({name!r})' for name in values)}")
    try:
        for name, value in values.items():
            engine.execute(f"set {name} = ?", [value])
        yield
    finally:
        for name, value in zip(values, before, strict=True):
            engine.execute(f"set {name} = ?", [value])


def _all_current(engine: Engine, rows: list[tuple]) -> bool:
    """Whether each found chunk is current and has the text of its vector; by the key's index."""
    chunk_ids = [row[0] for row in rows]
    current = dict(
        engine.query(
            f"select chunk_id, content_sha256 from {engine.table('chunk')}"
            f" where chunk_id in ({', '.join('?' * len(chunk_ids)) or 'null'}) and retired_utc is null",
            chunk_ids,
        )
    )
    return all(current.get(chunk_id) == sha256 for chunk_id, sha256, *_ in rows)

"""What holds on every engine, through dbt and the public interfaces only. DuckDB in every run; SQL Server where
VECTOR_TEST_SQLSERVER names one (`make test-sqlserver`), see live.py."""

import json
import random
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import ir_measures
import live
import numpy as np
import pytest
import yaml
from ir_measures import RR, P, R, nDCG
from parity import as_pinned, hostile_cases
from queue_support import handlers
from queue_work import check_work, enqueue_work, finished, open_jobs, start_worker
from support import ScratchProject

from vector.chunking import Chunker, ChunkingPolicy, ParagraphPolicy
from vector.contracts.identity import is_blank
from vector.contracts.ledgers import Column, key_column
from vector.contracts.models import (
    JobType,
    PublicationAction,
    RunStatus,
    SourceStatus,
    VectorChunk,
    VectorEmbedding,
    VectorJob,
    VectorRetrieval,
    VectorRetrievalHit,
    VectorSourceRegistry,
    compute_content_hash,
)
from vector.engines import mapped_vectors
from vector.engines.base import SearchRequest
from vector.engines.filters import SearchFilters
from vector.engines.mapped_vectors import MappedCopies
from vector.engines.vector_cache import VectorCache, similarity
from vector.errors import ConfigurationError, InvalidRecord, PublicationRefused
from vector.jobs.queue import JobQueue
from vector.providers import open_provider
from vector.search import postings
from vector.search.evidence import evidence
from vector.search.lexical import LexicalIndexes
from vector.search.policy import SearchPolicy
from vector.search.replay import replay
from vector.search.search import search
from vector.search.stages import search_by_vectors
from vector.spaces.publications import History, status_of, switch

pytestmark = pytest.mark.long

LATER = datetime(9000, 1, 1, tzinfo=UTC)
QUESTION = "Which moon has geysers?"


@pytest.fixture(scope="module", params=["duckdb", "sqlserver"])
def warehouse(request, tmp_path_factory):
    """A scratch project on the engine, built, embedded and searched."""
    folder = tmp_path_factory.mktemp(request.param) / "project"
    if request.param == "duckdb":
        kept = request.getfixturevalue("kept_project")
        kept.reset()
        project = kept.beside(folder)
        project.engine = "duckdb"
        yield project
        return
    if not live.CONNECTION:
        pytest.skip(live.SKIPPED)
    project = ScratchProject(folder)
    live.use_sqlserver(project)
    project.engine = "sqlserver"
    try:
        project.build()
        project.embed()
        assert project.vector("search", QUESTION).exit_code == 0
        yield project
    finally:
        live.drop_schemas(project)


@pytest.fixture
def store(warehouse):
    """A store over a connection of its own."""
    opened = live.open_store(warehouse)
    yield opened
    opened.close()


def needs(warehouse, feature):
    """Skips a test of a feature that the server under test lacks."""
    if warehouse.engine == "sqlserver" and feature in live.WITHOUT:
        pytest.skip(f"not covered: {live.FEATURES[feature]}")


def test_a_second_build_and_embed_write_nothing_but_their_run(warehouse):
    before = live.ledger_rows(warehouse)
    built = warehouse.build()
    assert not re.search(r"\d+ (inserted|updated)", built.output)
    assert warehouse.embed() == "hash: nothing to embed, every current chunk has its vector\n"
    after = live.ledger_rows(warehouse)
    for ledger in ("job", "run"):
        assert len(after.pop(ledger)) == len(before.pop(ledger)) + 1
    assert after == before


def test_killed_while_embedding_then_complete(warehouse):
    # Early, as a stand-in loses the tables of foreign keys after some changes of its views. No text becomes longer.
    again = [{**row, "summary": row["summary"][:-1] + "!"} for row in warehouse.rows("event")]
    warehouse.write_rows("event", again)
    warehouse.refresh()
    started = warehouse.start("embed", "--batch-size", "1", "--concurrency", "1")
    time.sleep(1.0)
    started.send_signal(signal.SIGKILL)
    started.wait()
    warehouse.embed()
    assert json.loads(warehouse.vector("embed", "--plan", "--json").stdout)["spaces"][0]["chunks"] == 0
    done = warehouse.test("--select", "embedding", "embedding_current", "embedding_pending")
    assert done.success, done.output


def test_a_full_refresh_loses_nothing(warehouse):
    before = live.ledger_rows(warehouse)
    warehouse.build("--full-refresh")
    assert live.ledger_rows(warehouse) == before


def test_a_ledger_of_another_shape_is_rebuilt_and_loses_nothing(warehouse):
    """A parent with children, and a child; there and back."""
    before = live.ledger_rows(warehouse)
    words, more = "'FAILED', 'DEADLETTER')", "'FAILED', 'DEADLETTER', 'PAUSED')"
    rank, low = '"rank >= 1"', '"rank between 1 and 100000"'
    for old, new, old_rank, new_rank in ((words, more, rank, low), (more, words, low, rank)):
        warehouse.edit("models/ledgers/job.yml", old, new)
        warehouse.edit("models/ledgers/retrieval_hit.yml", old_rank, new_rank)
        without_views = live.let_go_of_tables(warehouse)
        done = warehouse.dbt("run-operation", "upgrade_ledgers")
        assert done.success, done.output
        assert "Rebuild ledger job, version 1: new check" in done.output
        assert "Rebuild ledger retrieval_hit, version 1: new check" in done.output
        assert "Every ledger has the shape" in warehouse.dbt("run-operation", "upgrade_ledgers").output
        if without_views:
            warehouse.build()
        assert live.ledger_rows(warehouse) == before


JSON_COMMANDS = (
    ("coverage",), ("verify",), ("failures",), ("embed", "--plan"), ("embed",), ("search", QUESTION, "--no-log"),
    ("spaces", "list"), ("spaces", "history"), ("jobs", "list"), ("replay", "--since", "2020-01-01"),
)  # fmt: skip


@pytest.fixture(scope="module")
def reference(kept_project, tmp_path_factory):
    """The same project on DuckDB, at the same point."""
    kept_project.reset()
    return kept_project.beside(tmp_path_factory.mktemp("reference") / "project")


def shape(value):
    """A JSON value with a type in place of each value; None is of any type, and a list has that of its elements."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        merged = None
        for each in value:
            merged = merge(merged, shape(each))
        return [merged]
    return None if value is None else type(value).__name__


def merge(one, other):
    """The shape that both are of; of two that differ, a text that shows them."""
    if one is None or other is None or one == other:
        return other if one is None else one
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: merge(one.get(key), other.get(key)) for key in sorted({*one, *other})}
    if isinstance(one, list) and isinstance(other, list):
        return [merge(one[0], other[0])]
    return f"{one} and {other}"


def differences(shapes, path=""):
    """Where a merged shape holds two types."""
    if isinstance(shapes, dict):
        return [found for key, each in shapes.items() for found in differences(each, f"{path}.{key}")]
    if isinstance(shapes, list):
        return differences(shapes[0], f"{path}[]")
    return [f"{path}: {shapes}"] if shapes and " and " in shapes else []


def mart_rows(project):
    """{mart: its rows as objects, as JSON would have them}."""
    opened = live.open_store(project)
    try:
        found = {}
        for path in sorted((project.folder / "models" / "marts").glob("*.sql")):
            names = [
                column["name"]
                for column in yaml.safe_load(path.with_suffix(".yml").read_text("utf-8"))["models"][0]["columns"]
            ]
            sql = f"select {', '.join(names)} from {opened.engine.table(path.stem)}"
            found[path.stem] = [dict(zip(names, row, strict=True)) for row in opened.engine.query(sql)]
        return found
    finally:
        opened.close()


def test_commands_and_marts_give_the_types_of_duckdb(warehouse, request):
    """Numbers are numbers, and whole ones whole, key by key."""
    if warehouse.engine == "duckdb":
        pytest.skip("what the other engine is compared with")
    reference = request.getfixturevalue("reference")
    assert differences(merge(shape(mart_rows(warehouse)), shape(mart_rows(reference)))) == []
    for command in JSON_COMMANDS:
        answers = [project.vector(*command, "--json") for project in (warehouse, reference)]
        assert [answer.exit_code for answer in answers] == [0, 0], (command, answers)
        merged = merge(*(shape(json.loads(answer.stdout)) for answer in answers))
        assert (command, differences(merged)) == (command, [])


def test_every_dbt_test_is_green(warehouse):
    if warehouse.engine == "duckdb":  # whose unit tests `make test` runs before pytest
        done = warehouse.test()
    else:
        left_out = [name for feature in live.WITHOUT for name in live.UNIT_TESTS.get(feature, ())]
        done = warehouse.dbt("test", *(["--exclude", *left_out] if left_out else []))
    assert done.success, done.output


@pytest.mark.parametrize("feature", live.UNIT_TESTS)
def test_the_unit_tests_of_a_feature_are_green(warehouse, feature):
    needs(warehouse, feature)
    if warehouse.engine == "duckdb":
        pytest.skip("`make test` runs DuckDB's unit tests before pytest")
    done = warehouse.dbt("test", "--select", *live.UNIT_TESTS[feature])
    assert done.success, done.output
    tested = [result for result in done.results if result.node.resource_type == "unit_test"]
    assert len(tested) == len(live.UNIT_TESTS[feature])


def test_changed_vanished_and_returned_sources(warehouse):
    rows = warehouse.rows("event")
    gone, changed = rows[0], rows[1]
    edited = {**changed, "summary": changed["summary"] + " Edited."}
    warehouse.write_rows("event", [edited, *rows[2:]])
    warehouse.refresh()
    opened = live.open_store(warehouse)
    (vanished,) = opened.list_chunks(f"event:{gone['event_id']}", include_retired=True)
    (updated,) = opened.list_chunks(f"event:{changed['event_id']}")
    opened.close()
    assert vanished.retired_utc is not None
    assert "Edited." in updated.content
    plan = json.loads(warehouse.vector("embed", "--plan", "--json").stdout)["spaces"][0]
    assert plan["chunks_by_reason"] in ({"text_changed": 1}, {"new": 1})  # `new`: the edit moved the end of the chunk
    warehouse.embed()
    warehouse.write_rows("event", rows)
    warehouse.refresh()
    assert json.loads(warehouse.vector("embed", "--json").stdout)["spaces"][0]["requests"] == 0
    done = warehouse.test()
    assert done.success, done.output


@pytest.mark.parametrize(
    ("page_id", "said"),
    [
        ("x" * 396, f'source_id "page:{"x" * 75}..." is longer than the 400 characters of its column'),
        ("🚀" * 198, f'source_id "page:{"🚀" * 75}..." is longer than the 400 characters of its column'),
        ("apollo ", 'source_id "page:apollo " ends in a blank'),
        ("new ", 'source_id "page:new " ends in a blank'),
    ],
    ids=["long", "astral", "like another", "blank"],
)
def test_an_id_that_does_not_fit_stops_the_build(warehouse, page_id, said):
    """Cut, or without its blank, it would be the id of another source."""
    if not page_id.isascii():
        needs(warehouse, "utf16")
    rows = warehouse.rows("page")
    before = live.ledger_rows(warehouse)
    warehouse.write_rows("page", [*rows, {**rows[0], "page_id": page_id}])
    try:
        warehouse.build("--select", "page")
        done = warehouse.dbt("run", "--select", "source_registry", "chunk")
        assert not done.success
        assert any(said in line for line in done.output.splitlines() if "source_registry: " in line), done.output
        assert done.ended("skipped") == {"chunk"}
        assert live.ledger_rows(warehouse) == before
    finally:
        warehouse.write_rows("page", rows)
        warehouse.build("--select", "page")


def test_the_longest_id_that_fits_is_a_source(warehouse):
    rows = warehouse.rows("page")
    try:
        warehouse.write_rows("page", [*rows, *({**rows[0], "page_id": each} for each in ("y" * 395, "🚀" * 197))])
        warehouse.build("--select", "page", "source_registry")
        opened = live.open_store(warehouse)
        assert {"page:" + "y" * 395, "page:" + "🚀" * 197} <= {source.source_id for source in opened.list_sources()}
        opened.close()
    finally:
        warehouse.write_rows("page", rows)
        warehouse.refresh()


# Of each kind that Unicode's collation ignores: controls, formats and marks without a form.
IGNORABLE = "\x01\x1f\x84\xad\u034f\u180e\u200b\u2060\ufe0f\ufeff"


def test_characters_that_a_collation_ignores_are_found_as_any(warehouse, store):
    needs(warehouse, "ignorable")
    assert _overlooked(store.engine, IGNORABLE) == set()


def _overlooked(engine, characters):
    """Those of the characters that the engine's patterns do not see."""
    codes = ", ".join(f"({ord(each)})" for each in characters)
    found = {
        "duckdb": "length(regexp_extract(concat(' ', chr(code), 'x'), '^[ ]*')) + 1",
        "sqlserver": "patindex(N'%[^ ]%', concat(N' ', nchar(code), N'x') collate Latin1_General_100_BIN2)",
    }[engine.name]
    rows = engine.query(f"select code, {found} from (values {codes}) as characters (code)")
    return {chr(code) for code, place in rows if place != 2}


def test_the_pinned_texts_have_their_chunks(warehouse):
    """Every hostile text through the views `document` and `chunk_window`, one policy after the other."""
    project = warehouse
    cases = [case for case in hostile_cases() if "\0" not in case[1]]
    if project.engine == "sqlserver" and "ignorable" in live.WITHOUT:
        cases = _without_overlooked(project, cases)
    project.edit("models/demo/stg_page.sql", "concat('page:', page_id)", "page_id")
    pages, events, entities, policies = (project.rows(name) for name in ("page", "event", "entity", "chunk_policy"))
    views = ("stg_page", "document", "chunk_window")
    try:
        for version in {case[2].version for case in cases}:
            chosen = [case for case in cases if case[2].version == version]
            _write_pages(project, chosen, pages[0], policies[0])
            project.build("--select", "page", "chunk_policy", *views)
            found: dict[str, list] = {}
            opened = live.open_store(project)
            _put_long_texts(opened.engine, chosen)
            for source_id, *chunk in opened.engine.query(
                "select source_id, start_offset, end_offset, chunk_id, content_sha256"
                f" from {opened.engine.table('chunk_window')} where source_type = 'page'"
                " order by source_id, chunk_index"
            ):
                found.setdefault(source_id, []).append(chunk)
            opened.close()
            for source_id, _, _, _, answers in chosen:
                assert (source_id, as_pinned(found.get(source_id, []))) == (source_id, answers)
    finally:
        project.edit("models/demo/stg_page.sql", "page_id as source_id", "concat('page:', page_id) as source_id")
        for name, rows in (("page", pages), ("event", events), ("entity", entities), ("chunk_policy", policies)):
            project.write_rows(name, rows)
        project.refresh(*views)


LONGEST_IN_A_SEED = 10_000


def _without_overlooked(project, cases):
    """Paragraphs are cut by patterns; windows are not, so they keep all their texts."""
    characters = {each for case in cases for each in case[1] if ord(each) < 0x10000}
    with closing(live.open_store(project)) as opened:
        overlooked = _overlooked(opened.engine, sorted(characters))
    assert overlooked >= set(IGNORABLE), "the server under test sees them: take the feature out of its list"
    return [case for case in cases if not isinstance(case[2], ParagraphPolicy) or not overlooked.intersection(case[1])]


def _put_long_texts(engine, cases):
    """A csv field has a limit: what is longer goes into the source table itself."""
    source = type(engine)(engine.connection, f"{engine.schema}_demo").table("page")
    for source_id, text, _, _, _ in cases:
        if len(text) > LONGEST_IN_A_SEED:
            payload = json.dumps({"body": {"text": text}})
            engine.execute(f"update {source} set payload_json = ? where page_id = ?", [payload, source_id])


def _write_pages(project, cases, page, policy):
    project.write_rows(
        "page",
        [
            {**page, "page_id": source_id, "payload_json": json.dumps({"body": {"text": text[:LONGEST_IN_A_SEED]}})}
            for source_id, text, _, _, _ in cases
        ],
    )
    cut = {name: str(value) for name, value in cases[0][2].to_dict().items() if name != "version"}
    row = {**policy, "method": "characters", **cut, "policy_version": cases[0][2].version, "source_type": "page"}
    project.write_rows("chunk_policy", [row, {**policy, "source_type": "*"}])


LONG_TEXTS = ["é" * 4001, "日本\U0001f680 " * 5000, "z日" * 600_000]
HOSTILE_TEXTS = [
    *LONG_TEXTS,
    "\t\r\n\x01\x1f\u2028 controls",
    "emoji 🚀 family 👨‍👩‍👧",
    "trailing blanks   ",
    " ",
    "é vs é",
    "שלום עולם",
    "日本語" * 50,
    "it's; -- 'quoted' \\ \"x\"",
]


def test_all_unicode_survives(store):
    for text in HOSTILE_TEXTS:
        if is_blank(text):
            continue  # no chunk
        policy = ChunkingPolicy(chunk_size=10_000_000)
        (chunk,) = Chunker(policy).chunk(text, f"unicode:{compute_content_hash(text)[:8]}", "lake_text")
        store.save_chunk(chunk)
        assert store.get_chunk(chunk.chunk_id).content == text
        assert not store.save_chunk(chunk)


def staged_cases(engine):
    """Columns of every kind, and rows of their edges; the first is all NULL."""
    vector = np.random.default_rng(1).normal(size=1998).astype(np.float32)
    vector[:4] = [1e-45, 3.4028235e38, -0.0, 1 / 3]
    columns = [
        Column("n", "", "integer"), key_column("chunk_id"), key_column("embedding_space_id"), key_column("source_id"),
        Column("content", "", "text"), Column("score", "", "real"), Column("flag", "", "boolean"),
        Column("at_utc", "", "utc"), Column("tags_json", "", "json"), Column("vector", "", "vector"),
    ]  # fmt: skip
    leap = datetime(2024, 2, 29, 23, 59, 58, 123456)
    edges = [
        ("a" * 64, "b" * 36, "日" * 400, LONG_TEXTS[2], 0.1, True, leap, "{}", vector),
        ("b", "", "it's ", LONG_TEXTS[1], 1.7976931348623157e308, False, datetime(1, 1, 1), '["é"]', -vector),
        ("c", "c", "🚀" * 200, "", 5e-324, True, datetime(9999, 12, 31, 23, 59, 59, 999999), "null", vector[:1]),
        *((f"{i:064}", None, f"?{i}", text, i / 7, None, datetime(2026, 1, 1, 0, 0, 0, i), "[]", vector[i : i + 2])
          for i, text in enumerate(HOSTILE_TEXTS)),
    ]  # fmt: skip
    rows = [(0, *[None] * 9), *((n + 1, *each) for n, each in enumerate(edges))]
    # More values than a statement may have parameters.
    rows += [(n, f"{n:064}", *[None] * 8) for n in range(len(rows), 3000)]
    rows[1] = (2**63 - 1, *rows[1][1:])
    rows[2] = (-(2**63), *rows[2][1:])
    return columns, [(*row[:-1], None if row[-1] is None else engine.encode_vector(row[-1])) for row in rows]


def test_what_is_staged_is_what_was_given(store):
    """By content, whatever the driver makes of parameters."""
    engine = store.engine
    columns, rows = staged_cases(engine)
    names = ", ".join(column.name for column in columns)
    with engine.staged(columns, rows) as staged:
        found = {row[0]: row for row in engine.query(f"select {names} from {staged} as staged where 1 = ?", [1])}
    assert len(found) == len(rows)
    for given in rows:
        got = found[given[0]]
        assert got[:-1] == given[:-1]
        if given[-1] is not None:
            vectors = [np.asarray(engine.decode_vector(row[-1]), np.float32).tobytes() for row in (got, given)]
            assert vectors[0] == vectors[1]
    with engine.staged(columns, []) as staged:
        assert engine.query(f"select {names} from {staged} as staged") == []


def test_an_error_leaves_no_transaction_and_no_part_of_it(store):
    """Whatever the session says about errors: the next transaction works, and counts its rows."""
    if store.engine.name == "sqlserver":
        store.engine.execute("set xact_abort on")
    (chunk,) = Chunker().chunk("a text that is refused once", "refused:1", "lake_text")
    wrong = VectorEmbedding.create_new(chunk.chunk_id, "0" * 36, chunk.content_sha256, [1.0])
    version = [key_column("chunk_id"), key_column("content_sha256"), Column("content", "", "text")]
    version.append(Column("created_utc", "", "utc"))
    names = ", ".join(column.name for column in version)
    twice = [(chunk.chunk_id, chunk.content_sha256, chunk.content, datetime(2026, 1, 1))] * 2

    def refused():
        store.engine.execute(
            f"update {store.engine.table('source_registry')} set title = 'lost' where source_id is not null"
        )
        with store.engine.staged(version, twice) as staged:
            table = store.engine.table("chunk_version")
            store.engine.execute(f"insert into {table} ({names}) select {names} from {staged} as staged")

    with pytest.raises(Exception) as caught:  # noqa: PT011
        store.engine.atomically(refused)
    assert store.engine.explain_constraint(caught.value)
    assert not [source for source in store.list_sources() if source.title == "lost"]
    with pytest.raises(InvalidRecord):
        store.save_embedding(wrong)
    assert store.save_chunk(chunk).inserted == 1
    assert store.save_chunk(chunk).unchanged == 1


@pytest.mark.parametrize("text", ["lone \ud83d surrogate", "nul \0 character"])
def test_what_no_database_keeps_is_refused(store, text):
    chunk = VectorChunk("0" * 64, "lake_text", {}, {}, text, "0" * 64, 1, {})
    with pytest.raises(InvalidRecord):
        store.save_chunk(chunk)
    assert store.get_chunk("0" * 64) is None


def test_vectors_come_back_bit_for_bit_and_are_refused_when_wrong(store):
    space = store.get_or_create_embedding_space(
        provider="hash", model_name="conformance", dimensions=3, normalize_flag=False
    )
    (chunk,) = Chunker().chunk("a text with a vector", "vector:1", "lake_text")
    store.save_chunk(chunk)

    def embedding(vector, **changes):
        given = {
            "chunk_id": chunk.chunk_id, "embedding_space_id": space.embedding_space_id,
            "input_content_sha256": chunk.content_sha256,
        }  # fmt: skip
        return VectorEmbedding.create_new(**{**given, **changes}, vector=vector)

    saved = embedding([1 / 3, -1e-30, 3.4e38])
    assert store.save_embedding(saved).inserted == 1
    assert not store.save_embedding(embedding([9.0, 9.0, 9.0]))
    found = store.get_embedding(saved.embedding_id)
    assert np.float32(found.vector).tobytes() == np.float32(saved.vector).tobytes()
    assert found.vector_sha256 == saved.vector_sha256
    for wrong in (
        embedding([1.0, 2.0]),
        embedding([1.0, 2.0, 3.0], chunk_id="1" * 64),
        embedding([1.0, 2.0, 3.0], input_content_sha256="2" * 64),
        embedding([1.0, 2.0, 3.0], embedding_space_id="no such space"),
    ):
        with pytest.raises(InvalidRecord):
            store.save_embedding(wrong)
    assert len(store.list_embeddings(embedding_space_id=space.embedding_space_id)) == 1


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("source_types", [(), ("event",), ("event", "entity"), ("no such type",)])
def test_search_equals_numpy(warehouse, store, metric, source_types):
    (space,) = (space for space in store.list_embedding_spaces() if space.space_key == "hash")
    query = np.random.default_rng(1).normal(size=space.dimensions).astype(np.float32)
    rows = store.engine.query(
        f"select chunk_id, source_type, vector from {store.engine.table('embedding_current')}"
        " where embedding_space_id = ?",
        [space.embedding_space_id],
    )
    rows = [row for row in rows if not source_types or row[1] in source_types]
    request = SearchRequest(space.embedding_space_id, query, metric, 10, SearchFilters(source_types))
    hits, compared, mean = store.engine.search(request)
    assert compared == len(rows)
    if not rows:
        assert (hits, mean) == ([], 0)
        return
    matrix = np.asarray([store.engine.decode_vector(row[2]) for row in rows], dtype=np.float32)
    scores = dict(zip((row[0] for row in rows), similarity(matrix, query, metric).tolist(), strict=True))
    assert mean == pytest.approx(np.mean(list(scores.values())), abs=1e-6)
    best = sorted(scores, key=lambda chunk_id: -scores[chunk_id])[:10]
    assert [hit.score for hit in hits] == pytest.approx([scores[chunk_id] for chunk_id in best], abs=1e-5)
    assert [hit.score for hit in hits] == pytest.approx([scores[hit.chunk_id] for hit in hits], abs=1e-5)


@pytest.mark.parametrize(
    "filters",
    [
        SearchFilters(tags=(("lang", "en"),)),
        SearchFilters(("page",), tags=(("tags", "moon"), ("lang", "en"))),
        SearchFilters(source_ids=("page:apollo", "it's 日本"), updated_from=datetime(2000, 1, 1)),
        SearchFilters(updated_before=datetime(2000, 1, 1, tzinfo=UTC)),
    ],
)
def test_filters_are_what_python_would_filter(warehouse, store, filters):
    (space,) = (space for space in store.list_embedding_spaces() if space.space_key == "hash")

    def passes(source):
        updated, tags = source.source_updated_utc, source.tags or {}
        return (
            (not filters.source_types or source.source_type in filters.source_types)
            and (not filters.source_ids or source.source_id in filters.source_ids)
            and all(value == tags.get(key) or value in (tags.get(key) or ()) for key, value in filters.tags)
            and (not filters.updated_from or updated >= filters.updated_from.replace(tzinfo=UTC))
            and (not filters.updated_before or updated < filters.updated_before)
        )

    wanted = {source.source_id for source in store.list_sources() if passes(source)}
    vector = np.ones(space.dimensions, np.float32)
    hits, compared, _ = store.engine.search(SearchRequest(space.embedding_space_id, vector, "cosine", 100_000, filters))
    expected = {chunk.chunk_id for chunk in store.list_chunks() if chunk.source_id in wanted}
    assert {hit.chunk_id for hit in hits} == expected
    assert compared == len(expected)


def test_the_index_of_words_follows_the_chunks(warehouse, store):
    """What is retired, embedded, of another text or type: each change reads its own texts, and the index that followed
    is as a new one."""
    (space,) = (space for space in store.list_embedding_spaces() if space.space_key == "hash")
    followed = LexicalIndexes(None)

    def read_again():
        read = []
        with pytest.MonkeyPatch.context() as patch:
            add = postings.add
            patch.setattr(postings, "add", lambda db, texts, of: add(db, (read.append(e) or e for e in texts), of))
            index = followed.current(store.engine, space.embedding_space_id)
        fresh = LexicalIndexes(None).current(store.engine, space.embedding_space_id)
        for types in ((), ("page",)):
            assert index.best("the orbit of a moon", 1000, source_types=types) == fresh.best(
                "the orbit of a moon", 1000, source_types=types
            )
        return {each.chunk_id for each in read}

    assert len(read_again()) > 5
    assert read_again() == set()
    one, other, *_ = (chunk for chunk in store.list_chunks() if chunk.source_type == "page")
    store.save_chunk(replace(one, retired_utc=datetime.now(UTC)))
    assert read_again() == set()
    store.save_chunk(one)
    assert read_again() == {one.chunk_id}
    # Two at once, alike.
    for chunk in (one, other):
        store.engine.execute(
            f"update {store.engine.table('chunk')} set updated_utc = '2030-01-01' where chunk_id = ?", [chunk.chunk_id]
        )
    assert read_again() == {one.chunk_id, other.chunk_id}
    text = "a moon that nobody has seen"
    store.save_chunk(replace(one, content=text, content_sha256=compute_content_hash(text), byte_count=len(text)))
    assert read_again() == set()
    vector = store.list_embeddings(chunk_id=one.chunk_id)[0].vector
    store.save_embedding(
        VectorEmbedding.create_new(one.chunk_id, space.embedding_space_id, compute_content_hash(text), vector)
    )
    assert read_again() == {one.chunk_id}
    store.save_chunk(one)
    table = store.engine.table("chunk")
    store.engine.execute(f"update {table} set updated_utc = created_utc where updated_utc >= '2030-01-01'")


def test_hybrid_search_fuses_vectors_and_words(warehouse, store):
    (space,) = (space for space in store.list_embedding_spaces() if space.space_key == "hash")
    provider = open_provider(space)
    policy = SearchPolicy("hybrid", mmr=0.5, per_source=1)
    result = search(store, space, provider, "the orbit of a moon", policy=policy, tags=[("lang", "en")])
    assert len(result.hits) == len({hit.source_id for hit in result.hits}) == 10
    assert any("lexical_rank" in hit.components for hit in result.hits)
    assert any("dense_rank" in hit.components for hit in result.hits)
    assert [hit.metadata for hit in store.list_retrieval_hits(result.retrieval.retrieval_id)] == [
        hit.components for hit in result.hits
    ]
    (replayed,) = replay(store, [store.get_retrieval(result.retrieval.retrieval_id)])
    assert (replayed.not_replayed, replayed.changes) == (None, [])


def test_sessions_that_create_one_space_at_once_write_one_row(warehouse):
    if warehouse.engine == "duckdb":
        pytest.skip("DuckDB has one writing process; threads of one are in test_store.py")
    needs(warehouse, "locks")
    ready = threading.Barrier(8)

    def create(_):
        opened = live.open_store(warehouse)
        ready.wait()
        try:
            return opened.get_or_create_embedding_space(provider="hash", model_name="race", dimensions=5)
        finally:
            opened.close()

    with ThreadPoolExecutor(8) as pool:
        spaces = list(pool.map(create, range(8)))
    assert len({space.embedding_space_id for space in spaces}) == 1


def test_concurrent_builds_do_not_break_each_other(warehouse):
    if warehouse.engine == "duckdb":
        pytest.skip("DuckDB has one writing process")
    needs(warehouse, "locks")
    before = live.ledger_rows(warehouse, "job", "run")
    chosen = ("run", "--select", "source_registry", "chunk", "chunk_version")
    builds = [warehouse.start_dbt(*chosen) for _ in range(2)]
    try:
        said = [build.communicate(timeout=300)[0] for build in builds]
    finally:
        for build in builds:
            build.kill()
    assert [build.returncode for build in builds] == [0, 0], said
    assert live.ledger_rows(warehouse, "job", "run") == before


def test_a_job_goes_through_the_queue(store):
    """Every operation once, by the rules that test_queue.py has in full."""
    with handlers():
        first, second = JobQueue(store, "first", lease_seconds=0.001), JobQueue(store, "second")
        job = first.enqueue(JobType.DRIFT_TEST, {"n": 1}, dedupe_key="conformance", max_attempts=3, priority=9)
        assert second.enqueue(JobType.DRIFT_TEST, {"n": 2}, dedupe_key="conformance").job_id == job.job_id
        (lost,) = first.claim(1, [JobType.DRIFT_TEST])
        time.sleep(0.05)
        (taken,) = second.claim(1, [JobType.DRIFT_TEST])
        assert (taken.job.job_id, taken.job.attempt_count) == (job.job_id, 2)
        assert not first.complete(lost)
        assert second.heartbeat(taken)
        assert second.release(taken)
        (again,) = second.claim(1, [JobType.DRIFT_TEST])
        assert again.job.attempt_count == 2
        assert second.fail(again, "boom", retry=False)
        assert second.requeue_dead([JobType.DRIFT_TEST]) == [job.job_id]
        (last,) = second.claim(1, [JobType.DRIFT_TEST])
        assert second.complete(last, {"done": 1})
        assert not second.cancel(job.job_id)
    ended = store.get_job(job.job_id)
    assert (ended.status.value, ended.attempt_count, ended.locked_by) == ("SUCCEEDED", 1, None)
    assert [run.status.value for run in store.list_runs(job.job_id)] == ["FAILED", "FAILED", "FAILED", "SUCCEEDED"]


def test_what_is_pending_is_queued_once(warehouse, store):
    job = store.engine.table("job")
    (space,) = (space for space in store.list_embedding_spaces() if space.space_key == "hash")
    store.engine.execute(f"delete from {store.engine.table('embedding')}")
    for said in ("hash", "nothing to queue"):
        done = warehouse.dbt("run-operation", "enqueue_pending")
        assert done.success, done.output
        assert said in done.output.rpartition("enqueue_pending: ")[2]
    queued = store.engine.query(
        f"select job_id, status, input_json from {job} where dedupe_key = ?", [f"embed:{space.embedding_space_id}"]
    )
    assert [(status, text) for _, status, text in queued] == [("NEW", '{"space_key":"hash"}')]
    with handlers():
        for (job_id,) in store.engine.query(f"select job_id from {job} where dedupe_key like 'embed:%'"):
            assert JobQueue(store, "w").cancel(job_id)
    warehouse.embed()


def test_payloads_are_registered_queued_and_extracted(warehouse, store):
    policies = warehouse.rows("chunk_policy")
    (some,) = (row for row in policies if row["source_type"] == "page")
    ours = {**some, "policy_version": "event-html-v1", "source_type": "event", "is_active": "true", "method": "extract"}
    warehouse.write_rows("chunk_policy", [*policies, ours])
    warehouse.refresh()
    registry = store.engine.table("source_registry")
    states = f"select status, chunk_count from {registry} where source_type = 'event' and retired_utc is null"
    count = len(store.engine.query(states))
    assert store.engine.query(states) == [("registered", 0)] * count
    done = warehouse.dbt("run-operation", "enqueue_sources", "--args", "{limit: 3}")
    assert "enqueue_sources: event 3" in done.output, done.output
    told = json.loads(warehouse.vector("enqueue", "CHUNK_SOURCE", "--pending", "--json").stdout)
    assert told == {"pending": count, "open": 3, "queued": count - 3, "by_source_type": {"event": count - 3}}
    assert "nothing to queue" in warehouse.dbt("run-operation", "enqueue_sources").output
    worked = json.loads(warehouse.vector("worker", "--once", "--types", "CHUNK_SOURCE", "--json").stdout)
    assert (worked["succeeded"], worked["failed"] + worked["dead"] + worked["lost"]) == (count, 0)
    output = warehouse.refresh().output
    assert "source_registry: nothing new or changed" in output
    assert "chunk: nothing new or changed" in output
    assert {status for status, _ in store.engine.query(states)} == {"indexed"}
    assert min(chunks for _, chunks in store.engine.query(states)) > 0
    warehouse.write_rows("chunk_policy", policies)
    warehouse.refresh()
    warehouse.embed()


def test_sessions_that_queue_the_same_work_at_once_queue_one_job(warehouse):
    if warehouse.engine == "duckdb":
        pytest.skip("DuckDB has one writing process; threads of one are in test_queue.py")
    needs(warehouse, "locks")
    ready = threading.Barrier(8)

    def enqueue(_):
        opened = live.open_store(warehouse)
        ready.wait()
        try:
            return [
                JobQueue(opened, "w")
                .enqueue(JobType.DRIFT_TEST, {}, dedupe_key=f"race {n}", available_utc=LATER)
                .job_id
                for n in range(10)
            ]
        finally:
            opened.close()

    with handlers(), ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(enqueue, range(8)))
    assert all(answer == answers[0] for answer in answers)


def test_2000_jobs_by_8_processes_of_which_a_third_is_killed(warehouse):
    if warehouse.engine == "duckdb":
        pytest.skip("DuckDB has one writing process; its threads are killed in test_worker.py")
    needs(warehouse, "locks")
    expected = enqueue_work(warehouse)
    options = ("worker", "--once", "--lease-seconds", "5", "--backoff-seconds", "0.01")
    workers = [start_worker(warehouse, *options, "--worker-id", f"w{n}") for n in range(8)]
    rng, killed = random.Random(7), 0
    until = time.monotonic() + 300
    while open_jobs(warehouse):
        assert time.monotonic() < until, "the work is not done"
        time.sleep(0.3 + rng.random())
        running = [each for each in workers if each.poll() is None]
        # Each third of what was started is killed, and another worker started in its place.
        if running and 3 * killed < len(workers):
            rng.choice(running).kill()
            killed += 1
        if len(running) < 8 and open_jobs(warehouse):
            workers.append(start_worker(warehouse, *options, "--worker-id", f"w{len(workers)}"))
    codes = [finished(each)[0] for each in workers]
    assert killed >= 3
    assert set(codes) <= {0, 1, -signal.SIGKILL}
    check_work(warehouse, expected)


def test_the_second_search_reads_no_vector_again(warehouse, store):
    if warehouse.engine == "duckdb":
        pytest.skip("DuckDB compares vectors itself")
    (space,) = (space for space in store.list_embedding_spaces() if space.space_key == "hash")
    request = SearchRequest(space.embedding_space_id, np.ones(space.dimensions, np.float32), "cosine", 5)
    first = store.engine.search(request).hits
    read = []
    stream = store.engine.stream
    store.engine.stream = lambda *arguments: read.append(arguments) or stream(*arguments)
    assert store.engine.search(request)[0] == first
    assert read == []


def test_a_space_that_memory_does_not_hold_is_searched_in_a_copy_on_disk(warehouse, store, tmp_path, monkeypatch):
    if warehouse.engine == "duckdb":
        pytest.skip("DuckDB compares vectors itself")
    (space,) = (space for space in store.list_embedding_spaces() if space.space_key == "hash")
    engine, vector = store.engine, np.ones(space.dimensions, np.float32)
    requests = [
        SearchRequest(space.embedding_space_id, vector, "cosine", 5, filters)
        for filters in (SearchFilters(), SearchFilters(tags=(("lang", "en"),)))
    ]
    monkeypatch.setattr(engine, "mapped", MappedCopies(tmp_path))
    exact = [engine.search(request) for request in requests]
    assert engine.sketched_vectors(space.embedding_space_id, space.dimensions, make=True) == 0
    with pytest.raises(ConfigurationError, match="only a local copy larger than VECTOR_CACHE_MB has them"):
        search_by_vectors(engine, space, requests[0], "sketch")
    monkeypatch.setattr(engine, "cache", VectorCache(tmp_path))
    monkeypatch.setattr(engine.cache, "fits", lambda count, dimensions: False)
    monkeypatch.setattr(mapped_vectors, "FEW", 1)
    for request, before in zip(requests, exact, strict=True):
        found, stage = search_by_vectors(engine, space, request, "auto")
        assert stage == "exact", "the space is small"
        assert (found.hits, found.compared) == (before.hits, before.compared)
        found, stage = search_by_vectors(engine, space, request, "sketch")
        assert stage == "sketch"
        assert found.hits == before.hits, "the candidates are more than the chunks"
    assert engine.sketched_vectors(space.embedding_space_id, space.dimensions, make=False) == exact[0].compared
    read = []
    stream = engine.stream
    monkeypatch.setattr(engine, "stream", lambda *arguments: read.append(arguments) or stream(*arguments))
    assert engine.search(requests[0]).hits == exact[0].hits
    assert read == []


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("password", "wrong", "login was refused"),
        ("server", "host.invalid", "cannot be reached"),
        ("database", "no_such_database", "database .*does not exist"),
        ("driver", "No Such Driver", "not installed"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(warehouse, tmp_path, key, value, expected):
    if warehouse.engine == "duckdb":
        pytest.skip("the settings of a server; DuckDB's are in test_bad_input.py")
    profile = yaml.safe_load((warehouse.folder / "profiles.yml").read_text(encoding="utf-8"))
    if key == "driver" and profile["vector_runtime"]["outputs"]["sqlserver"]["backend"] == "mssql-python":
        pytest.skip("a wrong ODBC driver: mssql-python brings its own")
    profile["vector_runtime"]["outputs"]["sqlserver"].update({key: value, "retries": 1, "login_timeout": 5})
    (tmp_path / "profiles.yml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    done = warehouse.vector("coverage", "--profiles-dir", str(tmp_path))
    assert done.exit_code == 2
    assert re.search(expected, done.stderr)
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_a_hit_and_a_passage_lead_back_to_their_row(warehouse, store):
    (space,) = (space for space in store.list_embedding_spaces() if space.space_key == "hash")
    made = evidence(store, space, open_provider(space), "the orbit of a moon", 800, top_k=30)
    assert made.passages
    assert made.tokens <= 800
    for hit in made.result.hits:
        chunk = store.get_chunk(hit.chunk_id)
        assert hit.source_ref == chunk.source_ref == store.get_source(hit.source_id).source_ref
        assert {**chunk.offsets, "start_offset": hit.start_offset, "end_offset": hit.end_offset} == chunk.offsets
    rows = store.engine.query(
        f"select chunk_id, source_ref_json, start_offset, end_offset from {store.engine.table('retrieval_audit')}"
        " where retrieval_id = ? order by rank",
        [made.result.retrieval.retrieval_id],
    )
    assert [(chunk_id, json.loads(ref), *places) for chunk_id, ref, *places in rows] == [
        (hit.chunk_id, hit.source_ref, hit.start_offset, hit.end_offset) for hit in made.result.hits
    ]
    for passage in made.passages:
        query = f"select content from {store.engine.table('document')} where source_id = ?"
        ((text,),) = store.engine.query(query, [passage.best.source_id])
        assert passage.content == text[passage.start_offset : passage.end_offset]


def test_what_a_row_by_hand_leaves_out_the_engine_fills_in(warehouse, store):
    engine = store.engine
    job, run, registry = (engine.table(name) for name in ("job", "run", "source_registry"))
    key = "by hand"
    for _ in range(2):
        engine.execute(
            f"insert into {job} (job_type, input_json, dedupe_key) values ('EMBED_CHUNKS', '{{}}', ?)", [key]
        )
    jobs = [each for each in store.list_jobs() if each.dedupe_key == key]
    assert len({each.job_id for each in jobs}) == 2
    like = VectorJob.create_new(JobType.EMBED_CHUNKS, {}, dedupe_key=key)
    for each in jobs:
        assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", each.job_id)
        assert abs(each.created_utc - datetime.now(UTC)) < timedelta(minutes=10)
        times = {"created_utc": each.created_utc, "available_utc": each.available_utc}
        assert each == replace(like, job_id=each.job_id, **times)
    engine.execute(f"insert into {run} (job_id, worker_id) values (?, 'hand:1')", [jobs[0].job_id])
    (opened,) = store.list_runs(jobs[0].job_id)
    assert opened.status is RunStatus.RUNNING
    engine.execute(
        f"insert into {registry} (source_id, source_type, source_ref_json) values ('hand:1', 'note', '{{}}')"
    )
    source = store.get_source("hand:1")
    assert (source.status, source.managed_by, source.chunk_capped_flag) == (SourceStatus.INDEXED, "python", False)
    for sql, parameters in (
        (f"delete from {run} where job_id = ?", [jobs[0].job_id]),
        (f"delete from {job} where dedupe_key = ?", [key]),
        (f"delete from {registry} where source_id = ?", ["hand:1"]),
    ):
        engine.execute(sql, parameters)


def test_a_source_that_is_erased_is_gone_and_stays_out_until_it_is_lifted(warehouse, store):
    source, mark = "note:erased", "Sesquipedalian remarks about the moons of Uranus."
    store.save_source(VectorSourceRegistry(source, "note", {}))
    store.save_chunks(Chunker(ChunkingPolicy()).chunk(mark, source, "note"))
    (chunk,) = store.list_chunks(source)
    job = {"source_id": source, "source_type": "note", "from": {"text": mark}}
    queued = VectorJob.create_new(JobType.CHUNK_SOURCE, job, status="SUCCEEDED")
    store.save_job(queued)
    warehouse.embed()
    (space,) = (space for space in store.list_embedding_spaces() if space.space_key == "hash")
    asked = VectorRetrieval.create_new(space.embedding_space_id, "Which moon is it?", 1)
    store.save_retrieval(asked, [VectorRetrievalHit(asked.retrieval_id, 1, chunk.chunk_id, 0.5)])
    named = ("erase", "--source-id", source, "--reason", "request 17", "--json")
    vectors = len(store.list_embeddings(chunk.chunk_id))  # one of each active space
    store.close()  # who has DuckDB's file open would go on with the old one

    counted = json.loads(warehouse.vector(*named, "--dry-run").stdout)["erased"][0]["rows"]
    done = warehouse.vector(*named)
    assert done.exit_code == 0, done
    (told,) = json.loads(done.stdout)["erased"]
    assert (told["rows"], told["elsewhere"]) == (counted, {})
    one = dict.fromkeys(("retrieval_hit", "embedding", "chunk_version", "chunk", "source_registry", "job"), 1)
    one["embedding"] = vectors
    assert told["rows"] == one
    with closing(live.open_store(warehouse)) as now:
        assert now.get_source(source) is now.get_job(queued.job_id) is None
        assert now.get_retrieval(asked.retrieval_id) is not None
        assert now.list_retrieval_hits(asked.retrieval_id) == []
        (erasure,) = (each for each in now.list_erasures("source") if each.is_of(source))
        assert (erasure.counts, erasure.cache_epoch) == (one, 2)
        with pytest.raises(InvalidRecord, match="was erased"):
            now.save_source(VectorSourceRegistry(source, "note", {}))
        # One of dbt's: it is kept out by SQL.
        ours = now.engine.query(f"select source_id from {now.engine.table('document')} order by source_id")
    (of_dbt, *others) = (source_id for (source_id,) in ours)
    assert warehouse.vector("erase", "--source-id", of_dbt, "--reason", "request 18").exit_code in (0, 1)
    warehouse.refresh(seeds=False)
    with closing(live.open_store(warehouse)) as now:
        ours = now.engine.query(f"select source_id from {now.engine.table('document')} order by source_id")
        assert [source_id for (source_id,) in ours] == others
        assert now.get_source(of_dbt) is None
    assert warehouse.vector("erase", "--lift", "--source-id", of_dbt, "--reason", "withdrawn").exit_code == 0
    warehouse.refresh(seeds=False)
    warehouse.embed()
    with closing(live.open_store(warehouse)) as now:
        assert now.get_source(of_dbt) is not None


def test_vectors_that_nothing_needs_are_pruned(warehouse, store):
    chunker = Chunker(ChunkingPolicy())
    store.save_source(VectorSourceRegistry("note:pruned", "note", {}))
    for text in ("The first text.", "Another text it is."[:15]):
        store.save_chunks(chunker.chunk(text, "note:pruned", "note"))
        warehouse.embed()
    (chunk,) = store.list_chunks("note:pruned")
    spaces = len(store.list_embeddings(chunk.chunk_id)) // 2
    old = datetime(2020, 1, 1)
    version = store.engine.table("chunk_version")
    store.engine.execute(f"update {version} set created_utc = ? where chunk_id = ?", [old, chunk.chunk_id])
    newer = f"update {version} set created_utc = ? where chunk_id = ? and content_sha256 = ?"
    store.engine.execute(newer, [datetime(2020, 1, 2), chunk.chunk_id, chunk.content_sha256])
    store.close()
    done = warehouse.dbt("run-operation", "prune_embeddings", "--args", "{days: 90}")
    assert done.success, done.output
    assert f"Deleted {spaces} vectors" in done.output
    with closing(live.open_store(warehouse)) as now:
        left = now.list_embeddings(chunk.chunk_id)
        assert [each.input_content_sha256 for each in left] == [chunk.content_sha256] * spaces
        (pruning,) = now.list_erasures("pruning")
        assert (pruning.counts, pruning.completed_utc is not None) == ({"embedding": spaces}, True)


def evaluate_few(warehouse):
    """Evaluates the space by five questions, plainly and by several hits a source: the judgments, and the two runs."""
    questions = warehouse.rows("eval_query")[:5]
    judgments: dict[str, dict[str, int]] = {row["query_id"]: {} for row in questions}
    judged = [row for row in warehouse.rows("eval_judgment") if row["query_id"] in judgments]
    for row in judged:
        judgments[row["query_id"]][row["source_id"]] = int(row["relevance"])
    threshold = {"query_set": "demo", "search_method": "dense", "metric": "nDCG@10", "min_score": "0"}
    seeds = {"eval_query": questions, "eval_judgment": judged, "publish_threshold": [threshold]}
    for seed, rows in seeds.items():
        warehouse.write_rows(seed, rows)
    warehouse.build("--select", *seeds)
    shown = [
        json.loads(warehouse.vector("spaces", "evaluate", "hash", "--json", *options).stdout)
        for options in ((), ("--per-source", "3"))
    ]
    return judgments, [each["evaluations"][0]["run_id"] for each in shown]


def test_the_scores_of_an_evaluation_are_those_of_ir_measures(warehouse):
    judgments, (run_id, _) = evaluate_few(warehouse)
    with closing(live.open_store(warehouse)) as now:
        retrieval, hit, chunk, score = map(now.engine.table, ("retrieval", "retrieval_hit", "chunk", "eval_score"))
        ranked: dict[str, dict[str, float]] = {}
        for query_id, rank, source_id in now.engine.query(
            f"select asked.eval_query_id, hit.rank, found.source_id from {retrieval} as asked"
            f" inner join {hit} as hit on hit.retrieval_id = asked.retrieval_id"
            f" inner join {chunk} as found on found.chunk_id = hit.chunk_id where asked.run_id = ?",
            [run_id],
        ):
            ranked.setdefault(query_id, {})[source_id] = -float(rank)
        scores = now.engine.query(
            f"select query_id, metric, score from {score} where retrieval_id in"
            f" (select retrieval_id from {retrieval} where run_id = ?)",
            [run_id],
        )
    measured = ir_measures.iter_calc([nDCG @ 10, RR, P @ 10, R @ 10, R @ 100], judgments, ranked)
    roughly = warehouse.engine == "sqlserver" and "decimals" in live.WITHOUT
    assert {(query_id, metric): value for query_id, metric, value in scores} == pytest.approx(
        {(each.query_id, str(each.measure)): each.value for each in measured}, abs=1e-3 if roughly else 1e-9
    )


def test_a_space_is_published_two_runs_compared_and_old_searches_deleted(warehouse):
    _, run_ids = evaluate_few(warehouse)
    with closing(live.open_store(warehouse)) as now:
        before, space = History.read(now), now.get_embedding_space_by_key("hash")
    published = warehouse.vector("spaces", "publish", "hash", "--skip-tests", "--note", "it's a test")
    assert published.exit_code == 0, published
    given = json.dumps(dict(zip(("run_id_a", "run_id_b"), run_ids, strict=True)))
    assert warehouse.vector("enqueue", "DRIFT_TEST", "--input", given).exit_code == 0
    worked = json.loads(warehouse.vector("worker", "--once", "--types", "DRIFT_TEST", "--json").stdout)
    assert (worked["succeeded"], worked["failed"] + worked["dead"] + worked["lost"]) == (1, 0)
    with closing(live.open_store(warehouse)) as now:
        assert status_of(now, space) == "live"
        with pytest.raises(PublicationRefused, match=r"meanwhile \(publish by "):
            switch(now, before, space, PublicationAction.PUBLISH)
        now.engine.execute(f"update {now.engine.table('retrieval')} set created_utc = ?", [datetime(2020, 1, 1)])
    for arguments, kept in (("{days: 90}", True), ("{days: 90, evaluations: true}", False)):
        done = warehouse.dbt("run-operation", "delete_old_retrievals", "--args", arguments)
        assert done.success, done.output
        with closing(live.open_store(warehouse)) as now:
            left = {run_id for (run_id,) in now.engine.query(f"select run_id from {now.engine.table('retrieval')}")}
            hits = now.engine.query(f"select retrieval_id from {now.engine.table('retrieval_hit')}")
        assert None not in left, "a user's"
        assert (set(run_ids) <= left, bool(left), bool(hits)) == (kept, kept, kept)

"""What docs/analysts.md shows, over a project that was built, embedded, searched, changed, built and embedded again."""

import shutil
from datetime import UTC, datetime

import duckdb
import pytest
from documents import examples
from evaluation import ask_few

from vector.evaluation.evaluate import evaluate
from vector.providers import open_provider
from vector.search.policy import SearchPolicy
from vector.search.search import search

pytestmark = pytest.mark.long

CHANGED = ("noticed a faint object in Taurus", "noticed an unknown, faint object in the constellation Taurus")


# Nothing passes these: no text has the word, no source is so young, no hit is so near.
VAIN = (
    ("Betelgeuse", {"policy": SearchPolicy(mode="lexical")}),
    ("Which moon has geysers?", {"updated_from": datetime(2999, 1, 1, tzinfo=UTC)}),
    ("the weather of tomorrow", {"policy": SearchPolicy(min_score=0.99)}),
)


def live_on(project):
    """Asks 36 questions of eval_query as users do and as an evaluation, and some in vain; rewords a page, takes one
    away, and brings everything up to date."""
    with project.connect() as connection:
        ask_few(connection)
    with project.store() as store:
        (space,) = store.list_embedding_spaces(active_only=True)
        provider = open_provider(space)
        questions = [query["query_text"] for query in project.rows("eval_query")[:36]]
        for question in questions:
            search(store, space, provider, question)
        for question in questions[:2]:
            search(store, space, provider, question, policy=SearchPolicy(mode="hybrid"))
        for question, asked in VAIN:
            search(store, space, provider, question, **asked)
        search(store, space, provider, questions[0], 200, eval_query_id="q01")
        evaluate(store, space)
        provider.close()
    pages = [page for page in project.rows("page") if page["page_id"] != "io"]
    (ceres,) = (page for page in pages if page["page_id"] == "ceres")
    assert ceres["payload_json"].count(CHANGED[0]) == 1
    ceres["payload_json"] = ceres["payload_json"].replace(*CHANGED)
    project.write_rows("page", pages)
    project.build()
    project.embed()
    project.build("--select", "space_map")


@pytest.fixture(scope="module")
def lived(kept_project, tmp_path_factory):
    """A copy of the warehouse after all that."""
    kept_project.reset()
    live_on(kept_project)
    path = tmp_path_factory.mktemp("analysts") / "warehouse.duckdb"
    shutil.copy(kept_project.database_path, path)
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("use warehouse.vector")
        yield connection


@pytest.mark.parametrize(("question", "sql", "header"), examples("analysts.md"))
def test_an_example_of_the_document_runs(lived, question, sql, header):
    result = lived.execute(sql.replace("'minilm'", "'hash'"))
    assert [column[0] for column in result.description] == header.split(" | ")
    assert result.fetchall()


def test_coverage_keeps_a_type_that_has_vanished(project):
    project.write_rows("event", [])
    project.build()
    (row,) = project.query(
        "select chunk_count, current_count, pending_count, stale_count, coverage_percent from space_coverage"
        " where source_type = 'event'"
    )
    stale = project.query("select count(*) from chunk where source_type = 'event'")[0][0]
    assert row == (0, 0, 0, stale, None)
    assert stale > 0
    shown = project.vector("coverage")
    assert shown.exit_code == 0
    assert "event" in shown.stdout


def test_reach_is_what_the_log_says(lived):
    """Every pair of space and source, counted another way: retrieval by retrieval in Python, evaluations apart."""
    hits = lived.execute(
        "select retrieval_id, embedding_space_id, source_id, rank, run_id is null and eval_query_id is null"
        " from retrieval inner join retrieval_hit using (retrieval_id) inner join chunk using (chunk_id) order by rank"
    ).fetchall()
    ranks, evaluations = {}, {}
    for retrieval_id, space, source, rank, by_user in hits:
        (ranks if by_user else evaluations).setdefault((space, source), {}).setdefault(retrieval_id, rank)
    rows = lived.execute(
        "select embedding_space_id, source_id, evaluation_found_count, found_count, best_rank, mean_rank"
        " from source_reach"
    ).fetchall()
    assert {source for _, source, *_ in rows} == {
        source
        for (source,) in lived.execute("select source_id from source_registry where retired_utc is null").fetchall()
    }
    found = [row for row in rows if row[3]]
    assert len(found) > 20
    for space, source, in_evaluations, *counted in rows:
        assert in_evaluations == len(evaluations.get((space, source), {}))
        expected = list(ranks.get((space, source), {}).values())
        assert counted[0] == len(expected)
        if expected:
            assert counted[1:] == [min(expected), pytest.approx(sum(expected) / len(expected))]


def test_an_evaluation_leaves_the_reach_of_users_alone(lived):
    """It asks 36 questions for 100 hits each, and finds nearly every source."""
    by_users = "select count(*) filter (reach = 'never found'), min(search_count), max(search_count) from source_reach"
    unfound, *searches = lived.execute(by_users).fetchone()
    assert searches == [36 + 2 + len(VAIN) + 2] * 2  # and the two of the kept project
    assert unfound > 20
    ((found, least),) = lived.execute(
        "select count(*) filter (evaluation_found_count > 0), min(evaluation_search_count) from source_reach"
    ).fetchall()
    assert least == 36 + 1
    assert found > len(lived.execute("select * from source_reach").fetchall()) * 0.9


def test_searches_in_vain_are_those_without_a_hit(lived):
    (sql,) = [sql for question, sql, _ in examples("analysts.md") if question.endswith("nothing at all?")]
    rows = lived.execute(sql).fetchall()
    assert [(row[0], row[3] == 0) for row in rows] == [
        ("Betelgeuse", False), ("Which moon has geysers?", True), ("the weather of tomorrow", False),
    ]  # fmt: skip

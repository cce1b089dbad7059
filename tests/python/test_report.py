"""What the visual report shows: its numbers are those of the marts, its maps the principal components."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from report_support import Page, filled_warehouse
from tsql.parsing import sqlfluff_complaints, sqlglot_complaints
from tsql.rules import violations

from vector.commands.wording import printable
from vector.engines.duckdb import DuckDBEngine
from vector.report import charts, gather, page, views
from vector.report.series import how, ordered_series
from vector.search_policy import SearchPolicy
from vector.store import VectorStore


@pytest.fixture(scope="module")
def filled(kept_project, tmp_path_factory):
    with filled_warehouse(kept_project, tmp_path_factory.mktemp("report")) as opened:
        yield opened


@pytest.fixture(scope="module")
def report(filled):
    return gather.gather(filled.store)


@pytest.fixture(scope="module")
def shown(report):
    return Page(page.render(report, "https://docs.invalid/vector"))


def rows(filled, columns, rest):
    """The numbers of a select as the page has them."""
    return [
        tuple(None if value is None else float(value) for value in row)
        for row in filled.rows(f"select {columns} from {rest}")
    ]


# Numbers

PAIR = "where space_key_a = 'first' and space_key_b = 'second'"
SERIES = "group by space_key, query_set, policy_json, filters_json, top_k"
# What is asked without a filter and by default comes first, and of this the live space.
SERIES_ORDER = "policy_json like '%rerank%' or filters_json is not null, space_key <> 'second', search_method"
METRIC_ORDER = "list_position(['nDCG@10', 'RR', 'P@10', 'R@10', 'R@100'], metric)"


@pytest.mark.parametrize(
    ("label", "columns", "rest"),
    [
        (
            "Coverage by space and source type",
            "coverage_percent, chunk_count, current_count, pending_count, quarantined_count, truncated_count,"
            " stale_count",
            "space_coverage order by space_key, source_type",
        ),
        (
            "Jobs that were given up",
            "attempt_count",
            "dead_letter order by completed_utc desc, job_id",
        ),
        ("Runs", "run_number, seconds", "run_history order by started_utc desc, run_id limit 20"),
        (
            "Latest quality by metric and series",
            "mean_score, ci_lower, ci_upper, query_count, unjudged_query_count, missing_query_count",
            "retrieval_quality where evaluation_id in (select max_by(evaluation_id, evaluated_utc)"
            f" from retrieval_quality {SERIES}) order by {METRIC_ORDER}, {SERIES_ORDER}",
        ),
        (
            "Change since the evaluation before",
            "previous_mean_score, mean_score, mean_difference, improved_query_count, worsened_query_count,"
            " common_query_count",
            f"retrieval_quality_trend where previous_evaluation_id is not null order by {METRIC_ORDER}",
        ),
        (
            "Comparison of first and second",
            "mean_a, mean_b, mean_difference, ci_lower, ci_upper, p_value, win_count, loss_count, tie_count,"
            " query_count",
            f"space_comparison {PAIR} order by {METRIC_ORDER}",
        ),
        (
            "Questions answered least alike by first and second",
            "rank_biased_overlap, overlap_at_10, jaccard, mean_rank_shift",
            f"space_drift {PAIR} order by rank_biased_overlap, query_id limit 5",
        ),
        (
            "Slowest searches",
            "latency_ms, top_k, candidate_count",
            "retrieval where latency_ms is not null order by latency_ms desc limit 10",
        ),
    ],
)
def test_a_table_has_the_numbers_of_its_mart(filled, shown, label, columns, rest):
    expected = rows(filled, columns, rest)
    assert expected
    given = shown.table(label)
    # An average of equal rows may differ in its last digit from one reading of a view to the next.
    assert [pytest.approx(row, rel=1e-12, nan_ok=True) for row in _plain(expected)] == _plain(given)


def _plain(table):
    return [tuple(float("nan") if value is None else value for value in row) for row in table]


def test_the_queue_is_that_of_its_mart(filled, shown):
    columns = (
        "due_count, delayed_count, running_count, lapsed_count, dead_count, oldest_due_seconds, succeeded_run_count,"
        " failed_run_count, jobs_per_hour, failure_percent, average_seconds"
    )
    expected = rows(filled, columns, "job_queue_health order by job_type")
    given = shown.table("The queue by kind of job")
    # Between the two, the oldest due job has waited on.
    waited = [[row[5] for row in table] for table in (given, expected)]
    assert waited[0] == pytest.approx(waited[1], abs=600)
    assert [row[:5] + row[6:] for row in given] == [row[:5] + row[6:] for row in expected]


WORST = "ndcg_at_10, reciprocal_rank, recall_at_10, relevant_count, source_count"


def latest_evaluations(filled):
    """The latest evaluation of each series, in the page's order, and what is said of how it was asked."""
    return filled.rows(
        f"select max_by(evaluation_id, evaluated_utc), space_key, any_value(search_method), policy_json, filters_json"
        f" from retrieval_quality where metric is not null {SERIES}, search_method order by {SERIES_ORDER}"
    )


def test_the_worst_are_of_the_latest_evaluation_of_each_series(filled, shown):
    evaluations = latest_evaluations(filled)
    assert len(evaluations) == 4
    expected = []
    for evaluation_id, *_ in evaluations:
        expected += rows(
            filled,
            WORST,
            f"retrieval_quality_query where evaluation_id = '{evaluation_id}' and ndcg_at_10 is not null"
            " order by ndcg_at_10, reciprocal_rank, query_id limit 5",
        )
    assert shown.table("Worst questions") == expected
    named = shown.groups("Worst questions")
    for (_, space_key, method, policy, filters), name in zip(evaluations, named, strict=True):
        assert name.startswith(f"{space_key}, {method}, ")
        assert ("rerank rerankers_of_a" in name, "source_type" in name) == ("rerank" in policy, bool(filters))


def test_a_later_evaluation_in_another_way_hides_nothing(filled, shown):
    """The reranked one is the space's latest: every series keeps a row of its own all the same."""
    of_series = shown.texts("Latest quality by metric and series", 0)
    assert len(of_series) == 4 * 5
    assert len(set(of_series)) == 4
    assert of_series[:2] == ["second, dense, top 300, set demo", "first, dense, top 300, set demo"]


def test_names_go_by_the_language_of_the_warehouse(filled, report):
    ((language,),) = filled.rows("select search_language from search_setting")
    assert report.search_language == language == "english"
    asked = SearchPolicy("hybrid", per_source=1, language="english")
    policy = json.dumps(asked.to_json(300, "cosine"))
    quality = [replace(row, search_method="hybrid", policy_json=policy, filters_json=None) for row in report.quality]
    slowest = [replace(row, policy_json=policy, top_k=300) for row in report.slowest]
    for warehouse, named in (("english", ""), ("german", ", language english")):
        series = ordered_series(quality, warehouse)
        told = replace(report, quality=quality, series=series, slowest=slowest, trend=[], worst=[])
        shown = Page(page.render(replace(told, search_language=warehouse)))
        assert set(shown.texts("Latest quality by metric and series", 0)) == {
            f"{key}, hybrid{named}, top 300, set demo" for key in ("first", "second")
        }
        assert set(shown.texts("Slowest searches", 3)) == {f"hybrid{named}, per_source 1"}


def test_what_is_left_out_is_counted(filled, monkeypatch):
    monkeypatch.setattr(gather, "WORST_SERIES", 1)
    monkeypatch.setattr(views, "SERIES_SHOWN", 3)
    monkeypatch.setattr(views, "PAIRS_SHOWN", 0)
    shown = Page(page.render(gather.gather(filled.store)))
    assert shown.groups("Worst questions")[0].startswith("second, dense, top 300")
    assert len(shown.table("Worst questions")) == 5
    assert "Shown are 1 of 4 series, plain ones first" in shown.section("queries")
    assert len(shown.table("Latest quality by metric and series")) == 3 * 5
    assert "1 series left out" in shown.section("quality")
    assert "1 series left out" not in Page(page.render(gather.gather(filled.store, ["second"]))).section("quality")


def test_each_space_has_its_status(filled, shown):
    tiles = [re.sub(r"\s+", " ", tile.text_content()) for tile in shown.tree.xpath("//ul[@class='tiles']/li")]
    expected = filled.rows(
        "select space_key, status, is_active, is_default, is_given_up, since_utc from space_status order by all"
    )
    assert {(status, given_up) for _, status, _, _, given_up, _ in expected} == {
        ("draft", False), ("live", False), ("retired", False), ("retired", True),
    }  # fmt: skip
    for tile, (key, status, is_active, is_default, is_given_up, since) in zip(tiles, expected, strict=True):
        assert tile.strip().startswith(f"{key} {status} ")
        assert f"{status} since {since:%Y-%m-%d}" in tile
        assert ("inactive" in tile, "search uses it" in tile) == (not is_active, is_default)
        assert ("given up" in tile) == is_given_up


def test_sums_and_means_are_over_the_mart(filled, shown):
    totals = rows(
        filled,
        "sum(current_count), sum(chunk_count), sum(pending_count), sum(quarantined_count)",
        "space_coverage group by space_key order by space_key",
    )
    assert shown.numbers("//ul[@class='tiles']") == [value for row in totals for value in row]
    ((count, *means),) = rows(
        filled, "count(*), avg(rank_biased_overlap), avg(overlap_at_10), avg(jaccard)", f"space_drift {PAIR}"
    )
    assert shown.numbers("//dl") == pytest.approx([count, *means])
    counted = filled.rows(
        f"select least(floor(rank_biased_overlap * 10), 9), count(*) from space_drift {PAIR} group by 1 order by 1"
    )
    titles = shown.tree.xpath("//*[@class='histogram']//title/text()")
    assert len(titles) == 10
    assert [title for title in titles if not title.endswith(": 0")] == [
        f"{step / 10:.1f} to {(step + 1) / 10:.1f}: {count}" for step, count in counted
    ]


def test_charts_in_time_have_every_evaluation_of_the_first_series(filled, report, shown):
    drawn = [str(title) for title in shown.tree.xpath("//figure[figcaption='nDCG@10']//title/text()")]
    expected = filled.rows(
        "select mean_score, evaluated_utc from retrieval_quality_trend where metric = 'nDCG@10'"
        f" order by {SERIES_ORDER}, evaluated_utc"
    )
    assert len(expected) == 5
    ends = [f": {score:.3f}, {when:%Y-%m-%d %H:%M} UTC" for score, when in expected]
    assert all(title.endswith(end) for title, end in zip(drawn, ends, strict=True))
    # More series than signs: those without a sign of their own are not drawn, and counted.
    more = [replace(row, top_k=k) for k in range(1, 6) for row in report.trend]
    asked = ordered_series(more, report.search_language)
    quality = [replace(row, top_k=k) for k in range(1, 6) for row in report.quality]
    many = Page(page.render(replace(report, trend=more, series=asked, quality=quality, worst=[])))
    lines = many.tree.xpath("//figure[figcaption='nDCG@10']//path[contains(@class, 'line')]/@class")
    assert lines == [f"line s{i}" for i in range(charts.SERIES)]
    assert f"of {len(asked)} series, the first {charts.SERIES}" in many.section("quality")


def test_pairs_with_the_live_space_and_without_a_filter_come_first(report):
    def pair(first, second, **how):
        return replace(
            report.drift[0], space_key_a=first, space_key_b=second, comparison_id=f"{first}{second}{how}", **how
        )

    in_order = [
        pair("first", "second"),
        pair("first", "second", search_method="hybrid"),
        pair("hash", "second"),
        pair("first", "hash"),
        pair("first", "second", asked_policy_json='{"method": "dense", "mmr": 0.5, "per_source": 1}'),
        pair("first", "second", filters_json='{"source_type": ["page"]}'),
    ]
    language = report.search_language
    assert "mmr 0.5" in how(in_order[4], language)
    found = views.pairs(replace(report, comparisons=[], drift=in_order[::-1]))
    assert [(each.space_key_a, each.space_key_b, each.how) for each in found] == [
        (row.space_key_a, row.space_key_b, how(row, language)) for row in in_order
    ]


@pytest.mark.parametrize(
    ("value", "shown"), [(-0.0004, "0.000"), (0.0004, "0.000"), (-1e-17, "0.000"), (-0.0006, "−0.001"), (0.5, "+0.500")]
)
def test_what_is_rounded_to_nothing_has_no_sign(value, shown):
    assert page._number(value, 3, True) == f'<data value="{value!r}">{shown}</data>'


def test_a_verdict_names_the_space(filled, report, shown):
    verdicts = filled.rows(f"select verdict from space_comparison {PAIR} order by {METRIC_ORDER}")
    names = {
        "A better": "first is better",
        "B better": "second is better",
        "not distinguishable": "not distinguishable",
    }
    assert shown.texts("Comparison of first and second", 1) == [names[verdict] for (verdict,) in verdicts]
    certain = [replace(row, verdict="B better", metric="RR") for row in report.comparisons]
    told = Page(page.render(replace(report, comparisons=certain)))
    assert set(told.texts("Comparison of first and second", 1)) == {"second is better"}


# Maps


def test_a_map_is_the_principal_components(filled, report, shown):
    key = "first"
    ids, vectors = zip(
        *filled.rows(
            "select chunk_id, vector from embedding_current where embedding_space_id = ? order by chunk_id",
            filled.spaces[0].embedding_space_id,
        ),
        strict=True,
    )
    centred = np.array(vectors, dtype=np.float64) - np.mean(np.array(vectors, dtype=np.float64), axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    (space_map,) = [each for each in report.maps if each.space_key == key]
    assert [point.chunk_id for point in space_map.points] == list(ids)
    assert np.array([(point.x, point.y) for point in space_map.points]) == pytest.approx(centred @ axes.T, abs=1e-9)
    assert space_map.shares == pytest.approx(values[:2] ** 2 / (values**2).sum())
    # As it is drawn: to scale, up is up.
    drawn = np.array([_place(path) for path in _plane(shown, key).xpath(".//path")])
    expected = (centred @ axes.T) * [1, -1]
    for axis in (0, 1):
        slope, offset = np.polyfit(expected[:, axis], drawn[:, axis], 1)
        assert slope > 0
        assert drawn[:, axis] == pytest.approx(slope * expected[:, axis] + offset, abs=0.06)


def _plane(shown, key):
    (found,) = shown.tree.xpath(f"//figure[contains(@class, 'map')][figcaption/b = '{key}']/*[@class='plane']")
    return found


def _place(path):
    return [float(number) for number in re.match(r"M(-?[\d.]+) (-?[\d.]+)", path.get("d")).groups()]


def test_every_chunk_of_a_map_has_its_text_and_the_sign_of_its_type(filled, report, shown):
    signs = {}
    (space_map,) = [each for each in report.maps if each.space_key == "first"]
    for path, point in zip(_plane(shown, "first").xpath(".//path"), space_map.points, strict=True):
        (text,) = path.xpath("title/text()")
        assert printable(point.source_type) in text
        assert printable(" ".join(point.content.split()))[:200] in text
        signs.setdefault(point.source_type, set()).add(path.get("class"))
    assert all(len(each) == 1 for each in signs.values())
    assert len(set.union(*signs.values())) == len(signs) == 5


def test_a_large_space_is_sampled_by_chunk_id(filled, monkeypatch):
    monkeypatch.setattr(gather, "MAP_CHUNKS", 50)
    report = gather.gather(filled.store, ["first"])
    ((count,),) = filled.rows("select count(*) from chunk where retired_utc is null")
    assert f"a sample of 50 of {count} chunks" in Page(page.render(report)).section("maps")
    (space_map,) = report.maps
    first = [chunk for (chunk,) in filled.rows("select chunk_id from chunk order by chunk_id limit 50")]
    assert [point.chunk_id for point in space_map.points] == first


def test_many_maps_share_what_a_browser_can_draw(filled, monkeypatch):
    monkeypatch.setattr(gather, "ALL_MAPS_CHUNKS", 100)
    maps = gather.gather(filled.store).maps
    assert [(each.space_key, len(each.points)) for each in maps] == [("first", 33), ("hash", 33), ("second", 33)]


@pytest.mark.parametrize("places", [[(0, 0)], [(1, 1), (1, 1)], [(0, 0), (0, 5)]])
def test_a_map_of_few_places_is_drawn_inside(places):
    drawing = charts.scatter([charts.Dot(x, y, 0, "text") for x, y in places], "few")
    for x, y in re.findall(r'd="M(-?[\d.]+) (-?[\d.]+)', drawing):
        assert 0 < float(x) < 480
        assert 0 < float(y) < 400


# What is left out


def test_one_space(filled):
    report = gather.gather(filled.store, ["second"])
    shown = Page(page.render(report))
    assert "Only space second" in shown.tree.xpath("string(//header)")
    assert set(shown.texts("Coverage by space and source type", 0)) == {"second"}
    assert {row.space_key for row in [*report.quality, *report.trend, *report.slowest, *report.worst]} == {"second"}
    assert (report.drift, [each.space_key for each in report.maps]) == ([], ["second"])
    assert "No two spaces" in shown.section("drift")
    assert report.search_count == len(filled.rows("from retrieval join embedding_space using (embedding_space_id)"
                                                  " where space_key = 'second'"))  # fmt: skip


def test_long_lists_are_cut_and_say_so(filled, monkeypatch):
    monkeypatch.setattr(gather, "LATEST", 2)
    shown = Page(page.render(gather.gather(filled.store)))
    ((count,),) = filled.rows("select count(*) from run_history")
    assert f"The latest 2 of {count}." in shown.section("queue")
    assert len(shown.table("Runs")) == 2


def test_a_redacted_question_stays_so(filled, shown):
    ((sha256,),) = filled.rows("select query_sha256 from retrieval where query_text = '[redacted]'")
    assert f"redacted, sha256 {sha256[:12]}" in shown.section("queries")
    assert "[redacted]" not in shown.html


# SQL Server


def test_what_is_read_is_t_sql(filled):
    sent = set()

    class Recorded(DuckDBEngine):
        def query(self, sql, parameters=()):
            sent.add(sql.replace(self._prefix, "[vector]"))
            return super().query(sql, parameters)

        def stream(self, sql, parameters=()):
            sent.add(sql.replace(self._prefix, "[vector]"))
            return super().stream(sql, parameters)

    gather.gather(VectorStore(engine=Recorded(filled.connection)), ["first", "second"])
    ours = [re.sub(r'\[vector\]\."(\w+)"', r"[vector].[\1]", sql) for sql in sent if '[vector]."' in sql]
    assert len(ours) > 15
    for sql in ours:
        assert violations(sql) == []
        assert sqlglot_complaints(sql) == []
        assert sqlfluff_complaints(sql.replace("?", "@p")) == []

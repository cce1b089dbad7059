"""What the visual report shows: its numbers are those of the marts, its texts only texts; and its command."""

import base64
import hashlib
import json
import re
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from report_support import HOSTILE, Page, filled_warehouse
from support import LEDGERS
from tsql.parsing import sqlfluff_complaints, sqlglot_complaints
from tsql.rules import violations

from vector import files
from vector.engines.duckdb.engine import DuckDBEngine
from vector.errors import ConfigurationError
from vector.report import gather, page
from vector.store import VectorStore
from vector.wording import printable


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
        tuple(float("nan") if value is None else float(value) for value in row)
        for row in filled.rows(f"select {columns} from {rest}")
    ]


# Numbers


@pytest.mark.parametrize(
    ("label", "columns", "rest"),
    [
        (
            "Coverage by space and source type",
            "coverage_percent, chunk_count, current_count, pending_count, quarantined_count, truncated_count,"
            " stale_count",
            "space_coverage order by space_key, source_type",
        ),
        ("Jobs that were given up", "attempt_count", "dead_letter order by completed_utc desc, job_id"),
        ("Runs", "run_number, seconds", "run_history order by started_utc desc, run_id limit 20"),
        (
            "Comparisons of spaces",
            "mean_a, mean_b, mean_difference, ci_lower, ci_upper, p_value, win_count, loss_count, tie_count",
            "space_comparison order by metric",
        ),
    ],
)
def test_a_table_has_the_numbers_of_its_mart(filled, shown, label, columns, rest):
    expected = rows(filled, columns, rest)
    assert expected
    given = [[float("nan") if value is None else value for value in row] for row in shown.table(label)]
    assert given == [pytest.approx(row, rel=1e-12, nan_ok=True) for row in expected]


def test_the_queue_is_that_of_its_mart(filled, shown):
    columns = (
        "due_count, delayed_count, running_count, lapsed_count, dead_count, succeeded_run_count, failed_run_count,"
        " jobs_per_hour"
    )
    given = [row[:5] + row[6:9] for row in shown.table("The queue by kind of job")]
    assert given == rows(filled, columns, "job_queue_health order by job_type")
    drawn = {(row["job_type"], row["state"]): row["jobs"] for row in shown.data("queue")}
    assert drawn == {
        (job_type, state): count
        for job_type, *counts in filled.rows(
            "select job_type, due_count, delayed_count, running_count, lapsed_count, dead_count from job_queue_health"
        )
        for state, count in zip(("due", "delayed", "running", "lapsed", "dead"), counts, strict=True)
    }


def test_the_chart_of_coverage_has_every_chunk_once(filled, shown):
    drawn = {}
    for row in shown.data("coverage"):
        drawn[row["space_key"]] = drawn.get(row["space_key"], 0) + row["chunks"]
    expected = filled.rows("select space_key, sum(chunk_count) from space_coverage group by space_key")
    assert drawn == {key: count for key, count in expected}


def test_quality_has_every_evaluation_drawn_and_the_latest_of_each_series_told(filled, report, shown):
    ((count,),) = filled.rows("select count(*) from retrieval_quality")
    assert len(shown.data("quality")) == len(report.quality) == count
    ways = "space_key, query_set, search_method, asked_policy_json, filters_json, top_k"
    latest = filled.rows(
        f"select metric, mean_score, ci_lower, query_count from retrieval_quality where evaluation_id in"
        f" (select max_by(evaluation_id, evaluated_utc) from evaluation group by {ways})"
    )
    label = "Latest quality by series and metric"
    told = zip(shown.texts(label, 1), shown.table(label), strict=True)
    given = [(metric, mean, lower, questions) for metric, (mean, lower, _, questions, _) in told]

    def rounded(table):
        return sorted(str((metric, *(value and round(value, 9) for value in row))) for metric, *row in table)

    assert rounded(given) == rounded((metric, mean, lower, float(count)) for metric, mean, lower, count in latest)
    # However an evaluation was asked, no other way has its name.
    assert len({row["series"] for row in report.quality}) == len(filled.rows(f"select distinct {ways} from evaluation"))


WAYS = st.tuples(
    st.sampled_from(["a", "b"]), st.just("demo"), st.sampled_from(["dense", None]),
    st.sampled_from(['{"mmr":0.5}', '{"mmr":0.25}', None]), st.sampled_from(['{"source_type":["page"]}', None]),
    st.sampled_from([10, 100]),
)  # fmt: skip


@given(st.sets(WAYS))
def test_no_two_ways_of_asking_have_one_name(ways):
    names = gather.series_names(ways)
    assert names.keys() == ways
    assert len(set(names.values())) == len(ways)


def test_cost_is_that_of_the_runs(filled, report):
    expected = {}
    for started, key, text in filled.rows(
        "select started_utc, space_key, metrics_json from run_history where job_type in ('EMBED_CHUNKS',"
        " 'REEMBED_SPACE') and metrics_json is not null"
    ):
        metrics = json.loads(text)
        day = expected.setdefault((f"{started:%Y-%m-%d}", key), [0, 0])
        day[0] += metrics["written"]
        day[1] += metrics["input_tokens"] + metrics["canary_tokens"]
    assert {(row["day"], row["space_key"]): [row["vectors"], row["tokens"]] for row in report.cost} == expected
    assert sum(vectors for vectors, _ in expected.values()) > 800


def test_each_space_has_its_status(filled, shown):
    headings = shown.tree.xpath("//div[@aria-label='Spaces']//th")
    assert [each.text_content() for each in headings] == ["Space", "Status", "Active", "Default", "Since, UTC"]
    expected = filled.rows("select space_key, status, is_active, is_default from space_status order by space_key")
    assert {status for _, status, _, _ in expected} == {"draft", "live", "superseded", "retired"}
    given = zip(*(shown.texts("Spaces", column) for column in range(4)), strict=True)
    yes = {True: "yes", False: "no"}
    assert list(given) == [(key, status, yes[active], yes[default]) for key, status, active, default in expected]


@pytest.mark.parametrize(
    ("value", "shown"), [(-0.0004, "0.000"), (0.0004, "0.000"), (-1e-17, "0.000"), (-0.0006, "−0.001")]
)
def test_what_is_rounded_to_nothing_has_no_sign(value, shown):
    assert page._cell(value, 3) == f'<data value="{value!r}">{shown}</data>'


# Maps

VECTORS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 30), st.integers(1, 12)),
    elements=st.floats(-1, 1, width=32, allow_subnormal=False),
)


@given(VECTORS)
def test_a_plane_shows_as_much_as_the_principal_components(vectors):
    coordinates, shares = gather.principal_plane(vectors)
    centred = vectors.astype(np.float64) - vectors.astype(np.float64).mean(axis=0)
    spread = np.append(np.linalg.eigvalsh(centred.T @ centred)[::-1], [0, 0])[:2]
    assert coordinates.shape == (len(vectors), 2)
    assert np.square(coordinates).sum(axis=0) == pytest.approx(spread, abs=1e-6)
    assert coordinates.mean(axis=0) == pytest.approx([0, 0], abs=1e-6)
    assert 0 <= shares[1] <= shares[0] <= 1 + 1e-9


def test_a_map_has_every_chunk_with_its_text(filled, shown):
    expected = filled.rows(
        "select source_id, content from chunk where retired_utc is null and chunk_id in"
        " (select chunk_id from embedding_current where embedding_space_id = ?) order by chunk_id",
        filled.spaces[0].embedding_space_id,
    )
    drawn = shown.data("map0")
    assert [row["source"] for row in drawn] == [printable(source) for source, _ in expected]
    for row, (_, content) in zip(drawn, expected, strict=True):
        assert row["text"].removesuffix("...") in page.excerpt(content, 10_000)


def test_a_large_space_is_sampled_by_chunk_id(filled, monkeypatch):
    monkeypatch.setattr(gather, "MAP_CHUNKS", 50)
    report = gather.gather(filled.store, ["first"])
    ((count,),) = filled.rows("select count(*) from chunk where retired_utc is null")
    assert f"a sample of 50 of {count} chunks" in Page(page.render(report)).section("maps")
    (space_map,) = report.maps
    first = filled.rows("select source_id from chunk order by chunk_id limit 50")
    assert [(point["source"],) for point in space_map.points] == first


def test_many_maps_share_what_a_browser_can_draw(filled, monkeypatch):
    monkeypatch.setattr(gather, "ALL_MAPS_CHUNKS", 100)
    maps = gather.gather(filled.store).maps
    assert [(each.space_key, len(each.points)) for each in maps] == [("first", 33), ("hash", 33), ("second", 33)]


# Hostile texts


def test_hostile_texts_are_only_text(shown):
    assert len(shown.tree.xpath("//style")) == 1
    assert len(shown.tree.xpath("//script[not(@type)]")) == 2
    assert shown.tree.xpath("//img | //iframe | //object | //*[@onerror or @onload or @style]") == []
    assert "<script>window" not in shown.html
    assert "{{ 7 * 7 }}" in shown.html
    assert any(row["title"].startswith("</title></svg></script><script>") for row in shown.data("map0"))
    assert any(HOSTILE[:20] in text for text in shown.texts("Jobs that were given up", 5))


def test_nothing_turns_the_direction_of_writing_or_is_unseen(shown):
    own = "".join(shown.tree.xpath("//script[not(@type)]/text()"))
    told = shown.html.replace(own, "").replace(page._charting_library(), "")
    assert "\ufffd" in told, "the hostile text has both"
    assert printable(told) == told


def test_nothing_is_loaded(shown):
    links = [value for value in shown.tree.xpath("//@href") if not value.startswith("#")]
    assert links
    assert all(link.startswith("https://docs.invalid/vector/") for link in links)
    assert shown.tree.xpath("//@src | //@srcset | //@data | //link | //base | //@action | //@ping") == []
    assert not re.search(r"url\(|@import|@font-face", shown.tree.xpath("string(//style)"))


def test_the_policy_names_the_only_scripts(shown):
    (policy,) = shown.tree.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    scripts = re.findall(r"<script>(.*?)</script>", shown.html, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts]
    assert rules["script-src"] == " ".join(f"'sha256-{digest}'" for digest in digests)


# What is left out


def test_one_space(filled):
    report = gather.gather(filled.store, ["second"])
    shown = Page(page.render(report))
    assert "Only space second" in shown.tree.xpath("string(//header)")
    assert set(shown.texts("Coverage by space and source type", 0)) == {"second"}
    assert {row["space_key"] for row in [*report.quality, *report.cost, *report.statuses]} == {"second"}
    assert (report.comparisons, [each.space_key for each in report.maps]) == ([], ["second"])


def test_long_lists_are_cut_and_say_so(filled, monkeypatch):
    monkeypatch.setattr(gather, "LATEST", 2)
    shown = Page(page.render(gather.gather(filled.store)))
    ((count,),) = filled.rows("select count(*) from run_history")
    assert f"The latest 2 of {count}." in shown.section("queue")
    assert len(shown.table("Runs")) == 2


EMPTY = {
    "coverage": "There is no embedding space yet", "queue": "No job was ever queued", "quality": "spaces evaluate",
    "cost": "Nothing was embedded yet", "maps": "vector embed",
}  # fmt: skip


def test_an_empty_warehouse_says_what_to_do(project):
    with project.connect() as connection:
        for ledger in reversed(LEDGERS):
            connection.execute(f"delete from {ledger}")
        report = gather.gather(VectorStore(engine=DuckDBEngine(connection)))
    shown = Page(page.render(report))
    for section, told in EMPTY.items():
        assert told in shown.section(section)


def test_a_warehouse_that_was_not_built(project):
    with project.connect() as connection:
        connection.execute("drop view space_comparison")
        store = VectorStore(engine=DuckDBEngine(connection))
        with pytest.raises(ConfigurationError, match="space_comparison not built in schema vector; run `dbt build`"):
            gather.gather(store)


# SQL Server


def test_what_is_read_is_t_sql(filled):
    sent = set()
    prefix = filled.store.engine.table("chunk").removesuffix('."chunk"')

    class Recorded(DuckDBEngine):
        def query(self, sql, parameters=()):
            sent.add(sql.replace(prefix, "[vector]"))
            return super().query(sql, parameters)

        def stream(self, sql, parameters=()):
            sent.add(sql.replace(prefix, "[vector]"))
            return super().stream(sql, parameters)

    gather.gather(VectorStore(engine=Recorded(filled.connection)), ["first", "second"])
    ours = [re.sub(r'\[vector\]\."(\w+)"', r"[vector].[\1]", sql) for sql in sent if '[vector]."' in sql]
    assert len(ours) > 12
    for sql in ours:
        assert violations(sql) == []
        assert sqlglot_complaints(sql) == []
        assert sqlfluff_complaints(sql.replace("?", "@p")) == []


# The command


def test_the_command_replaces_the_file(project, tmp_path):
    out = tmp_path / "report.html"
    out.write_text("before")
    done = project.vector("report", "--out", str(out), "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    ((chunks,),) = project.query("select count(*) from embedding_current")
    assert told == {"out": str(out), "bytes": out.stat().st_size, "spaces": ["hash"], "mapped_chunks": chunks}
    assert out.read_bytes().startswith(b"<!doctype html>")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
    assert project.vector("report", "--out", str(out), "--space", "hash").stdout.startswith(f"{out}: 1 space, ")


def test_docs_are_linked_where_they_are(project, tmp_path):
    (project.folder / "docs").mkdir(exist_ok=True)
    (project.folder / "docs" / "analysts.md").write_text("# For analysts", encoding="utf-8")
    out = tmp_path / "a folder" / "report.html"
    out.parent.mkdir()
    assert project.vector("report", "--out", str(out)).exit_code == 0
    (link,) = Page(out.read_text(encoding="utf-8")).tree.xpath("//a[. = 'the report']/@href")
    assert link.startswith("./..")
    path, _, section = link.partition("#")
    assert section == "the-report"
    assert (out.parent / path).read_text(encoding="utf-8") == "# For analysts"
    assert project.vector("report", "--out", str(out), "--docs-url", "https://docs.invalid/v/").exit_code == 0
    assert 'href="https://docs.invalid/v/operations.md#what-to-watch"' in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "{folder}"], "is a folder; name a file, such as"),
        (["--out", "{folder}/none/report.html"], "there is no folder"),
        (["--space", "none"], "no space is called 'none'; spaces are hash"),
        (["--docs-url", "javascript:alert(1)"], "is no URL; it must begin with https://"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(project, tmp_path, options, message):
    out = [] if "--out" in options else ["--out", str(tmp_path / "report.html")]
    done = project.vector("report", *out, *(option.format(folder=tmp_path) for option in options))
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_page(tmp_path, monkeypatch):
    out = tmp_path / "report.html"
    out.write_text("before")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vector.files.os.replace", fail)
    with pytest.raises(OSError, match="No space"):
        files.write_whole(out, b"after")
    assert out.read_text() == "before"
    assert list(tmp_path.iterdir()) == [out]


def test_a_charting_library_that_is_missing_is_named(report, monkeypatch):
    page._charting_library.cache_clear()
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(ConfigurationError, match=r'pip install "vector-runtime\[report\]"'):
        page.render(report)

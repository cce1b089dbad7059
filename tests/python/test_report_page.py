"""The page of the visual report: no text on it does anything, colours can be told apart; and its command."""

import base64
import hashlib
import itertools
import json
import re

import numpy as np
import pytest
from report_support import Page, filled_warehouse
from support import LEDGERS

from vector import files
from vector.commands.wording import printable
from vector.engines.duckdb import DuckDBEngine
from vector.errors import ConfigurationError
from vector.report import charts, gather, page
from vector.store import VectorStore


@pytest.fixture(scope="module")
def shown(kept_project, tmp_path_factory):
    with filled_warehouse(kept_project, tmp_path_factory.mktemp("report")) as opened:
        return Page(page.render(gather.gather(opened.store), "https://docs.invalid/vector"))


# Hostile texts


def test_hostile_texts_are_only_text(shown):
    assert len(shown.tree.xpath("//script")) == len(shown.tree.xpath("//style")) == 1
    assert shown.tree.xpath("//img | //iframe | //object | //*[@onerror or @onload or @style]") == []
    # In a question, an error, a filter, a title and a chunk: there, whole and harmless.
    assert shown.html.count("&lt;script&gt;window.broken") >= 5
    assert "<script>window" not in shown.html
    assert "{{ 7 * 7 }}" in shown.html
    assert any("<script>window.broken" in title for title in shown.tree.xpath("//title/text()"))


def test_nothing_turns_the_direction_of_writing_or_is_unseen(shown):
    assert "\ufffd" in shown.html, "the hostile text has both"
    assert printable(shown.html) == shown.html


def test_nothing_is_loaded(shown):
    links = [value for value in shown.tree.xpath("//@href") if not value.startswith("#")]
    assert links
    assert all(link.startswith("https://docs.invalid/vector/") for link in links)
    assert shown.tree.xpath("//@src | //@srcset | //@data | //link | //base | //@action | //@ping") == []
    for text in shown.tree.xpath("//style/text()"):
        assert not re.search(r"url\(|@import|@font-face|expression", text)


def test_the_policy_names_the_only_script_and_style(shown):
    (policy,) = shown.tree.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for name in ("script", "style"):
        content = re.search(f"<{name}>(.*?)</{name}>", shown.html, re.DOTALL).group(1)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{name}-src"] == f"'sha256-{digest}'"


# Looks


def _themes():
    style = page._resource("page.css")
    light, dark = (
        dict(re.findall(r"--([a-z0-9]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.S)
    )
    return {"light": light, "dark": dark}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_stand_out(theme):
    """WCAG 2.2: 4.5 for text, 3 for what a chart is drawn with."""
    colours = _themes()[theme]
    for ground in ("ground", "raised"):
        for name in ("ink", "soft", "link", "warn", "live"):
            assert _contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
        for i in range(charts.SERIES + 1):
            assert _contrast(colours[f"s{i}"], colours[ground]) >= 3, (i, ground)


def _contrast(first, second):
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


# What a colour becomes, in linear RGB, for those who lack a kind of cone (Machado, Oliveira and Fernandes 2009).
VISION = {
    "all": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("vision", VISION)
def test_colours_differ(theme, vision):
    """By 25 in CIELAB, some ten times what can just be told apart."""
    colours = _themes()[theme]
    seen = [_lab(colours[f"s{i}"], np.array(VISION[vision])) for i in range(charts.SERIES + 1)]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 25


def _lab(colour, vision):
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(vision @ linear, 0, 1) / [0.95047, 1, 1.08883]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_dark_is_for_screens_and_paper_is_light():
    style = page._resource("page.css")
    assert "@media screen and (prefers-color-scheme: dark)" in style
    assert "@media print" in style


# Empty


def test_an_empty_warehouse_says_what_fills_it(project):
    with project.connect() as connection:
        for name in reversed(LEDGERS):
            connection.execute(f"delete from {name}")
        connection.execute("delete from eval_query; delete from eval_judgment")
        shown = Page(page.render(gather.gather(VectorStore(engine=DuckDBEngine(connection)))))
    for section, command in (
        ("coverage", "embedding_space_seed.csv"),
        ("queue", "dbt run-operation enqueue_pending"),
        ("quality", "vector spaces evaluate KEY"),
        ("drift", "DRIFT_TEST"),
        ("queries", "scripts/search.py"),
        ("maps", "scripts/embed.py"),
    ):
        assert command in shown.section(section)
    assert shown.tree.xpath("//table") == []


def test_without_evaluations_or_vectors(project):
    with project.connect() as connection:
        for name in ("retrieval_hit", "retrieval", "embedding_canary", "embedding_failure", "embedding"):
            connection.execute(f"delete from {name}")
        shown = Page(page.render(gather.gather(VectorStore(engine=DuckDBEngine(connection)))))
    assert "scripts/embed.py" in shown.section("coverage")
    assert "vector spaces evaluate hash" in shown.section("quality")
    assert all(row[2] == 0 for row in shown.table("Coverage by space and source type"))


def test_a_warehouse_that_was_not_built(project):
    with project.connect() as connection:
        connection.execute("drop view space_drift")
        store = VectorStore(engine=DuckDBEngine(connection))
        with pytest.raises(ConfigurationError, match="space_drift not built in schema vector; run `dbt build`"):
            gather.gather(store)


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
    (project.folder / "docs" / "report.md").write_text("# The report", encoding="utf-8")
    out = tmp_path / "a folder" / "report.html"
    out.parent.mkdir()
    assert project.vector("report", "--out", str(out)).exit_code == 0
    (link,) = Page(out.read_text(encoding="utf-8")).tree.xpath("//a[. = 'the report']/@href")
    assert link.startswith("./..")
    assert (out.parent / link).read_text(encoding="utf-8") == "# The report"
    assert project.vector("report", "--out", str(out), "--docs-url", "https://docs.invalid/v/").exit_code == 0
    assert 'href="https://docs.invalid/v/evaluation.md#drift"' in out.read_text(encoding="utf-8")


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

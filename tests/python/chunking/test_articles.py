"""Articles: MediaWiki's replies in both shapes and HTML pages, without what stands around the text."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_support import run_job
from support import PROJECT_DIR

from vector.chunking.articles import Heading, heading_path, read_article
from vector.chunking.extraction import extract, extract_text, extractor_versions
from vector.chunking.extraction_child import LONGEST_HEADINGS
from vector.chunking.extraction_process import ExtractionProcess
from vector.chunking.limits import ExtractionLimits
from vector.errors import ConfigurationError, SourceUnreadable
from vector.jobs.handlers import chunk_source

PAGES = PROJECT_DIR / "benchmarks" / "articles"
HTML = '<div class="mw-parser-output"><p>Io is a moon.</p><h2>Orbit</h2><p>It takes 42 hours.</p></div>'
WIKITEXT = "Io is a '''moon'''.<ref>A book</ref>\n\n== Orbit ==\nIt takes [[hour|42 hours]].\n"
PLAIN = "Io is a moon.\n\n\n== Orbit ==\nIt takes 42 hours."
TEXT = "Io is a moon.\n\n## Orbit\n\nIt takes 42 hours."
ORBIT = (Heading(15, 2, "Orbit"),)


def page(**more):
    return {"pageid": 9, "ns": 0, "title": "Io", **more}


def pages(*found):
    """A reply to action=query in both shapes."""
    return [{"query": {"pages": {str(-n): each for n, each in enumerate(found)}}}, {"query": {"pages": list(found)}}]


REPLIES = [
    {"parse": {"title": "Io", "pageid": 9, "text": {"*": HTML}}},
    {"parse": {"title": "Io", "pageid": 9, "text": HTML, "wikitext": "not this"}},
    {"parse": {"title": "Io", "wikitext": {"*": WIKITEXT}}},
    {"parse": {"title": "Io", "wikitext": WIKITEXT}},
    *pages(page(extract=PLAIN)),
    *pages(page(extract="<p>Io is a <b>moon</b>.</p>\n<h2><span>Orbit</span></h2><p>It takes 42 hours.</p>")),
    *pages(page(revisions=[{"contentformat": "text/x-wiki", "contentmodel": "wikitext", "*": WIKITEXT}])),
    *pages(page(revisions=[{"slots": {"main": {"contentmodel": "wikitext", "*": WIKITEXT}}}])),
    *pages(page(revisions=[{"slots": {"main": {"contentmodel": "wikitext", "content": WIKITEXT}}}])),
    *pages(page(missing=False, revisions=[{"content": WIKITEXT}])),
]


@pytest.mark.parametrize("reply", REPLIES, ids=range(len(REPLIES)))
def test_a_reply_of_mediawiki(reply):
    for payload in (json.dumps(reply), "\ufeff \n" + json.dumps(reply, ensure_ascii=False)):
        made = read_article(payload)
        assert (made.title, made.text, made.headings) == ("Io", TEXT, ORBIT)


@pytest.mark.parametrize("reply", pages(page(extract=PLAIN), page(title="Europa", extract="Ice.")))
def test_several_pages_are_one_text_each_under_its_title(reply):
    made = read_article(json.dumps(reply))
    assert made.text == f"# Io\n\n{TEXT}\n\n# Europa\n\nIce."
    assert made.title is None
    assert [(each.level, each.text) for each in made.headings] == [(1, "Io"), (2, "Orbit"), (1, "Europa")]
    assert heading_path(made.headings, made.text.index("42 hours")) == ["Io", "Orbit"]
    assert heading_path(made.headings, len(made.text)) == ["Europa"]


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ("{", "payload is not JSON"),
        ("{" * 100_000, "payload is not JSON"),
        ("{}", "neither parse nor query.pages"),
        ('{"query": {"pages": []}}', "neither parse nor query.pages"),
        ('{"query": {"pages": ["x"]}}', "neither parse nor query.pages"),
        ('{"query": ["pages"]}', "neither parse nor query.pages"),
        ('{"error": {"code": "missingtitle", "info": "The page does not exist."}}', "an error, missingtitle: The page"),
        ('{"parse": {"title": "Io"}}', "neither parse.text nor parse.wikitext"),
        ('{"parse": {"title": "Io", "text": {"*": 3}}}', "neither parse.text nor parse.wikitext"),
        ('{"query": {"pages": {"-1": {"title": "Iox", "missing": ""}}}}', "'Iox': it is missing"),
        ('{"query": {"pages": [{"title": "Iox", "missing": true}]}}', "'Iox': it is missing"),
        ('{"query": {"pages": [{"title": "<", "invalid": true}]}}', "it is invalid"),
        ('{"query": {"pages": [{"title": "Io"}]}}', "no extract and no revision of the page 'Io'"),
        ('{"query": {"pages": [{"title": "Io", "revisions": [3]}]}}', "no extract and no revision"),
        ('{"query": {"pages": [{"revisions": [{"contentmodel": "json", "*": "{}"}]}]}}', "content model 'json'"),
        ('{"query": {"pages": [{"title": "Io", "extract": "\\ud800"}]}}', "lone surrogate"),
    ],
)
def test_what_is_no_reply_with_a_text_is_refused_by_a_line_that_says_why(payload, said):
    with pytest.raises(SourceUnreadable, match=said):
        read_article(payload)


def test_what_stands_around_a_wikis_text_is_left_out():
    made = read_article((PAGES / "wiki_moon.html").read_text())
    for around in (
        "[edit]",
        "Contents",
        "[1]",
        "citation needed",
        "References",
        "Annals",
        "Beck",
        "Categories",
        "village",
    ):
        assert around not in made.text
    for said in ("Mean radius  612.4 km", "Tarn in true colour", "Split Ridge, 840 km"):
        assert said in made.text
    assert heading_path(made.headings, made.text.index("Long Ridge")) == ["Surface", "Ridges"]
    assert heading_path(made.headings, 0) == []
    for each in made.headings:
        assert made.text[each.offset :].startswith(f"{'#' * each.level} {each.text}\n")


def test_a_page_of_a_wiki_with_its_skin_is_read_as_its_parser_wrote_it():
    made = read_article((PAGES / "wiki_skin.html").read_text())
    assert made.title == "Peat kiln"
    assert made.text.startswith("A peat kiln is an oven of turf")
    assert "Random page" not in made.text


def test_a_section_that_had_references_only_goes_with_its_heading():
    html = "<p>a</p><h2>Notes</h2><h3>Books</h3><ul><li><cite class='citation'>b</cite></li></ul><h2>End</h2><p>c</p>"
    made = read_article(json.dumps({"parse": {"text": html}}))
    assert made.text == "a\n\n## End\n\nc"


def test_the_main_text_of_another_page():
    made = read_article((PAGES / "news.html").read_text())
    assert made.title == "Harbour bridge to close for ten nights"
    assert "## Detours\n" in made.text
    for around in ("cookies", "Subscribe", "morning briefing", "mudlark", "Contact", "Ferry strike"):
        assert around not in made.text
    docs = read_article((PAGES / "docs.html").read_text())
    assert docs.title == "Retries"
    assert "¶" not in docs.text
    assert "at most max_tries times." in docs.text
    assert "as the page on timeouts says" in docs.text  # Sphinx has the class `reference` on a link
    assert 'client = Client(max_tries=5, longest_wait=30)\nclient.get("/orders")' in docs.text


def test_a_short_page_keeps_its_words():
    assert read_article("<nav>Menu</nav><p>Closed on Friday.").text == "Closed on Friday."
    assert [read_article(html).text for html in ("", " \n", "<!-- a -->", "<nav>Menu</nav>")] == [""] * 4
    assert read_article("no markup & none missing").text == "no markup & none missing"


words = st.text(st.sampled_from("ab\u00e9\u65e5\ue000\ue001\ue006&<# ="), min_size=1, max_size=8).filter(
    lambda text: text.strip(" =#")
)


@given(st.lists(st.tuples(st.integers(0, 6), words), min_size=1, max_size=8))
def test_headings_stand_where_they_say_and_no_word_is_lost(blocks):
    from html import escape

    html = "".join(
        f"<h{level}>{escape(text)}</h{level}>" if level else f"<p>{escape(text)}</p>" for level, text in blocks
    )
    html += "<p>the end</p>"
    made = read_article(json.dumps({"parse": {"title": "T", "text": {"*": html}}}))
    for each in made.headings:
        assert made.text[each.offset :].startswith(f"{'#' * each.level} {each.text}")
    found = [(each.level, each.text) for each in made.headings]
    wanted = [(level, " ".join(text.split())) for level, text in blocks if level]
    in_order = iter(wanted)
    assert all(each in in_order for each in found), "headings that nothing stands under are gone, no other"
    assert not wanted or found[-1] == wanted[-1], "the end stands under the last"
    for text in (text for level, text in blocks if not level):
        assert " ".join(text.split()) in " ".join(made.text.split())
    assert made.text.endswith("the end")


def test_articles_in_other_json_are_found_by_a_path():
    payload = json.dumps({"items": [{"body": HTML}, {"body": "<p>Second.</p>"}]})
    assert extract(payload, "json", "$.items[*].body", "article").text == f"{TEXT}\n\nSecond."
    assert extract_text(payload, "json", "$.items[*].body", "html").startswith("Io is a moon.")


def test_without_trafilatura_a_wiki_is_read_and_other_pages_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    assert read_article(json.dumps(REPLIES[0])).text == TEXT
    assert read_article(HTML).text == TEXT
    with pytest.raises(ConfigurationError, match=r'need trafilatura: pip install "vector-runtime\[articles\]"'):
        read_article("<p>a page")


def test_the_libraries_of_a_format_are_named():
    assert extractor_versions("article").keys() == {"inscriptis", "mwparserfromhell", "trafilatura"}
    assert extractor_versions("json", "html").keys() == {"python-jsonpath", "inscriptis"}


# In the process that reads, and in a job


def test_the_process_gives_what_is_read_here():
    reader = ExtractionProcess(ExtractionLimits(seconds=60, memory_mb=1024, input_mb=16, output_mb=16))
    for payload in (json.dumps(REPLIES[0]), (PAGES / "docs.html").read_text()):
        assert reader.extract(payload, "article", None, "text") == read_article(payload)
    many = "".join(f"<h2>Heading {n}</h2><p>x</p>" for n in range(5000))
    made = reader.extract(json.dumps({"parse": {"title": "T" * 90_000, "text": many}}), "article", None, "text")
    assert made.text.count("## Heading") == 5000
    assert 100 < len(made.headings) < LONGEST_HEADINGS / 30
    assert len(made.title) == 1000


def test_a_job_keeps_title_and_headings(store):
    given = {"source_id": "wiki:io", "source_type": "page", "from": {"text": json.dumps(REPLIES[0])}}
    metrics = run_job(store, chunk_source, "CHUNK_SOURCE", {**given, "format": "article"})
    assert metrics["headings"] == [{"offset": 15, "level": 2, "text": "Orbit"}]
    assert store.get_source("wiki:io").title == "Io"
    (chunk,) = store.list_chunks("wiki:io")
    assert chunk.content == TEXT
    run_job(store, chunk_source, "CHUNK_SOURCE", {**given, "format": "article", "title": "My own"})
    assert store.get_source("wiki:io").title == "My own"
    run_job(store, chunk_source, "CHUNK_SOURCE", {**given, "format": "article", "title": None})
    assert store.get_source("wiki:io").title is None

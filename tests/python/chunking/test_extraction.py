"""Text out of HTML, wikitext and JSON, and the lake folder that files are read from."""

import json
import os
import sys
from html import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vector.chunking.extraction import check_json_path, extract_text, extractor_versions, format_of_file
from vector.chunking.lake import checked_lake_path, find_lake_file, read_lake_text
from vector.chunking.limits import ExtractionLimits
from vector.errors import ConfigurationError, InvalidRecord, SourceUnreadable
from vector.jobs.active_jobs import is_permanent

LIMITS = ExtractionLimits(seconds=60, memory_mb=1024, input_mb=16, output_mb=16)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hello <b>wor</b>ld &amp; co</p><p>next</p>", "Hello world & co\n\nnext"),
        ("<script>no()</script><style>p {}</style><p>yes", "yes"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a  b"),
        ("<?xml version='1.0' encoding='latin-1'?><html><body>é日本</body></html>", "é日本"),
        ("<meta charset='latin-1'><p>é", "é"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ("no markup", "no markup"),
        ("1 &lt; 2", "1 < 2"),
        ("&amp;lt;b&amp;gt; &amp;amp;amp; AT&T &copy;", "&lt;b&gt; &amp;amp; AT&T ©"),
        ("<pre>&amp;lt;b</pre>", "&lt;b"),
        ("<table><tr><td>&amp;amp;lt;<!-- & --></td><td>b</td></tr></table>", "&amp;lt;  b"),
        ("<!-- nothing -->", ""),
        (" \n", ""),
        ("", ""),
    ],
)
def test_html(html, text):
    assert extract_text(html, "html").strip("\n") == text


# What an escape may be made of, a stand-in of ours among it.
escapes = st.sampled_from(["&", "amp;", "lt;", "#38;", "#x26;", "copy;", "copy", "\ue000", "\ue001", "x"])
around = st.sampled_from(["{}", "<p>{}</p>", "<pre>{}</pre>", "<ul><li>{}</ul>", "<table><tr><td>{}</table>"])


@settings(max_examples=200, deadline=None)
@given(st.lists(escapes, min_size=1, max_size=12).map("".join), st.lists(around, min_size=1, max_size=4))
def test_html_is_unescaped_once(text, elements):
    markup = escape(text, quote=False)
    for element in elements:
        markup = element.format(markup)
    assert extract_text(markup, "html").strip(" \n*+-o") == text


def test_html_deeper_than_libxml2_reads_by_default_is_whole_or_refused():
    nested = "<div>" * 300 + "deep" + "</div>" * 300 + "after"
    assert extract_text(nested, "html").split() == ["deep", "after"]
    with pytest.raises(SourceUnreadable, match="nested too deeply"):
        extract_text("<div>" * 50_000 + "deep", "html")


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), st.sampled_from(["html", "wikitext"]))
def test_any_text_is_read_the_same_twice(text, text_format):
    assert extract_text(text, text_format) == extract_text(text, text_format)


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("'''Io''' is a [[moon]] of [[Jupiter|the planet]].", "Io is a moon of the planet."),
        ("Erupts.<ref name=x>A book</ref><ref name=x/> {{cite|a}}Often.<!-- no -->", "Erupts. Often."),
        ("[[File:x.jpg|thumb|A [[moon]]<ref>r</ref>]]Text[[Category:Moons]]", "Text"),
        ("== Head ==\n* one\n* two", "Head \n one\n two"),
        ("1 < 2 & 3", "1 < 2 & 3"),
        ("&amp;lt;b&amp;gt; &amp;amp;amp;", "&lt;b&gt; &amp;amp;"),
        ("{{never closed [[nor this", "{{never closed [[nor this"),
        ("", ""),
    ],
)
def test_wikitext(wikitext, text):
    assert extract_text(wikitext, "wikitext").strip() == text


REPLY = json.dumps(
    {"parse": {"title": "Io", "text": "<p>A <b>moon</b>", "revision": 3, "parts": [{"t": "one"}, {"t": "two"}]}}
)


def test_json():
    assert extract_text(REPLY, "json", "$.parse.title") == "Io"
    assert extract_text(REPLY, "json", "$.parse.parts[*].t") == "one\n\ntwo"
    assert extract_text(REPLY, "json", "$.parse.text", "html").strip() == "A moon"
    assert extract_text('"a text"', "json", "$") == "a text"


@pytest.mark.parametrize(
    ("payload", "path", "message"),
    [
        ("{not json", "$", "payload is not JSON"),
        ("[" * 100_000, "$", "payload is not JSON"),
        (REPLY, "$.parse.body", r"'\$.parse.body' finds nothing"),
        (REPLY, "$.parse.revision", r"finds a int at \$\['parse'\]\['revision'\]; it must find strings only"),
        (REPLY, "$.parse.parts", "finds a list"),
        (r'"\ud83d"', "$", "lone surrogate"),
    ],
)
def test_json_that_cannot_be_read_says_why(payload, path, message):
    with pytest.raises(SourceUnreadable, match=message):
        extract_text(payload, "json", path)


@pytest.mark.parametrize("path", ["parse.title", "$.[", "$..", "", "$.a[?"])
def test_a_json_path_is_that_of_the_rfc(path):
    with pytest.raises(InvalidRecord, match="RFC 9535"):
        check_json_path(path)


@pytest.mark.parametrize("text_format", ["html", "wikitext", "json"])
def test_a_missing_library_is_named(monkeypatch, text_format):
    for module in ("lxml.html", "inscriptis", "mwparserfromhell", "jsonpath"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=r'pip install "vector-runtime\[jobs\]"'):
        extract_text('"x"', text_format, "$")


def test_formats_by_extension():
    names = ["a.txt", "b/c.MD", "d.html", "e.wiki", "f.json", "g", "h.d/i", "j.pdf", ".html/k"]
    assert [format_of_file(name) for name in names] == ["text", "text", "html", "wikitext", "json"] + [None] * 4
    assert set(extractor_versions("json", "html")) == {"python-jsonpath", "inscriptis"}
    assert extractor_versions("text", "text") == {}


@pytest.fixture
def lake(tmp_path, monkeypatch):
    folder = tmp_path / "lake"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.setenv("VECTOR_LAKE_DIR", str(folder))
    return folder


def test_a_file_of_the_lake_is_read(lake):
    (lake / "a").mkdir()
    (lake / "a" / "ü.txt").write_bytes("\ufeffé\r\n".encode())
    assert read_lake_text(find_lake_file("a//./ü.txt"), "", LIMITS) == "é\r\n"
    (lake / "inside.txt").symlink_to("a/ü.txt")
    assert find_lake_file("inside.txt") == (lake / "a" / "ü.txt").resolve()


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.txt", "a/../../secret.txt", "..", ".", "a\\b", "a\0b"])
def test_a_path_stays_below_the_lake(lake, path):
    with pytest.raises(InvalidRecord, match="below the folder VECTOR_LAKE_DIR"):
        checked_lake_path(path)
    with pytest.raises(InvalidRecord):
        find_lake_file(path)


def test_a_symbolic_link_does_not_lead_out_of_the_lake(lake):
    (lake / "out.txt").symlink_to(lake.parent / "secret.txt")
    (lake / "up").symlink_to(lake.parent)
    for path in ("out.txt", "up/secret.txt"):
        with pytest.raises(InvalidRecord, match="leads out of the folder"):
            find_lake_file(path)


def test_a_file_that_cannot_be_read_says_why(lake, monkeypatch):
    with pytest.raises(SourceUnreadable, match="'gone.txt': no such file"):
        find_lake_file("gone.txt")
    (lake / "folder.txt").mkdir()
    with pytest.raises(SourceUnreadable, match="no such file"):
        find_lake_file("folder.txt")
    (lake / "latin.txt").write_bytes(b"ab\xe9")
    with pytest.raises(SourceUnreadable, match="'latin.txt': is not UTF-8 at byte 2"):
        read_lake_text(lake / "latin.txt", "latin.txt", LIMITS)
    monkeypatch.setenv("VECTOR_LAKE_DIR", str(lake / "nowhere"))
    with pytest.raises(ConfigurationError, match="no folder"):
        find_lake_file("a.txt")
    monkeypatch.delenv("VECTOR_LAKE_DIR")
    with pytest.raises(ConfigurationError, match="VECTOR_LAKE_DIR is not set"):
        find_lake_file("a.txt")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("circle.txt", "'circle.txt': its symbolic links lead in a circle"),
        ("round/a.txt", "'round/a.txt': its symbolic links lead in a circle"),
        ("n" * 300, "is longer than the file system allows"),
        ("d/" * 3000 + "a.txt", "is longer than the file system allows"),
        ("long.txt", "'long.txt': is longer than the file system allows"),
        ("half \ud800.txt", "holds a character that no file's name can have"),
    ],
)
def test_what_no_attempt_can_read_is_permanent_and_names_no_local_path(lake, path, said):
    (lake / "circle.txt").symlink_to("other.txt")
    (lake / "other.txt").symlink_to("circle.txt")
    (lake / "round").symlink_to("round")
    (lake / "long.txt").symlink_to("n" * 300)
    with pytest.raises(InvalidRecord) as raised:
        find_lake_file(path)
    assert is_permanent(raised.value)
    assert said in str(raised.value)
    assert str(lake.parent) not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_what_may_be_mended_is_tried_again_and_names_no_local_path(lake, monkeypatch):
    (lake / "a.txt").write_text("x")
    for path in ("a.txt/b", "b.txt/c"):
        with pytest.raises(SourceUnreadable, match="no such file"):
            find_lake_file(path)

    real = os.stat

    def denied(path, **options):
        if str(path).endswith("a.txt"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr("vector.chunking.lake.os.stat", denied)
    with pytest.raises(SourceUnreadable, match="path 'a.txt': Permission denied$") as raised:
        find_lake_file("a.txt")
    assert not is_permanent(raised.value)

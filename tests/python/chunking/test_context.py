"""The context of a chunk: title and headings above it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parity import texts_with_headings, titles

from vector.chunking import ParagraphPolicy
from vector.chunking.context import LONGEST, contexts
from vector.chunking.sources import SourceDocument, cut

MARKDOWN = """before
# One
## One A
text
### One A a
## One B
# Two
### Two deep
text"""
WIKITEXT = """Lead.
== History ==
=== Early ===
text
== Names ==
A == B ==
"""


def of_lines(text, title=None):
    """The context of a chunk at the start of each line."""
    starts = [sum(len(line) + 1 for line in text.split("\n")[:number]) for number in range(text.count("\n") + 1)]
    return contexts(title, text, starts)


def test_a_heading_ends_those_of_its_level_and_below():
    assert of_lines(MARKDOWN) == [
        None, "One", "One > One A", "One > One A", "One > One A > One A a", "One > One B", "Two", "Two > Two deep",
        "Two > Two deep",
    ]  # fmt: skip
    assert of_lines(WIKITEXT, "Io") == [
        "Io", "Io > History", "Io > History > Early", "Io > History > Early", "Io > Names", "Io > Names", "Io > Names",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "heading"),
    [
        ("# A", "A"),
        ("#\tA b\t ", "A b"),
        ("###### A", "A"),
        ("####### A", None),
        ("#A", None),
        (" # A", None),
        ("# ", None),
        ("# C#", "C#"),
        ("==A==", "A"),
        ("== A == ", "A"),
        ("=== A ==", "A"),
        ("====== A ======", "A"),
        ("======= A =======", None),
        ("== A", None),
        ("= A =", None),
        ("======", None),
        ("```", None),
    ],
)
def test_what_is_a_heading(line, heading):
    assert of_lines(line) == [heading]


def test_a_comment_in_fenced_code_is_no_heading():
    assert of_lines("# A\n```sh\n# install\n```\n# B\n```\n# open")[2:] == ["A", "A", "B", "B", "B"]


def test_a_title_that_is_the_first_heading_is_not_said_twice():
    assert of_lines("# Io\n## Geysers", " Io\t") == ["Io", "Io > Geysers"]
    assert of_lines("# Io, a moon", "Io") == ["Io > Io, a moon"]
    assert contexts(" \u200b", "text", [0]) == [None]


def test_what_is_long_is_cut():
    (found,) = of_lines("# " + "h" * 1000, "t" * 1000)
    assert found == "t" * LONGEST + " > " + "h" * LONGEST


@given(texts_with_headings, titles, st.integers(1, 40))
def test_the_order_of_chunks_does_not_matter(text, title, size):
    starts = [start for _, start, _ in ParagraphPolicy(size, 0).windows(text)]
    assert contexts(title, text, starts[::-1]) == contexts(title, text, starts)[::-1]


def test_the_context_changes_no_id_and_no_hash():
    policy = ParagraphPolicy(20, 0)
    (_, with_title), (_, without) = (
        cut(SourceDocument("s", "page", {}, MARKDOWN, title=title), policy) for title in ("T", None)
    )
    assert [chunk.context for chunk in with_title] != [chunk.context for chunk in without]
    assert [(chunk.chunk_id, chunk.content_sha256) for chunk in with_title] == [
        (chunk.chunk_id, chunk.content_sha256) for chunk in without
    ]

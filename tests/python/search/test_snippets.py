"""Snippets: the sentence of a hit that has the question's words, and where they are in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vector.search.snippets import Snippet, Snippets
from vector.wording import printable

TRITON = (
    "Triton is the largest moon of Neptune. It orbits backwards.\n"
    "Voyager 2 saw geysers of nitrogen there. The plumes rise 8 km.\n\nIts surface is young."
)


def shown(question, text, language="english", length=200):
    return Snippets(question, language).of(text, length=length).marked("[", "]")


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Which moon has geysers?", "Triton is the largest [moon] of Neptune."),  # a word each: the first one
        ("Who saw a geyser?", "...Voyager 2 [saw] [geysers] of nitrogen there. The plumes rise 8 km. Its surface"),
        ("young surfaces", "...Its [surface] is [young]."),
        ("nothing of it at all", "Triton is the largest moon of Neptune. It orbits backwards. Voyager 2"),
    ],
)
def test_the_sentence_with_most_words_of_the_question_is_shown(question, expected):
    assert shown(question, TRITON).startswith(expected)


def test_words_are_compared_as_the_index_compares_them():
    assert shown("ÉNCELADE", "Encélade, et encelade.", "none") == "[Encélade], et [encelade]."
    assert shown("geysers", "A geyser. Geysers!", "none") == "...[Geysers]!"
    assert shown("木星の衛星", "土星は輪がある。木星は衛星が多い。", "none") == "...[木星]は[衛星]が多い。"
    assert shown("is it", "It is.", "english") == "[It] [is]."  # a question of stop words alone


def test_languages_go_by_source_type():
    make = Snippets("geysers", {"*": "none", "page": "english"})
    assert make.of("A geyser.", "page").marked("[", "]") == "A [geyser]."
    assert make.of("A geyser.", "note").marked("[", "]") == "A geyser."


def test_a_long_sentence_is_shown_around_its_first_word():
    found = Snippets("needle").of("straw " * 500 + "needle " + "straw " * 500, length=100)
    assert (found.text[:8], found.text[-3:]) == ("...straw", "...")
    assert [found.text[a:b] for a, b in found.marks] == ["needle"]


@given(st.text(max_size=300), st.text(max_size=40), st.integers(1, 80))
def test_a_snippet_is_a_line_of_the_text_and_its_marks_are_in_it(text, question, length):
    found = Snippets(question).of(text, length=length)
    assert found.text == printable(found.text)
    assert len(found.text.splitlines()) <= 1
    assert len(found.text) <= length + len("......")
    body = found.text.removeprefix("...").removesuffix("...")
    assert body in printable(" ".join(text.split())) or body.strip(".") in printable(" ".join(text.split()))
    ends = [0]
    for start, end in found.marks:
        assert ends[-1] <= start < end <= len(found.text)
        ends.append(end)
    assert found.marked("", "") == found.text
    assert Snippet(found.text, found.marks) == found

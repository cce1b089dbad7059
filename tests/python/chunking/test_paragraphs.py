"""Paragraphs: where lines are put together, where long ones are cut, and that no character is left out."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vector.chunking import Chunker, ParagraphPolicy
from vector.chunking.paragraphs import SPACES
from vector.chunking.policies import policy_of_row
from vector.errors import ConfigurationError

texts = st.text(alphabet='ab é😀.!。」"\n\t\u00a0\u3000', max_size=200) | st.text(max_size=80)
sizes = st.integers(1, 30).flatmap(
    lambda size: st.tuples(st.just(size), st.integers(0, size - size // 4 - 1) | st.just(0))
)


def windows(text, size, overlap=0):
    return list(ParagraphPolicy(size, overlap).windows(text))


@given(texts, sizes)
@example("word " * 20 + "\n" + "x" * 50 + "\n\n\n", (10, 0))
@example("A sentence. " * 20, (16, 11))
def test_windows_follow_each_other_without_a_gap(text, size_and_overlap):
    size, overlap = size_and_overlap
    found = windows(text, size, overlap)
    reached = 0
    for content, start, end in found:
        assert content == text[start:end]
        assert 0 <= end - start <= size
        assert start <= reached <= end
        assert overlap or start == reached
        reached = end
    assert reached == len(text)


@given(texts, st.integers(8, 30))
def test_a_window_begins_inside_a_word_only_where_no_space_is_within_reach(text, size):
    for _, start, _ in windows(text, size):
        before, at = text[start - 1 : start], text[start : start + 1]
        inside = before and at and not re.fullmatch(f"[{SPACES}]", before) and not re.fullmatch(f"[{SPACES}]", at)
        # A wide full stop needs no space after it.
        if inside and not re.search("[。！？｡]", text[max(0, start - 2) : start]):
            assert not re.search(f"[{SPACES}]", text[start : start + size // 4])


@given(st.lists(st.text("abc .", min_size=1, max_size=11), max_size=20), st.integers(24, 60))
def test_short_lines_are_never_cut(lines, size):
    """With its line feed, a line is no longer than a stretch. A group of them begins in one stretch and ends at the
    first line of the next one that has any."""
    text = "".join(f"{line}\n" for line in lines)
    starts = {0} | {found.end() for found in re.finditer(r"\n(?=.)", text)}
    found = windows(text, size)
    assert {start for _, start, _ in found} <= starts
    stretch = -(-size // 2)
    groups = {(start - 1) // stretch for start in starts if start > stretch}
    assert len(found) == (len(groups) + 1 if text else 0)


@pytest.mark.parametrize(
    ("text", "size", "overlap", "expected"),
    [
        ("", 10, 0, []),
        ("abc", 10, 0, ["abc"]),
        ("a b c d e ", 10, 0, ["a b c d e "]),
        # The stretch is 5: the line feeds at 3 and 4 are in the first one, that at 9 in the next one.
        ("abc\n\ndefg\nhi", 10, 0, ["abc\n\ndefg\n", "hi"]),
        ("abcdefghi\n\n\njk\nl", 16, 0, ["abcdefghi\n\n\n", "jk\nl"]),
        # Two parts, the second from 10 on: a sentence, a word, neither; of a size of 16 the reach is 4.
        ("One of two. Is it? so", 16, 0, ["One of two. ", "Is it? so"]),
        ("One of two, is it? so", 16, 0, ["One of two, ", "is it? so"]),
        ("abcdefghijklmnopqrstu", 16, 0, ["abcdefghij", "klmnopqrstu"]),
        ('He said "go." And left', 16, 0, ['He said "go." ', "And left"]),
        ("一二三四五六七八九十。」十一十二十三", 16, 0, ["一二三四五六七八九十。」", "十一十二十三"]),
        # Each space up to the next word belongs to the part before; up to the end of the reach, not further.
        ("One of two.   Is it?", 16, 0, ["One of two.   ", "Is it?"]),
        ("One of two.       It?", 16, 0, ["One of two.   ", "    It?"]),
        # With an overlap, three parts: the second one is looked for from 4 on, the third one from 12.
        ("One is two. Two is three", 16, 4, ["One is two. ", "two. Two is ", "is three"]),
    ],
)
def test_windows(text, size, overlap, expected):
    assert [content for content, _, _ in windows(text, size, overlap)] == expected


def test_the_settings_are_in_the_policy():
    policy = ParagraphPolicy(10, 2, 5, "v")
    assert policy.to_dict() == {
        "chunk_size": 10, "max_chunks_per_source": 5, "method": "paragraphs", "overlap": 2, "version": "v",
    }  # fmt: skip
    assert policy_of_row(("v", 10, 2, 5, "paragraphs", None)) == policy


@pytest.mark.parametrize(("size", "overlap"), [(8, 6), (1, 1), (100, 75), (100, 99)])
def test_an_overlap_leaves_room_to_move(size, overlap):
    with pytest.raises(ValueError, match="overlap must be less than"):
        ParagraphPolicy(size, overlap)
    with pytest.raises(ConfigurationError, match="chunk policy 'v': overlap must be less than"):
        policy_of_row(("v", size, overlap, 5, "paragraphs", None))


def test_spaces_alone_are_no_chunk():
    found = Chunker(ParagraphPolicy(8, 0)).cut("abc\n" + " " * 30 + "\n" + "d", "s", "page")
    assert "".join(chunk.content for chunk in found.chunks).replace(" ", "") == "abc\nd"
    assert found.blank_char_count == 35 - sum(len(chunk.content) for chunk in found.chunks[:-1])

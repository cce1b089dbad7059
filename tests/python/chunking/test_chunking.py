"""Windows of characters: where each starts and ends, and that no character is left out."""

import hashlib
import logging
import re
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import PROJECT_DIR

from vector.chunking import NORMALIZATION_VERSION, Chunker, ChunkingPolicy, chunk_text, normalize_text
from vector.contracts.identity import is_blank
from vector.contracts.models import generate_chunk_id
from vector.errors import InvalidRecord

# Few letters and many blanks, so that cuts happen; line breaks and other blanks, which must not cut.
texts = st.text(alphabet=" aé😀\n\t\u00a0\u0301", max_size=120) | st.text(max_size=60)
sizes = st.integers(1, 20).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1)))

SCHEMA_DOCUMENT = (PROJECT_DIR / "docs/schema.md").read_text(encoding="utf-8")


def naive_windows(text, size, overlap):
    """Character by character, as the rule is worded."""
    step = size - overlap
    found = []
    start = 0
    while text and (not found or found[-1][2] != "last"):
        window = text[start : start + size]
        if start + size >= len(text):
            found.append((window, start, "last"))
            break
        spaces = [position for position, character in enumerate(window) if character == " "]
        if spaces and spaces[-1] >= step:
            window = window[: spaces[-1]]
        found.append((window, start, None))
        start += step
    return [(content, begin, begin + len(content)) for content, begin, _ in found]


@given(texts, sizes)
@example("a" * 10, (10, 3))
@example("a" * 11, (10, 3))
@example("aaaaaaa aaaaaa", (10, 3))
def test_equals_the_naive_oracle(text, size_and_overlap):
    assert chunk_text(text, *size_and_overlap) == naive_windows(text, *size_and_overlap)


@given(texts, sizes)
def test_every_character_is_covered_and_offsets_are_exact(text, size_and_overlap):
    size, overlap = size_and_overlap
    chunks = chunk_text(text, size, overlap)
    covered = set()
    for index, (content, start, end) in enumerate(chunks):
        assert content == text[start:end]
        assert start == index * (size - overlap)
        assert 0 < end - start <= size
        covered.update(range(start, end))
    assert covered == set(range(len(text)))
    # Only the last window was made to reach the end.
    assert [start + size >= len(text) for _, start, _ in chunks] == [False] * (len(chunks) - 1) + [True] * bool(chunks)


@pytest.mark.parametrize(
    ("text", "size", "overlap", "expected"),
    [
        ("", 10, 3, []),
        ("abc", 10, 3, [("abc", 0, 3)]),
        ("a b c d e ", 10, 3, [("a b c d e ", 0, 10)]),  # the last window keeps its blanks
        ("abcdefghijk", 10, 3, [("abcdefghij", 0, 10), ("hijk", 7, 11)]),
        ("abcdefg ijk", 10, 3, [("abcdefg", 0, 7), (" ijk", 7, 11)]),  # space at p == step
        ("abcdef hijk", 10, 3, [("abcdef hij", 0, 10), ("hijk", 7, 11)]),  # space at p < step would leave a gap
        ("abcdefg i k", 10, 3, [("abcdefg i", 0, 9), (" i k", 7, 11)]),  # cut at p == size - 1
        ("abcdefg\nijk", 10, 3, [("abcdefg\nij", 0, 10), ("\nijk", 7, 11)]),  # only U+0020 cuts
        ("abcdefghij k", 10, 3, [("abcdefghij", 0, 10), ("hij k", 7, 12)]),  # a space just past the window
        ("a b c", 2, 0, [("a ", 0, 2), ("b ", 2, 4), ("c", 4, 5)]),  # no overlap, no room to cut
        ("😀😀é", 2, 1, [("😀😀", 0, 2), ("😀é", 1, 3)]),  # code points, not bytes or UTF-16 units
    ],
)
def test_windows(text, size, overlap, expected):
    assert chunk_text(text, size, overlap) == expected


def test_default_sizes():
    assert [(start, end) for _, start, end in chunk_text("x" * 4000)] == [(0, 2000), (1800, 3800), (3600, 4000)]


@pytest.mark.parametrize("text", ["", "some text"])
@pytest.mark.parametrize(
    ("size", "overlap", "message"),
    [
        (0, 0, "chunk_size must be positive"),
        (-5, 0, "chunk_size must be positive"),
        (10, -1, "overlap must be non-negative"),
        (10, 10, "overlap must be less than chunk_size"),
        (10, 11, "overlap must be less than chunk_size"),
    ],
)
def test_bad_sizes_are_refused_for_an_empty_text_too(text, size, overlap, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        chunk_text(text, size, overlap)
    with pytest.raises(ValueError, match=f"^{message}$"):
        ChunkingPolicy(chunk_size=size, overlap=overlap)


def test_policy_defaults_and_dict():
    policy = ChunkingPolicy()
    assert policy.to_dict() == {"chunk_size": 2000, "overlap": 200, "max_chunks_per_source": 100, "version": "1.0"}
    assert ChunkingPolicy(*policy.to_dict().values()) == policy
    with pytest.raises(AttributeError):
        policy.chunk_size = 5


@pytest.mark.parametrize("count", [0, -1])
def test_policy_refuses_to_cap_at_nothing(count):
    with pytest.raises(ValueError, match="max_chunks_per_source"):
        ChunkingPolicy(max_chunks_per_source=count)


def test_a_chunk_says_where_it_is_from():
    policy = ChunkingPolicy(chunk_size=10, overlap=3, version="é2")
    first, second = Chunker(policy).chunk("😀bcdefg ijk", "page:1", "page")
    assert second.chunk_id == hashlib.sha256("page:1:1:7:11:é2".encode()).hexdigest()
    assert (first.content, first.byte_count) == ("😀bcdefg", 10)
    assert first.content_sha256 == hashlib.sha256("😀bcdefg".encode()).hexdigest()
    assert first.offsets == {"chunk_index": 0, "start_offset": 0, "end_offset": 7}
    assert (first.source_id, first.source_type, first.source_ref) == ("page:1", "page", {"source_id": "page:1"})
    assert first.policy == {"chunk_size": 10, "max_chunks_per_source": 100, "overlap": 3, "version": "é2"}


def test_chunks_do_not_share_their_source_ref():
    given_ref = {"url": "u"}
    first, second = Chunker(ChunkingPolicy(chunk_size=2, overlap=0)).chunk("abcd", "s", "page", given_ref)
    assert first.source_ref == second.source_ref == given_ref
    first.source_ref["url"] = "changed"
    assert second.source_ref == given_ref == {"url": "u"}


storable = st.text(alphabet=" aé😀\n\r\u200b\ufeff", max_size=120)


@given(storable, sizes, st.integers(1, 100))
@example("a" + "\n" * 20 + "b", (4, 1), 100)
@example("a" + "\n" * 20, (4, 1), 2)
def test_a_chunk_is_a_window_with_a_visible_character_up_to_the_cap(text, size_and_overlap, cap):
    size, overlap = size_and_overlap
    found = Chunker(ChunkingPolicy(size, overlap, cap)).cut(text, "s", "page")
    windows = chunk_text(text, size, overlap)
    expected = [(index, *window) for index, window in enumerate(windows[:cap]) if not is_blank(window[0])]
    assert [(c.offsets["chunk_index"], c.content, *list(c.offsets.values())[1:]) for c in found.chunks] == expected
    assert [c.chunk_id for c in found.chunks] == [
        generate_chunk_id("s", i, start, end, "1.0") for i, _, start, end in expected
    ]
    assert len({c.chunk_id for c in found.chunks}) == len(found.chunks)
    assert all(c.byte_count == len(c.content.encode()) for c in found.chunks)
    # What is in no chunk is blank, unless the cap says otherwise, and is counted.
    covered = {i for _, _, start, end in expected for i in range(start, end)}
    left_out = "".join(character for i, character in enumerate(text) if i not in covered)
    assert found.capped == any(not is_blank(window) for window, _, _ in windows[cap:])
    assert found.capped or is_blank(left_out)
    if len(windows) <= cap:
        assert (found.blank_char_count or 0) == len(left_out)


# Unicode's property White_Space, and what else shows nothing, as docs/schema.md words it.
WHITE_SPACE = "9-d 20 85 a0 1680 2000-200a 2028 2029 202f 205f 3000"
FURTHER = "ad 200b-200f 2060 feff"


def test_blank_is_what_the_document_says():
    assert {code for code in range(0x110000) if is_blank(chr(code))} == code_points(f"{WHITE_SPACE} {FURTHER}")
    assert is_blank("")
    # The interpreter's own tables know the White_Space of their Unicode version, and four separators that it is not.
    white_space = {code for code in range(0x110000) if chr(code).isspace()} - {0x1C, 0x1D, 0x1E, 0x1F}
    assert white_space == code_points(WHITE_SPACE)
    (listed,) = re.findall(r"no \*\*visible character\*\*: (.*?)\. \(", SCHEMA_DOCUMENT, re.DOTALL)
    named = " ".join("-".join(each) for each in re.findall(r"U\+(\w+)(?:\s+to\s+U\+(\w+))?", listed))
    assert code_points(named) == code_points(f"{WHITE_SPACE} {FURTHER}")


def code_points(ranges):
    """The code points of hexadecimal numbers and ranges, separated by blanks."""
    found = set()
    for first, _, last in (each.partition("-") for each in ranges.split()):
        found.update(range(int(first, 16), int(last or first, 16) + 1))
    return found


def test_a_cap_is_logged_and_only_then(caplog):
    chunker = Chunker(ChunkingPolicy(chunk_size=4, overlap=1, max_chunks_per_source=2))
    with caplog.at_level(logging.WARNING, logger="vector.chunking"):
        assert len(chunker.chunk("x" * 7, "whole", "page")) == 2
        assert caplog.messages == []
        assert len(chunker.chunk("x" * 8, "cut", "page")) == 2
    assert caplog.messages == ["source 'cut': capped at 2 chunks, 1 of 8 characters are in no chunk"]


def test_a_cap_bounds_the_work():
    # Cut in full, this is fifty thousand windows of a thousand characters: 50 MB.
    chunker = Chunker(ChunkingPolicy(chunk_size=1000, overlap=999, max_chunks_per_source=3))
    text = "x" * 51_000
    tracemalloc.start()
    chunks = chunker.chunk(text, "s", "page")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [c.offsets["start_offset"] for c in chunks] == [0, 1, 2]
    assert peak < 1_000_000


def test_an_empty_source_has_no_chunks():
    assert Chunker().chunk("", "s", "page") == []


@pytest.mark.parametrize(("text", "what"), [("abc\0", "NUL"), ("abc\ud83d", "lone surrogate")])
def test_unstorable_text_is_refused_by_source(text, what):
    with pytest.raises(InvalidRecord, match=rf"page:9.*{what}.* at position 3"):
        Chunker().chunk(text, "page:9", "page")


def test_chunker_does_not_normalize():
    assert Chunker().chunk("a\r\nb", "s", "page")[0].content == "a\r\nb"


def test_normalize_examples():
    assert NORMALIZATION_VERSION == "newline-1"
    assert normalize_text("a\r\nb\rc\nd\r\r\ne\n\r") == "a\nb\nc\nd\n\ne\n\n"
    assert normalize_text(" e\u0301\u2028\x0b\x85\t ") == " e\u0301\u2028\x0b\x85\t "


@given(st.lists(st.sampled_from(["a", " ", "\u2028", "\x85", "\n", "\r\n", "\r"])))
def test_normalize_changes_line_breaks_only(pieces):
    # A CR piece before an LF piece would read as one CRLF, so the pieces are kept apart.
    text = "|".join(pieces)
    expected = "|".join("\n" if piece in ("\r\n", "\r") else piece for piece in pieces)
    assert normalize_text(text) == expected
    assert normalize_text(expected) == expected

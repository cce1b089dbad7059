"""Chunk policies by structure: nothing is left out, sizes hold, and the same text is cut the same."""

import json
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from vector.chunking import Chunker, ChunkingPolicy
from vector.chunking.policies import policy_of_row
from vector.chunking.splitting import CHARACTERS_PER_TOKEN, SplitterPolicy
from vector.contracts.identity import generate_chunk_id, is_blank
from vector.errors import ConfigurationError
from vector.providers.onnx_models import DEFAULT_MODEL, locate_tokenizer

# Sentences, headings, lists, code, other scripts, joined emoji, and any character that can be stored.
pieces = st.sampled_from(
    [
        "A sentence. ",
        "Another one? ",
        "word ",
        "\n",
        "\n\n",
        "# Heading\n",
        "* item\n",
        "```\ncode\n```\n",
        "| a | b |\n",
    ]
    + [
        "日本語の文。",
        "👨‍👩‍👧",
        "é",
        "e\u0301",
        " ",
        "\t",
        "Wort-",
        "https://example.org/a?b=c ",
        "<b>x</b>",
        "**bold** ",
    ]
)
texts = (
    st.lists(pieces | st.text(max_size=5), max_size=40)
    .map("".join)
    .filter(lambda text: "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text))
)
methods = st.sampled_from(["sentences", "markdown"])
sizes = st.integers(1, 60).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1)))
few = settings(max_examples=150, deadline=None)


@pytest.fixture(scope="module")
def count_tokens():
    """The number of a text's tokens by the default model, its special tokens not counted."""
    path = locate_tokenizer(DEFAULT_MODEL)
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def check_windows(text, windows):
    """Each window is its slice of the text, they go forward, and no character is between them."""
    covered = 0
    starts = []
    for content, start, end in windows:
        assert content == text[start:end]
        assert start <= covered < end, "a gap, or a chunk that adds nothing"
        covered = end
        starts.append(start)
    assert covered == len(text)
    assert starts == sorted(starts)


@few
@given(texts, sizes, methods)
@example("x" * 100, (7, 3), "sentences")
@example("👨‍👩‍👧" * 5, (2, 1), "sentences")
@example("a\n\n\n\nb", (1, 0), "markdown")
def test_chunks_in_characters_cover_the_text_within_their_size(text, size_and_overlap, method):
    size, overlap = size_and_overlap
    windows = list(SplitterPolicy(size, overlap, 5000, "v", method).windows(text))
    check_windows(text, windows)
    assert all(end - start <= size for _, start, end in windows)
    assert all(before[2] - after[1] <= overlap for before, after in zip(windows, windows[1:], strict=False))


@settings(max_examples=60, deadline=None)
@given(texts, sizes, methods)
@example("x" * 1000, (5, 2), "sentences")
def test_chunks_in_tokens_cover_the_text_within_their_size(count_tokens, text, size_and_overlap, method):
    size, overlap = size_and_overlap
    windows = list(SplitterPolicy(size, overlap, 5000, "v", method, DEFAULT_MODEL).windows(text))
    check_windows(text, windows)
    assert all(count_tokens(content) <= size or end - start == 1 for content, start, end in windows)


@few
@given(texts, sizes, methods)
def test_the_same_text_is_cut_the_same(text, size_and_overlap, method):
    policy = SplitterPolicy(*size_and_overlap, 5000, "v", method)
    chunker = Chunker(policy)
    first, second = ([(chunk.chunk_id, chunk.content) for chunk in chunker.chunk(text, "s", "page")] for _ in range(2))
    assert first == second
    assert [chunk_id for chunk_id, _ in first] == [
        generate_chunk_id("s", index, start, end, "v")
        for index, (content, start, end) in enumerate(policy.windows(text))
        if not is_blank(content)
    ]


@pytest.mark.parametrize("method", ["sentences", "markdown"])
def test_pages_of_blanks_are_no_chunks(method):
    text = "A sentence here." + "\n" * 2000 + "\u200b" * 500 + " Another one." + " \ufeff" * 700
    found = Chunker(SplitterPolicy(100, 10, 5000, "v", method)).cut(text, "s", "page")
    covered = {i for chunk in found.chunks for i in range(chunk.offsets["start_offset"], chunk.offsets["end_offset"])}
    left_out = [character for i, character in enumerate(text) if i not in covered]
    assert not any(is_blank(chunk.content) for chunk in found.chunks)
    assert is_blank("".join(left_out))
    assert found.blank_char_count == len(left_out) > 2000
    assert not found.capped
    assert len({chunk.offsets["chunk_index"] for chunk in found.chunks}) == len(found.chunks)


@pytest.mark.parametrize("method", ["sentences", "markdown"])
@pytest.mark.parametrize(
    "text",
    ["0123456789abcdef" * 6250, "สวัสดี" * 2000, "word " * 30 + "Zm9v" * 20_000 + " word" * 30, "\n" * 10_000 + "x"],
)
@pytest.mark.long
def test_chunks_in_tokens_have_a_cap_in_characters(count_tokens, method, text):
    policy = SplitterPolicy(20, 4, 100_000, "v", method, DEFAULT_MODEL)
    windows = list(policy.windows(text))
    check_windows(text, windows)
    assert max(len(content) for content, _, _ in windows) <= 20 * CHARACTERS_PER_TOKEN
    assert all(count_tokens(content) <= 20 for content, _, _ in windows)
    assert policy.to_dict()["max_characters"] == 20 * CHARACTERS_PER_TOKEN


def test_sentences_and_headings_are_where_cuts_fall():
    text = "First sentence here. Second one there.\n\nA paragraph of its own."
    assert [content for content, _, _ in SplitterPolicy(40, 0, method="sentences").windows(text)] == [
        "First sentence here. Second one there.\n\n",
        "A paragraph of its own.",
    ]
    assert [content for content, _, _ in SplitterPolicy(25, 0, method="sentences").windows(text)] == [
        "First sentence here. ",
        "Second one there.\n\n",
        "A paragraph of its own.",
    ]
    markdown = "# One\n\nbody\n\n# Two\n\nbody of two\n"
    assert [content for content, _, _ in SplitterPolicy(26, 0, method="markdown").windows(markdown)] == [
        "# One\n\nbody\n\n",
        "# Two\n\nbody of two\n",
    ]


def test_more_tokens_than_the_tokenizer_file_truncates_to(count_tokens):
    """The default model's file says 128 tokens and pads to as many."""
    text = "word " * 1000
    windows = list(SplitterPolicy(200, 0, 5000, "v", "sentences", DEFAULT_MODEL).windows(text))
    assert [count_tokens(content) for content, _, _ in windows] == [200] * 5


def test_the_policy_says_what_cuts():
    assert SplitterPolicy(10, 2, 3, "v").to_dict() == {
        "chunk_size": 10, "max_chunks_per_source": 3, "method": "sentences", "overlap": 2,
        "splitter": "semantic-text-splitter 0.33.1", "version": "v",
    }  # fmt: skip
    in_tokens = SplitterPolicy(10, 2, 3, "v", "markdown", DEFAULT_MODEL).to_dict()
    assert (in_tokens["tokenizer"], len(in_tokens["tokenizer_sha256"])) == (DEFAULT_MODEL, 64)


def test_the_cap_holds():
    chunks = Chunker(SplitterPolicy(2, 0, max_chunks_per_source=3)).chunk("a b c d e f", "s", "page")
    assert [chunk.content for chunk in chunks] == ["a ", "b ", "c "]


def test_rows_of_the_seed():
    assert policy_of_row(("v", 10, 3, 5, None, None)) == ChunkingPolicy(10, 3, 5, "v")
    assert policy_of_row(("v", 10, 3, 5, "characters", None)) == ChunkingPolicy(10, 3, 5, "v")
    assert policy_of_row(("v", 10, 3, 5, "markdown", None)) == SplitterPolicy(10, 3, 5, "v", "markdown")
    with pytest.raises(ConfigurationError, match="'v': method must be one of sentences, markdown, is 'pages'"):
        policy_of_row(("v", 10, 3, 5, "pages", None))
    with pytest.raises(ConfigurationError, match="'v': overlap must be less than chunk_size"):
        policy_of_row(("v", 10, 10, 5, "sentences", None))


def test_an_unreadable_tokenizer_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("VECTOR_ONNX_HOME", str(tmp_path.parent))
    (tmp_path / "model.onnx").write_bytes(b"")
    (tmp_path / "tokenizer.json").write_text(json.dumps({"no": "tokenizer"}))
    policy = SplitterPolicy(10, 0, tokenizer=tmp_path.name)
    with pytest.raises(ConfigurationError, match="cannot be read from"):
        list(policy.windows("text"))


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "semantic_text_splitter", None)
    with pytest.raises(ConfigurationError, match=r'pip install "vector-runtime\[jobs\]"'):
        list(SplitterPolicy(11, 5, version="only here").windows("text"))

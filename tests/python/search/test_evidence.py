"""Evidence: hits as passages of their sources, each text once, within a budget of tokens."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vector.chunking import chunk_text
from vector.contracts.models import VectorRetrieval, compute_content_hash
from vector.errors import ConfigurationError
from vector.providers import estimated_tokens
from vector.providers.hash import HashProvider
from vector.providers.static import DEFAULT_MODEL as STATIC_MODEL
from vector.search.evidence import DUPLICATE, OVER_BUDGET, evidence, evidence_of, tokens_of
from vector.search.replay import replay
from vector.search.search import FoundChunk, SearchResult, search

QUESTION = "the orbit of a moon"


def words(text):
    """A tokenizer: a token a word."""
    return len(text.split())


def found(hits):
    """A search with these hits."""
    return SearchResult(VectorRetrieval.create_new("space", "a question", len(hits) or 1), hits, logged=True)


def hit(rank, content, source_id="s", start=0, **more):
    end = start + len(content)
    given = {"start_offset": start, "end_offset": end, "source_ref": {"id": source_id}, **more}
    chunk_id = f"{source_id} {start} {content}"
    sha256 = compute_content_hash(content)
    return FoundChunk(rank, 1 / rank, chunk_id, sha256, source_id, "page", f"Title of {source_id}", content, **given)


def passages(hits, max_tokens=1000, count=words):
    return [each.content for each in evidence_of(found(hits), max_tokens, count, "test").passages]


# What is merged


def test_neighbours_are_one_passage_in_the_order_of_the_text_and_what_they_share_is_there_once():
    text = "one two three four five six"
    hits = [hit(1, text[8:18], start=8), hit(2, "other", "t"), hit(3, text[:13], start=0), hit(4, text[18:], start=18)]
    made = evidence_of(found(hits), 100, words, "test")
    first, second = made.passages
    assert (first.content, first.start_offset, first.end_offset) == (text, 0, len(text))
    assert [each.rank for each in first.hits] == [3, 1, 4]
    assert second.content == "other"
    assert made.left_out == []


def test_a_gap_another_source_and_no_source_keep_passages_apart():
    assert passages([hit(1, "abc"), hit(2, "xyz", start=4)]) == ["abc", "xyz"]
    assert passages([hit(1, "abc"), hit(2, "xyz", "t", start=3)]) == ["abc", "xyz"]
    assert passages([hit(1, "abc", None), hit(2, "xyz", None, start=3)]) == ["abc", "xyz"]


@pytest.mark.parametrize(
    "offsets",
    [{"start_offset": None}, {"end_offset": None}, {"end_offset": 99}, {"start_offset": 5, "end_offset": 3}],
)
def test_offsets_that_do_not_fit_the_text_merge_nothing_and_lose_nothing(offsets):
    assert passages([hit(1, "abc", **offsets), hit(2, "def", start=3)]) == ["abc", "def"]
    assert passages([hit(1, "def", start=3), hit(2, "abc", **offsets)]) == ["def", "abc"]


def test_texts_that_differ_where_their_offsets_overlap_are_not_merged():
    assert passages([hit(1, "abcd"), hit(2, "xyz", start=3)]) == ["abcd", "xyz"]


def test_a_chunk_within_another_adds_nothing():
    made = evidence_of(found([hit(1, "two", start=4), hit(2, "one two three")]), 3, words, "test")
    assert [each.content for each in made.passages] == ["one two three"]
    assert [each.rank for each in made.passages[0].hits] == [2, 1]


def test_an_equal_text_is_given_once():
    made = evidence_of(found([hit(1, "same text"), hit(2, "same text", "t"), hit(3, "else")]), 100, words, "test")
    assert [each.content for each in made.passages] == ["same text", "else"]
    assert [(each.rank, reason) for each, reason in made.left_out] == [(2, DUPLICATE)]


# The budget


def test_what_does_not_fit_is_left_out_and_what_comes_after_may_fit():
    made = evidence_of(found([hit(1, "a b c"), hit(2, "d e f", "t"), hit(3, "g", "u")]), 4, words, "test")
    assert [each.content for each in made.passages] == ["a b c", "g"]
    assert [(each.rank, reason) for each, reason in made.left_out] == [(2, OVER_BUDGET)]
    assert made.tokens == 4


def test_only_the_best_hit_is_cut_after_a_word():
    made = evidence_of(found([hit(1, "one two  three four", start=7), hit(2, "five", "t")]), 2, words, "test")
    (only,) = made.passages
    assert (only.content, only.start_offset, only.end_offset, only.truncated) == ("one two", 7, 14, True)
    assert [each.rank for each, _ in made.left_out] == [2]


def test_a_script_without_blanks_is_cut_after_a_character():
    text = "\u0e01\u0e33\u0e41\u0e1e\u0e07" + "e\u0301" * 9
    (only,) = evidence_of(found([hit(1, text)]), 6, len, "test").passages
    assert (only.content, only.truncated) == (text[:5], True)  # not between the letter and its accent


def test_a_budget_below_one_character_gives_nothing_and_says_so():
    made = evidence_of(found([hit(1, "abc")]), 1, lambda text: 5 * len(text), "test")
    assert (made.passages, made.tokens) == ([], 0)
    assert [reason for _, reason in made.left_out] == [OVER_BUDGET]


@st.composite
def searches(draw):
    """The texts of sources, hits that are windows of them in any order, and a budget."""
    alphabet = st.sampled_from("ab \u00e9\u65e5\U0001f600")
    sources = draw(st.dictionaries(st.sampled_from("stuv"), st.text(alphabet, min_size=1, max_size=60), min_size=1))
    windows = [
        (source, content, start)
        for source, text in sources.items()
        for size in draw(st.sets(st.integers(2, 20), min_size=1, max_size=2))
        for content, start, _ in chunk_text(text, size, draw(st.integers(0, size - 1)))
    ]
    chosen = draw(st.lists(st.sampled_from(windows), min_size=1, max_size=12, unique=True))
    hits = [hit(rank, content, source, start) for rank, (source, content, start) in enumerate(chosen, 1)]
    return sources, hits, draw(st.integers(1, 80))


@given(searches(), st.sampled_from([len, words, estimated_tokens]))
def test_whatever_is_found(search_of, count):
    sources, hits, max_tokens = search_of
    made = evidence_of(found(hits), max_tokens, count, "test")
    assert made.tokens == sum(count(each.content) for each in made.passages) <= max_tokens
    # Each passage is what its source says at its place, and no character of a source is there twice.
    taken = set()
    for each in made.passages:
        source = each.best.source_id
        assert each.content == sources[source][each.start_offset : each.end_offset] != ""
        places = {(source, place) for place in range(each.start_offset, each.end_offset)}
        beside = {(source, each.start_offset - 1), (source, each.end_offset)}
        assert not taken & (places | beside), "two passages that should be one"
        taken |= places
    # Every hit is in one passage, whole but for the best, or left out for a reason that holds.
    given_ranks = [each.rank for passage in made.passages for each in passage.hits]
    assert sorted(given_ranks + [each.rank for each, _ in made.left_out]) == [each.rank for each in hits]
    for passage in made.passages:
        assert [each.start_offset for each in passage.hits] == sorted(each.start_offset for each in passage.hits)
        cut = [each.rank for each in passage.hits if each.content not in passage.content]
        assert cut in ([], [1])
        assert passage.truncated == bool(cut)
    kept = {each.content_sha256 for passage in made.passages for each in passage.hits}
    assert len(kept) == len(given_ranks), "a text twice"
    for each, reason in made.left_out:
        assert (reason == DUPLICATE) == (each.content_sha256 in kept)
    assert [each.best.rank for each in made.passages] == sorted(each.best.rank for each in made.passages)


@given(searches())
def test_with_room_for_all_nothing_is_left_out_but_duplicates(search_of):
    sources, hits, _ = search_of
    made = evidence_of(found(hits), 10_000, len, "test")
    assert {reason for _, reason in made.left_out} <= {DUPLICATE}
    assert not any(each.truncated for each in made.passages)
    assert made.passages == evidence_of(found(hits[::-1]), 10_000, len, "test").passages


# Over a warehouse


def test_a_hit_and_a_passage_lead_back_to_the_row(store, space):
    made = evidence(store, space, HashProvider(space), QUESTION, 500, top_k=20)
    assert made.tokens_by == "bytes"
    assert made.tokens <= 500
    retrieval_id = made.result.retrieval.retrieval_id
    for each in made.to_dict()["passages"]:
        text = store.engine.query(
            f"select content from {store.engine.table('document')} where source_id = ?", [each["source_id"]]
        )[0][0]
        assert each["content"] == text[each["start_offset"] : each["end_offset"]]
        assert each["content_sha256"] == compute_content_hash(each["content"])
        assert each["retrieval_id"] == retrieval_id
        kind, _, key = each["source_id"].partition(":")
        assert each["source_ref"] == {"table": kind, f"{kind}_id": key}
    logged = store.get_retrieval(retrieval_id)
    assert logged.policy["evidence_max_tokens"] == 500
    assert [each.chunk_id for each in store.list_retrieval_hits(retrieval_id)] == [
        each.chunk_id for each in made.result.hits
    ]
    (again,) = replay(store, [logged])
    assert (again.not_replayed, again.changes, again.unchanged) == (None, [], 20)


def test_a_search_finds_the_same_with_and_without_evidence(store, space):
    plain = search(store, space, HashProvider(space), QUESTION, 20, log=False)
    made = evidence(store, space, HashProvider(space), QUESTION, 9, 20, log=False, source_types=())
    assert made.result.hits == plain.hits
    assert made.to_dict()["retrieval_id"] is None
    assert "evidence_max_tokens" not in plain.retrieval.policy


@pytest.mark.parametrize("budget", [0, -1, None, 1.5, True, "9", 2**31])
def test_a_budget_that_is_none_is_refused_and_nothing_is_logged(store, space, budget):
    before = store.engine.query("select count(*) from retrieval")
    with pytest.raises(ConfigurationError, match="max_tokens is .*whole number from 1"):
        evidence(store, space, HashProvider(space), QUESTION, budget)
    assert store.engine.query("select count(*) from retrieval") == before


def test_a_chunk_whose_row_says_no_place_is_a_hit_all_the_same(store, space):
    provider = HashProvider(space)
    (best,) = search(store, space, provider, QUESTION, 1, log=False).hits
    for offsets in ("nonsense", "[]", '{"start_offset":"1","end_offset":1.5}', '{"start_offset":true,"end_offset":-1}'):
        store.engine.execute("update chunk set offsets_json = ? where chunk_id = ?", [offsets, best.chunk_id])
        (now,) = search(store, space, provider, QUESTION, 1, log=False).hits
        assert now == replace(best, start_offset=None, end_offset=None)
    for mart in ("retrieval_audit", "chunk_catalog"):
        assert store.engine.query(f"select start_offset, end_offset from {mart} order by all")


def test_tokens_are_counted_by_the_tokenizer_of_the_space_without_special_ones():
    count, by = tokens_of(SimpleNamespace(space_key="static", provider="static", model_name=STATIC_MODEL))
    assert by == "tokenizer"
    assert count("") == 0
    assert 0 < count("hello world") <= 3


def test_a_model_whose_files_are_missing_leaves_an_estimate_and_a_warning(caplog, tmp_path, monkeypatch):
    monkeypatch.setenv("VECTOR_ONNX_HOME", str(tmp_path))
    count, by = tokens_of(SimpleNamespace(space_key="gone", provider="onnx", model_name="no such model"))
    assert (by, count("abcdef")) == ("bytes", 3)
    assert "tokens are estimated from bytes" in caplog.text


# The command


def test_the_command_prints_passages_and_its_json_has_what_traces_an_answer(project):
    done = project.vector("search", QUESTION, "--top-k", "8", "--evidence", "--max-tokens", "300", "--json")
    assert done.exit_code == 0, done
    made = json.loads(done.stdout)
    assert made.keys() >= {"retrieval_id", "query", "max_tokens", "tokens", "tokens_by", "passages", "left_out"}
    assert made["tokens"] == sum(each["tokens"] for each in made["passages"]) <= 300
    assert sum(len(each["chunks"]) for each in made["passages"]) + len(made["left_out"]) == 8
    text = project.vector("search", QUESTION, "--top-k", "8", "--evidence", "--no-log").stdout
    assert "[1] " in text
    assert "of 2000 tokens by an estimate from bytes" in text
    plain = json.loads(project.vector("search", QUESTION, "--top-k", "1", "--json", "--no-log").stdout)
    assert plain["hits"][0].keys() >= {"source_ref", "start_offset", "end_offset"}


def test_a_budget_without_evidence_is_refused(project):
    done = project.vector("search", QUESTION, "--max-tokens", "300")
    assert done.exit_code == 2
    assert "--max-tokens is the budget of --evidence" in done.stderr

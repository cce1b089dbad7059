"""Lexical and hybrid search, diversity and rerankers: each against its definition, written down again here."""

import json
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vector.errors import ConfigurationError
from vector.providers import open_provider
from vector.providers.hash import HashProvider
from vector.search.language import known_languages, stop_words
from vector.search.policy import SearchPolicy
from vector.search.ranking import (
    above_the_mean,
    first_of_each,
    maximal_marginal_relevance,
    reciprocal_rank_fusion,
    scaled,
)
from vector.search.replay import replay
from vector.search.search import Question, embed_question, search, search_question
from vector.search.tokens import Analyzer

tokenise = Analyzer().tokens
IDS = st.lists(st.sampled_from("abcdefgh"), unique=True)
QUESTION = "the orbit of a moon"


# The arithmetic


@given(st.lists(IDS, max_size=4), st.integers(0, 100))
def test_fusion_is_the_sum_of_reciprocal_ranks(rankings, k):
    expected = {
        each: sum(1 / (k + ranking.index(each) + 1) for ranking in rankings if each in ranking)
        for each in set().union(*rankings)
    }
    fused = reciprocal_rank_fusion(rankings, k)
    assert fused == pytest.approx(expected)
    assert list(fused) == sorted(fused, key=lambda each: (-fused[each], each))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_what_is_above_the_mean_keeps_its_order_between_0_and_1(scores):
    mean = float(np.mean(scores))
    found = [above_the_mean(score, mean, max(scores)) for score in scores]
    assert max(found) == 1
    assert all(0 <= value <= 1 for value in found)
    assert all(value == 0 for score, value in zip(scores, found, strict=True) if score <= mean and score < max(scores))
    in_order = [value for _, value in sorted(zip(scores, found, strict=True))]
    assert in_order == sorted(found)


def mmr_by_definition(relevance, vectors, trade_off, count):
    """Carbonell & Goldstein's formula, one item at a time."""

    def cosine(a, b):
        return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))

    chosen = []
    while len(chosen) < min(count, len(relevance)):
        values = {
            i: trade_off * relevance[i]
            - (1 - trade_off) * max((cosine(vectors[i], vectors[j]) for j, _ in chosen), default=0.0)
            for i in range(len(relevance))
            if i not in [j for j, _ in chosen]
        }
        best = max(values, key=lambda i: (values[i], -i))
        chosen.append((best, values[best]))
    return chosen


@given(st.integers(0, 2**32), st.integers(1, 8), st.floats(0, 1), st.integers(1, 10))
@settings(max_examples=200)
def test_mmr_is_its_definition(seed, size, trade_off, count):
    chance = np.random.default_rng(seed)
    relevance, vectors = chance.random(size), chance.normal(size=(size, 5))
    found = maximal_marginal_relevance(relevance, vectors, trade_off, count)
    expected = mmr_by_definition(relevance, vectors, trade_off, count)
    assert [value for _, value in found] == pytest.approx([value for _, value in expected], abs=1e-9)
    assert [i for i, _ in found] == [i for i, _ in expected]


def test_mmr_chooses_the_unlike_and_ties_go_to_the_first():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], dtype=np.float32)
    relevance = np.array([0.9, 0.9, 0.8, 0.1])
    assert [i for i, _ in maximal_marginal_relevance(relevance, vectors, 0.5, 4)] == [0, 2, 3, 1]
    assert [i for i, _ in maximal_marginal_relevance(relevance, vectors, 1, 4)] == [0, 1, 2, 3]
    assert maximal_marginal_relevance(np.array([]), np.zeros((0, 2)), 0.5, 3) == []


@given(st.lists(st.floats(-1e6, 1e6), max_size=9))
def test_scaled_scores_keep_their_order_between_0_and_1(values):
    scores = np.asarray(values, dtype=float)
    found = scaled(scores)
    assert ((found >= 0) & (found <= 1)).all()
    order = np.argsort(scores, kind="stable")
    assert (np.diff(found[order]) >= 0).all()


@given(IDS, st.integers(1, 3))
def test_no_group_has_more_than_its_share(ranking, most):
    groups = {each: "vowel" if each in "aeiou" else "consonant" for each in "abcdefgh"}
    kept = first_of_each(ranking, groups, most)
    for group in ("vowel", "consonant"):
        of_group = [each for each in ranking if groups[each] == group]
        assert [each for each in kept if groups[each] == group] == of_group[:most]
    assert kept == [each for each in ranking if each in kept]


# Words


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Enceladus' GEYSERS, 2005-07-14!", ["enceladus", "geysers", "2005", "07", "14"]),
        ("Éncélade, Straße ﬁre Ἑλλάς Ёлка", ["encelade", "strasse", "fire", "ελλασ", "елка"]),
        ("木星の衛星 月", ["木星", "星の", "の衛", "衛星", "月"]),
        ("Europa是木卫二", ["europa", "是木", "木卫", "卫二"]),
        # Voiced kana and Hangul stay whole; marks of other scripts belong to their words.
        ("ガガ 한국어 हिन्दी", ["ガガ", "한국어", "हिन्दी"]),
        ("ไทย", ["ไท", "ทย"]),
        ("ＦＵＬＬ　ｗｉｄｔｈ", ["full", "width"]),
        ("snake_case a\u00a0b", ["snake", "case", "a", "b"]),
        ("...", []),
        ("", []),
    ],
)
def test_words(text, tokens):
    assert tokenise(text) == tokens


@given(st.text())
def test_any_text_has_words_that_are_stable(text):
    words = tokenise(text)
    assert all(word and not word.isspace() for word in words)
    assert tokenise(text.upper().lower()) is not None
    assert [again for word in words if word.isascii() for again in tokenise(word)] == [w for w in words if w.isascii()]


@pytest.mark.parametrize(
    ("language", "text", "tokens", "question"),
    [
        ("english", "The orbits of Saturn's moons", "the orbit of saturn s moon".split(), ["orbit", "saturn", "moon"]),
        ("english", "To be, or not to be", "to be or not to be".split(), "to be or not to be".split()),
        ("english", "Éncélades 木星の衛星 1990", ["encelad", "木星", "星の", "の衛", "衛星", "1990"], None),
        ("english", "résumés resumes", ["resum", "resum"], None),
        # Stemmed with its diacritics, which tell the stemmer more, and then without them.
        ("german", "Über die Häuser", ["uber", "die", "haus"], ["haus"]),
        ("french", "l’été même", ["l", "ete", "mem"], None),
        ("french", "La lune était glacée", ["la", "lun", "etait", "glac"], ["lun", "glac"]),
        ("none", "The orbits of moons", ["the", "orbits", "of", "moons"], None),
        ("russian", "Спутники и спутник", ["спутник", "и", "спутник"], ["спутник", "спутник"]),
    ],
)  # fmt: skip
def test_words_of_a_language(language, text, tokens, question):
    analyzer = Analyzer(language)
    assert analyzer.tokens(text) == tokens
    if question is not None or language == "none":
        assert analyzer.question(text) == (question or tokens)


@pytest.mark.parametrize("language", ["none", "english", "german", "turkish"])
@given(st.lists(st.text(), max_size=4))
@settings(max_examples=50, deadline=None)
def test_a_text_has_the_same_tokens_whatever_came_before(language, texts):
    seasoned = Analyzer(language)
    for text in texts:
        tokens = seasoned.tokens(text)
        assert tokens == seasoned.tokens(text) == Analyzer(language).tokens(text)
        assert all(tokens)
        assert tokens == [token for word in text.split() for token in seasoned.tokens(word)]
        asked = Counter(seasoned.question(text))
        assert not asked - Counter(tokens)
        assert bool(asked) == bool(tokens)


def test_languages_are_the_stemmers_and_most_have_stop_words():
    known = known_languages()
    assert known[0] == "none"
    assert {"english", "german", "french", "russian"} <= set(known)
    assert not {"porter", "dutch_porter"} & set(known)
    assert stop_words("none") == ()
    assert {"german", "spanish", "swedish"} <= {language for language in known if stop_words(language)}
    with pytest.raises(ConfigurationError, match="language is 'klingon'; it must be one of none, arabic"):
        SearchPolicy("lexical", language="klingon")


# The language


@pytest.mark.long
def test_the_warehouse_has_a_language_and_a_search_may_name_another(project):
    def asked(text, *options):
        printed = json.loads(
            project.vector("search", text, "--mode", "lexical", "--top-k", "300", "--json", *options).stdout
        )
        return printed["policy"]["bm25"].get("language"), {hit["chunk_id"]: hit["content"] for hit in printed["hits"]}

    def having(texts, word):
        return {key for key, text in texts.items() if word in tokenise(text)}

    language, stems = asked("plume")
    neutral, words = asked("plume", "--language", "none")
    assert (language, neutral) == ("english", None)
    assert stems.keys() > words.keys() == having(words, "plume") != set()
    assert having(stems, "plumes") - words.keys() != set()
    # A stop word is no hit by itself, and is one where the question has no other word.
    assert asked("the plume")[1] == stems
    assert asked("the")[1]

    project.edit("dbt_project.yml", "search_language: english", "search_language: none")
    assert project.dbt("run", "--select", "search_setting").success
    assert asked("plume") == (None, words)
    assert asked("plume", "--language", "english") == ("english", stems)
    refused = project.vector("search", "plume", "--mode", "lexical", "--language", "klingon")
    assert refused.exit_code == 2
    assert "language is 'klingon'; it must be one of none, arabic" in refused.stderr
    project.edit("dbt_project.yml", "search_language: none", "search_language: {page: none, '*': english}")
    assert project.dbt("build", "--select", "search_setting").success
    mapping, mixed = asked("plume")
    assert mapping == {"page": "none", "*": "english"}
    assert words.keys() <= mixed.keys() <= stems.keys()
    project.edit("dbt_project.yml", "search_language: {page: none, '*': english}", "search_language: {page: none}")
    assert "add '*', the language of all other source types" in project.dbt("run", "--select", "search_setting").output
    project.edit("dbt_project.yml", "search_language: {page: none}", "search_language: klingon")
    assert not project.dbt("build", "--select", "search_setting").success
    refused = project.vector("search", "plume", "--mode", "hybrid")
    assert refused.exit_code == 2
    assert "search_language in dbt_project.yml is 'klingon'" in refused.stderr


# Modes


@pytest.fixture
def ask(store, space):
    def asked(text=QUESTION, top_k=10, log=False, **policy):
        return search(store, space, HashProvider(space), text, top_k, policy=SearchPolicy(**policy), log=log)

    return asked


def test_hybrid_is_the_weighted_sum_of_both_scores(ask, store):
    everything = 1000
    dense, lexical = ask(mode="dense", top_k=everything), ask(mode="lexical", top_k=everything)
    hybrid = ask(mode="hybrid", top_k=everything, dense_weight=0.25)
    assert hybrid.retrieval.policy == {
        "method": "hybrid", "distance_metric": "cosine", "fusion": {"name": "score_fusion", "dense_weight": 0.25},
        "bm25": {"k1": 1.5, "b": 0.75, "language": "english"}, "pool": 10 * everything,
    }  # fmt: skip
    of_words = {hit.chunk_id: hit.score for hit in lexical.hits}
    of_vectors = {hit.chunk_id: hit.score for hit in dense.hits}
    assert len(of_words) < len(of_vectors) < everything
    mean, top, greatest = np.mean(list(of_vectors.values())), max(of_vectors.values()), max(of_words.values())
    expected = {
        each: 0.25 * max(0, (score - mean) / (top - mean)) + 0.75 * of_words.get(each, 0) / greatest
        for each, score in of_vectors.items()
    }
    assert {hit.chunk_id: hit.score for hit in hybrid.hits} == pytest.approx(expected, abs=1e-6)
    assert hybrid.hits == sorted(hybrid.hits, key=lambda hit: (-hit.score, hit.chunk_id))
    for hit in hybrid.hits:
        behind = hit.components
        assert behind["dense_mean"] == pytest.approx(mean, abs=1e-6)
        assert (behind["dense_max"], behind["lexical_max"]) == (top, greatest)
        assert (behind["dense"], behind["lexical"]) == (of_vectors[hit.chunk_id], of_words.get(hit.chunk_id, 0))
        recomputed = 0.25 * above_the_mean(behind["dense"], behind["dense_mean"], behind["dense_max"])
        assert hit.score == behind["fused"] == round(recomputed + 0.75 * behind["lexical"] / behind["lexical_max"], 9)


@pytest.mark.parametrize("filters", [{}, {"source_types": ["event"]}])
def test_a_fused_score_does_not_hang_on_the_pool(store, space, filters):
    def asked(pool):
        policy = SearchPolicy("hybrid", pool=pool)
        return search(store, space, HashProvider(space), QUESTION, 5, policy=policy, log=False, **filters).hits

    every = {hit.chunk_id: hit for hit in search(
        store, space, HashProvider(space), QUESTION, 1000, policy=SearchPolicy("hybrid"), log=False, **filters
    ).hits}  # fmt: skip
    for pool in (5, 6, 20, 500):
        for hit in asked(pool):
            assert hit.score == pytest.approx(every[hit.chunk_id].score, abs=1e-6)
    assert [hit.chunk_id for hit in asked(500)] == list(every)[:5]


def test_without_a_word_found_hybrid_has_the_order_of_the_vectors(ask):
    found = [[hit.chunk_id for hit in ask("zyzzyva", mode=mode, top_k=20).hits] for mode in ("hybrid", "dense")]
    assert found[0] == found[1]


class Reader(HashProvider):
    """A model that reads a question of so many tokens a letter."""

    tokens_a_letter = 0.2

    def fertility(self, text):
        return self.tokens_a_letter


@pytest.mark.parametrize(("fertility", "share"), [(0.1, 1), (0.25, 1), (0.375, 0.5), (0.4, 0.4), (0.5, 0), (2.0, 0)])
def test_the_worse_a_model_reads_a_question_the_less_its_vectors_weigh(store, space, fertility, share):
    provider = Reader(space)
    provider.tokens_a_letter = fertility

    def asked(weight=0.5, by=provider, text=QUESTION, mode="hybrid"):
        policy = SearchPolicy(mode, dense_weight=weight)
        return search(store, space, by, text, 20, policy=policy, log=False)

    result, plain = asked(), asked(0.5 * share, HashProvider(space))
    assert [(hit.chunk_id, hit.score) for hit in result.hits] == [(hit.chunk_id, hit.score) for hit in plain.hits]
    assert {hit.components["dense_weight"] for hit in result.hits} == {0.5 * share}
    assert result.retrieval.policy["fusion"]["dense_weight"] == 0.5, "the policy is what was asked for"
    if not share:
        words = asked(mode="lexical").hits
        assert [hit.chunk_id for hit in words] == [hit.chunk_id for hit in result.hits][: len(words)]
    # Without a word that a text has, the vectors are all there is.
    of_nothing = [asked(text="zyzzyva", mode=mode).hits for mode in ("hybrid", "dense")]
    assert [hit.chunk_id for hit in of_nothing[0]] == [hit.chunk_id for hit in of_nothing[1]]


def test_hybrid_by_ranks_is_the_fusion_of_its_parts(ask, store):
    hybrid = ask(mode="hybrid", top_k=300, pool=100, fusion="rrf")
    assert hybrid.retrieval.policy == {
        "method": "hybrid", "distance_metric": "cosine", "fusion": {"name": "reciprocal_rank_fusion", "k": 60},
        "bm25": {"k1": 1.5, "b": 0.75, "language": "english"}, "pool": 300,
    }  # fmt: skip
    dense, lexical = ask(mode="dense", top_k=300), ask(mode="lexical", top_k=300)
    fused = reciprocal_rank_fusion([[hit.chunk_id for hit in part.hits] for part in (dense, lexical)])
    assert [(hit.chunk_id, hit.score) for hit in hybrid.hits] == list(fused.items())[:300]
    of_dense, of_lexical = ({hit.chunk_id: hit for hit in part.hits} for part in (dense, lexical))
    for hit in hybrid.hits:
        expected = {"fused": hit.score}
        if hit.chunk_id in of_dense:
            expected |= {"dense": of_dense[hit.chunk_id].score, "dense_rank": of_dense[hit.chunk_id].rank}
        if hit.chunk_id in of_lexical:
            expected |= {"lexical": of_lexical[hit.chunk_id].score, "lexical_rank": of_lexical[hit.chunk_id].rank}
        assert hit.components == expected


def test_component_scores_are_logged(ask, store):
    result = ask(mode="hybrid", mmr=0.5, log=True)
    (replayed,) = replay(store, [store.get_retrieval(result.retrieval.retrieval_id)])
    assert (replayed.not_replayed, replayed.changes) == (None, [])
    logged = store.list_retrieval_hits(result.retrieval.retrieval_id)
    assert [hit.metadata for hit in logged] == [hit.components for hit in result.hits]
    assert all({"fused", "mmr"} <= hit.metadata.keys() for hit in logged)
    assert store.get_retrieval(result.retrieval.retrieval_id).policy == result.retrieval.policy


def test_lexical_search_needs_no_model(store, space):
    result = search(store, space, None, QUESTION, policy=SearchPolicy("lexical"))
    assert result.hits
    logged = store.get_retrieval(result.retrieval.retrieval_id)
    assert (logged.query_embedding, logged.policy["method"]) == (None, "lexical")
    with pytest.raises(ConfigurationError, match="needs the space's model"):
        search(store, space, None, QUESTION)


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_mmr_orders_the_pool_by_its_definition(ask, store, mode):
    pool = ask(mode=mode, top_k=40, pool=40).hits
    plain = ask(mode=mode, top_k=8, pool=40, mmr=1).hits
    assert [hit.chunk_id for hit in plain] == [hit.chunk_id for hit in pool[:8]]

    diverse = ask(mode=mode, top_k=8, pool=40, mmr=0.3).hits
    vectors = np.asarray([store.list_embeddings(chunk_id=hit.chunk_id)[0].vector for hit in pool])
    scores = np.asarray([hit.score for hit in pool])
    relevance = scores if mode == "dense" else (scores - scores.min()) / (scores.max() - scores.min())
    expected = mmr_by_definition(relevance, vectors, 0.3, 8)
    assert [hit.chunk_id for hit in diverse] == [pool[i].chunk_id for i, _ in expected]
    assert [hit.components["mmr"] for hit in diverse] == pytest.approx([value for _, value in expected], abs=1e-5)
    assert {hit.score for hit in diverse} <= {hit.score for hit in pool}


def test_hits_a_source_are_limited_in_every_mode(ask):
    for policy in ({"mode": "hybrid"}, {"mode": "lexical"}, {"mode": "dense", "mmr": 0.5}):
        found = Counter(hit.source_id for hit in ask(per_source=1, top_k=30, **policy).hits)
        assert found
        assert set(found.values()) == {1}


def test_the_same_question_has_the_same_answer(ask):
    for policy in ({"mode": "hybrid"}, {"mode": "lexical"}, {"mode": "hybrid", "mmr": 0.4, "per_source": 2}):
        assert ask(**policy).hits == ask(**policy).hits


# Rerankers


@pytest.fixture
def rerankers(tmp_path, monkeypatch):
    """A module of rerankers that can be imported."""
    (tmp_path / "my_rerankers.py").write_text(
        "calls = []\n"
        "def by_length(query, texts):\n    calls.append((query, texts))\n    return [-len(text) for text in texts]\n"
        "def too_few(query, texts):\n    return [1.0]\n"
        "def not_finite(query, texts):\n    return [float('nan')] * len(texts)\n"
        "constant = 3\n"
        "def raises(query, texts):\n    raise RuntimeError('the model server is down\\nand more')\n"
        "def exits(query, texts):\n    raise SystemExit(0)\n"
        "def nothing(query, texts):\n    return None\n"
        "def nones(query, texts):\n    return [None] * len(texts)\n"
        "def words(query, texts):\n    return ['high'] * len(texts)\n"
        "def one_argument(query):\n    return [1.0]\n"
        "def lazily(query, texts):\n    yield 1.0\n    raise KeyError('lost')\n"
        "def huge(query, texts):\n    return [10 ** 400] * len(texts)\n"
        "import numpy\n"
        "def column(query, texts):\n    return numpy.asarray([[-len(text)] for text in texts], dtype='float32')\n"
        "def two_columns(query, texts):\n    return numpy.ones((len(texts), 2))\n"
        "def ragged(query, texts):\n    return [[1.0], [1.0, 2.0]]\n"
    )
    (tmp_path / "broken_reranker.py").write_text("def f(:\n")
    (tmp_path / "raising_reranker.py").write_text("raise RuntimeError('no licence')\n")
    (tmp_path / "exiting_reranker.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "needy_reranker.py").write_text("import no_such_library\n")
    described = tmp_path / "some_rerankers-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: some-rerankers\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(
        "[vector.rerankers]\ninstalled = my_rerankers:by_length\nno-module = no_such_module:f\n"
        "no-function = my_rerankers:missing\nno-callable = my_rerankers:constant\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_rerankers"
    sys.modules.pop("my_rerankers", None)


def test_a_reranker_orders_the_candidates(ask, store, rerankers):
    candidates = ask(top_k=30).hits
    found = ask(top_k=5, pool=30, rerank=f"{rerankers}:by_length")
    expected = sorted(candidates, key=lambda hit: (len(hit.content), hit.chunk_id))[:5]
    assert [hit.chunk_id for hit in found.hits] == [hit.chunk_id for hit in expected]
    assert [hit.score for hit in found.hits] == [-len(hit.content) for hit in expected]
    assert found.retrieval.policy["rerank"] == "my_rerankers:by_length"
    assert all(hit.components.keys() == {"dense", "dense_rank", "rerank"} for hit in found.hits)
    ((query, texts),) = sys.modules["my_rerankers"].calls
    assert (query, texts) == (QUESTION, [hit.content for hit in candidates])


def test_an_array_of_one_column_is_a_score_a_text(ask, rerankers):
    plain, column = (ask(top_k=5, rerank=f"{rerankers}:{name}") for name in ("by_length", "column"))
    assert [(hit.chunk_id, hit.score) for hit in column.hits] == [(hit.chunk_id, hit.score) for hit in plain.hits]


def test_an_installed_package_offers_rerankers_by_name(ask, rerankers):
    assert ask(top_k=5, rerank="installed").hits == ask(top_k=5, rerank=f"{rerankers}:by_length").hits
    with pytest.raises(ConfigurationError, match=r"entry point of vector.rerankers \(installed, no-callable"):
        ask(rerank="other")


def test_a_reranker_without_candidates_is_not_asked(store, space, rerankers):
    def search_nothing(name):
        policy = SearchPolicy(rerank=f"{rerankers}:{name}")
        return search(store, space, HashProvider(space), QUESTION, 5, ["none of these"], policy=policy, log=False)

    assert search_nothing("by_length").hits == search_nothing("raises").hits == []
    assert sys.modules["my_rerankers"].calls == []
    with pytest.raises(ConfigurationError, match="has no attribute 'missing'"):
        search_nothing("missing")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_rerankers:too_few", "answered 100 texts with 1 scores"),
        ("my_rerankers:not_finite", "0 of them finite"),
        ("my_rerankers:nones", "0 of them finite"),
        ("my_rerankers:two_columns", r"an array of shape \(100, 2\)"),
        ("my_rerankers:missing", "has no attribute 'missing'"),
        ("my_rerankers:constant", "is no function"),
        ("my_rerankers:raises", "failed: RuntimeError: the model server is down .VECTOR_DEBUG=1 shows where.$"),
        ("my_rerankers:exits", "failed: SystemExit: 0"),
        ("my_rerankers:nothing", "failed: TypeError: 'NoneType' object is not iterable"),
        ("my_rerankers:words", "failed: ValueError: could not convert string to float: 'high'"),
        ("my_rerankers:one_argument", "failed: TypeError: one_argument.. takes 1 positional argument but 2 were given"),
        ("my_rerankers:lazily", "failed: KeyError: 'lost'"),
        ("my_rerankers:huge", "failed: OverflowError"),
        ("my_rerankers:ragged", "failed: ValueError"),
        ("no_such_module:f", "No module named 'no_such_module'; is its folder on PYTHONPATH"),
        ("needy_reranker:f", "No module named 'no_such_library'$"),
        ("broken_reranker:f", "cannot be loaded: SyntaxError"),
        ("raising_reranker:f", "cannot be loaded: RuntimeError: no licence"),
        ("exiting_reranker:f", "cannot be loaded: SystemExit: 0"),
        (".relative:f", "cannot be loaded: TypeError"),
        ("no-module", "No module named 'no_such_module'"),
        ("no-function", "has no attribute 'missing'"),
        ("no-callable", "is no function"),
    ],
)
@pytest.mark.long
def test_a_reranker_that_is_wrong_is_named(ask, rerankers, name, message):
    with pytest.raises(ConfigurationError, match=message) as raised:
        ask(rerank=name)
    assert str(raised.value).startswith(f"reranker {name!r}")


def test_a_reranker_that_fails_ends_the_command_with_one_line(project, rerankers):
    done = project.vector("search", QUESTION, "--rerank", f"{rerankers}:exits")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "error: reranker 'my_rerankers:exits' failed: SystemExit: 0 (VECTOR_DEBUG=1 shows where)\n"


# A vector belongs to its space


def test_a_vector_is_compared_in_its_own_space_only(store, space):
    other = store.get_or_create_embedding_space("hash", "other", 8, space_key="other")
    longer = store.get_or_create_embedding_space("hash", "longer", 16, space_key="longer")
    question = embed_question(store, other, open_provider(other), QUESTION)
    with pytest.raises(ConfigurationError, match="cannot be searched with a vector of space"):
        search_question(store, space, question)
    with pytest.raises(ConfigurationError, match="cannot be searched with the model of space"):
        search(store, space, open_provider(other), QUESTION)
    longer_vector = embed_question(store, longer, open_provider(longer), QUESTION).vector
    with pytest.raises(ConfigurationError, match=r"8 dimensions, the question's is of shape \(16,\)"):
        search_question(store, space, Question(QUESTION, space.embedding_space_id, longer_vector))
    with pytest.raises(ConfigurationError, match="is of shape None"):
        search_question(store, space, Question(QUESTION, space.embedding_space_id, None))
    assert len(store.list_retrievals()) == 2
    own = embed_question(store, space, open_provider(space), QUESTION)
    assert (
        search_question(store, space, own, log=False).hits
        == search(store, space, open_provider(space), QUESTION, log=False).hits
    )


# The command


def test_the_command_searches_in_every_mode(project):
    for options in (["--mode", "lexical"], ["--mode", "hybrid", "--mmr", "0.5", "--per-source", "1", "--pool", "50"]):
        done = project.vector("search", QUESTION, *options, "--json")
        printed = json.loads(done.stdout)
        assert (done.exit_code, done.stderr) == (0, "")
        assert printed["policy"]["method"] == options[1]
        logged = project.query(
            "select score, metadata_json from retrieval_hit where retrieval_id = ? order by rank",
            printed["retrieval_id"],
        )
        assert [(hit["score"], hit["components"]) for hit in printed["hits"]] == [
            (score, json.loads(metadata)) for score, metadata in logged
        ]
    assert " chunks compared by words in " in project.vector("search", QUESTION, "--mode", "lexical").stdout


def test_nothing_found_says_why_and_no_library_speaks(project, capfd):
    done = project.vector("search", "zzzzqq", "--mode", "lexical", "--no-log")
    assert done.exit_code == 0
    assert "no text that passes the filters has a word of the question" in done.stdout
    assert "DEBUG" not in done.stderr + capfd.readouterr().err
    done = project.vector("search", "Io", "--mode", "lexical", "--min-score", "1000", "--no-log")
    assert "has a word of the question, or none reaches the lowest score asked for, 1000.0" in done.stdout
    done = project.vector("search", "Io", "--min-score", "2", "--no-log")
    assert "nothing reaches the lowest score asked for, 2.0" in done.stdout
    done = project.vector("search", "Io", "--source-type", "none", "--no-log")
    assert "nothing current passes the filters" in done.stdout

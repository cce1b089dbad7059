"""How the report names and orders the ways in which a space was asked."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vector.report import charts
from vector.report.rows import Asked
from vector.report.series import filtered, how, name_series, ordered_series, ranked, variations
from vector.search_policy import BY_SOURCE, MODES, SearchPolicy

TOP_K = st.sampled_from((1, 10, 100))
LANGUAGES = st.sampled_from(("none", "english", "german"))
POLICIES = st.builds(
    SearchPolicy,
    mode=st.sampled_from(MODES),
    min_score=st.none() | st.sampled_from((0.0, 0.5, -1.0)),
    per_source=st.none() | st.integers(1, 2),
    mmr=st.none() | st.sampled_from((0, 0.5, 1)),
    rerank=st.none() | st.sampled_from(("a:b", "c")),
    pool=st.none() | st.sampled_from((100, 1000, 2000)),
    rrf_k=st.sampled_from((60, 1)),
    language=st.none() | st.sampled_from(("english", "german")),
)


def logged(policy, top_k=100):
    return json.dumps(policy.to_json(top_k, "cosine"))


def series(space_key="a", policy=None, top_k=100, filters=None, query_set="demo"):
    policy = policy or SearchPolicy()
    return Asked(space_key, query_set, policy.mode, logged(policy, top_k), filters, top_k)


@pytest.mark.parametrize("mode", MODES)
@given(top_k=TOP_K, language=LANGUAGES)
def test_a_policy_of_defaults_is_its_method(mode, top_k, language):
    search = SearchPolicy(mode, language=language)
    assert ranked(logged(search, top_k), top_k, language) == mode
    evaluation = series("a", replace(search, per_source=1), top_k)
    assert how(evaluation, language) == f"{mode}, top {top_k}, set demo"
    assert variations(evaluation, language) == 0


@given(POLICIES, POLICIES, TOP_K, LANGUAGES)
def test_what_is_logged_differently_is_named_differently(first, second, top_k, language):
    texts = [logged(policy, top_k) for policy in (first, second)]
    named = [ranked(text, top_k, language) for text in texts]
    assert (texts[0] == texts[1]) == (named[0] == named[1])
    evaluations = [series("a", policy, top_k) for policy in (first, second)]
    assert (texts[0] == texts[1]) == (how(evaluations[0], language) == how(evaluations[1], language))


@given(POLICIES, TOP_K, LANGUAGES)
def test_a_plain_series_is_one_that_has_no_difference_to_name(policy, top_k, language):
    one = series("a", policy, top_k)
    assert (variations(one, language) == 0) == (how(one, language) == f"{policy.mode}, top {top_k}, set demo")


def test_every_setting_is_named():
    policy = SearchPolicy(
        "hybrid", min_score=0.4, per_source=2, mmr=0.5, rerank="m:f", pool=50, rrf_k=20, language="german"
    )
    settings = "fusion k 20, language german, min_score 0.4, mmr 0.5, per_source 2, pool 50, rerank m:f"
    assert ranked(logged(policy, 10), 10, "english") == f"hybrid, {settings}"
    assert how(series("a", policy, 10), "english") == f"hybrid, {settings}, top 10, set demo"
    # Of a later version, and of one with another constant.
    text = '{"method": "lexical", "bm25": {"k1": 0.9, "b": 0.75}, "stemmer": "de"}'
    assert ranked(text, 10, "none") == "lexical, bm25 k1 0.9, stemmer de"


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
@pytest.mark.parametrize(
    ("warehouse", "language", "named"),
    [
        ("english", "english", ""),
        ("english", "none", ", language none"),
        ("english", "german", ", language german"),
        ("none", None, ""),
        ("none", "english", ", language english"),
    ],
)
def test_a_language_is_named_where_it_is_not_the_warehouses(mode, warehouse, language, named):
    policy = SearchPolicy(mode, per_source=1, language=language)
    assert how(series("a", policy), warehouse) == f"{mode}{named}, top 100, set demo"
    assert variations(series("a", policy), warehouse) == bool(named)
    assert ranked(logged(policy), 100, warehouse) == f"{mode}{named}, per_source 1"


def test_an_evaluation_without_a_limit_a_source_says_so():
    assert how(series("a", SearchPolicy()), "english") == "dense, no limit a source, top 100, set demo"
    assert ranked(logged(SearchPolicy()), 100, "english") == "dense"


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (None, ""),
        ('{"source_type": ["page", "event"]}', "source_type page, event"),
        ('{"tags": [["lang", "en"]], "updated_from": "2026-01-01"}', "tags lang=en; updated_from 2026-01-01"),
        ("no json", "unreadable no json"),
        ("[1]", "unreadable [1]"),
    ],
)
def test_filters_are_read_out(filters, said):
    assert filtered(filters) == said


def test_long_filters_are_cut():
    assert len(filtered(json.dumps({"source_id": [f"page:{i}" for i in range(1000)]}))) < 100


def test_plain_series_come_first_and_of_them_those_of_the_live_space():
    in_order = [
        series("b", BY_SOURCE),
        series("b", SearchPolicy("lexical", per_source=1, language="german")),
        series("b", SearchPolicy("hybrid", per_source=1, language="german")),
        series("a", BY_SOURCE, top_k=100),
        series("a", BY_SOURCE, top_k=10),
        series("a", BY_SOURCE, query_set="other"),
        series("b", SearchPolicy(mmr=0.5, per_source=1)),
        series("a", SearchPolicy(min_score=0.1, per_source=1)),
        series("a", SearchPolicy(per_source=2)),
        series("b", SearchPolicy("lexical", per_source=1, language="english")),
        series("b", SearchPolicy("hybrid", per_source=1)),
        series("a", BY_SOURCE, filters='{"source_type": ["page"]}'),
        series("b", SearchPolicy(min_score=0.1)),
    ]
    found = ordered_series(reversed(in_order), "german", live={"b"})
    assert found[:6] == in_order[:6]
    assert set(found[6:-1]) == set(in_order[6:-1])
    assert found[-1] == in_order[-1]


def test_signs_go_to_the_first_and_equal_names_are_told_apart():
    same = [Asked("a", "demo", "dense", text, None, 100) for text in ('{"method":"dense"}', '{"method": "dense"}')]
    named = name_series([*same, *(series(f"space {i}") for i in range(charts.SERIES))], "english")
    assert len({each.name for each in named.values()}) == len(named)
    signs = [each.sign for each in named.values()]
    assert signs == [*range(charts.SERIES), charts.REST, charts.REST]
    assert all(first <= second for first, second in pairwise(signs))

"""Filters and limits of a search: what is found is what Python finds by looking at every chunk."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from support import clean_environment

from vector.cli import main
from vector.contracts.models import compute_content_hash
from vector.engines.duckdb import search as duckdb_search
from vector.engines.filters import SearchFilters
from vector.errors import ConfigurationError, InvalidRecord
from vector.providers.hash import HashProvider
from vector.search.policy import DENSE, SearchPolicy
from vector.search.search import search

EVERYTHING = 100_000


@pytest.fixture
def ask(store, space):
    """The result of a search that is not logged."""

    def asked(text="A question", top_k=EVERYTHING, **options):
        return search(store, space, HashProvider(space), text, top_k, log=False, **options)

    return asked


@pytest.fixture
def sources(store):
    """The registry, by id."""
    return {source.source_id: source for source in store.list_sources()}


def sources_found(result):
    return {hit.source_id for hit in result.hits}


def of_chunks(store, wanted):
    """Those of the sources that have a chunk."""
    return {chunk.source_id for chunk in store.list_chunks()} & set(wanted)


FOUND = [("lang", "ja"), ("tags", "mission")]


@pytest.mark.parametrize("tag", [*FOUND, ("tags", "no such tag"), ("lang", "EN")])
def test_a_tag_is_a_value_or_an_element_of_an_array(store, ask, sources, tag):
    key, value = tag

    def has_it(source):
        held = (source.tags or {}).get(key)
        return value in held if isinstance(held, list) else value == held

    expected = of_chunks(store, [source_id for source_id, source in sources.items() if has_it(source)])
    assert bool(expected) == (tag in FOUND)
    result = ask(tags=[tag])
    assert sources_found(result) == expected
    assert result.retrieval.candidate_count == len(result.hits)


def test_tags_of_any_key_and_kind(store, ask, sources):
    key = "a.b/c~d\"e' $[0]"
    apollo = sources["page:apollo"]
    store.save_source(replace(apollo, tags={key: "x", "number": 5, "flag": True, "list": [1, "two"], "none": None}))
    for tag in [(key, "x"), ("number", "5"), ("flag", "true"), ("list", "two"), ("list", "1")]:
        assert sources_found(ask(tags=[tag])) == {"page:apollo"}, tag
    assert sources_found(ask(tags=[("number", "5"), (key, "x")])) == {"page:apollo"}
    for tag in [("none", "null"), ("number", "6"), (key[:-1], "x"), ("list", "tw")]:
        assert sources_found(ask(tags=[tag])) == set(), tag
    assert sources_found(ask(tags=[("number", "5"), (key, "y")])) == set()


def test_a_source_without_tags_or_with_broken_ones_is_not_found(store, ask, sources):
    store.engine.execute("update source_registry set tags_json = '{broken' where source_id = 'page:apollo'")
    store.engine.execute("update source_registry set tags_json = null where source_id = 'page:voyager'")
    assert not {"page:apollo", "page:voyager"} & sources_found(ask(tags=[("lang", "en")]))


def test_an_array_has_no_keys(store, ask, sources):
    store.save_source(replace(sources["page:apollo"], tags=["red", {"lang": "xx"}]))
    store.save_source(replace(sources["page:voyager"], tags={"0": "red"}))
    assert sources_found(ask(tags=[("0", "red")])) == {"page:voyager"}
    assert sources_found(ask(tags=[("lang", "xx")])) == set()


def test_dates_are_from_and_before(store, ask, sources):
    moment = datetime(2030, 1, 1, 12, tzinfo=UTC)
    one, two, three = sorted(of_chunks(store, sources))[:3]
    for n, source_id in enumerate((one, two, three)):
        store.save_source(replace(sources[source_id], source_updated_utc=moment + timedelta(days=n)))
    store.engine.execute(f"update source_registry set source_updated_utc = null where source_id = '{three}'")
    assert sources_found(ask(updated_from=moment)) == {one, two}
    assert sources_found(ask(updated_from=moment, updated_before=moment + timedelta(days=1))) == {one}
    assert sources_found(ask(updated_from=moment + timedelta(seconds=1))) == {two}
    # A time of another zone is the same moment; a naive one is UTC.
    assert sources_found(ask(updated_from=moment.astimezone(timezone(timedelta(hours=9))))) == {one, two}
    assert sources_found(ask(updated_from=moment.replace(tzinfo=None))) == {one, two}
    assert three not in sources_found(ask(updated_before=moment + timedelta(days=99)))


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_filters_hold_for_every_mode(store, ask, sources, mode):
    wanted = of_chunks(store, [key for key, value in sources.items() if (value.tags or {}).get("lang") == "en"])
    result = ask("the orbit of a moon", source_types=["page"], tags=[("lang", "en")], policy=SearchPolicy(mode))
    assert result.hits
    assert sources_found(result) <= wanted
    assert result.retrieval.candidate_count == sum(chunk.source_id in wanted for chunk in store.list_chunks())
    assert result.retrieval.filters == {"source_type": ["page"], "tags": [["lang", "en"]]}


def test_the_least_score_and_hits_a_source(ask):
    plain = ask(policy=DENSE).hits
    least = plain[20].score
    assert ask(policy=SearchPolicy(min_score=least)).hits == plain[:21]
    assert ask(policy=SearchPolicy(min_score=2)).hits == []

    expected, seen = [], {}
    for hit in plain:
        seen[hit.source_id] = seen.get(hit.source_id, 0) + 1
        if seen[hit.source_id] <= 2:
            expected.append(hit.chunk_id)
    # Few hits of many chunks: more candidates have to be asked for, until there are enough, or no more.
    for top_k in (1, 5, 100, EVERYTHING):
        found = ask(top_k=top_k, policy=SearchPolicy(per_source=2)).hits
        assert [hit.chunk_id for hit in found] == expected[:top_k]
        assert [hit.rank for hit in found] == list(range(1, len(found) + 1))
    both = ask(policy=SearchPolicy(per_source=2, min_score=least)).hits
    assert [hit.chunk_id for hit in both] == [each for each in expected if each in {hit.chunk_id for hit in plain[:21]}]


def test_enough_hits_although_one_source_has_all_the_best(store, ask):
    longest, count = store.engine.query(
        "select source_id, count(*) from chunk where retired_utc is null group by all order by 2 desc, 1 limit 1"
    )[0]
    vector = store.list_embeddings(chunk_id=store.list_chunks(longest)[0].chunk_id)[0].vector
    store.engine.execute(
        "update embedding set vector = ? where chunk_id in (select chunk_id from chunk where source_id = ?)",
        [vector, longest],
    )
    text = store.list_chunks(longest)[0].content
    assert count > 3
    found = ask(text, top_k=3, policy=SearchPolicy(per_source=1)).hits
    assert len({hit.source_id for hit in found}) == len(found) == 3


# Only what is current


def test_hashes_that_collide_find_nothing_stale(store, ask, monkeypatch):
    """With a hash that tells no texts apart, every stale vector passes it: the hits are still the current ones."""
    first, second, *_ = store.list_chunks("page:apollo")
    text = "Another text."
    changed = replace(first, content=text, content_sha256=compute_content_hash(text), byte_count=len(text))
    store.save_chunks([changed, replace(second, retired_utc=datetime.now(UTC))])
    honest = ask(first.content)
    monkeypatch.setattr(duckdb_search, "_VERSION_HASH", "hash(chunk_id, left({sha256}, 0))")
    collided = ask(first.content)
    assert not {first.chunk_id, second.chunk_id} & {hit.chunk_id for hit in collided.hits}
    assert collided.hits == honest.hits
    assert collided.retrieval.candidate_count == honest.retrieval.candidate_count


def test_filters_that_leave_few_find_what_a_look_at_all_vectors_finds(store, space, sources, ask, monkeypatch):
    """Also where some of the vectors are stale, of a retired chunk, or such as cannot be compared."""
    stale, retired, broken, *_ = store.list_chunks("page:apollo")
    text = "Another text."
    changed = replace(stale, content=text, content_sha256=compute_content_hash(text), byte_count=len(text))
    store.save_chunks([changed, replace(retired, retired_utc=datetime.now(UTC))])
    filters = [{"source_ids": ["page:apollo", "page:io"]}, {"source_types": ["page"], "tags": [("lang", "en")]},
               {"source_types": ["no such type"]}]  # fmt: skip
    for last in (1.0, float("nan"), None):
        store.engine.execute(
            "update embedding set vector = ? where chunk_id = ?", [[1.0] * 7 + [last], broken.chunk_id]
        )
        for given in filters:
            found = ask(**given)
            with monkeypatch.context() as patch:
                patch.setattr(duckdb_search, "FEW", -1)
                of_all = ask(**given)
            assert found.hits == of_all.hits
            assert found.retrieval.candidate_count == of_all.retrieval.candidate_count
            assert bool(found.hits) == ("no such type" not in given.get("source_types", ()))


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
def test_search_finds_what_the_view_has(store, space, ask, mode):
    """After changes of all kinds, every hit is a row of embedding_current, with the text that it has there."""
    chunks = store.list_chunks()
    moment = datetime.now(UTC)
    for n, chunk in enumerate(chunks):
        if n % 3 == 0:
            text = f"{chunk.content} and more"
            chunks[n] = replace(
                chunk, content=text, content_sha256=compute_content_hash(text), byte_count=len(text.encode())
            )
        elif n % 3 == 1:
            chunks[n] = replace(chunk, retired_utc=moment)
    store.save_chunks(chunks)
    current = dict(store.engine.query("select chunk_id, input_content_sha256 from embedding_current"))
    result = ask("the orbit of a moon", policy=SearchPolicy(mode))
    assert result.hits
    assert {hit.chunk_id: hit.content_sha256 for hit in result.hits}.items() <= current.items()
    assert result.retrieval.candidate_count == len(current) == len([n for n in range(len(chunks)) if n % 3 == 2])


# What is wrong is said


@pytest.mark.parametrize(
    "filters",
    [
        SearchFilters(),
        SearchFilters(("page",), ("page:1",), (("a", "b"), ("c", "ä")), datetime(2026, 1, 1), datetime(2026, 2, 1)),
    ],
)
def test_logged_filters_can_be_read_again(filters):
    assert SearchFilters.from_json(json.loads(json.dumps(filters.to_json()))) == filters
    assert bool(filters) == (filters.to_json() is not None)


def test_filters_that_make_no_sense():
    with pytest.raises(ConfigurationError, match="leaves nothing; swap the two"):
        SearchFilters(updated_from=datetime(2026, 1, 2), updated_before=datetime(2026, 1, 1))
    with pytest.raises(ConfigurationError, match="1001 values of filters; it may have 1000"):
        SearchFilters(source_ids=tuple(map(str, range(1001))))
    with pytest.raises(ConfigurationError, match="unknown filter 'colour'"):
        SearchFilters.from_json({"colour": "red"})
    with pytest.raises(ConfigurationError, match="updated_from is 'soon', which is no time"):
        SearchFilters.from_json({"updated_from": "soon"})


UNFIT = "\ud800"


@pytest.mark.parametrize("unfit", ["a\0b", UNFIT])
def test_a_value_that_no_database_takes_is_refused(ask, unfit):
    for filters in (
        {"source_types": [unfit]},
        {"source_ids": [unfit]},
        {"tags": [(unfit, "x")]},
        {"tags": {"x": unfit}},
    ):
        with pytest.raises(InvalidRecord, match="(NUL|lone surrogate) U.* is not allowed"):
            ask(**filters)


def test_bytes_that_are_no_text_are_one_line(project):
    for option in (["--tag", f"lang={UNFIT}"], ["--source-type", UNFIT], ["--source-id", UNFIT]):
        done = project.vector("search", "?", *option)
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1), option
        assert "lone surrogate U+D800" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source_types": "page"}, "source_types is 'page'; give a list of texts"),
        ({"source_ids": "page:apollo"}, "source_ids is 'page:apollo'; give a list of texts"),
        ({"source_ids": None}, "source_ids is None; give a list of texts"),
        ({"source_types": [5]}, "source_types has 5; give texts"),
        ({"tags": "lang"}, "tags is 'lang'; give pairs"),
        ({"tags": ["lang"]}, "tags has 'lang'; give pairs"),
        ({"tags": [("number", 5)]}, "tags has 5; give texts"),
        ({"updated_from": "2026-01-01"}, "updated_from is '2026-01-01'; give a datetime or a date"),
        ({"top_k": True}, "top_k is True; ask for a whole number"),
        ({"top_k": 2.5}, "top_k is 2.5; ask for a whole number"),
        ({"top_k": "3"}, "top_k is '3'; ask for a whole number"),
        ({"top_k": 2**31}, "top_k is 2147483648; ask for a whole number"),
        ({"text": None}, "the question is None; give a text"),
    ],
)
def test_arguments_of_another_kind_are_refused(ask, options, message):
    with pytest.raises(ConfigurationError, match=message):
        ask(**options)


@pytest.mark.parametrize(
    "policy", [{"mmr": "high"}, {"mmr": True}, {"per_source": 1.5}, {"pool": "9"}, {"rerank": 5}, {"min_score": "0"}]
)
def test_a_policy_of_another_kind_is_refused(policy):
    (name,) = policy
    with pytest.raises(ConfigurationError, match=f"search policy: {name} is .*; it must be"):
        SearchPolicy.from_json(policy)


def test_tags_may_be_a_mapping_and_moments_dates(ask, sources):
    assert ask(tags={"lang": "ja"}).hits == ask(tags=[("lang", "ja")]).hits
    assert ask(tags={"lang": "ja"}).retrieval.filters == {"tags": [["lang", "ja"]]}
    days = {"updated_from": date(2026, 1, 2), "updated_before": date(2026, 1, 3)}
    moments = {name: datetime(day.year, day.month, day.day, tzinfo=UTC) for name, day in days.items()}
    assert ask(**days).retrieval.filters == ask(**moments).retrieval.filters
    assert ask(source_types=(kind for kind in ["page"])).hits == ask(source_types=["page"]).hits


def test_the_command_takes_every_filter(project):
    done = project.vector(
        *("search", "What is an orbit?", "--source-type", "page", "--tag", "lang=en", "--updated-from", "2000-01-01"),
        *(
            "--updated-before",
            "2100-01-01T00:00:00+02:00",
            "--per-source",
            "1",
            "--min-score",
            "-1",
            "--mode",
            "dense",
            "--json",
        ),
    )
    printed = json.loads(done.stdout)
    assert (done.exit_code, done.stderr) == (0, "")
    assert printed["filters"] == {
        "source_type": ["page"], "tags": [["lang", "en"]], "updated_from": "2000-01-01T00:00:00",
        "updated_before": "2099-12-31T22:00:00",
    }  # fmt: skip
    assert printed["policy"] == {"method": "dense", "distance_metric": "cosine", "per_source": 1, "min_score": -1.0}
    assert len({hit["source_id"] for hit in printed["hits"]}) == len(printed["hits"]) == 10
    one = project.vector("search", "?", "--source-id", "page:apollo", "--json", "--no-log")
    assert {hit["source_id"] for hit in json.loads(one.stdout)["hits"]} == {"page:apollo"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tag", "lang"], "'lang' is not KEY=VALUE"),
        (["--updated-from", "yesterday"], "is no date or time such as 2026-01-31"),
        (["--mmr", "2"], "mmr is 2.0; it must be a number from 0 to 1"),
        (["--min-score", "nan"], "min_score is nan; it must be a finite number"),
        (["--per-source", "0"], "'0' is not a whole number from 1"),
        (["--mode", "magic"], "invalid choice: 'magic'"),
        (["--rerank", "nothing"], "give module:function, or an entry point of vector.rerankers"),
    ],
)
def test_an_option_that_is_wrong_is_one_line(project, capsys, options, message):
    where = ["--project-dir", str(project.folder), "--profiles-dir", str(project.folder)]
    with clean_environment():
        try:
            code = main(["search", "?", *options, *where])
        except SystemExit as error:  # of argparse
            code = error.code
    said = capsys.readouterr().err
    assert code == 2
    assert message in said
    assert said.count("\n") == 1

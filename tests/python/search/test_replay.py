"""What the log keeps of a search, and what replaying it shows."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import vector.search.replay
from vector.contracts.models import REDACTED, VectorEmbedding, VectorRetrieval, compute_content_hash
from vector.errors import ConfigurationError, InputRefused, ProviderError
from vector.providers.hash import HashProvider
from vector.search.policy import SearchPolicy
from vector.search.redaction import redaction_is_set
from vector.search.replay import logged_since, replay
from vector.search.rerankers import listed_rerankers
from vector.search.search import search

QUESTION = "the orbit of a moon"
NOW = datetime.now(UTC)
POLICY = ("mode", "mmr", "per_source", "min_score", "rerank", "language")


@pytest.fixture
def ask(store, space):
    """A logged search."""

    def asked(text=QUESTION, top_k=10, redact=None, **options):
        policy = SearchPolicy(**{name: options.pop(name) for name in POLICY if name in options})
        return search(store, space, HashProvider(space), text, top_k, policy=policy, redact=redact, **options)

    return asked


@pytest.fixture
def again(store):
    """The replay of a search, and its changes by chunk id."""

    def replayed(result, *rerankers):
        (found,) = replay(store, [store.get_retrieval(result.retrieval.retrieval_id)], rerankers)
        return found, {change.chunk_id: change.change for change in found.changes}

    return replayed


def with_text(chunk, text):
    return replace(chunk, content=text, content_sha256=compute_content_hash(text), byte_count=len(text.encode()))


def rewrite(store, retrieval_id, setting, *values):
    """Changes a column of a logged search. DuckDB changes some by another row, which its hits would forbid."""
    store.engine.execute(
        f"create or replace temp table hits as from retrieval_hit where retrieval_id = '{retrieval_id}'"
    )
    store.engine.execute("delete from retrieval_hit where retrieval_id = ?", [retrieval_id])
    store.engine.execute(f"update retrieval set {setting} where retrieval_id = ?", [*values, retrieval_id])
    store.engine.execute("insert into retrieval_hit from hits")


# Redaction


def test_a_redacted_search_leaves_only_a_hash(store, ask):
    secret = "the name of a patient"
    result = ask(secret, redact=True)
    logged = store.get_retrieval(result.retrieval.retrieval_id)
    assert (logged.query_text, logged.query_embedding) == (REDACTED, None)
    assert logged.query_sha256 == compute_content_hash(secret)
    assert len(store.list_retrieval_hits(logged.retrieval_id)) == 10
    assert result.retrieval.query_text == secret
    (columns,) = store.engine.query(
        "select cast(r as varchar) from retrieval r where retrieval_id = ?", [logged.retrieval_id]
    )
    assert secret not in columns[0]


def test_the_environment_asks_for_redaction_but_not_of_a_judged_question(store, ask, monkeypatch):
    monkeypatch.setenv("VECTOR_REDACT_QUERIES", "true")
    assert store.get_retrieval(ask().retrieval.retrieval_id).query_text == REDACTED
    of_seed = ask(eval_query_id="q01")
    assert store.get_retrieval(of_seed.retrieval.retrieval_id).query_text == QUESTION
    assert store.get_retrieval(ask(redact=False).retrieval.retrieval_id).query_text == QUESTION


@pytest.mark.long
def test_the_project_asks_for_redaction(project, monkeypatch):
    assert not redaction_is_set(project.folder)
    printed = json.loads(project.vector("search", QUESTION, "--redact", "--json").stdout)
    assert printed["query"] == QUESTION
    project.edit("dbt_project.yml", "redact_queries: false", "redact_queries: true")
    assert redaction_is_set(project.folder)
    also = json.loads(project.vector("search", QUESTION, "--json").stdout)
    assert project.query(
        "select distinct query_text, query_embedding is null from retrieval where retrieval_id in (?, ?)",
        printed["retrieval_id"], also["retrieval_id"],
    ) == [(REDACTED, True)]  # fmt: skip
    tested = project.test("--select", "retrieval")
    assert tested.success, tested.output
    monkeypatch.setenv("VECTOR_REDACT_QUERIES", "perhaps")
    with pytest.raises(ConfigurationError, match="VECTOR_REDACT_QUERIES is 'perhaps'; it must be true or false"):
        redaction_is_set()


def test_a_redacted_search_cannot_be_replayed(ask, again):
    found, changes = again(ask(redact=True))
    assert found.not_replayed == "redacted: the log has only a hash of the question"
    assert changes == {}


# Replay


@pytest.mark.parametrize(
    "options",
    [{}, {"mode": "lexical"}, {"mode": "hybrid", "mmr": 0.5, "per_source": 2}, {"source_types": ["page"]},
     {"tags": [("lang", "en")], "updated_from": datetime(2000, 1, 1)}],
)  # fmt: skip
def test_nothing_changed(store, ask, again, options):
    result = ask(**options)
    assert result.hits
    before = len(store.list_retrievals())
    found, changes = again(result)
    assert (changes, found.notes, found.not_replayed, found.unchanged) == ({}, (), None, len(result.hits))
    assert len(store.list_retrievals()) == before


def test_a_search_is_replayed_in_its_own_language(store, ask, again):
    """As a log from before there were languages, and one of a warehouse that has another now, are."""
    for language in ({"*": "german", "page": "none"}, "none", "german"):
        result = ask("orbits of moons", mode="lexical", language=language)
        assert result.hits
        assert result.retrieval.policy["bm25"].get("language", "none") == language
        assert [hit.score for hit in result.hits] != [hit.score for hit in ask("orbits of moons", mode="lexical").hits]
        found, changes = again(result)
        assert (changes, found.not_replayed, found.unchanged) == ({}, None, len(result.hits))
    rewrite(store, result.retrieval.retrieval_id, "policy_json = replace(policy_json, 'german', 'klingon')")
    assert "language is 'klingon'" in again(result)[0].not_replayed


def test_what_changed(store, space, ask, again):
    result = ask()
    ids = [hit.chunk_id for hit in result.hits]
    retired, emptied, _, changed, *_ = [store.get_chunk(each) for each in ids]
    other = next(chunk for chunk in store.list_chunks() if chunk.chunk_id not in ids)
    made = with_text(replace(other, chunk_id="f" * 64, created_utc=datetime.now(UTC)), f"{QUESTION}?")
    store.save_chunks([
        replace(retired, retired_utc=NOW + timedelta(hours=1)),
        with_text(emptied, "Another text without a vector."),
        with_text(changed, QUESTION),
        made,
    ])  # fmt: skip
    vector = HashProvider(space).embed([QUESTION]).vectors[0].tolist()
    for chunk_id, text in ((changed.chunk_id, QUESTION), (made.chunk_id, f"{QUESTION}?")):
        store.save_embedding(
            VectorEmbedding.create_new(chunk_id, space.embedding_space_id, compute_content_hash(text), vector)
        )

    found, changes = again(result)
    assert changes[retired.chunk_id] == changes[emptied.chunk_id] == "gone"
    assert changes[changed.chunk_id] == "text_changed"
    assert changes[made.chunk_id] == "new"
    assert set(changes.values()) - {"gone", "text_changed", "new"} <= {"moved"}
    hits = {hit.chunk_id: hit.rank for hit in store.list_retrieval_hits(result.retrieval.retrieval_id)}
    now = {hit.chunk_id: hit.rank for hit in ask().hits}
    for each in found.changes:
        assert (each.rank_then, each.rank_now) == (hits.get(each.chunk_id), now.get(each.chunk_id))
        assert each.source_id == store.get_chunk(each.chunk_id).source_id
        assert each.change != "moved" or each.rank_then != each.rank_now
    assert found.unchanged == len(hits.keys() - changes.keys())
    assert all(hits[each] == now[each] for each in hits.keys() - changes.keys())


def test_a_question_with_another_vector(store, ask, again):
    """A score that alone is another is no change of a hit."""
    result = ask()
    store.engine.execute(
        "update retrieval_hit set score = score - 0.25 where retrieval_id = ? and rank = 3",
        [result.retrieval.retrieval_id],
    )
    rewrite(store, result.retrieval.retrieval_id, "query_embedding = [1, 0, 0, 0, 0, 0, 0, 0]")
    found, changes = again(result)
    assert (changes, found.notes) == ({}, ("question_vector_changed",))


def test_a_space_that_is_no_longer_active(store, space, ask, again):
    result = ask()
    store.save_embedding_space(replace(space, is_active=False))
    found, changes = again(result)
    assert (found.notes, changes) == (("space_inactive",), {})


def test_a_space_whose_model_is_gone(store, again):
    gone = store.get_or_create_embedding_space("onnx", "/no/such/folder", 8, space_key="gone")
    retrieval = VectorRetrieval.create_new(gone.embedding_space_id, QUESTION, 5)
    store.save_retrieval(retrieval)
    (found,) = replay(store, [store.get_retrieval(retrieval.retrieval_id)])
    assert "/no/such/folder" in found.not_replayed


def test_a_reranker_of_the_log_is_not_imported_unasked(store, ask, again, tmp_path, monkeypatch):
    (tmp_path / "imported_reranker.py").write_text(
        "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
        "def f(query, texts): return [0] * len(texts)"
    )
    monkeypatch.syspath_prepend(tmp_path)
    result = ask()
    policy = '{"method":"dense","rerank":"imported_reranker:f"}'
    rewrite(store, result.retrieval.retrieval_id, f"policy_json = '{policy}'")
    found, _ = again(result)
    assert "imported_reranker" not in found.not_replayed
    assert found.not_replayed.endswith("not listed by the dbt variable rerankers")
    assert not (tmp_path / "ran").exists()
    assert again(result, "imported_reranker:f")[0].not_replayed is None
    assert (tmp_path / "ran").exists()


def test_a_model_that_cannot_be_used_is_asked_once(store, space, ask, monkeypatch):
    results = [ask(f"{QUESTION} {n}") for n in range(3)]
    words = ask(mode="lexical")
    asked = []

    def refuse(self, texts):
        asked.append(texts)
        raise ProviderError("the server is down")

    monkeypatch.setattr(HashProvider, "embed", refuse)
    logged = [store.get_retrieval(each.retrieval.retrieval_id) for each in (*results, words)]
    found = list(replay(store, logged))
    assert [each.not_replayed for each in found] == ["the server is down"] * 3 + [None]
    assert len(asked) == 1


def test_a_question_without_a_usable_answer_leaves_the_other_searches(store, ask, monkeypatch):
    """One that the model refuses, and one that it answers with no vector: neither says anything of the next one."""
    refused, spoilt, fine = (ask(f"{QUESTION} {word}") for word in ("refused", "spoilt", "fine"))
    embed = HashProvider.embed

    def embed_some(self, texts):
        if "refused" in texts[0]:
            raise InputRefused("too long", "too_long")
        reply = embed(self, texts)
        return replace(reply, vectors=reply.vectors * np.nan) if "spoilt" in texts[0] else reply

    monkeypatch.setattr(HashProvider, "embed", embed_some)
    logged = [store.get_retrieval(each.retrieval.retrieval_id) for each in (refused, spoilt, fine)]
    first, second, third = [each.not_replayed for each in replay(store, logged)]
    assert (first, third) == ("too long", None)
    assert "not finite" in second


def test_a_reranker_that_fails_leaves_the_other_searches(store, ask, again, tmp_path, monkeypatch):
    (tmp_path / "failing_reranker.py").write_text("def f(query, texts):\n    raise RuntimeError('down')\n")
    monkeypatch.syspath_prepend(tmp_path)
    first, second = ask(), ask()
    policy = '{"method":"dense","rerank":"failing_reranker:f"}'
    rewrite(store, first.retrieval.retrieval_id, f"policy_json = '{policy}'")
    logged = [store.get_retrieval(each.retrieval.retrieval_id) for each in (first, second)]
    one, other = replay(store, logged, ["failing_reranker:f"])
    assert "reranker 'failing_reranker:f' failed: RuntimeError: down" in one.not_replayed
    assert other.not_replayed is None


@pytest.mark.parametrize(
    "setting",
    ["""policy_json = '{"method":"dense","mmr":"much"}'""", """filters_json = '{"tags":["lang"]}'""",
     """filters_json = '{"source_type":"page"}'"""],
)  # fmt: skip
def test_a_log_that_makes_no_sense_is_not_replayed(store, ask, again, setting):
    result = ask()
    rewrite(store, result.retrieval.retrieval_id, setting)
    assert again(result)[0].not_replayed


def test_searches_of_a_space_without_evaluations(store, space, ask):
    before = datetime.now(UTC)
    plain, judged = ask(), ask(eval_query_id="q01")
    other = store.get_or_create_embedding_space("hash", "other", 8, space_key="other")
    elsewhere = search(store, other, HashProvider(other), QUESTION)
    ids = {name: each.retrieval.retrieval_id for name, each in
           {"plain": plain, "judged": judged, "elsewhere": elsewhere}.items()}  # fmt: skip

    def found(**options):
        return {each.retrieval_id for each in logged_since(store, before, **options)}

    assert found() == set(ids.values())
    assert found(evaluations=False) == {ids["plain"], ids["elsewhere"]}
    assert found(embedding_space_id=space.embedding_space_id) == {ids["plain"], ids["judged"]}
    assert found(embedding_space_id=space.embedding_space_id, evaluations=False) == {ids["plain"]}


def test_since_a_moment_the_latest_first(store, ask):
    before = datetime.now(UTC)
    ids = [ask().retrieval.retrieval_id for _ in range(3)]
    assert [each.retrieval_id for each in logged_since(store, before)] == ids[::-1]
    assert [each.retrieval_id for each in logged_since(store, before, limit=1)] == ids[-1:]
    assert logged_since(store, NOW + timedelta(days=1)) == []


def test_the_command_replays(project):
    with project.store() as store:
        (first, second) = store.list_retrievals()
        hit = store.list_retrieval_hits(first.retrieval_id)[0]
        store.save_chunk(replace(store.get_chunk(hit.chunk_id), retired_utc=NOW))
    contents = project.contents()
    one = project.vector("replay", first.retrieval_id, "--json")
    printed = json.loads(one.stdout)
    assert (one.exit_code, one.stderr) == (0, "")
    assert (printed["replayed"], printed["changed"], printed["not_replayed"]) == (1, 1, 0)
    (change,) = [each for each in printed["replays"][0]["changes"] if each["change"] == "gone"]
    assert (change["chunk_id"], change["rank_then"], change["rank_now"]) == (hit.chunk_id, 1, None)

    every = project.vector("replay", "--since", "2000-01-01")
    assert every.exit_code == 0
    assert "gone" in every.stdout
    assert every.stdout.splitlines()[-1].startswith("2 searches replayed")
    assert project.vector("replay", "--since", "2999-01-01").stdout.startswith("0 searches replayed")
    assert project.contents() == contents
    unknown = project.vector("replay", "nothing")
    assert (unknown.exit_code, unknown.stderr.count("\n")) == (2, 1)
    assert "no search is logged as 'nothing'" in unknown.stderr


def test_the_command_chooses_what_it_replays(project):
    with project.store() as store:
        space = store.get_embedding_space_by_key("hash")
        search(store, space, HashProvider(space), QUESTION, eval_query_id="q01")
        (logged, *_) = [each.retrieval_id for each in store.list_retrievals() if each.eval_query_id is None]
    assert project.vector("replay", logged.upper(), "--json").exit_code == 0
    since = ("replay", "--since", "2000-01-01", "--json")
    assert json.loads(project.vector(*since).stdout)["replayed"] == 3
    assert json.loads(project.vector(*since, "--no-evaluations", "--space", "hash").stdout)["replayed"] == 2
    unknown = project.vector(*since, "--space", "none")
    assert (unknown.exit_code, unknown.stderr.count("\n")) == (2, 1)
    assert "no space is called 'none'" in unknown.stderr
    both = project.vector("replay", logged, "--no-evaluations")
    assert (both.exit_code, "go with --since" in both.stderr) == (2, True)


def test_replays_are_printed_as_they_come(project, monkeypatch):
    """What an unforeseen error ends is not lost."""
    replayed = vector.search.replay._replayed
    done = []

    def fail_second(*arguments):
        if done:
            raise RuntimeError("the disk is full")
        done.append(arguments)
        return replayed(*arguments)

    monkeypatch.setattr(vector.search.replay, "_replayed", fail_second)
    ended = project.vector("replay", "--since", "2000-01-01")
    assert ended.exit_code == 70
    assert "hits as they were" in ended.stdout
    assert "the disk is full" in ended.stderr


def test_a_logged_text_does_not_command_the_terminal(project):
    hostile = "\x1b]0;owned\x07\x9b31m\u202eevil\r\nsecond line " + "long " * 20_000
    with project.store() as store:
        space = store.get_embedding_space_by_key("hash")
        logged = search(store, space, HashProvider(space), hostile, 1).retrieval.retrieval_id
        chunk = store.get_chunk(store.list_retrieval_hits(logged)[0].chunk_id)
        store.save_chunk(replace(chunk, context="\x1b[2Ja title\nof two lines > a heading"))
    for command in (("replay", logged), ("search", hostile, "--no-log", "--top-k", "1")):
        said = project.vector(*command).stdout
        assert not set("\x1b\x07\x9b\u202e\r") & set(said)
        assert len(said) < 2000
        assert "evil second line long" in said
    assert "[2Ja title of two lines > a heading  characters " in said
    assert json.loads(project.vector("replay", logged, "--json").stdout)["replays"][0]["query"] == hostile


def test_the_project_lists_rerankers(tmp_path):
    file = tmp_path / "dbt_project.yml"
    file.write_text("name: p\nvars: {rerankers: ['m:f']}\n")
    assert listed_rerankers(tmp_path) == {"m:f"}
    file.write_text("name: p\n")
    assert listed_rerankers(tmp_path) == frozenset()
    file.write_text("name: p\nvars: {rerankers: 'm:f'}\n")
    with pytest.raises(ConfigurationError, match="rerankers in .* is 'm:f'; make it a list of module:function"):
        listed_rerankers(tmp_path)


UNREADABLE = ["[1]", "7", '{"n": ' + "9" * 5000 + "}", "[" * 100_000 + "]" * 100_000]


@pytest.mark.parametrize(
    "text", [*UNREADABLE, '{"bm25": [1]}', '{"fusion": 3}', '{"fusion": {"k": ' + "9" * 400 + "}}"]
)
@pytest.mark.parametrize("column", ["policy_json", "filters_json"])
@pytest.mark.long
def test_a_search_whose_row_cannot_be_read_leaves_the_others(store, ask, column, text):
    bad, good = ask(), ask()
    rewrite(store, bad.retrieval.retrieval_id, f"{column} = ?", text)
    logged = [store.get_retrieval(each.retrieval.retrieval_id) for each in (bad, good)]
    one, other = replay(store, logged)
    assert one.not_replayed
    assert other.not_replayed is None

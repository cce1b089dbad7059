"""What the log keeps of a search, and what replaying it shows."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

import vector.replay
from vector.contracts.models import VectorEmbedding, VectorRetrieval, compute_content_hash
from vector.embedding import embed_space
from vector.errors import ConfigurationError, InputRefused, ProviderError
from vector.providers.hash import HashProvider
from vector.redaction import REDACTED, redaction_is_set
from vector.replay import logged_since, replay
from vector.rerankers import listed_rerankers
from vector.retrieval import search
from vector.search_policy import SearchPolicy

QUESTION = "the orbit of a moon"
NOW = datetime.now(timezone.utc)
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
    """The replay of a search, and its changes as {chunk id: (change, reasons)}."""

    def replayed(result, *rerankers):
        (found,) = replay(store, [store.get_retrieval(result.retrieval.retrieval_id)], rerankers)
        return found, {change.chunk_id: (change.change, change.reasons) for change in found.changes}

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
    for language in ("none", "german"):
        result = ask("orbits of moons", mode="lexical", language=language)
        assert result.hits
        assert result.retrieval.policy["bm25"].get("language", "none") == language
        assert [hit.score for hit in result.hits] != [hit.score for hit in ask("orbits of moons", mode="lexical").hits]
        found, changes = again(result)
        assert (changes, found.not_replayed, found.unchanged) == ({}, None, len(result.hits))
    rewrite(store, result.retrieval.retrieval_id, "policy_json = replace(policy_json, 'german', 'klingon')")
    assert "language is 'klingon'" in again(result)[0].not_replayed


def test_what_changed_and_why(store, space, ask, again):
    result = ask()
    ids = [hit.chunk_id for hit in result.hits]
    retired, changed, emptied, pending, *_ = [store.get_chunk(each) for each in ids]
    store.save_chunks([
        replace(retired, retired_utc=NOW + timedelta(hours=1)),
        with_text(changed, "Another text without a vector."),
        with_text(pending, QUESTION),
    ])  # fmt: skip
    embedded = VectorEmbedding.create_new(
        pending.chunk_id, space.embedding_space_id, compute_content_hash(QUESTION),
        HashProvider(space).embed([QUESTION]).vectors[0].tolist(),
    )  # fmt: skip
    store.save_embedding(embedded)
    store.engine.execute(f"delete from embedding where chunk_id = '{emptied.chunk_id}'")
    other = next(chunk for chunk in store.list_chunks() if chunk.chunk_id not in ids)
    made = with_text(replace(other, chunk_id="f" * 64, created_utc=datetime.now(timezone.utc)), f"{QUESTION}?")
    store.save_chunk(made)
    vector = HashProvider(space).embed([QUESTION]).vectors[0].tolist()
    store.save_embedding(
        VectorEmbedding.create_new(made.chunk_id, space.embedding_space_id, made.content_sha256, vector)
    )

    found, changes = again(result)
    assert changes[retired.chunk_id] == ("gone", ("chunk_retired",))
    assert changes[changed.chunk_id] == ("gone", ("text_changed", "vector_missing"))
    assert changes[emptied.chunk_id] == ("gone", ("vector_missing",))
    assert changes[pending.chunk_id] == ("moved", ("text_changed",))
    assert changes[made.chunk_id] == ("new", ("chunk_new",))
    moved_up = [each for each, change in changes.items() if change == ("new", ("moved_up",))]
    assert len(moved_up) == 2
    for each in found.changes:
        assert (each.rank_then is None) == (each.change == "new")
        assert (each.rank_now is None) == (each.change == "gone")
    assert {each.rank_now for each in found.changes if each.rank_now} <= set(range(1, 11))


def test_a_vector_that_came_later(store, space, ask, again):
    chunk = store.list_chunks()[0]
    embedding = store.list_embeddings(chunk_id=chunk.chunk_id)[0]
    store.engine.execute(f"delete from embedding where chunk_id = '{chunk.chunk_id}'")
    result = ask(chunk.content)
    store.save_embedding(replace(embedding, created_utc=datetime.now(timezone.utc)))
    _, changes = again(result)
    assert changes[chunk.chunk_id] == ("new", ("vector_new",))
    last = result.hits[-1].chunk_id
    assert changes[last] == ("gone", ("outranked",))
    assert {change for each, change in changes.items() if each not in (chunk.chunk_id, last)} == {
        ("moved", ("outranked",))
    }


def test_a_source_that_no_longer_passes_the_filter(store, ask, again):
    result = ask(tags=[("lang", "en")])
    source = store.get_source(result.hits[0].source_id)
    store.save_source(replace(source, tags={"lang": "xx"}, updated_utc=datetime.now(timezone.utc)))
    _, changes = again(result)
    assert changes[result.hits[0].chunk_id] == ("gone", ("filtered_out",))

    other = ask(tags=[("lang", "xx")], top_k=100)
    store.save_source(replace(source, tags={"lang": "en"}, updated_utc=datetime.now(timezone.utc)))
    joined = store.get_source("page:apollo")
    store.save_source(replace(joined, tags={"lang": "xx"}, updated_utc=datetime.now(timezone.utc) + timedelta(1)))
    _, changes = again(other)
    assert {change for change in changes.values() if change[0] == "new"} == {("new", ("source_changed",))}


def test_scores_that_moved_and_a_question_with_another_vector(store, ask, again):
    result = ask()
    store.engine.execute(
        "update retrieval_hit set score = score - 0.25 where retrieval_id = ? and rank = 3",
        [result.retrieval.retrieval_id],
    )
    rewrite(store, result.retrieval.retrieval_id, "query_embedding = [1, 0, 0, 0, 0, 0, 0, 0]")
    found, changes = again(result)
    assert changes == {result.hits[2].chunk_id: ("moved", ("score_moved",))}
    assert found.notes == ("question_vector_changed",)
    (change,) = found.changes
    assert change.score_now - change.score_then == pytest.approx(0.25)


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
def test_a_neighbour_that_left_moves_no_score(store, ask, again, mode):
    """BM25 depends on all texts, and a fused score on the ranks of others: neither is a change of a hit's own."""
    result = ask(mode=mode)
    ids = [hit.chunk_id for hit in result.hits]
    left = ids[4]
    store.save_chunk(with_text(store.get_chunk(left), "Words of another kind altogether."))
    found, changes = again(result)
    assert changes.pop(left) == ("gone", ("text_changed", "vector_missing"))
    moved = [change for change in found.changes if change.change == "moved"]
    assert {change.chunk_id for change in moved} <= set(ids[5:])
    assert moved
    for change in moved:
        assert change.rank_now < change.rank_then
        assert change.reasons == ("moved_up",)
        assert change.score_now != pytest.approx(change.score_then, rel=1e-5)
    assert {change.reasons for change in found.changes if change.change == "new"} == {("moved_up",)}
    then, now = ids, [hit.chunk_id for hit in ask(mode=mode).hits]
    assert found.unchanged == sum(one == other for one, other in zip(then, now, strict=True))


def test_a_hybrid_hit_whose_vector_compares_otherwise(store, ask, again):
    result = ask(mode="hybrid")
    third = result.hits[2]
    store.engine.execute(
        "update retrieval_hit set metadata_json = ? where retrieval_id = ? and rank = 3",
        [json.dumps({**third.components, "dense": 0.125}), result.retrieval.retrieval_id],
    )
    assert "dense" in third.components
    assert again(result)[1] == {third.chunk_id: ("moved", ("score_moved",))}


def test_a_source_that_changed_is_no_reason_where_no_filter_asks_for_it(store, ask, again):
    """With and without a filter of source types, which a source's row does not decide."""
    result = ask(source_types=["page"], mmr=0.9)
    next_hit = ask(source_types=["page"], mmr=0.9, top_k=11).hits[10]
    store.save_source(replace(store.get_source(next_hit.source_id), title="New", updated_utc=NOW + timedelta(1)))
    store.save_chunk(replace(store.get_chunk(result.hits[9].chunk_id), retired_utc=NOW + timedelta(1)))
    _, changes = again(result)
    assert changes[next_hit.chunk_id] == ("new", ("moved_up",))


@pytest.mark.parametrize("policy", ["same", "other"])
def test_a_source_that_was_cut_anew_says_so_of_old_and_new_chunks(store, space, ask, again, policy):
    result = ask(top_k=3)
    source = store.get_source(result.hits[0].source_id)
    gone = store.list_chunks(source.source_id)
    (kept,) = [chunk for chunk in gone if chunk.chunk_id == result.hits[0].chunk_id]
    version = kept.policy["version"] if policy == "same" else "another-v1"
    later = datetime.now(timezone.utc)
    made = with_text(replace(kept, chunk_id="e" * 64, created_utc=later), f"{QUESTION}!")
    made.policy = {**made.policy, "version": version}
    store.save_chunks([*(replace(chunk, retired_utc=later) for chunk in gone), made])
    store.save_source(replace(source, policy_version=version, content_sha256="0" * 64, updated_utc=later))
    vector = HashProvider(space).embed([QUESTION]).vectors[0].tolist()
    store.save_embedding(
        VectorEmbedding.create_new(made.chunk_id, space.embedding_space_id, made.content_sha256, vector)
    )
    _, changes = again(result)
    why = "source_text_changed" if policy == "same" else "policy_changed"
    assert changes[kept.chunk_id] == ("gone", ("chunk_retired", why))
    assert changes[made.chunk_id] == ("new", ("chunk_new", why))

    store.save_source(replace(source, retired_utc=later))
    _, changes = again(result)
    assert changes[kept.chunk_id] == ("gone", ("chunk_retired",))
    assert changes[made.chunk_id] == ("new", ("chunk_new",))


def test_a_source_that_came_back_is_not_merely_moved_up(store, ask, again):
    """Its chunks, their texts and their vectors are as old as ever; only the chunks' last change is not."""
    found = ask(top_k=1).hits[0]
    source, chunks = store.get_source(found.source_id), store.list_chunks(found.source_id)

    def save(retired):
        times = {"retired_utc": NOW if retired else None, "updated_utc": datetime.now(timezone.utc)}
        store.save_source(replace(source, **times))
        store.save_chunks([replace(chunk, **times) for chunk in chunks])

    save(retired=True)
    result = ask()
    save(retired=False)
    assert found.chunk_id not in {hit.chunk_id for hit in result.hits}
    _, changes = again(result)
    assert changes[found.chunk_id] == ("new", ("chunk_returned",))
    others = {change for each, change in changes.items() if each not in {chunk.chunk_id for chunk in chunks}}
    assert others <= {("moved", ("outranked",)), ("gone", ("outranked",))}


def test_a_text_that_came_back_is_not_merely_moved_up(store, space, ask, again):
    old = store.get_chunk(ask(top_k=1).hits[0].chunk_id)
    other = with_text(old, "x" * len(old.content))
    store.save_chunk(replace(other, updated_utc=datetime.now(timezone.utc)))
    assert embed_space(store, space).written == 1
    result = ask(top_k=3)
    assert old.chunk_id not in {hit.chunk_id for hit in result.hits}
    store.save_chunk(replace(old, updated_utc=datetime.now(timezone.utc)))
    _, changes = again(result)
    assert changes[old.chunk_id] == ("new", ("chunk_returned",))


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
    before = datetime.now(timezone.utc)
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
    before = datetime.now(timezone.utc)
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
    assert (change["chunk_id"], change["reasons"], change["rank_then"]) == (hit.chunk_id, ["chunk_retired"], 1)

    every = project.vector("replay", "--since", "2000-01-01")
    assert every.exit_code == 0
    assert "chunk retired" in every.stdout
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
    assert "there is no space 'none'" in unknown.stderr
    both = project.vector("replay", logged, "--no-evaluations")
    assert (both.exit_code, "go with --since" in both.stderr) == (2, True)


def test_replays_are_printed_as_they_come(project, monkeypatch):
    """What an unforeseen error ends is not lost."""
    replayed = vector.replay._replayed
    done = []

    def fail_second(*arguments):
        if done:
            raise RuntimeError("the disk is full")
        done.append(arguments)
        return replayed(*arguments)

    monkeypatch.setattr(vector.replay, "_replayed", fail_second)
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
        store.save_source(replace(store.get_source(chunk.source_id), title="\x1b[2Ja title\nof two lines"))
    for command in (("replay", logged), ("search", hostile, "--no-log", "--top-k", "1")):
        said = project.vector(*command).stdout
        assert not set("\x1b\x07\x9b\u202e\r") & set(said)
        assert len(said) < 2000
        assert "evil second line long" in said
    assert "[2Ja title of two lines\n" in said
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
def test_a_search_whose_row_cannot_be_read_leaves_the_others(store, ask, column, text):
    bad, good = ask(), ask()
    rewrite(store, bad.retrieval.retrieval_id, f"{column} = ?", text)
    logged = [store.get_retrieval(each.retrieval.retrieval_id) for each in (bad, good)]
    one, other = replay(store, logged)
    assert one.not_replayed
    assert other.not_replayed is None

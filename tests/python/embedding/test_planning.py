"""The texts of a plan are read once each, also when the plan is made anew in the middle, as after a lost connection."""

from collections import Counter

import pytest

from vector.chunking import Chunker, ChunkingPolicy
from vector.contracts.models import VectorSourceRegistry
from vector.embedding import EmbedOptions, embed_space
from vector.embedding.pending import read_fresh_texts
from vector.embedding.plan import plan_space
from vector.errors import InputRefused
from vector.providers.hash import HashProvider

BATCH, LIMIT = 4, 80


class Counting(HashProvider):
    """Counts how often it was asked for a text."""

    asked: Counter = Counter()

    def embed(self, texts):
        self.asked.update(texts)
        return super().embed(texts)


@pytest.fixture
def provider(monkeypatch):
    monkeypatch.setattr(Counting, "asked", Counter())
    monkeypatch.setattr("vector.embedding.run.open_provider", Counting)
    return Counting


@pytest.fixture
def fragile(store, monkeypatch):
    """A function that makes every so manyth transaction lose its connection before it begins: as the SQL Server engine
    does then, the tables of the session are made anew."""
    engine = store.engine
    made, materialize, atomically = {}, engine.create_temporary, engine.atomically

    def remember(name, select, parameters=()):
        made[name] = (select, parameters)
        materialize(name, select, parameters)

    def lose_every(times):
        transactions = 0

        def lost(work):
            nonlocal transactions
            transactions += 1
            if transactions % times == 0:
                for name, (select, parameters) in made.items():
                    materialize(name, select, parameters)
            return atomically(work)

        monkeypatch.setattr(engine, "create_temporary", remember)
        monkeypatch.setattr(engine, "atomically", lost)

    return lose_every


def new_space(store):
    return store.get_or_create_embedding_space("hash", "hash", 16, space_key="other")


def write_notes(store, texts):
    chunker = Chunker(ChunkingPolicy())
    for number, text in enumerate(texts):
        source = f"note:{text}:{number}"
        store.save_source(VectorSourceRegistry(source, "note", {"note": source}))
        store.save_chunks(chunker.chunk(f"A note, number {text}.", source, "note"))


def unembedded(store, space):
    ((count,),) = store.engine.query(
        "select count(*) from embedding_pending where embedding_space_id = ?", [space.embedding_space_id]
    )
    return count


class Refusing(HashProvider):
    """Refuses the notes."""

    def embed(self, texts):
        if any(text.startswith("A note") for text in texts):
            raise InputRefused("not this")
        return super().embed(texts)


def test_the_chunks_of_a_refused_text_are_quarantined_by_one_query(store, monkeypatch):
    monkeypatch.setattr("vector.embedding.run.open_provider", Refusing)
    space = new_space(store)
    write_notes(store, ["again"] * 30)
    asked, query = [], store.engine.query
    monkeypatch.setattr(store.engine, "query", lambda sql, *given: asked.append(sql) or query(sql, *given))
    for attempt in (1, 2):
        asked.clear()
        chosen = [chunk.chunk_id for number in range(30) for chunk in store.list_chunks(f"note:again:{number}")]
        summary = embed_space(store, space, EmbedOptions(chunk_ids=chosen, retry_failed=attempt > 1))
        assert (summary.planned, summary.quarantined) == (30, 30)
        failures = store.list_embedding_failures(space.embedding_space_id)
        assert {failure.attempt_count for failure in failures} == {attempt}
        assert len(failures) == 30
        read = [sql for sql in asked if '."embedding_failure" where' in sql]
        assert len(read) == 2, "one for the 30, and the one above"


@pytest.mark.parametrize("page", [1, 3, 16, 1000])
@pytest.mark.long
def test_a_plan_is_read_once_page_by_page(store, monkeypatch, page):
    monkeypatch.setattr("vector.embedding.pending.PAGE", page)
    space = new_space(store)
    plan = plan_space(store, space)
    texts = [(text.byte_count, text.content_sha256) for text in read_fresh_texts(store, plan.texts_to_embed)]
    assert len(texts) == plan.texts
    assert texts == sorted(set(texts))


@pytest.mark.parametrize(("page", "times"), [(1, 1), (7, 2), (30, 3), (20_000, 2)])
@pytest.mark.long
def test_a_lost_connection_neither_skips_nor_repeats_a_text(store, provider, fragile, monkeypatch, page, times):
    monkeypatch.setattr("vector.embedding.pending.PAGE", page)
    space = new_space(store)
    fragile(times)
    summary = embed_space(store, space, EmbedOptions(limit=LIMIT, batch_size=BATCH))
    assert summary.written == summary.planned == LIMIT
    contents = {chunk.content for chunk in store.list_chunks()}
    assert {times for text, times in provider.asked.items() if text in contents} == {1}


@pytest.mark.long
def test_a_lost_connection_does_not_skip_vectors_that_are_there(store, provider, fragile, monkeypatch):
    monkeypatch.setattr("vector.embedding.pending.PAGE", 8)  # two reused texts a page
    space = new_space(store)
    write_notes(store, range(20))
    embed_space(store, space)
    # The same texts in other chunks, and some new ones.
    write_notes(store, [*range(20), *range(20)])
    write_notes(store, range(100, 120))
    provider.asked.clear()
    fragile(1)
    summary = embed_space(store, space, EmbedOptions(batch_size=BATCH))
    assert (summary.texts, summary.reused, unembedded(store, space)) == (20, 40 - 20, 0)
    assert sum(times for text, times in provider.asked.items() if text.startswith("A note")) == 20


def test_a_lost_connection_does_not_raise_a_limit(store, provider, fragile, monkeypatch):
    monkeypatch.setattr("vector.embedding.pending.PAGE", 5)
    space = new_space(store)
    fragile(1)
    summary = embed_space(store, space, EmbedOptions(limit=30, batch_size=BATCH))
    assert summary.planned == 30
    assert summary.texts <= 30

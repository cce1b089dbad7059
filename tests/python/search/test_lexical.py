"""The index of words: whatever became of its texts, whoever was killed, the scores are those of BM25's definition."""

import math
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vector.contracts.models import compute_content_hash
from vector.engines.local_copies import drop_copies
from vector.errors import ConfigurationError
from vector.search import lexical as lexical_module
from vector.search import postings
from vector.search.language import search_language
from vector.search.lexical import INDEXES, LexicalIndex, LexicalIndexes, indexes_of
from vector.search.policy import SearchPolicy
from vector.search.postings import K1, B, IndexedText
from vector.search.search import search
from vector.search.tokens import VERSION, Analyzer

tokenise = Analyzer().tokens
QUESTION = "the orbit of a moon"


def text_of(n, text, source_id="s", source_type="page"):
    # Ids that begin alike, and some that are short: ties are by id in any case.
    return IndexedText(f"{n:064x}" if n % 3 else f"{n:x}", "h", n, source_id, source_type, text)


def index_of(texts):
    index = LexicalIndex()
    index.change(texts)
    return index


def bm25_by_definition(texts, query):
    """Lucene's BM25 of each text."""
    documents = [Counter(tokenise(text)) for text in texts]
    mean = sum(sum(document.values()) for document in documents) / max(len(documents), 1)
    scores = []
    for document in documents:
        score = 0.0
        for word in tokenise(query):
            having = sum(word in other for other in documents)
            frequency = document[word]
            if frequency:
                idf = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
                length = 1 - B + B * sum(document.values()) / mean
                score += idf * frequency / (frequency + K1 * length)
        scores.append(score)
    return scores


def best_by_definition(texts, query):
    """(chunk id, score), best first, of the texts with a word of the question."""
    scores = bm25_by_definition([each.text for each in texts], query)
    found = [(each.chunk_id, score) for each, score in zip(texts, scores, strict=True) if score > 0]
    return sorted(found, key=lambda hit: (-hit[1], hit[0]))


WORDS = st.lists(st.sampled_from("moon orbit 木星 dust élan ring".split()), max_size=8).map(" ".join)
# What becomes of 12 chunks: none for one that is not there.
STATES = st.lists(st.lists(st.none() | WORDS, min_size=12, max_size=12), min_size=1, max_size=8)


@contextmanager
def small_segments():
    """Segments of a few texts, merged often, so that few texts make many."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"TEXTS": 5, "WORDS": 30, "_MERGED": 2}.items():
            patch.setattr(postings, name, value)
        yield


@given(STATES, WORDS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_whatever_became_of_its_texts_the_index_gives_the_bm25_of_its_definition(states, query, small):
    index, texts = LexicalIndex(), {}
    with small_segments() if small else contextmanager(lambda: iter([None]))():
        for state in states:
            now = {n: text_of(n, text, f"s{n % 3}", "ab"[n % 2]) for n, text in enumerate(state) if text is not None}
            changed = [each for n, each in now.items() if texts.get(n) != each]
            gone = [texts[n].chunk_id for n in texts.keys() - now.keys()]
            index.change(changed, gone)
            texts = now
            hits, compared = index.best(query, 100)
            expected = best_by_definition(list(now.values()), query)
            assert compared == len(now)
            assert {hit.chunk_id: hit.score for hit in hits} == pytest.approx(dict(expected))
            # Not a bit of it hangs on how the index came to be.
            assert hits == index_of(now.values()).best(query, 100)[0]
            assert hits == sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))
            assert all(index.best(query, count)[0] == hits[:count] for count in (1, 2, 3))
            for chosen, filters in filtered(now.values()):
                of_chosen = [hit for hit in hits if hit.chunk_id in chosen]
                assert index.best(query, 100, **filters) == (of_chosen, len(chosen))


def filtered(texts):
    """Ids of the chunks that filters leave, and the filters."""
    ids = {each.chunk_id for each in texts}
    even = {each.chunk_id for each in texts if each.digest % 2 == 0}
    of_s1 = {each.chunk_id for each in texts if each.source_id == "s1"}
    yield even, {"only": [*even, "unknown"]}
    yield set(), {"only": []}
    yield even, {"source_types": ["a", "unknown"]}
    yield ids, {"source_types": ["b", "a"]}
    yield of_s1, {"source_ids": ["s1", "unknown"]}
    yield set(), {"source_ids": []}
    yield of_s1 & even, {"source_ids": {"s1"}, "source_types": ["a"], "only": ids}


def test_the_most_frequent_word_of_a_long_text_is_counted():
    texts = [text_of(1, "moon " * 70_000 + "orbit"), text_of(2, "moon moon orbit"), text_of(3, "")]
    hits, _ = index_of(texts).best("moon", 5)
    assert [(hit.chunk_id, hit.score) for hit in hits] == best_by_definition(texts, "moon")


def test_a_chunk_of_no_source_is_of_its_type():
    index = index_of([text_of(1, "moon", None), text_of(2, "moon", "s")])
    assert index.best("moon", 5, source_types=["page"])[1] == 2
    assert [hit.chunk_id for hit in index.best("moon", 5, source_ids=["s"])[0]] == [text_of(2, "").chunk_id]


def test_many_texts_that_tie_are_in_the_order_of_their_ids():
    texts = [replace(text_of(n, "moon"), chunk_id=f"same beginning {n:04}") for n in range(500)]
    hits, _ = index_of(reversed(texts)).best("moon", 20)
    assert [hit.chunk_id for hit in hits] == [each.chunk_id for each in texts[:20]]


def test_texts_without_a_word_have_an_index_too():
    for texts in ([], [text_of(1, "..."), text_of(2, "")]):
        assert index_of(texts).best("moon", 5) == ([], len(texts))
    assert index_of([text_of(1, "moon")]).best("... 木星", 5) == ([], 1)


def test_segments_stay_few_and_what_is_gone_leaves_them():
    index = LexicalIndex()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "TEXTS", 64)
        for n in range(400):
            index.change([text_of(n % 100, f"moon {n}")])
    with index._transaction("deferred") as db:
        segments = dict(postings._segments(db))
        of_postings = {number for (number,) in db.execute("select distinct segment from posting")}
        assert db.execute("select count(*) from chunk").fetchone() == (100,)
    assert of_postings == segments.keys()
    assert len(segments) < 25
    assert sum(map(len, segments.values())) < 200


# Several processes, and what ends them


def state_of(k, count=300):
    """All texts have the word of the state, and a second word that tells how many."""
    return [text_of(n, f"state{k} " + "moon " * (1 + n % 7)) for n in range(count)]


def update_for_ever(path, start):
    index = LexicalIndex(path)
    for k in range(start, 10**9):
        index.change(state_of(k))


def the_state(index, count=300):
    """The one state that all texts are of."""
    hits, compared = index.best("moon", 1000)
    assert (len(hits), compared) == (count, count)
    with index._transaction("deferred") as db:
        rows = db.execute("select word from posting where word like 'state%'").fetchall()
    words = {word for (word,) in rows}
    (state,) = (word for word in words if index.best(word, 1000)[0])
    assert len(index.best(state, 1000)[0]) == count
    return int(state.removeprefix("state"))


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_a_process_that_is_killed_leaves_the_index_as_before_or_after(tmp_path):
    path = tmp_path / "index.sqlite"
    LexicalIndex(path).change(state_of(0))
    seen, context = {0}, multiprocessing.get_context("fork")
    for n in range(12):
        process = context.Process(target=update_for_ever, args=(path, max(seen) + 1))
        process.start()
        time.sleep(0.05 + 0.017 * n)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        state = the_state(LexicalIndex(path))
        assert state >= max(seen)
        seen.add(state)
    assert len(seen) > 3, "the updates were killed before they wrote anything"
    index = LexicalIndex(path)
    index.change(state_of(10**9))
    hits, _ = index.best("moon state1000000000", 1000)
    assert hits == index_of(state_of(10**9)).best("moon state1000000000", 1000)[0]


def take_in(path, numbers):
    index = LexicalIndex(path)
    for n in numbers:
        index.change([text_of(n, f"moon {n}")])


@pytest.mark.skipif(sys.platform == "win32", reason="fork")
def test_processes_that_write_and_read_at_once_share_the_index(tmp_path):
    path = tmp_path / "index.sqlite"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=take_in, args=(path, range(start, 40, 2))) for start in (0, 1)]
    for process in processes:
        process.start()
    index, counts = LexicalIndex(path), [0]
    while any(process.is_alive() for process in processes):
        hits, compared = index.best("moon", 100)
        assert len(hits) == compared >= counts[-1]
        counts.append(compared)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert index.best("moon", 100) == index_of([text_of(n, f"moon {n}") for n in range(40)]).best("moon", 100)


def test_threads_share_an_index(tmp_path):
    index, failures = LexicalIndex(tmp_path / "index.sqlite"), []

    def work(n):
        try:
            for k in range(n, 30, 3):
                index.change([text_of(k, "moon")])
                assert text_of(k, "").chunk_id in {hit.chunk_id for hit in index.best("moon", 100)[0]}
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_file_of_another_version_is_made_anew(tmp_path, monkeypatch):
    path = tmp_path / "index.sqlite"
    LexicalIndex(path).change([text_of(1, "moon")])
    monkeypatch.setattr(lexical_module, "VERSION", 999)
    index = LexicalIndex(path)
    assert index.best("moon", 5) == ([], 0)
    index.change([text_of(2, "moon")])
    assert index.best("moon", 5)[1] == 1


def test_a_file_that_is_damaged_under_a_question_is_deleted(tmp_path):
    path = tmp_path / "index.sqlite"
    index = LexicalIndex(path)
    index.change([text_of(n, f"moon word{n}") for n in range(2000)])
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    with pytest.raises(ConfigurationError, match=r"index.sqlite: the index of words cannot be read \(.*ask again"):
        index.best("moon", 5)
    assert not path.exists()
    index.change([text_of(1, "moon")])
    assert index.best("moon", 5)[1] == 1


def test_a_process_waits_for_another_that_writes(tmp_path, monkeypatch):
    path = tmp_path / "index.sqlite"
    index = LexicalIndex(path)
    index.change([text_of(1, "moon")])
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    writer.execute("begin exclusive")
    thread = threading.Timer(2.5, lambda: writer.execute("commit"))  # longer than SQLite waits at a time
    thread.start()
    assert index.best("moon", 5)[1] == 1
    thread.join()
    writer.execute("begin exclusive")
    monkeypatch.setattr(lexical_module, "_PATIENCE", 0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        index.change([text_of(2, "moon")])
    writer.close()


# The index of a space


class Reads:
    """What the index of a space reads of the warehouse: selects, and the chunks whose texts it has read."""

    def __init__(self, engine, monkeypatch):
        self.texts, self.digests = [], 0
        for name in ("query", "stream"):
            monkeypatch.setattr(engine, name, self._spied(getattr(engine, name)))

    def _spied(self, read):
        def spied(sql, parameters=()):
            rows = list(read(sql, parameters))
            if "searched.source_type, chunk.context" in sql:
                self.texts.append([row[0] for row in rows])
            self.digests += "group by left(searched.chunk_id" in sql
            return rows

        return spied

    def clear(self):
        self.texts, self.digests = [], 0


@pytest.fixture
def reads(store, monkeypatch):
    return Reads(store.engine, monkeypatch)


@pytest.fixture
def lexical(store, space):
    """Ids of the hits of a lexical search."""

    def found(text, **options):
        policy = SearchPolicy("lexical")
        return [
            hit.chunk_id for hit in search(store, space, None, text, 1000, policy=policy, log=False, **options).hits
        ]

    return found


def changed_text(chunk, text):
    return replace(chunk, content=text, content_sha256=compute_content_hash(text), byte_count=len(text.encode()))


def test_the_index_is_built_once_and_takes_in_what_changes(store, space, reads, lexical):
    first = lexical(QUESTION)
    assert first
    assert lexical(QUESTION) == first
    (all_chunks,) = reads.texts
    assert (len(all_chunks), reads.digests) == (len(store.list_chunks()), 1)
    reads.clear()

    chunk = store.get_chunk(first[0])
    assert chunk.chunk_id in lexical(chunk.content)
    store.save_chunk(replace(chunk, retired_utc=datetime.now(UTC)))
    assert chunk.chunk_id not in lexical(chunk.content)
    assert reads.texts == []
    # A new text has no vector yet: the space does not find it, by words or by vectors.
    store.save_chunk(changed_text(replace(chunk, retired_utc=None), "zyzzyva"))
    assert lexical("zyzzyva") == []
    assert reads.texts == []
    store.save_chunk(chunk)
    assert lexical(QUESTION) == first
    assert reads.texts == [[chunk.chunk_id]]


def test_the_words_of_a_context_are_found_and_a_changed_one_is_noticed(store, space, reads, lexical):
    chunk = store.list_chunks()[0]
    assert lexical("zyzzyva") == []
    reads.clear()
    for context in ("Zyzzyva > Habitat", None, "The zyzzyva"):
        store.save_chunk(replace(chunk, context=context))
        assert lexical("zyzzyva") == ([chunk.chunk_id] if context else [])
    assert reads.texts == [[chunk.chunk_id]] * 3
    (hit,) = search(store, space, None, "zyzzyva", policy=SearchPolicy("lexical"), log=False).hits
    # It has its own text still, and so its vector.
    assert (hit.context, hit.content, hit.content_sha256) == ("The zyzzyva", chunk.content, chunk.content_sha256)
    # A word at the end of the one and a word at the beginning of the other are two.
    store.save_chunk(replace(chunk, context="zyz"))
    assert lexical("zyz" + chunk.content.split()[0]) == []


def test_an_index_of_the_version_without_contexts_is_made_anew(store, space, lexical, tmp_path, monkeypatch):
    chunk = store.list_chunks()[0]
    store.save_chunk(replace(chunk, context="Zyzzyva"))
    with monkeypatch.context() as patch:
        patch.setattr(postings, "LAYOUT", 1)
        patch.setattr(lexical_module, "_indexed", lambda row: IndexedText(*row[:-2], row[-1]))
        before = LexicalIndexes(tmp_path).current(store.engine, space.embedding_space_id)
        assert before.best("zyzzyva", 5)[0] == []
    now = LexicalIndexes(tmp_path).current(store.engine, space.embedding_space_id)
    assert now.path == before.path
    assert [hit.chunk_id for hit in now.best("zyzzyva", 5)[0]] == [chunk.chunk_id]


def test_an_index_that_followed_every_change_is_as_a_new_one(store, space, lexical, tmp_path):
    """Retired, changed and embedded, revived, of another type: each by itself, then many at once."""
    chunks = store.list_chunks()
    followed, new = LexicalIndexes(tmp_path), LexicalIndexes(None)
    followed.current(store.engine, space.embedding_space_id)

    def check():
        index = followed.current(store.engine, space.embedding_space_id)
        new._indexes.clear()
        fresh = new.current(store.engine, space.embedding_space_id)
        for types in ((), ("page",), ("other",)):
            assert index.best(QUESTION, 1000, source_types=types) == fresh.best(QUESTION, 1000, source_types=types)

    for n, chunk in enumerate(chunks[:3]):
        store.save_chunk(replace(chunk, retired_utc=datetime.now(UTC)))
        check()
        store.engine.execute("update chunk set source_type = 'other' where chunk_id = ?", [chunks[n + 5].chunk_id])
        check()
    store.engine.execute("delete from embedding where chunk_id < '4'")
    check()
    store.engine.execute("update chunk set retired_utc = null")
    check()
    store.engine.execute("update chunk set retired_utc = updated_utc")
    check()
    assert lexical(QUESTION) == []


def test_many_changes_are_found_among_all_rows_and_texts_are_read_in_parts(store, space, reads, monkeypatch):
    monkeypatch.setattr(lexical_module, "_CHUNKS", 10)
    indexes = LexicalIndexes(None)
    count = indexes.current(store.engine, space.embedding_space_id).best("moon", 1)[1]
    reads.clear()
    ids = [chunk.chunk_id for chunk in store.list_chunks()][: count * 2 // 5]
    store.engine.execute(f"update chunk set updated_utc = '2030-01-01' where chunk_id in {tuple(ids)}")
    indexes.current(store.engine, space.embedding_space_id)
    assert sorted(sum(reads.texts, [])) == sorted(ids)
    assert max(map(len, reads.texts)) == 10
    reads.clear()
    store.engine.execute("update chunk set updated_utc = '2031-01-01'")
    assert indexes.current(store.engine, space.embedding_space_id).best("moon", 1)[1] == count
    assert [len(part) for part in reads.texts] == [count]


def test_where_the_engine_tells_of_writes_no_fingerprint_is_read_without_one(store, space, monkeypatch):
    asked, tokens = [], iter(["1", "1", "2", "2", None, None, "3", "3"])
    fingerprint = store.engine.current_fingerprint
    monkeypatch.setattr(store.engine, "current_fingerprint", lambda *of: asked.append(of) or fingerprint(*of))
    monkeypatch.setattr(store.engine, "change_token", lambda: next(tokens))
    indexes, counts = LexicalIndexes(None), []
    for _ in range(8):
        indexes.current(store.engine, space.embedding_space_id)
        counts.append(len(asked))
    assert counts == [1, 1, 2, 2, 3, 4, 5, 5]


def test_the_index_is_kept_in_a_file_for_the_next_process(store, space, reads, lexical, tmp_path):
    expected = lexical(QUESTION)
    (tmp_path / "lexical").mkdir(mode=0o700)
    (tmp_path / "lexical" / "of_an_earlier_version").mkdir()
    reads.clear()
    for _ in range(2):
        INDEXES[store] = LexicalIndexes(tmp_path)
        assert lexical(QUESTION) == expected
    assert len(reads.texts) == 1
    (kept,) = (tmp_path / "lexical").iterdir()
    assert sys.platform == "win32" or kept.stat().st_mode & 0o077 == 0

    # A damaged one is built again, and one that is deleted too.
    kept.write_bytes(b"damaged")
    INDEXES[store] = LexicalIndexes(tmp_path)
    assert lexical(QUESTION) == expected
    assert len(reads.texts) == 2
    drop_copies(tmp_path)
    drop_copies(tmp_path)
    assert lexical(QUESTION) == expected
    assert len(reads.texts) == 3
    store.save_chunk(replace(store.get_chunk(expected[0]), retired_utc=datetime.now(UTC)))
    assert expected[0] not in lexical(QUESTION)
    assert list((tmp_path / "lexical").iterdir()) == [kept]


ASK = """
import sys, duckdb
from pathlib import Path
from vector.search.lexical import LexicalIndexes
from vector.store import VectorStore
path, space, folder = sys.argv[1:]
store = VectorStore(duckdb.connect(path, read_only=True))
hits, compared = LexicalIndexes(Path(folder)).current(store.engine, space).best("the orbit of a moon", 10)
print(compared, [(hit.chunk_id, hit.score) for hit in hits])
"""


def test_processes_that_build_the_index_at_once_find_the_same(project, tmp_path):
    with project.store() as store:
        space = store.get_embedding_space_by_key("hash").embedding_space_id
        hits, compared = LexicalIndexes(None).current(store.engine, space).best(QUESTION, 10)
        path = store.engine.location
    asked = [sys.executable, "-c", ASK, path, space, str(tmp_path / "cache")]
    scripts = str(Path(lexical_module.__file__).parents[2])
    running = [
        subprocess.Popen(asked, stdout=subprocess.PIPE, encoding="utf-8", env={**os.environ, "PYTHONPATH": scripts})
        for _ in range(3)
    ]
    answers = {process.communicate()[0].strip() for process in running}
    assert answers == {f"{compared} {[(hit.chunk_id, hit.score) for hit in hits]}"}


def test_without_a_place_for_the_files_the_index_is_in_memory(store, space, lexical, tmp_path, caplog):
    """As with a full disk, or a home that cannot be written."""
    expected = lexical(QUESTION)
    (tmp_path / "file").touch()
    INDEXES[store] = LexicalIndexes(tmp_path / "file")
    assert lexical(QUESTION) == expected
    assert "VECTOR_CACHE_DIR" in caplog.text


def test_a_file_that_cannot_be_written_is_told_and_done_without(store, space, lexical, tmp_path, caplog, monkeypatch):
    expected = lexical(QUESTION)
    INDEXES[store] = LexicalIndexes(tmp_path)

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    add = postings.add
    monkeypatch.setattr(postings, "add", lambda *given: (monkeypatch.setattr(postings, "add", add), full()))
    assert lexical(QUESTION) == expected
    assert "no index of words is kept for the next process (database or disk is full)" in caplog.text
    assert lexical(QUESTION) == expected


def test_a_text_that_changes_under_the_index_is_not_found(store, space, lexical, monkeypatch):
    """As if another session wrote between the fingerprint and the hits."""
    first = lexical(QUESTION)
    index = indexes_of(store).current(store.engine, space.embedding_space_id, "english")
    store.save_chunk(replace(store.get_chunk(first[0]), retired_utc=datetime.now(UTC)))
    monkeypatch.setattr(indexes_of(store), "current", lambda *arguments: index)
    assert lexical(QUESTION) == first[1:]


def test_an_index_that_goes_before_its_question_is_told(store, space, tmp_path):
    """As when the copies of a warehouse are dropped in another process: no answer is better than an empty one."""
    indexes = LexicalIndexes(tmp_path)
    index = indexes.current(store.engine, space.embedding_space_id)
    index.path.unlink()
    with pytest.raises(ConfigurationError, match="somebody has deleted the index of words; ask again"):
        index.best(QUESTION, 5)
    drop_copies(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be read .*; ask again"):
        index.best(QUESTION, 5)
    assert indexes.current(store.engine, space.embedding_space_id).best(QUESTION, 5)[0]


def test_languages_have_indexes_of_their_own(store, space, reads, tmp_path):
    def found(language):
        policy = SearchPolicy("lexical", language=language)
        return [hit.chunk_id for hit in search(store, space, None, "plumes", 1000, policy=policy, log=False).hits]

    INDEXES[store] = LexicalIndexes(tmp_path)
    assert search_language(store.engine) == "english"
    expected = {language: found(language) for language in ("english", "none", "german")}
    assert len(reads.texts) == 3
    assert found(None) == expected["english"] != expected["none"]
    assert len(list((tmp_path / "lexical").iterdir())) == 3
    INDEXES[store] = LexicalIndexes(tmp_path)
    assert {language: found(language) for language in expected} == expected
    assert len(reads.texts) == 3


LANGUAGES = ["none", "english", "german"]
BY_TYPE = st.dictionaries(st.sampled_from(["page", "note", "other"]), st.sampled_from(LANGUAGES)).map(
    lambda named: {"*": "english", **named}
)
WORDS_OF_BOTH = st.lists(st.sampled_from("the moons die häuser haus moon Monde über".split()), max_size=8).map(" ".join)


@settings(max_examples=100, deadline=None)
@given(
    BY_TYPE, st.lists(st.tuples(WORDS_OF_BOTH, st.sampled_from("page note event".split())), max_size=9), WORDS_OF_BOTH
)
def test_a_text_is_asked_in_the_language_of_its_source_type(languages, texts, question):
    index = LexicalIndex(language=languages)
    index.change([text_of(n, text, source_type=source_type) for n, (text, source_type) in enumerate(texts)])
    found = {int(hit.chunk_id, 16): hit.score for hit in index.best(question, 100)[0]}
    analyzers = {each: Analyzer(each) for each in LANGUAGES}
    of_text = [analyzers[languages.get(source_type, languages["*"])] for _, source_type in texts]
    bags = [Counter(analyzer.tokens(text)) for analyzer, (text, _) in zip(of_text, texts, strict=True)]
    mean = sum(bag.total() for bag in bags) / max(len(bags), 1)
    expected = {}
    for n, (bag, analyzer) in enumerate(zip(bags, of_text, strict=True)):
        for word in analyzer.question(question):
            having = sum(word in other for other in bags)
            idf = math.log(1 + (len(bags) - having + 0.5) / (having + 0.5))
            if bag[word]:
                of_word = idf * bag[word] / (bag[word] + K1 * (1 - B + B * bag.total() / mean))
                expected[n] = expected.get(n, 0.0) + of_word
    assert found == pytest.approx(expected, abs=1e-6)


def test_one_language_by_source_type_is_as_one_for_all():
    texts = [text_of(n, text) for n, text in enumerate(["the moons of Saturn", "a moon", "houses"])]
    one, mapped = LexicalIndex(language="english"), LexicalIndex(language={"*": "english", "page": "english"})
    for index in (one, mapped):
        index.change(texts)
    assert one.best("moons and houses", 9) == mapped.best("moons and houses", 9)


def test_an_index_of_words_as_they_were_made_before_is_made_anew(tmp_path, monkeypatch):
    path = tmp_path / "index.sqlite"
    monkeypatch.setattr("vector.search.lexical.VERSION", VERSION - 1)
    LexicalIndex(path).change([text_of(1, "月")])
    assert LexicalIndex(path).best("月", 1)[1] == 1
    monkeypatch.undo()
    assert LexicalIndex(path).best("月", 1) == ([], 0)

"""BM25 over postings in a SQLite file, which takes in single texts and gives up single texts.

The texts are in segments. A segment is written once: for each of its words, which of its texts have it and how often
(postings). A text that goes is only marked; so a change of a text is that and a new segment. Small segments are merged
and marked texts leave then, a bounded number at a time. A question reads the postings of its words, and numpy does the
rest: statistics are counted of the texts that are there, so the scores do not hang on how the index came to be.

The scores are those of Lucene's BM25 (Kamphuis, de Vries, Boytsov & Lin 2020, "Which BM25 do you mean?"), k1 = 1.5,
b = 0.75: for each word of the question, ln(1 + (N - n + 0.5) / (n + 0.5)) x f / (f + k1 (1 - b + b L / mean L)), where
n of N texts have the word, and the text has it f times among its L words.
"""

from __future__ import annotations

import math
import sqlite3
import uuid
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

import numpy as np

from vector.engines.base import SearchHit
from vector.search.tokens import Analyzers, AskedWords

K1, B = 1.5, 0.75
# Of the tables below, and of what is a text: a file of another one is made anew. 2: with contexts.
LAYOUT = 3

# The most texts of a segment, as a place in it is two bytes, and the words at which it ends, for the memory.
TEXTS, WORDS = 2**16, 2**22
_SHIFT, _MASK = 16, 2**16 - 1
# Segments of like size that are merged into one: each text is written again once for each power of it.
_MERGED = 8

# place: the segment, and 16 bits of the place in it. digest: what a change of the chunk changes.
SCHEMA = """
create table state (name text primary key, value text not null) without rowid;
create table prefix (prefix text primary key, digest text not null) without rowid;
create table source (number integer primary key, source_id text not null unique);
create table source_type (number integer primary key, source_type text not null unique);
create table chunk (
    place integer primary key, chunk_id text not null unique, content_sha256 text not null, digest integer not null);
create table segment (
    segment integer primary key, lengths blob not null, id_starts blob not null, sources blob not null,
    source_types blob not null, alive blob not null);
create table posting (
    segment integer, word text, texts integer not null, data blob not null, primary key (segment, word)) without rowid;
"""


@dataclass(frozen=True)
class IndexedText:
    """A text to take in. `digest` is a whole number of 64 bits with a sign."""

    chunk_id: str
    content_sha256: str
    digest: int
    source_id: str | None
    source_type: str
    text: str


@dataclass(frozen=True)
class _Segment:
    """What a segment knows of its texts, as arrays of one length: words, the first 8 bytes of the chunk's id, the
    numbers of source (0: none) and source type, and whether the text is there still."""

    lengths: np.ndarray
    id_starts: np.ndarray
    sources: np.ndarray
    source_types: np.ndarray
    alive: np.ndarray

    def __len__(self) -> int:
        return len(self.alive)

    @property
    def share(self) -> float:
        """How full it is, 0 to 1."""
        return max(np.count_nonzero(self.alive) / TEXTS, int(self.lengths[self.alive].sum()) / WORDS)


_TYPES = {"lengths": "<u4", "id_starts": ">u8", "sources": "<u4", "source_types": "<u2", "alive": "?"}


class Texts:
    """What is known of all texts, in memory: some 30 bytes a text."""

    def __init__(self, generation: str, segments: dict[int, _Segment]):
        self.generation = generation
        self.starts = np.cumsum([0, *map(len, segments.values())])
        self.numbers = list(segments)
        self.start_of = dict(zip(segments, self.starts.tolist(), strict=False))
        all_of = {
            name: np.concatenate([np.empty(0, type_), *(getattr(each, name) for each in segments.values())])
            for name, type_ in _TYPES.items()
        }
        self.alive, self.sources, self.source_types = (all_of[name] for name in ("alive", "sources", "source_types"))
        self.id_starts = all_of["id_starts"].astype(np.uint64)
        lengths = all_of["lengths"]
        self.count = int(np.count_nonzero(self.alive))
        mean = int(lengths[self.alive].sum(dtype=np.int64)) / max(self.count, 1)
        # What a text's length adds to the frequency below the line.
        self.norms = K1 * (1 - B + B * lengths / (mean or 1))

    def place(self, row: int) -> int:
        """Where the table `chunk` has the text of a row of the arrays."""
        segment = int(np.searchsorted(self.starts, row, side="right")) - 1
        return (self.numbers[segment] << _SHIFT) + row - int(self.starts[segment])

    def row(self, place: int) -> int:
        """The row of the arrays that is of a place."""
        return self.start_of[place >> _SHIFT] + (place & _MASK)


def read_texts(db: sqlite3.Connection) -> Texts:
    """What the index knows of its texts, as of now."""
    return Texts(generation(db), dict(_segments(db)))


def generation(db: sqlite3.Connection) -> str:
    """Another one whenever the index has changed."""
    return get_state(db, "generation") or ""


def get_state(db: sqlite3.Connection, name: str) -> str | None:
    """A value of the table `state`."""
    found = db.execute("select value from state where name = ?", [name]).fetchone()
    return found and found[0]


def set_state(db: sqlite3.Connection, name: str, value: str) -> None:
    """Sets a value of the table `state`."""
    db.execute("insert or replace into state values (?, ?)", [name, value])


# Questions


def best(
    db: sqlite3.Connection,
    texts: Texts,
    question: Sequence[AskedWords],
    top_k: int,
    only: Iterable[str] | None = None,
    source_types: Collection[str] = (),
    source_ids: Collection[str] | None = None,
) -> tuple[list[SearchHit], int]:
    """What LexicalIndex.best gives, for the words of a question in each language. The index must be as it was when
    `texts` was read."""
    allowed = _allowed(db, texts, only, source_types, source_ids)
    scores = _scores(db, texts, question)
    found = np.flatnonzero((scores > 0) & allowed)
    return _hits(db, texts, found, scores[found], top_k), int(np.count_nonzero(allowed))


def _allowed(
    db: sqlite3.Connection,
    texts: Texts,
    only: Iterable[str] | None,
    source_types: Collection[str],
    source_ids: Collection[str] | None,
) -> np.ndarray:
    allowed = texts.alive
    if source_types:
        allowed = allowed & _among(texts.source_types, _numbers(db, "source_type", source_types))
    if source_ids is not None:
        allowed = allowed & _among(texts.sources, _numbers(db, "source", source_ids))
    if only is not None:
        of_chunk = "select place from chunk where chunk_id = ?"
        found = (db.execute(of_chunk, [chunk_id]).fetchone() for chunk_id in set(only))
        named = np.zeros(len(texts.alive), bool)
        named[[texts.row(place) for (place,) in filter(None, found)]] = True
        allowed = allowed & named
    return allowed


def _among(values: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    chosen = np.zeros(max([int(values.max(initial=0)), *numbers]) + 1, bool)
    chosen[list(numbers)] = True
    return chosen[values]


def _numbers(db: sqlite3.Connection, table: str, names: Collection[str]) -> list[int]:
    column = f"{table}_id" if table == "source" else table
    if len(names) < 1000:
        rows = (db.execute(f"select number from {table} where {column} = ?", [name]).fetchone() for name in names)
        return [row[0] for row in rows if row]
    wanted = set(names)
    return [number for number, name in db.execute(f"select number, {column} from {table}") if name in wanted]


def _scores(db: sqlite3.Connection, texts: Texts, question: Sequence[AskedWords]) -> np.ndarray:
    scores = np.zeros(len(texts.alive))
    whole = texts.count == len(texts.alive)
    for asked in question:
        of_language = _of_language(db, texts, asked)
        for word, times in Counter(asked.words).items():
            rows, frequencies = _postings(db, texts, word)
            if not whole:
                there = texts.alive[rows]
                rows, frequencies = rows[there], frequencies[there]
            having = len(rows)
            idf = math.log(1 + (texts.count - having + 0.5) / (having + 0.5))
            if of_language is not None:
                there = of_language[rows]
                rows, frequencies = rows[there], frequencies[there]
            # A text is there once for each word.
            scores[rows] += times * idf * frequencies / (frequencies + texts.norms[rows])
    return scores


def _of_language(db: sqlite3.Connection, texts: Texts, asked: AskedWords) -> np.ndarray | None:
    """Which texts are asked in this language; None for all."""
    if asked.others and not asked.source_types:
        return None
    named = _among(texts.source_types, _numbers(db, "source_type", asked.source_types))
    return ~named if asked.others else named


def _postings(db: sqlite3.Connection, texts: Texts, word: str) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the texts that have a word, and how often they have it."""
    rows, frequencies = [np.empty(0, np.intp)], [np.empty(0, np.uint32)]
    for segment, count, data in db.execute(
        "select segment.segment, posting.texts, posting.data from segment"
        " cross join posting on posting.segment = segment.segment and posting.word = ?",
        [word],
    ):
        places, counts = _decoded(count, data)
        rows.append(places + np.intp(texts.start_of[segment]))
        frequencies.append(counts)
    return np.concatenate(rows), np.concatenate(frequencies)


def _hits(db: sqlite3.Connection, texts: Texts, rows: np.ndarray, scores: np.ndarray, top_k: int) -> list[SearchHit]:
    """The best of the rows, ties by chunk id."""
    if top_k < len(rows):
        threshold = np.partition(scores, len(scores) - top_k)[len(scores) - top_k]
        rows, scores = rows[scores >= threshold], scores[scores >= threshold]
    order = np.lexsort((texts.id_starts[rows], -scores))
    # Where the first bytes of the ids do not decide which is the last hit, the ids have to be read.
    end = min(top_k, len(order))
    while 0 < end < len(order) and _alike(texts, rows, scores, order[end - 1], order[end]):
        end += 1
    select = "select chunk_id, content_sha256 from chunk where place = ?"
    hits = []
    for i in order[:end].tolist():
        ((chunk_id, content_sha256),) = db.execute(select, [texts.place(int(rows[i]))])
        hits.append(SearchHit(chunk_id, content_sha256, float(scores[i])))
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))[:top_k]


def _alike(texts: Texts, rows: np.ndarray, scores: np.ndarray, one: int, other: int) -> bool:
    return scores[one] == scores[other] and texts.id_starts[rows[one]] == texts.id_starts[rows[other]]


# Changes, inside the caller's transaction


def remove(db: sqlite3.Connection, chunk_ids: str) -> None:
    """Takes out the texts of the chunks that a select gives."""
    places = [
        place for (place,) in db.execute(f"select place from chunk where chunk_id in ({chunk_ids}) order by place")
    ]
    for segment, of_segment in groupby(places, lambda place: place >> _SHIFT):
        ((alive,),) = db.execute("select alive from segment where segment = ?", [segment])
        kept = np.frombuffer(alive, bool).copy()
        kept[[place & _MASK for place in of_segment]] = False
        if kept.any():
            db.execute("update segment set alive = ? where segment = ?", [kept.tobytes(), segment])
        else:
            _drop(db, segment)
    db.executemany("delete from chunk where place = ?", ((place,) for place in places))
    _changed(db)


def add(db: sqlite3.Connection, texts: Iterable[IndexedText], analyzers: Analyzers) -> None:
    """Takes in texts of chunks that the index does not have."""
    rest = iter(texts)
    while first := next(rest, None):
        _add_segment(db, chain([first], rest), analyzers)
    _changed(db)


def merge(db: sqlite3.Connection) -> None:
    """Merges small segments, or ones with many marked texts, where there are many of a like size: at most so many texts
    as one segment has."""
    sizes: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for number, segment in _segments(db):
        if (share := segment.share) <= 0.5:
            sizes[int(math.log(1 / max(share, 1e-9), _MERGED))].append((share, number))
    for like in sizes.values():
        if len(like) >= _MERGED:
            total, group = 0.0, []
            for share, number in sorted(like):
                if (total := total + share) <= 1:
                    group.append(number)
            _merge(db, sorted(group))
            _changed(db)
            return


def _changed(db: sqlite3.Connection) -> None:
    set_state(db, "generation", uuid.uuid4().hex)


def _segments(db: sqlite3.Connection) -> Iterator[tuple[int, _Segment]]:
    for number, *blobs in db.execute(f"select segment, {', '.join(_TYPES)} from segment order by segment"):
        yield number, _Segment(*(np.frombuffer(each, of) for each, of in zip(blobs, _TYPES.values(), strict=True)))


def _add_segment(db: sqlite3.Connection, texts: Iterator[IndexedText], analyzers: Analyzers) -> None:
    vocabulary: dict[str, int] = {}
    words, lengths, chunks, sources, source_types = array("I"), [], [], [], []
    for each in texts:
        tokens = analyzers.tokens(each.text, each.source_type)
        words.extend([vocabulary.setdefault(word, len(vocabulary)) for word in tokens])
        lengths.append(len(tokens))
        chunks.append((each.chunk_id, each.content_sha256, each.digest))
        sources.append(each.source_id)
        source_types.append(each.source_type)
        if len(chunks) == TEXTS or len(words) >= WORDS:
            break
    of_types, of_sources = _numbered(db, "source_type", source_types), _numbered(db, "source", sources)
    segment = _Segment(
        np.asarray(lengths, _TYPES["lengths"]),
        np.asarray([_start(chunk_id) for chunk_id, _, _ in chunks], _TYPES["id_starts"]),
        np.asarray([of_sources[each] for each in sources], _TYPES["sources"]),
        np.asarray([of_types[each] for each in source_types], _TYPES["source_types"]),
        np.ones(len(chunks), bool),
    )
    number = _insert(db, segment)
    start = number << _SHIFT
    db.executemany("insert into chunk values (?, ?, ?, ?)", ((start + n, *each) for n, each in enumerate(chunks)))
    # Each pair of word and text once, in this order, with how often it is there.
    pairs = np.asarray(words, np.int64) << _SHIFT
    pairs |= np.repeat(np.arange(len(lengths)), lengths)
    pairs, counts = np.unique(pairs, return_counts=True)
    places, ends = pairs & _MASK, np.cumsum(np.bincount(pairs >> _SHIFT, minlength=len(vocabulary)))
    starts = [0, *ends.tolist()]
    _insert_postings(
        db,
        (
            (number, word, places[starts[n] : starts[n + 1]], counts[starts[n] : starts[n + 1]])
            for word, n in sorted(vocabulary.items())
        ),
    )


def _start(chunk_id: str) -> int:
    """The first 8 bytes of an id, as a number: of the order of the ids, as far as it tells them apart."""
    return int.from_bytes(chunk_id.encode()[:8].ljust(8, b"\0"), "big")


def _numbered(db: sqlite3.Connection, table: str, names: Sequence[str | None]) -> dict[str | None, int]:
    """A number for each of the names; 0 for none."""
    column = f"{table}_id" if table == "source" else table
    found: dict[str | None, int] = {None: 0}
    for name in set(names) - {None}:
        db.execute(f"insert or ignore into {table} ({column}) values (?)", [name])
        ((found[name],),) = db.execute(f"select number from {table} where {column} = ?", [name])
    return found


def _insert(db: sqlite3.Connection, segment: _Segment) -> int:
    ((number,),) = db.execute("select coalesce(max(segment), 0) + 1 from segment")
    blobs = [getattr(segment, name).astype(of).tobytes() for name, of in _TYPES.items()]
    db.execute(f"insert into segment values (?, {', '.join('?' * len(blobs))})", [number, *blobs])
    return int(number)


def _insert_postings(db: sqlite3.Connection, postings: Iterable[tuple[int, str, np.ndarray, np.ndarray]]) -> None:
    db.executemany(
        "insert into posting values (?, ?, ?, ?)",
        ((segment, word, len(places), _encoded(places, counts)) for segment, word, places, counts in postings),
    )


def _encoded(places: np.ndarray, counts: np.ndarray) -> bytes:
    """Two bytes a place, then one a frequency, or four where one of them needs more."""
    return places.astype("<u2").tobytes() + counts.astype("<u1" if counts.max() < 256 else "<u4").tobytes()


def _decoded(count: int, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    width = len(data) // count - 2
    return np.frombuffer(data, "<u2", count), np.frombuffer(data, f"<u{width}", offset=2 * count)


def _drop(db: sqlite3.Connection, segment: int) -> None:
    db.execute("delete from segment where segment = ?", [segment])
    db.execute("delete from posting where segment = ?", [segment])


def _merge(db: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """Makes one segment of several, without the texts that are marked."""
    segments = dict(_segments(db))
    arrays = [
        np.concatenate([getattr(segments[number], name)[segments[number].alive] for number in numbers])
        for name in _TYPES
    ]
    merged = _insert(db, _Segment(*arrays))
    # Of each segment, where its texts are now; -1: nowhere.
    now, count = {}, 0
    for number in numbers:
        alive = segments[number].alive
        now[number] = np.where(alive, count + np.cumsum(alive) - 1, -1)
        count += int(np.count_nonzero(alive))
        db.executemany(
            "update chunk set place = ? where place = ?",
            (
                ((merged << _SHIFT) + int(place), (number << _SHIFT) + n)
                for n, place in enumerate(now[number])
                if place >= 0
            ),
        )
    _insert_postings(db, _merged_postings(db, merged, now))
    for number in numbers:
        _drop(db, number)


def _merged_postings(
    db: sqlite3.Connection, merged: int, now: dict[int, np.ndarray]
) -> Iterator[tuple[int, str, np.ndarray, np.ndarray]]:
    rows = db.execute(
        f"select word, segment, texts, data from posting where segment in ({', '.join(map(str, now))})"
        " order by word, segment"
    )
    for word, of_word in groupby(rows, lambda row: row[0]):
        all_places, all_counts = [], []
        for _, segment, count, data in of_word:
            places, counts = _decoded(count, data)
            places = now[segment][places]
            all_places.append(places[places >= 0])
            all_counts.append(counts[places >= 0])
        places = np.concatenate(all_places)
        if len(places):
            yield merged, word, places, np.concatenate(all_counts)

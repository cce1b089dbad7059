"""kill -9 at random moments of the embed command, in real processes: nothing stored is lost, wrong, or sent again."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pytest
from misbehaving_server import MisbehavingServer
from served import ServedSpace
from support import ScratchProject

from vector.chunking import Chunker, ChunkingPolicy
from vector.contracts.models import VectorSourceRegistry

pytestmark = pytest.mark.long

KILLS = 26  # in each of two projects, side by side
SECONDS_A_REQUEST = 0.01
OPTIONS = ("--batch-size", 6, "--concurrency", 3)
# So many chunks are pending at least when a run begins, and so many are written when they are fewer.
WORK = 250
NEW_WORK = 200


@dataclass
class Snapshot:
    """What a database held at a moment."""

    current: dict[str, str]  # text by chunk id
    stored: set[tuple[str, str]]  # (chunk id, content hash)
    stored_texts: set[str]
    pending: int
    open_runs: set[str]


@dataclass
class Tally:
    """What the kills of a project hit."""

    kills: int = 0
    before_any_request: int = 0
    with_texts_in_flight: int = 0
    after_some_were_stored: int = 0
    open_runs: set[str] = field(default_factory=set)


class Victim:
    """A project whose runs over a space of the server's model are killed, one after the other."""

    def __init__(self, project: ScratchProject, server: MisbehavingServer, protocol: str) -> None:
        self.project, self.server = project, server
        self.space = ServedSpace(project, server, protocol)
        self.notes = 0
        server.misbehave("late", seconds=SECONDS_A_REQUEST)

    def kill_often(self, fractions: Iterable[float]) -> Tally:
        """Kills runs at moments given as fractions of the time that a whole run takes, until KILLS of them were hit:
        a run that has less to do may have ended by then."""
        to_request, to_end = self._measure()
        tally, known = Tally(), self._snapshot()
        for fraction in fractions:
            if known.pending < WORK:
                self._write_notes(known)
                known = self._snapshot()
            asked = len(self.server.asked)
            killed = self._run_and_kill(to_request, fraction * (to_request + to_end))
            sent = Counter(text for request in self.server.asked[asked:] for text in request.texts)
            now = self._snapshot()

            assert sent.keys() & known.stored_texts == set(), "sent again, although it was stored"
            twice = {text for text, times in sent.items() if times > 1}
            assert twice & set(known.current.values()) == set(), "sent twice in one run"
            assert known.stored <= now.stored, "no longer stored"
            tally.open_runs |= now.open_runs
            tally.kills += killed
            tally.before_any_request += killed and not sent
            tally.with_texts_in_flight += killed and not sent.keys() <= now.stored_texts
            tally.after_some_were_stored += killed and known.stored < now.stored
            known = now
            if tally.kills == KILLS:
                return tally
        raise AssertionError(f"only {tally.kills} runs were killed, the others had ended")

    def finish(self) -> None:
        """One clean run, after which everything pending has its one right vector."""
        known = self._snapshot()
        asked = len(self.server.asked)
        process = self.space.start()
        stdout, stderr = process.communicate(timeout=120)
        assert (process.returncode, stderr) == (0, ""), stdout
        sent = {text for request in self.server.asked[asked:] for text in request.texts}
        assert sent & known.stored_texts == set()
        assert (self.space.pending(), self.space.failures()) == (set(), {})
        stored = self.space.check_vectors()
        current = self._snapshot().current
        assert {(chunk_id, text) for chunk_id, _, text, _ in stored} >= set(current.items())

    def _measure(self) -> tuple[float, float]:
        """Seconds from the start of a whole run to its first request, and from there to its end. The database is as
        before then."""
        before = self.project.folder / "before.duckdb"
        shutil.copy(self.project.database_path, before)
        started = time.monotonic()
        process = self.space.start(*OPTIONS)
        self._wait_for_request(process, 0)
        requested = time.monotonic()
        stdout, stderr = process.communicate(timeout=120)
        ended = time.monotonic()
        assert process.returncode == 0, stdout + stderr
        shutil.move(before, self.project.database_path)
        return requested - started, ended - requested

    def _run_and_kill(self, to_request: float, seconds: float) -> bool:
        """Whether the kill hit. A busy machine is slow to start a process, so the time counts from the run's first
        request if it is to be killed after that."""
        requests = len(self.server.paths)
        process = self.space.start(*OPTIONS)
        if seconds >= to_request:
            self._wait_for_request(process, requests)
            seconds -= to_request
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode in (0, -9), stdout + stderr
        return process.returncode == -9

    def _wait_for_request(self, process: subprocess.Popen, requests: int) -> None:
        while len(self.server.paths) == requests and process.poll() is None:
            time.sleep(0.002)

    def _snapshot(self) -> Snapshot:
        """Read from a copy: the next run shall find the database as the kill left it, its log not replayed."""
        folder = self.project.folder / "snapshot"
        folder.mkdir(exist_ok=True)
        for end in ("", ".wal"):
            original, copy = (
                Path(f"{path / self.project.database_path.name}{end}") for path in (self.project.folder, folder)
            )
            copy.unlink(missing_ok=True)
            if original.exists():
                shutil.copy(original, copy)
        with duckdb.connect(str(folder / self.project.database_path.name)) as connection:
            connection.execute("use warehouse.vector")

            def rows(sql: str) -> list[tuple]:
                return connection.execute(sql, {"space": self.space.id}).fetchall()

            stored = rows(
                "select embedding.chunk_id, input_content_sha256, content from embedding left join chunk_version"
                " on chunk_version.chunk_id = embedding.chunk_id and content_sha256 = input_content_sha256"
                " where embedding_space_id = $space"
            )
            ((pending,),) = rows("select count(*) from embedding_pending where embedding_space_id = $space")
            return Snapshot(
                dict(rows("select chunk_id, content from chunk where retired_utc is null and $space <> ''")),
                {(chunk_id, sha256) for chunk_id, sha256, _ in stored},
                {text for *_, text in stored},
                pending,
                {run_id for (run_id,) in rows("select run_id from run where status = 'RUNNING' and $space <> ''")},
            )

    def _write_notes(self, known: Snapshot) -> None:
        """More work: new texts, the texts of others that are stored already, and new texts of chunks that have one."""
        chunker, first = Chunker(ChunkingPolicy()), self.notes
        self.notes += NEW_WORK
        repeated = iter(sorted(known.stored_texts))
        sources, chunks = [], []
        for number in range(first, self.notes):
            text = next(repeated, None) if number % 10 == 0 else None
            sources.append(f"note:{number}")
            chunks += chunker.chunk(text or f"The first text of note {number:05}.", sources[-1], "note")
        for number in range(max(0, first - NEW_WORK), first, 4):
            # As long as the first, so that it is the same chunk.
            chunks += chunker.chunk(f"The other text of note {number:05}.", f"note:{number}", "note")
        with self.project.store() as store:
            store.save_sources(VectorSourceRegistry(source, "note", {"note": source}) for source in sources)
            store.save_chunks(chunks)


def moments(seed: int) -> Iterator[float]:
    chance = random.Random(seed)
    return (chance.random() for _ in range(4 * KILLS))


def test_nothing_is_lost_or_sent_again_when_runs_are_killed(project, tmp_path):
    with MisbehavingServer() as ollama, MisbehavingServer() as openai:
        other = project.beside(tmp_path / "project")
        victims = [Victim(project, ollama, "ollama"), Victim(other, openai, "openai")]
        # The one is killed later and later, so several times before anything is stored; the other at any moment.
        plans = [sorted(list(moments(1))[:KILLS]) + list(moments(2)), moments(3)]
        with ThreadPoolExecutor(2) as pool:
            tallies = list(pool.map(Victim.kill_often, victims, plans))
            list(pool.map(Victim.finish, victims))

    assert sum(tally.kills for tally in tallies) >= 50
    # The kills were of every kind, or this test shows nothing.
    for tally in tallies:
        print(tally)
        assert tally.before_any_request >= 2
        assert tally.with_texts_in_flight >= 5
        assert tally.after_some_were_stored >= 5

    for victim, tally in zip(victims, tallies, strict=True):
        runs = dict(victim.project.query("select run_id, status from run"))
        assert {runs[run_id] for run_id in tally.open_runs} == {"FAILED"}
        assert "RUNNING" not in runs.values()
        assert victim.project.query("select count(*) from job where status = 'RUNNING'") == [(0,)]
        sql = "select run_id from run where error like 'abandoned:%'"
        assert {run_id for (run_id,) in victim.project.query(sql)} == tally.open_runs
        if victim.project is not project:  # which dbt has parsed already
            shutil.copy(victim.project.database_path, project.database_path)
        tested = project.test()
        assert tested.success, tested.output

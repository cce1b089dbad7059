"""A space of the misbehaving server's model in a scratch project, and what must hold of it whatever the server did."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from misbehaving_server import MODEL, MisbehavingServer
from support import Command, ScratchProject

# Waits short enough for a test, and silences long enough for a busy machine.
SHORT_WAITS = {
    "VECTOR_HTTP_READ": "10", "VECTOR_HTTP_TOTAL": "20", "VECTOR_HTTP_TRIES": "2", "VECTOR_HTTP_PATIENT_TRIES": "4",
    "VECTOR_HTTP_FIRST_BACKOFF": "0.01", "VECTOR_HTTP_MAX_BACKOFF": "0.05",
}  # fmt: skip


class ServedSpace:
    """A new space of the server's model, which every chunk of the project is pending in."""

    def __init__(self, project: ScratchProject, server: MisbehavingServer, protocol: str) -> None:
        self.project, self.server = project, server
        project.environment = {
            **{"OLLAMA_BASE_URL": server.url, "OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": ""},
            **SHORT_WAITS,
        }
        with project.store() as store:
            self.space = store.get_or_create_embedding_space(protocol, MODEL, server.dimensions)
        self.id = self.space.embedding_space_id
        # As a run goes through them.
        rows = project.query("select content from chunk where retired_utc is null order by byte_count, content_sha256")
        self.texts = [content for (content,) in rows]

    # Commands

    def arguments(self, *more: Any) -> list[str]:
        """Those of `embed` into this space."""
        return ["--quiet", "--space", self.space.space_key or "", *map(str, more)]

    def embed(self, *more: Any) -> Command:
        """`vector embed` in this process."""
        return self.project.vector("embed", *self.arguments(*more))

    def start(self, *more: Any) -> subprocess.Popen:
        """scripts/embed.py in a process of its own."""
        return self.project.start("embed", *self.arguments(*more))

    # What the server is told

    def concerns_chunks(self, texts: Sequence[str]) -> bool:
        """Whether a request is for texts of chunks: no probe, no canary."""
        return not set(texts).isdisjoint(self.texts)

    def after(self, requests: int) -> Callable[[Sequence[str]], bool]:
        """Holds of everything that is asked after so many requests for texts of chunks."""
        seen = 0

        def when(texts: Sequence[str]) -> bool:
            nonlocal seen
            seen += self.concerns_chunks(texts)
            return seen > requests

        return when

    # What is stored

    def stored(self) -> list[tuple[str, str, str, list[float]]]:
        """(chunk id, content hash, text, vector) of every embedding."""
        return self._rows(
            "select embedding.chunk_id, input_content_sha256, content, vector from embedding"
            " left join chunk_version on chunk_version.chunk_id = embedding.chunk_id"
            " and chunk_version.content_sha256 = input_content_sha256 where embedding_space_id = ?"
        )

    def failures(self) -> dict[tuple[str, str], str]:
        """Reasons of quarantine, by (chunk id, content hash)."""
        rows = self._rows(
            "select chunk_id, input_content_sha256, reason from embedding_failure where embedding_space_id = ?"
        )
        return {(chunk_id, sha256): reason for chunk_id, sha256, reason in rows}

    def pending(self) -> set[tuple[str, str]]:
        """(chunk id, content hash) of what is due."""
        return set(
            self._rows("select chunk_id, input_content_sha256 from embedding_pending where embedding_space_id = ?")
        )

    def _rows(self, sql: str) -> list[tuple]:
        return self.project.query(sql, self.id)

    def last_run(self) -> tuple[str, str | None, dict[str, Any]]:
        """Status, error and metrics of the last run."""
        ((status, error, metrics),) = self.project.query(
            "select status, error, metrics_json from run where embedding_space_id = ?"
            " order by started_utc desc limit 1",
            self.id,
        )
        return status, error, json.loads(metrics)

    # What must hold

    def check(self) -> None:
        """Fails unless every vector is right, and none lost, duplicated, or paid for twice or for nothing."""
        stored = self.check_vectors()
        texts = {text for _, _, text, _ in stored}
        paid = {text: times for text, times in self.server.paid.items() if text in self.texts}
        assert {text: times for text, times in paid.items() if times > 1} == {}, "paid for twice"
        assert paid.keys() - texts == set(), "paid for and lost"
        assert texts - paid.keys() == set(), "stored without an answer"

    def check_vectors(self) -> list[tuple[str, str, str, list[float]]]:
        """The same, but for what was paid; what is stored."""
        with self.project.connect():  # once for all that follow
            stored, pending, failures = self.stored(), self.pending(), self.failures()
            current = set(self.project.query("select chunk_id, content_sha256 from chunk where retired_utc is null"))
        keys = [(chunk_id, sha256) for chunk_id, sha256, _, _ in stored]
        assert len(keys) == len(set(keys)), "duplicated"
        right = np.array([self.server.vector(text) for _, _, text, _ in stored]).reshape(-1, self.server.dimensions)
        found = np.array([vector for *_, vector in stored]).reshape(right.shape)
        assert np.allclose(found, right, atol=1e-6), "mixed"
        assert not pending & set(keys), "stored and pending"
        assert current - pending - set(keys) - failures.keys() == set(), "lost"
        return stored

"""What is stored when a run is stopped while calls are under way, and what is said of those that are given up."""

import signal
import threading
import time

import numpy as np
import pytest
from misbehaving_server import MisbehavingServer
from served import ServedSpace
from support import posix_only

from vector.embedding import EmbedOptions, embed_space
from vector.errors import ProviderError
from vector.providers.base import EmbeddingReply, PartlyRefused
from vector.providers.hash import HashProvider
from vector.spaces.canaries import CANARIES

SIZE = 4
OPTIONS = ("--limit", 4 * SIZE, "--batch-size", SIZE, "--concurrency", 2)


def wait_for(condition, seconds=20):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def is_stored(space):
    return {text for _, _, text, _ in space.stored()}


@pytest.fixture
def server():
    with MisbehavingServer() as running:
        yield running


@pytest.fixture
def space(project, server):
    """Its first request of chunks is answered late, its second never."""
    served = ServedSpace(project, server, "openai")
    server.misbehave("late", when=lambda texts: served.texts[0] in texts, seconds=1)
    server.misbehave("hang", when=lambda texts: served.texts[SIZE] in texts)
    return served


def stop_once_asked(space, number):
    """A run that was told to stop when two calls were under way."""
    process = space.start(*OPTIONS)
    wait_for(lambda: {each.fault for each in space.server.asked} >= {"late", "hang"})
    process.send_signal(number)
    return process


@posix_only
@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.long
def test_told_twice_a_run_stores_what_was_answered_and_names_what_was_not(space, server, number, exit_code):
    process = stop_once_asked(space, number)
    wait_for(lambda: server.paid[space.texts[0]])
    time.sleep(0.5)
    assert process.poll() is None, "it waits for the second call"
    process.send_signal(number)
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == exit_code
    assert stderr == (
        "stopped; what was answered is stored; calls that were not waited for: 1, with texts: 4; the next run sends"
        " these again, and they may be paid for twice\n"
    )
    assert is_stored(space) == set(space.texts[:SIZE])
    ((status, error),) = space.project.query("select status, error from run order by started_utc desc limit 1")
    assert (status, error.startswith("CallsGivenUp: calls that were not waited for: 1,")) == ("FAILED", True)
    server.behave()
    assert space.embed(*OPTIONS).exit_code == 0
    assert {server.paid[text] for text in space.texts[: 4 * SIZE]} == {1}


@posix_only
@pytest.mark.long
def test_told_twice_before_anything_was_answered_nothing_is_stored(space, server):
    process = stop_once_asked(space, signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "not waited for: 2, with texts: 8;" in stderr
    assert is_stored(space) == set()


class PartlyRefusing(HashProvider):
    """Its first call of chunks fails, once the second is under way; of that it answers all texts but the first."""

    preferred_concurrency = 2

    def __init__(self, space):
        super().__init__(space)
        self.calls = 0
        self.under_way, self.failed = threading.Event(), threading.Event()
        self.kept: list[str] = []

    def embed(self, texts):
        if texts[0] in CANARIES:
            return super().embed(texts)
        self.calls += 1
        if self.calls == 1:
            assert self.under_way.wait(10)
            self.failed.set()
            raise ProviderError("the model is gone")
        self.under_way.set()
        assert self.failed.wait(10)
        time.sleep(0.2)
        self.kept = list(texts[1:])
        vectors = np.asarray(super().embed(self.kept).vectors)
        unknown = [None] * len(self.kept)
        raise PartlyRefused(
            "a bad vector", "bad_vector", EmbeddingReply(vectors, unknown, list(unknown)), range(1, len(texts))
        )


def test_the_good_vectors_of_a_call_under_way_that_is_partly_refused_are_stored(store, monkeypatch):
    space = store.get_or_create_embedding_space("hash", "hash", 16, space_key="other")
    opened = []
    monkeypatch.setattr(
        "vector.embedding.run.open_provider", lambda space: opened.append(PartlyRefusing(space)) or opened[-1]
    )
    with pytest.raises(ProviderError, match="the model is gone"):
        embed_space(store, space, EmbedOptions(limit=2 * SIZE, batch_size=SIZE))
    stored = store.engine.query(
        "select chunk.content from embedding join chunk using (chunk_id) where embedding_space_id = ?",
        [space.embedding_space_id],
    )
    assert len(stored) == SIZE - 1
    assert {content for (content,) in stored} == set(opened[0].kept)

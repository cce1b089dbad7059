"""The fixture of own.py."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from misbehaving_server import MisbehavingServer
from own import OwnLake, environment
from own_lake import add_chunks, make_tables

from vector.contracts.identity import compute_content_hash
from vector.project.profile import load_target
from vector.store import VectorStore

WORDS = ("harbour", "lantern", "o'clock", "naïve", "\\path", "${HOME}", "𝒳 rays", "ledger", "quartz", "ember")


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnLake]:
    """A lake with 120 chunks of 100 texts, and a session of it in this process."""
    from conftest import make_lake, why_not  # which imports this

    if reason := why_not():
        pytest.skip(reason)
    from vector.engines import engine_for_target

    lake = make_lake(tmp_path_factory.mktemp("own"))
    before = dict(os.environ)
    with MisbehavingServer() as server:
        lake.env.update(environment(server))
        os.environ.update(lake.env)
        engine = engine_for_target(load_target(lake.project))
        try:
            make_tables(engine.session)
            store = VectorStore(engine=engine)
            made = OwnLake(lake, store, server)
            for number in range(120):
                words = " ".join(WORDS[(number % 100 * step) % len(WORDS)] for step in (1, 3, 7))
                made.texts[f"source {number:03d}"] = f"text {number % 100}: {words}"
            add_chunks(store, made.texts)
            yield made
        finally:
            engine.close()
            os.environ.clear()
            os.environ.update(before)
    shutil.rmtree(lake.folder, ignore_errors=True)


def sha256(text: str) -> str:
    """The hash of a text."""
    return compute_content_hash(text)

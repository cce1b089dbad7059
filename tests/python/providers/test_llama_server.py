"""The openai provider against a server that we did not write: llama.cpp's, serving all-MiniLM-L6-v2 on loopback."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import llama_server
import numpy as np
import pytest

from vector.errors import InputRefused, SpaceRefused
from vector.providers import PartlyRefused, PreprocessPolicy, discover_models, open_provider
from vector.spaces.pinning import pin_or_check

TEXTS = [
    "The river flooded the valley after days of rain.",
    "Heavy rainfall made the stream burst its banks.",
    "The committee approved the new income tax rules.",
    "Zürich, naïve café: 日本語",
]
TOO_LONG = "hello " * 600


pytestmark = [
    pytest.mark.skipif(bool(llama_server.missing()), reason=f"not installed: {llama_server.missing()}"),
    pytest.mark.long,
]


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """The server's URL."""
    script = Path(llama_server.__file__)
    folder = tmp_path_factory.mktemp("llama")
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, str(script), str(folder / "minilm.gguf")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), (folder / "log").read_text()
        yield url
        process.stdin.close()


@pytest.fixture
def minilm(llama, monkeypatch):
    """Opens the model as a space with the settings given."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{llama}/v1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    providers = []

    def opens(provider="openai", **settings):
        defaults = {"model_tag": None, "model_digest": None, "normalize_flag": True, "preprocess_policy": None}
        space = {"provider": provider, "model_name": llama_server.MODEL, "dimensions": 384, **defaults, **settings}
        providers.append(open_provider(SimpleNamespace(**space)))
        return providers[-1]

    yield opens
    for provider in providers:
        provider.close()


def test_agrees_with_the_model_in_this_process(minilm):
    pytest.importorskip("onnxruntime")
    served = minilm().embed(TEXTS)
    # The one is float16, the other int8.
    assert (served.vectors * minilm("onnx").embed(TEXTS).vectors).sum(axis=1).min() > 0.98
    river, stream, tax, _ = served.vectors
    assert river @ stream > 0.4 > river @ tax


def test_tokens_and_float_as_base64(minilm):
    provider = minilm()
    reply = provider.embed(["hello world"])
    assert (reply.input_tokens, reply.request_tokens) == ([None], 4)
    assert provider._base64
    provider._base64 = False
    assert np.allclose(provider.embed(["hello world"]).vectors, reply.vectors, atol=1e-6)
    assert provider.describe().to_dict() == {
        **{"served_model": llama_server.MODEL, "runtime": "openai"},
        **{"context_length": 512, "embedding_length": 384},
    }


def test_its_500_to_a_long_text_is_for_good(minilm):
    provider = minilm()
    with pytest.raises(InputRefused, match="too large to process") as raised:
        provider.embed([TOO_LONG])
    assert raised.value.reason == "too_long"
    with pytest.raises(InputRefused) as raised:
        provider.embed([*TEXTS, TOO_LONG])
    assert not isinstance(raised.value, PartlyRefused)
    metrics = provider.metrics()
    assert (metrics["requests"], metrics["retries"], metrics["seconds_waiting"]) == (2, 0, 0)
    assert len(provider.embed(TEXTS).vectors) == 4


def test_an_empty_text_and_no_text(minilm):
    provider = minilm()
    assert provider.embed([]).vectors.shape == (0, 384)
    assert np.linalg.norm(provider.embed([""]).vectors[0]) == pytest.approx(1, abs=1e-5)


def test_from_several_threads(minilm):
    provider = minilm()
    alone = {text: provider.embed([text]).vectors[0] for text in TEXTS}
    batches = [TEXTS, TEXTS[::-1], TEXTS[1:3], TEXTS[:1]] * 5
    with ThreadPoolExecutor(4) as pool:
        for batch, reply in zip(batches, pool.map(provider.embed, batches), strict=True):
            for text, vector in zip(batch, reply.vectors, strict=True):
                assert vector @ alone[text] > 0.9999


def test_a_space_of_other_dimensions_is_refused(minilm):
    with pytest.raises(SpaceRefused, match="384 dimensions, the space has 256"):
        minilm(dimensions=256).embed(TEXTS)


def test_a_space_is_pinned_to_it_and_to_no_other(minilm, store):
    space = store.get_or_create_embedding_space("openai", llama_server.MODEL, 384)
    first = pin_or_check(store, space, minilm(), PreprocessPolicy())
    assert (first.first_use, first.texts, first.requests) == (True, 32, 17)
    assert first.tokens > 1000
    later = pin_or_check(store, space, minilm(), PreprocessPolicy())
    assert not later.first_use
    assert later.lowest_cosine > 0.9999, "one batch is as good as sixteen requests"
    with pytest.raises(SpaceRefused, match="at the lowest"):
        pin_or_check(store, space, minilm(), PreprocessPolicy(document_prefix="passage: "))
    pytest.importorskip("onnxruntime")
    with pytest.raises(SpaceRefused, match="at the lowest"):  # the same weights as int8
        pin_or_check(store, space, minilm("onnx"), PreprocessPolicy())


def test_discovery(minilm):
    minilm()
    (model,) = discover_models("openai")
    assert (model.model_name, model.dimensions, model.context_length) == (llama_server.MODEL, 384, 512)

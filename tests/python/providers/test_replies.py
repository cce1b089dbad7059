"""Replies of model servers that are hostile or merely odd: limits of time and memory, what is believed, what is shown.

`Server` stands in for the wire: whatever bytes a test wants, read by the client's own code. Bombs and endless bodies go
over a real socket.
"""

from __future__ import annotations

import base64
import gzip
import importlib.util
import io
import json
import logging
import shutil
import time
import tracemalloc
import zlib
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from misbehaving_server import MODEL, MisbehavingServer
from urllib3.response import HTTPResponse

from vector.engines.sqlserver.connection import explained
from vector.errors import ConfigurationError, InputRefused, ProviderError, SpaceRefused, VectorError
from vector.providers import PartlyRefused, estimated_tokens
from vector.providers.azure_openai import AzureOpenAIProvider
from vector.providers.model_files import onnx_sha256, user_path
from vector.providers.ollama import OllamaProvider
from vector.providers.openai import OpenAIProvider
from vector.providers.pacing import Clock, HttpPolicy
from vector.providers.refusals import Kind, error_message, judge, told_batch_limit
from vector.providers.replies import plausible_tokens, read_body, reply_limit
from vector.providers.transport import shown_url

POLICY = HttpPolicy(connect=5, read=5, total=8, tries=1, patient_tries=1, breaker=10**9)
DIMENSIONS = 4
CLASSES = {"ollama": OllamaProvider, "openai": OpenAIProvider, "azure_openai": AzureOpenAIProvider}
EXAMPLES = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

every = pytest.mark.parametrize("protocol", sorted(CLASSES))


class NoWaits(Clock):
    def wait(self, stopped, seconds):
        pass


@contextmanager
def opened(protocol, answer=None, url="http://127.0.0.1:9", clock=None, policy=POLICY, **environment):
    """A provider of the protocol whose embedding requests get `answer(texts)`: status, headers and body."""
    given_environment = {
        **{"OLLAMA_BASE_URL": url, "OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": ""},
        **{"AZURE_OPENAI_ENDPOINT": url, "AZURE_OPENAI_API_KEY": "key", "AZURE_OPENAI_DEPLOYMENT": "d"},
        **environment,
    }
    space = SimpleNamespace(
        **{"provider": protocol, "model_name": MODEL, "model_tag": None, "model_digest": None},
        **{"dimensions": DIMENSIONS, "normalize_flag": False, "preprocess_policy": None},
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given_environment.items():
            patch.setenv(name, value)
        if answer:

            def request(self, method, url, data=None, **options):
                texts = json.loads(data).get("input") if data else None
                status, headers, body = answer(texts) if texts else (404, {}, b"no page")
                found = requests.Response()
                found.status_code, found.headers = status, requests.structures.CaseInsensitiveDict(headers)
                found.raw = HTTPResponse(io.BytesIO(body), headers, status, preload_content=False)
                return found

            patch.setattr(requests.Session, "request", request)
        provider = CLASSES[protocol](space, policy, clock or NoWaits())
        try:
            yield provider
        finally:
            provider.close()


def vector(text):
    return [float(len(text)), 1.0, -0.5, 0.25]


def good_body(protocol, texts, **more):
    if protocol == "ollama":
        return {"embeddings": [vector(text) for text in texts], **more}
    data = [{"index": index, "embedding": vector(text)} for index, text in enumerate(texts)]
    return {"data": data, "model": MODEL, **more}


def spent(provider):
    return provider.metrics()["unusable_tokens"]


def outcome(provider, texts):
    """The reply, or what came in its place, which is an error of ours that can be stored and shown."""
    try:
        return provider.embed(texts)
    except VectorError as error:
        found = error
    str(found).encode("utf-8")
    assert "\0" not in str(found)
    assert "\n" not in str(found)
    assert len(str(found)) < 1000
    return found


# Any reply at all

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\ud800", "data", "embeddings", "\0", "AAAAAA=="]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from("data embeddings embedding index error message usage model code".split()), inner
        )
    ),
    max_leaves=12,
)
BODIES = st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode())


@EXAMPLES
@given(
    protocol=st.sampled_from(sorted(CLASSES)),
    status=st.sampled_from([200, 200, 200, 204, 301, 308, 400, 401, 403, 404, 413, 418, 422, 429, 500, 503, 599]),
    headers=st.dictionaries(
        st.sampled_from(["Content-Encoding", "Content-Type", "Retry-After", "Location", "Date"]),
        st.sampled_from(["gzip", "deflate", "br", "text/html", "1e400", "-1", "nan", "http://[", "", "gzip, gzip"]),
    ),
    body=BODIES,
    count=st.integers(1, 3),
)
@example("openai", 500, {}, b"[" * 200_000, 1)
@example("ollama", 200, {}, b'{"error":' * 100_000, 2)
@example("openai", 400, {}, b'{"error": {"message": "\\ud800 is no text", "code": "\\udfff"}}', 2)
@example("ollama", 200, {}, b'{"embeddings": [[' + b"9" * 5000 + b"]]}", 1)
@example("azure_openai", 422, {}, b'{"detail": ' + b'[{"a":' * 50_000, 1)
def test_whatever_a_server_answers_is_one_refused_batch(protocol, status, headers, body, count):
    texts = [f"text {number}" for number in range(count)]
    sent = []

    def answer(asked):
        sent.append(asked)
        return status, headers, body

    started = time.monotonic()
    with opened(protocol, answer) as provider:
        found = outcome(provider, texts)
        assert not isinstance(found, VectorError) or isinstance(found, InputRefused | ProviderError | SpaceRefused)
        assert time.monotonic() - started < 5
        assert len(sent) <= 8
        if isinstance(found, ProviderError | SpaceRefused) and status == 200 and protocol == "ollama":
            # Each answer with a good status was perhaps paid for, the probe's too, but for what is an error by name.
            assert spent(provider) > 0 or b"error" in body


ROWS = st.sampled_from(
    [
        *(
            ["1", "2", "3", "4"],
            [True, False, True, True],
            [None] * 4,
            [1, 2, 3, [4]],
            {"0": 1},
            "abc",
            5,
            [],
            [[1] * 4],
        ),
        *([float("nan")] * 4, [float("inf"), 1, 1, 1], [0, 0, 0, 0], [10**400] * 4, [1e39] * 4, [1, 2, 3, "4"], None),
    ]
)


@EXAMPLES
@given(protocol=st.sampled_from(["ollama", "openai"]), row=ROWS, position=st.integers(0, 2), told=st.booleans())
def test_a_row_that_is_no_vector_costs_the_others_nothing(protocol, row, position, told):
    texts = ["a", "bb", "ccc"]

    def answer(asked):
        body = good_body(protocol, asked)
        rows = body["embeddings"] if protocol == "ollama" else [item["embedding"] for item in body["data"]]
        if asked == texts:
            if protocol == "ollama":
                rows[position] = row
            else:
                body["data"][position]["embedding"] = row
        if told:
            body |= {"prompt_eval_count": 6} if protocol == "ollama" else {"usage": {"prompt_tokens": 6}}
        return 200, {}, json.dumps(body).encode()

    with opened(protocol, answer) as provider:
        found = outcome(provider, texts)
        if isinstance(row, str):
            # What is no base64 is asked for as floats, and once more is once too often.
            assert isinstance(found, InputRefused if protocol == "openai" else PartlyRefused)
            return
        assert isinstance(found, PartlyRefused), found
        assert found.kept == [number for number in range(3) if number != position]
        assert found.reply.vectors.tolist() == [vector(texts[number]) for number in found.kept]
        assert found.reply.request_tokens == (6 if told else None)
        assert spent(provider) == (0 if told else estimated_tokens(texts[position]))


@every
@pytest.mark.parametrize("key", ["embeddings", "data", "index", "error"])
def test_a_key_that_is_there_twice_is_not_guessed_at(protocol, key):
    body = json.dumps(good_body(protocol, ["a"], error=None))
    name = key if f'"{key}"' in body else "embeddings" if protocol == "ollama" else "data"
    body = body.replace(f'"{name}":', f'"{name}": [], "{name}":', 1)
    sent = []

    def answer(asked):
        sent.append(asked)
        return 200, {}, body.encode()

    with opened(protocol, answer) as provider:
        with pytest.raises(ProviderError, match="names a key twice"):
            provider.embed(["a"])
        assert spent(provider) == sum(estimated_tokens(text) for (text,) in sent)


# Counts of tokens


@EXAMPLES
@given(
    protocol=st.sampled_from(sorted(CLASSES)),
    told=st.one_of(
        *(st.integers(), st.just(10**400), st.just(-(10**400)), st.floats(), st.booleans(), st.text(max_size=4)),
        *(st.none(), st.just([1]), st.just({"total": 1}), st.integers(1, 12)),
    ),
    total=st.sampled_from([..., None, 5, -5]),
)
def test_a_count_of_tokens_is_believed_where_it_can_be_true(protocol, told, total):
    texts = ["one", "two words"]
    usage = {"prompt_tokens": told} | ({} if total is ... else {"total_tokens": total})
    more = {"prompt_eval_count": told} if protocol == "ollama" else {"usage": usage}
    body = json.dumps(good_body(protocol, texts, **more)).encode()
    with opened(protocol, lambda asked: (200, {}, body)) as provider:
        try:
            reply = provider.embed(texts)
        except ProviderError:
            pytest.fail("a count costs no vector")
        assert reply.vectors.tolist() == [vector(text) for text in texts]
        believed = total if told is None and total == 5 and protocol != "ollama" else told
        possible = type(believed) is int and 0 < believed <= len("onetwo words") + 8
        assert reply.request_tokens == (believed if possible else None)


def test_what_a_request_may_have_of_tokens():
    assert plausible_tokens(1, ["a"]) == 1
    assert plausible_tokens(3, ["a"]) == 3, "a model adds tokens of its own"
    assert plausible_tokens(6, ["a"]) is None
    for impossible in (0, -1, 10**30, True, 1.0, "1", None, [1]):
        assert plausible_tokens(impossible, ["a"]) is None


# Sizes and times


def encoded(content, encoding):
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return {
        "": content,
        "identity": content,
        "gzip": gzip.compress(content),
        "x-gzip": gzip.compress(content[:3]) + gzip.compress(content[3:]),
        "deflate": zlib.compress(content),
        "Deflate": raw.compress(content) + raw.flush(),
    }[encoding]


@EXAMPLES
@given(
    content=st.binary(max_size=400),
    encoding=st.sampled_from(["", "identity", "gzip", "x-gzip", "deflate", "Deflate"]),
    limit=st.integers(1, 500),
)
def test_a_body_is_read_up_to_its_limit_however_it_is_encoded(content, encoding, limit):
    sent = encoded(content, encoding)
    raw = HTTPResponse(io.BytesIO(sent), {"Content-Encoding": encoding}, preload_content=False)
    found, complete = read_body(raw, limit)
    assert content.startswith(found)
    assert len(found) <= limit
    assert complete == (found == content and max(len(content), len(sent)) <= limit)


def bomb():
    """1 GiB of blanks in 1 MB of gzip, made in pieces."""
    packed, block = zlib.compressobj(9, wbits=31), b" " * (1 << 24)
    return b"".join(packed.compress(block) for _ in range(64)) + packed.flush()


@pytest.mark.parametrize("fault", ["bomb", "endless", "endless gzip of nothing", "endless error"])
@pytest.mark.long
def test_a_reply_without_end_takes_neither_memory_nor_time(fault):
    """The next server, and the next texts of this one, are none the wiser."""
    content = bomb() if fault == "bomb" else b""
    with MisbehavingServer(DIMENSIONS) as server, opened("openai", url=server.url, clock=Clock()) as provider:
        when = lambda texts: "bad" in texts  # noqa: E731
        if fault == "bomb":
            server.misbehave("raw", when=when, content=content, headers={"Content-Encoding": "gzip"})
        elif fault == "endless gzip of nothing":
            headers = [(b"Content-Encoding", b"gzip")]
            server.misbehave("endless", when=when, piece=gzip.compress(b"") * 1000, headers=headers)
        else:
            server.misbehave("endless", when=when, status=200 if fault == "endless" else 500)
        tracemalloc.start()
        started = time.monotonic()
        try:
            with pytest.raises(InputRefused):
                provider.embed(["bad"])
            assert time.monotonic() - started < 7
            assert tracemalloc.get_traced_memory()[1] < 40 * reply_limit(1, DIMENSIONS)
        finally:
            tracemalloc.stop()
        assert np.allclose(provider.embed(["good"]).vectors[0], server.vector("good"))


@pytest.mark.parametrize("location", [b"/elsewhere", b"http://[::1", b"http://:80/", "http://a\u00bdb/".encode()])
def test_of_a_redirect_the_body_is_not_read_and_any_location_is_told(location):
    headers = [(b"Location", location)]
    with MisbehavingServer(DIMENSIONS) as server, opened("openai", url=server.url, clock=Clock()) as provider:
        server.misbehave("endless", when=lambda texts: "bad" in texts, status=302, headers=headers)
        tracemalloc.start()
        started = time.monotonic()
        try:
            with pytest.raises(ProviderError, match="HTTP 302: it redirects .*, which is not followed"):
                provider.embed(["bad"])
            assert time.monotonic() - started < 7
            assert tracemalloc.get_traced_memory()[1] < 1 << 26
        finally:
            tracemalloc.stop()
        assert np.allclose(provider.embed(["good"]).vectors[0], server.vector("good"))


@pytest.mark.parametrize("protocol", ["ollama", "openai"])
def test_odd_models_of_a_list_hide_no_good_one(monkeypatch, protocol):
    """Half a pair has no UTF-8 form; what is no text is no name; what is no list of numbers has no dimensions."""
    names = ["embed-\ud800", {"embed": 1}, ["embed"], 7, None, "embed-text", "embed-good"]

    def request(self, method, url, data=None, **options):
        row = "12345678" if b"embed-text" in (data or b"") else [1.0] * DIMENSIONS
        listed = {"data": [{"id": name} for name in names], "models": [{"name": name} for name in names]}
        told = {"capabilities": ["embedding"], "data": [{"embedding": row}], "embeddings": [row]}
        found = requests.Response()
        found.status_code = 200
        body = io.BytesIO(json.dumps(told if data else listed).encode())
        found.raw = HTTPResponse(body, {}, 200, preload_content=False)
        return found

    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setattr(requests.Session, "request", request)
    found = {model.model_name: model for model in CLASSES[protocol].list_models(POLICY, NoWaits())}
    assert found.keys() == {"embed-\ud800", "embed-text", "embed-good"}
    assert [found[name].dimensions for name in sorted(found)] == [DIMENSIONS, None, DIMENSIONS]
    assert found["embed-text"].problem == "its reply holds no vector"


def test_the_limit_of_a_reply_follows_from_its_texts():
    row = [-1.2345678901234567e-05] * 64
    for count in (1, 100, 2048):
        body = json.dumps({"data": [{"index": 1, "object": "embedding", "embedding": row}] * count}, indent=2)
        assert len(body) < reply_limit(count, 64) < 4 * len(body) + 300_000


# What is paid for


def test_what_is_no_base64_is_asked_for_as_floats():
    with MisbehavingServer(DIMENSIONS) as server, opened("openai", url=server.url) as provider:
        server.misbehave("undecodable")
        found = provider.embed(["one", "two words"])
        assert np.allclose(found.vectors, [server.vector(text) for text in ("one", "two words")])
        assert spent(provider) == 3, "the first answer was paid for"
        provider.embed(["three"])
        assert [asked.body.get("encoding_format") for asked in server.asked] == ["base64", None, None]


@pytest.mark.parametrize("floats", ["<f2", "<f8"])
def test_base64_of_floats_of_another_width_is_asked_for_as_floats(floats):
    def answer(asked):
        body = good_body("openai", asked)
        if len(asked_for) == 0:
            for item in body["data"]:
                item["embedding"] = base64.b64encode(np.asarray(item["embedding"], floats).tobytes()).decode()
        asked_for.append(len(asked))
        return 200, {}, json.dumps(body).encode()

    asked_for = []
    with opened("openai", answer) as provider:
        assert provider.embed(["a", "bb"]).vectors.tolist() == [vector("a"), vector("bb")]
        assert asked_for == [2, 2]
        assert spent(provider) == 2, "the first answer was paid for"


@pytest.mark.parametrize(
    ("indexes", "right"),
    [
        ([7, 8, 9], True), ([None, 1, 2], True), ([9, 7, 8], None), (["0", "1", "2"], True), (["2", "0", "1"], None),
        ([2.0, 0.0, 1.0], None), ([3, "1", 2.0], None),
    ],
)  # fmt: skip
def test_indexes_that_are_only_shifted_are_followed(indexes, right):
    texts = ["a", "bb", "ccc"]

    def answer(asked):
        body = good_body("openai", asked)
        for item, index in zip(body["data"], indexes, strict=True):
            del item["index"]
            if index is not None:
                item["index"] = index
        return 200, {}, json.dumps(body).encode()

    with opened("openai", answer) as provider:
        order = texts if right else [texts[1], texts[2], texts[0]]
        assert provider.embed(texts).vectors.tolist() == [vector(text) for text in order]


def test_an_order_is_proven_for_as_many_texts_as_were_looked_at():
    """Beyond them the server answers in another order, as one would that splits a request among its workers."""
    sizes = []

    def answer(asked):
        sizes.append(len(asked))
        body = good_body("openai", asked)
        for item in body["data"]:
            del item["index"]
        if len(asked) > 3:
            body["data"].reverse()
        return 200, {}, json.dumps(body).encode()

    texts = [letter * (place + 1) for place, letter in enumerate("abcdefgh")]
    with opened("openai", answer) as provider:
        with provider.proving_order():
            provider.embed(texts[:2])
            provider.embed(texts[:3])
        assert provider.embed(texts).vectors.tolist() == [vector(text) for text in texts]
        assert sizes == [2, 3, 3, 3, 2]
        with provider.proving_order():  # of a server that was mended: nothing to prove
            pass
        provider.embed(texts)
        assert sizes[5:] == [3, 3, 2]


@pytest.mark.parametrize("index", [..., None, 0, 1, 3, -1, "0", 10**30])
def test_one_vector_for_one_text_needs_no_index(index):
    body = good_body("openai", ["a"])
    body["data"][0] |= {"index": index} if index is not ... else {}
    if index is ...:
        del body["data"][0]["index"]
    with opened("openai", lambda asked: (200, {}, json.dumps(body).encode())) as provider:
        assert provider.embed(["a"]).vectors.tolist() == [vector("a")]


@pytest.mark.parametrize(
    "indexes",
    [
        [0, 0, 1], [0, 2, 5], [None, 0, 1], [None, None, 2], [0, None, 1], [0.5, 1, 2], ["first", "second", "third"],
        [True, False, 2], ["", "", ""], [{}, [], {}], ["-1", "0", "1"], ["1" * 5000, 0, 1], [float("nan"), 0, 1],
        [float("inf"), float("inf"), float("inf")], ["\u0661", "\u0660", "\u0662"], [1e300, 1, 2],
    ],
)  # fmt: skip
def test_other_indexes_are_not_guessed_at(indexes):
    def answer(asked):
        body = good_body("openai", asked)
        for item, index in zip(body["data"], indexes[: len(asked)], strict=True):
            item["index"] = index
        return 200, {}, json.dumps(body).encode()

    with opened("openai", answer) as provider:
        with pytest.raises(InputRefused, match="`index`"):
            provider.embed(["a", "bb", "ccc"])
        assert spent(provider) >= sum(map(estimated_tokens, ["a", "bb", "ccc"]))


# Limits of a batch


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        ("batch size is invalid, it should not be larger than 10.: input.contents", 10),
        ("Value error, should not be larger than 25", 25),
        ("maximum batch size is 32", 32),
        ("batch size 64 > maximum allowed batch size 32", 32),
        ("invalid request: total number of texts must be at most 96.", 96),
        ("at most 16 inputs are allowed", 16),
        ("The batch size limit is 1000. Your batch size is 1200.", 1000),
        ("at most 100 requests can be in one batch", 100),
        ("Invalid 'input': array too long. Expected an array with maximum length 2048, but got 3000", 2048),
        ("too many inputs: no more than 8 items", 8),
        ("Too many inputs. The max number of inputs is 16. We hope to increase the number of inputs soon.", 16),
        ("250 instance(s) is allowed per prediction. Actual: 512", 250),
        ("Value should have at most 1024 items after validation, not 1260", 1024),
        ("Input array exceeds maximum length of 16", 16),
        ("The input array cannot exceed 64 entries", 64),
        ("inputs must not have more than 1000 entries", 1000),
        ("Batch size too large, max 512", 512),
        ("Requested batch size 512 exceeds max_client_batch_size 32", 32),
        ("The batch size of the request is 4000, the max is 2048", 2048),
        ("Batch size exceeds limit: 50 > 25", 25),
        ("Too many inputs in request, split into more batches.", None),
        ("the batch is too large", None),
        ("Requested 310000 tokens, max 300000 tokens per request", None),
        ("The max allowed tokens per submitted batch is 120000. Your batch has 121138 tokens after truncation.", None),
        ("the batch must not be larger than 4 MB", None),
        ("batch larger than 65536 bytes", None),
        ("Request payload size exceeds the limit: 4194304 bytes.", None),
    ],
)
def test_limits_of_a_batch_as_servers_word_them(message, limit):
    assert judge(400, message) is Kind.BATCH_TOO_LARGE
    assert told_batch_limit(message) == limit


@pytest.mark.parametrize(
    "message",
    [
        "input length should not be larger than 8192",
        "This model's maximum context length is 8192 tokens",
        "at most 512 tokens",
        "Input should not be larger than 8192 characters",
        "Input text exceeds the limit of 2048 characters",
    ],
)
def test_a_limit_of_tokens_is_no_limit_of_texts(message):
    assert judge(400, message) is Kind.TOO_LONG


@every
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "Provider returned error", "code": 502}, ProviderError),
        ({"message": "upstream", "status": "503"}, ProviderError),
        ({"message": "slow down", "status_code": 429}, ProviderError),
        ({"message": "who are you", "code": 401}, ProviderError),
        ({"message": "I dislike it", "code": 200}, InputRefused),
        ({"message": "I dislike it", "code": [502]}, InputRefused),
        ("I dislike it", InputRefused),
    ],
)
def test_an_error_in_a_good_status_has_the_status_that_it_names(protocol, error, kind):
    def answer(asked):
        body = good_body(protocol, asked) if asked == ["probe"] and kind is InputRefused else {"error": error}
        return 200, {}, json.dumps(body).encode()

    with opened(protocol, answer) as provider, pytest.raises(kind):
        provider.embed(["a text"])


def test_a_fault_behind_a_gateway_passes():
    answers = [{"error": {"message": "Provider returned error", "code": 502}}, good_body("openai", ["a"])]
    policy = replace(POLICY, tries=2)
    with opened("openai", lambda asked: (200, {}, json.dumps(answers.pop(0)).encode()), policy=policy) as provider:
        assert provider.embed(["a"]).vectors.tolist() == [vector("a")]


# What is shown


@every
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_names_itself_and_no_token(protocol, status):
    headers = {"Location": "https://user:pw@elsewhere.example/v1/tok-123456/embeddings?key=abc"}
    with opened(protocol, lambda asked: (status, headers, b"")) as provider, pytest.raises(ProviderError) as raised:
        provider.embed(["a"])
    assert f"HTTP {status}: it redirects to https://elsewhere.example/v1/***/embeddings" in str(raised.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/v1", "https://host/v1"),
        ("https://host:8443/openai/v1", "https://host:8443/openai/v1"),
        ("https://gateway.example/v1/4f9ac0ffee/team/openai", "https://gateway.example/v1/***/***/openai"),
        ("http://[::1]:1/hunter2", "http://[::1]:1/***"),
        ("https://user:pw@host/v1?key=k#f", "https://host/v1"),
    ],
)
def test_of_a_path_common_words_are_shown(url, shown):
    assert shown_url(url) == shown


@pytest.mark.parametrize("protocol", ["openai", "ollama"])
def test_a_token_in_the_path_is_in_no_message(protocol):
    token, urls = "tok-5ecr3t", []

    def answer(asked):
        return 500, {}, f"no page /v1/{token}/x".encode()

    base = f"http://127.0.0.1:9/{token}"
    with opened(protocol, answer, url=base, OPENAI_BASE_URL=f"{base}/v1") as provider:
        urls += [provider.endpoint_url, str(outcome(provider, ["a"]))]
    assert "no page /v1/***/x" in urls[1]
    assert not any(token in text for text in urls)


@pytest.mark.parametrize(
    ("url", "key", "warns"),
    [
        ("http://models.example", "k", True),
        ("http://10.0.0.7:8000", "k", True),
        ("https://models.example", "k", False),
        ("http://models.example", "", False),
        ("http://localhost:1", "k", False),
        ("http://127.8.9.1", "k", False),
        ("http://[::1]:1", "k", False),
    ],
)
def test_a_key_that_others_can_read_warns(url, key, warns, caplog):
    with caplog.at_level(logging.WARNING), opened("openai", url=url, OPENAI_BASE_URL=f"{url}/v1", OPENAI_API_KEY=key):
        pass
    assert ("is sent over http://" in caplog.text) == warns
    assert key == "" or f" {key} " not in caplog.text


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
@pytest.mark.parametrize("host", ["models.example", "localhost"])
def test_a_bundle_of_certificates_is_for_every_host(variable, host, tmp_path, monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    url, bundle = f"https://{host}", tmp_path / "bundle.pem"
    with pytest.raises(ConfigurationError, match=f"{variable} names .*does not exist"):
        opened("openai", url=url, **{variable: str(bundle)}).__enter__()
    bundle.write_text("no certificate")
    with pytest.raises(ConfigurationError, match=f"{variable} names .*cannot be read as certificates"):
        opened("openai", url=url, **{variable: str(bundle)}).__enter__()
    shutil.copy(requests.certs.where(), bundle)
    with opened("openai", url=url, **{variable: str(bundle)}) as provider:
        session = provider._client._session
        merged = session.merge_environment_settings(f"{url}/v1", {}, None, None, None)
        assert merged["verify"] == str(bundle)


def test_a_proxy_that_cannot_be_used_names_itself(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    if importlib.util.find_spec("socks") is None:
        proxied = opened("openai", url="http://192.0.2.1", ALL_PROXY="socks5://192.0.2.2:1")
        with proxied as provider, pytest.raises(ProviderError, match="SOCKS proxy .* needs PySocks"):
            provider.embed(["a"])
    proxied = opened("openai", url="http://192.0.2.1", HTTP_PROXY="http://127.0.0.1:9", ALL_PROXY="")
    with proxied as provider, pytest.raises(ProviderError, match="cannot be reached through the proxy"):
        provider.embed(["a"])


@EXAMPLES
@given(BODIES)
@example(b'{"error": "\\ud800\\u0000"}')
@example(b"[" * 100_000)
def test_an_error_s_words_can_always_be_stored(content):
    words = error_message(content)
    assert words.encode("utf-8").decode() == words
    assert "\0" not in words
    assert len(words) <= 2000


@EXAMPLES
@given(st.text(st.sampled_from("ab;}{= 'é%\\"), min_size=4, max_size=12))
@example("pa;ss}wo}rd")
def test_a_password_is_in_no_message_of_a_driver(password):
    target = SimpleNamespace(name="t", settings={"Password": password})
    escaped = "{" + password.replace("}", "}}") + "}"
    for echoed in (password, escaped, repr(password)):
        told = explained(Exception(f"invalid connection string attribute near PWD={echoed};Encrypt=yes"), target)
        if len(password.strip("; }{='")) > 2:
            assert password not in told.replace("***", "")
            assert password.replace("}", "}}") not in told.replace("***", "")


# Files of models


@pytest.mark.parametrize("provider", ["onnx", "static"])
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..", "a/../evil", "\0"])
def test_a_model_stays_inside_its_folder(provider, name, tmp_path, monkeypatch):
    home = tmp_path / "home"
    for folder in (tmp_path / "evil", home / "evil", home / "a"):
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(b"x")
        (folder / "tokenizer.json").write_text("{}")
    monkeypatch.setenv(f"VECTOR_{provider.upper()}_HOME", str(home))
    name = name.replace("/evil", f"{tmp_path}/evil") if name.startswith("/") else name
    with pytest.raises(ConfigurationError, match=r"is not in .*home, the folder that VECTOR_"):
        user_path(provider, name, "default")
    assert user_path(provider, "evil", "default") == home / "evil"
    assert user_path(provider, str(home / "evil"), "default") == home / "evil"
    if name.startswith("/"):
        monkeypatch.setenv(f"VECTOR_{provider.upper()}_HOME", "/")
        assert user_path(provider, name, "default") == tmp_path / "evil"


def test_external_data_is_in_the_digest(tmp_path):
    model, data = tmp_path / "model.onnx", tmp_path / "weights" / "model.onnx_data"
    data.parent.mkdir()
    model.write_bytes(b"\x08\x08 graph \x6a\x10location weights/model.onnx_data")
    alone = onnx_sha256(model)
    data.write_bytes(b"one")
    (tmp_path / "tokenizer.json").write_text("{}")
    first = onnx_sha256(model)
    (tmp_path / "tokenizer.json").write_text("{ }")
    assert first == onnx_sha256(model) != alone
    data.write_bytes(b"two")
    assert onnx_sha256(model) not in (first, alone)

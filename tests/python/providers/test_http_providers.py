"""Providers of model servers against a real HTTP server that misbehaves in every known way, in each protocol.

`embed_all` does what the embed command does with what a provider raises, in a few lines.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from misbehaving_server import MODEL, MisbehavingServer

from vector.errors import ConfigurationError, InputRefused, ProviderError, SpaceRefused
from vector.providers import PartlyRefused, discover_models, estimated_tokens, open_provider
from vector.providers.azure_openai import AzureOpenAIProvider
from vector.providers.ollama import OllamaProvider
from vector.providers.openai import OpenAIProvider
from vector.providers.pacing import Clock, Counters, HttpPolicy, Limiter, told_wait
from vector.providers.refusals import Kind, error_message, judge

CLASSES = {"ollama": OllamaProvider, "openai": OpenAIProvider, "azure_openai": AzureOpenAIProvider}
SECRET = "s3cret/+=key"
POLICY = HttpPolicy(connect=5, read=5, total=10, tries=2, patient_tries=4)
IMPATIENT = replace(POLICY, read=0.1, total=0.2)  # for the faults that cost real time
TEXTS = ["one", "two words", "bad", "four"]


class FakeClock(Clock):
    """Waiting takes no time, and is noted."""

    def __init__(self):
        self.waits, self._ahead = [], 0.0

    def monotonic(self):
        return super().monotonic() + self._ahead

    def wait(self, stopped, seconds):
        self.waits.append(seconds)
        self._ahead += seconds


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in ("OLLAMA_KEEP_ALIVE", "OLLAMA_OPTIONS", "OPENAI_API_KEY", "OPENAI_MAX_REQUEST_TOKENS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("API_KEY", "AD_TOKEN", "API_VERSION", "DEPLOYMENT"):
        monkeypatch.delenv(f"AZURE_OPENAI_{name}", raising=False)


@pytest.fixture
def server():
    with MisbehavingServer() as running:
        yield running


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def opened(server, clock, monkeypatch):
    """Opens a provider of a protocol on the server."""
    providers = []

    def opens(protocol, policy=POLICY, clock=clock, **settings):
        monkeypatch.setenv("OLLAMA_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1/")
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.url)
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", "key")
        monkeypatch.setenv("AZURE_OPENAI_DEPLOYMENT", "my deployment")
        providers.append(CLASSES[protocol](space(protocol, **settings), policy, clock))
        return providers[-1]

    yield opens
    for provider in providers:
        provider.close()


def space(protocol, **settings):
    defaults = {"model_tag": None, "model_digest": None, "normalize_flag": True, "preprocess_policy": None}
    return SimpleNamespace(**{"provider": protocol, "model_name": MODEL, "dimensions": 8, **defaults, **settings})


def embed_all(provider, texts):
    """Vectors and reasons of refusal by text: a batch that fails is halved, what was answered of it is kept."""
    try:
        return dict(zip(texts, provider.embed(texts).vectors, strict=True)), {}
    except PartlyRefused as error:
        vectors = dict(zip([texts[position] for position in error.kept], error.reply.vectors, strict=True))
        rest = [text for position, text in enumerate(texts) if position not in error.kept]
        if len(rest) == 1:
            return vectors, {rest[0]: error.reason}
        halves = [rest[: len(rest) // 2], rest[len(rest) // 2 :]]
    except InputRefused as error:
        if len(texts) == 1:
            return {}, {texts[0]: error.reason}
        vectors, halves = {}, [texts[: len(texts) // 2], texts[len(texts) // 2 :]]
    refused = {}
    for half in halves:
        more, reasons = embed_all(provider, half)
        vectors, refused = vectors | more, refused | reasons
    return vectors, refused


def is_right(server, vectors):
    return all(np.allclose(vector, server.vector(text), atol=1e-6) for text, vector in vectors.items())


def patience_for(fault):
    return IMPATIENT if fault in ("hang", "drip") else POLICY


def contains_bad(texts):
    return "bad" in texts


both = pytest.mark.parametrize("protocol", ["ollama", "openai"])
every = pytest.mark.parametrize("protocol", sorted(CLASSES))


# All is well


@every
def test_embeds_in_order_and_counts(protocol, server, opened):
    provider = opened(protocol)
    reply = provider.embed(TEXTS)
    assert reply.vectors.dtype == np.float32
    assert is_right(server, dict(zip(TEXTS, reply.vectors, strict=True)))
    assert (reply.input_tokens, reply.request_tokens) == ([None] * 4, 5)
    alone = provider.embed(["two words"])
    # A server that may cut a long text counts what it left.
    known = [2] if protocol == "ollama" else [None]
    assert (alone.input_tokens, alone.used_tokens, alone.request_tokens) == (known, known, 2)
    assert provider.embed([]).vectors.shape == (0, 8)
    metrics = provider.metrics()
    assert metrics["retries"] == metrics["rate_limited"] == metrics["seconds_waiting"] == 0
    assert metrics["requests"] == len(server.paths)
    assert min(metrics["bytes_sent"], metrics["bytes_received"]) > 100


# Faults that pass: everything is embedded, rightly, and nothing that was answered is asked for again.


@both
@pytest.mark.parametrize(
    ("fault", "times", "options"),
    [
        ("rate_limited", 3, {}),
        ("rate_limited", 3, {"headers": {"Retry-After": "2"}}),
        ("unavailable", 3, {}),
        ("server_error", 1, {}),
        ("server_error", 1, {"status": 502}),
        ("server_error", 1, {"status": 400, "message": 'do embedding request: Post "http://127.0.0.1:1": EOF'}),
        ("server_error", 3, {"status": 500, "message": "rate limit reached, try again"}),
        ("reset", 1, {}),
        ("cut", 1, {}),
        ("hang", 1, {}),
        ("drip", 1, {}),
        ("drip", 1, {"in_headers": True}),
        ("not_json", 1, {}),
        ("short_count", 1, {}),
        ("extra_count", 1, {}),
    ],
)
def test_a_fault_that_passes(protocol, server, opened, fault, times, options):
    provider = opened(protocol, patience_for(fault))
    server.misbehave(fault, times, **options)
    vectors, refused = embed_all(provider, TEXTS)
    assert not refused
    assert vectors.keys() == set(TEXTS)
    assert is_right(server, vectors)
    assert {server.paid[text] for text in TEXTS} == {1}
    assert len(server.asked) <= times + 4


# Faults of one text: it alone is refused, with a reason, and every other is paid for once.


@both
@pytest.mark.parametrize(
    ("fault", "options", "reason"),
    [
        ("poison", {}, "refused"),
        ("poison", {"status": 422}, "refused"),
        ("poison", {"status": 403, "message": "blocked by a firewall"}, "refused"),
        ("too_large", {}, "too_long"),
        ("poison", {"status": 500, "message": "input is too large to process."}, "too_long"),
        ("poison", {"message": "This model's maximum context length is 512 tokens"}, "too_long"),
        ("rate_limited", {"message": "Request too large for m on TPM: Limit 1, Requested 2"}, "too_long"),
        ("server_error", {}, "server_error"),
        ("server_error", {"status": 502}, "server_error"),
        ("unavailable", {}, "unavailable"),
        ("reset", {}, "connection_lost"),
        ("cut", {}, "connection_lost"),
        ("hang", {}, "timeout"),
        ("drip", {}, "timeout"),
        ("drip", {"in_headers": True}, "timeout"),
        ("not_json", {}, "bad_reply"),
        ("error_in_200", {}, "refused"),
        ("short_count", {}, "bad_reply"),
        ("extra_count", {}, "bad_reply"),
    ],
)
@pytest.mark.long
def test_a_text_that_nothing_says_is_the_bad_one(protocol, server, opened, fault, options, reason):
    provider = opened(protocol, patience_for(fault))
    texts = ["one", "bad"] if fault in ("hang", "drip") else TEXTS
    server.misbehave(fault, when=contains_bad, **options)
    vectors, refused = embed_all(provider, texts)
    assert refused == {"bad": reason}
    assert vectors.keys() == set(texts) - {"bad"}
    assert is_right(server, vectors)
    assert {server.paid[text] for text in vectors} == {1}


@both
@pytest.mark.parametrize(
    ("value", "told"),
    [
        (float("nan"), "that is not finite"),
        (float("inf"), "that is not finite"),
        (1e300, "that is not finite"),
        (0.0, "of zeros only"),
        (None, "of no dimensions"),
        ("x", "that is no list of numbers"),
    ],
)
def test_a_bad_vector_costs_the_others_nothing(protocol, server, opened, value, told):
    server.encodes = "ignores"
    provider = opened(protocol)
    server.misbehave("bad_vector", when=contains_bad, of="bad", value=value)
    vectors, refused = embed_all(provider, TEXTS)
    assert refused == {"bad": "bad_vector"}
    assert vectors.keys() == set(TEXTS) - {"bad"}
    assert is_right(server, vectors)
    assert [asked.texts for asked in server.asked] == [TEXTS]
    with pytest.raises(InputRefused, match=f"text 1 of 1 with a vector {told}") as raised:
        provider.embed(["bad"])
    assert raised.value.reason == "bad_vector"


def test_bad_floats_in_base64(server, opened):
    server.misbehave("bad_vector", when=contains_bad, of="bad", value=float("nan"))
    vectors, refused = embed_all(opened("openai"), TEXTS)
    assert (len(vectors), refused) == (3, {"bad": "bad_vector"})
    assert is_right(server, vectors)


# Faults of the server: no text is blamed.


@every
@pytest.mark.parametrize(
    ("fault", "options", "message"),
    [
        ("poison", {}, "HTTP 400: invalid input"),
        ("poison", {"status": 403}, "denies access"),
        ("poison", {"status": 404}, "HTTP 404"),
        ("poison", {"status": 301}, "HTTP 301"),
        ("rate_limited", {}, "HTTP 429: slow"),
        ("rate_limited", {"message": "insufficient_quota: check your plan"}, "insufficient_quota"),
        ("rate_limited", {"headers": {"Retry-After": "86400"}}, "asks to wait 86400 seconds"),
        ("server_error", {}, "HTTP 500: boom"),
        ("unavailable", {}, "HTTP 503: no capacity"),
        ("reset", {}, "closed the connection"),
        ("hang", {}, "did not answer within 0.1 seconds"),
        ("drip", {}, "did not finish its answer within 0.2 seconds"),
        ("drip", {"in_headers": True}, "did not finish its answer within 0.2 seconds"),
        ("not_json", {}, "is no JSON object"),
        ("error_in_200", {}, "Unexpected endpoint"),
        ("short_count", {}, "2 texts with 1 vectors"),
        ("extra_count", {}, "2 texts with 3 vectors"),
    ],
)
@pytest.mark.long
def test_a_server_that_always_fails(protocol, server, opened, fault, options, message):
    provider = opened(protocol, patience_for(fault))
    server.misbehave(fault, **options)
    with pytest.raises(ProviderError, match=message) as raised:
        provider.embed(["one", "two"])
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    assert "\n" not in str(raised.value)
    assert not server.paid


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "put its credentials in OLLAMA_BASE_URL"),
        (404, f"run `ollama pull {MODEL}:latest`"),
        (500, "see the log of `ollama serve`"),
    ],
)
def test_ollama_says_what_to_do(server, opened, status, advice):
    provider = opened("ollama", model_tag="latest")
    server.misbehave("poison", status=status)
    with pytest.raises(ProviderError, match=advice):
        provider.embed(["one"])
    with pytest.raises(ProviderError, match=f"`ollama pull {MODEL}:v1.5`"):
        opened("ollama", model_tag="v1.5")


def test_a_server_whose_vectors_are_all_bad(server, opened):
    provider = opened("ollama")
    for text in ("one", "probe"):
        server.misbehave("bad_vector", when=lambda texts, text=text: text in texts, of=text, value=float("nan"))
    with pytest.raises(ProviderError, match="text 1 of 1 with a vector that is not finite"):
        provider.embed(["one"])


@every
def test_another_dimension_is_another_space(protocol, server, opened):
    provider = opened(protocol)
    server.misbehave("wrong_dimension", times=1)
    with pytest.raises(SpaceRefused, match="5 dimensions, the space has 8"):
        provider.embed(TEXTS)


@both
def test_a_server_that_goes_away(protocol, server, opened, clock):
    provider = opened(protocol)
    provider.embed(["one"])
    server.shutdown()
    server.server_close()
    provider._client._session.close()  # the pooled connection is still served by its thread
    advice = " .*is `ollama serve` running" if protocol == "ollama" else ""
    with pytest.raises(ProviderError, match=f"cannot be reached{advice}"):
        provider.embed(["two"])
    assert len(clock.waits) == POLICY.patient_tries - 1


def test_openai_order_is_by_index(server, opened):
    provider = opened("openai")
    server.misbehave("shuffled", times=1)
    assert is_right(server, dict(zip(TEXTS, provider.embed(TEXTS).vectors, strict=True)))
    server.misbehave("indexes", times=1, of=[0, 1, 1, 3])
    with pytest.raises(InputRefused, match="`index` twice") as raised:
        provider.embed(TEXTS)
    assert raised.value.reason == "bad_reply"


def test_ollama_order_cannot_be_told_from_one_reply(server, opened):
    """The protocol has no index. Canaries show it: the texts of one batch, embedded alone, have other vectors."""
    provider = opened("ollama")
    server.misbehave("shuffled", when=lambda texts: len(texts) > 1)
    together = provider.embed(["one", "two"]).vectors
    alone = np.concatenate([provider.embed([text]).vectors for text in ("one", "two")])
    assert not np.allclose(together, alone)
    assert np.allclose(together[::-1], alone)


# Waiting


@both
@pytest.mark.parametrize(
    ("options", "least", "most"),
    [
        ({"headers": {"retry-after-ms": "1500", "Retry-After": "9"}}, 1.5, 1.5),
        ({"headers": {"Retry-After": "7"}}, 7, 7),
        ({"headers": {"Retry-After": "0.25"}}, 0.25, 0.25),
        ({"in_seconds": 20}, 18.5, 20),
        ({"headers": {"Retry-After": "soon", "retry-after-ms": "nan"}}, 0.25, 0.5),
        ({}, 0.25, 0.5),
    ],
)
def test_waits_as_long_as_it_is_told(protocol, server, opened, clock, options, least, most):
    provider = opened(protocol)
    server.misbehave("rate_limited", 1, **options)
    provider.embed(["one"])
    (waited,) = clock.waits
    assert least * 0.98 <= waited <= most
    metrics = provider.metrics()
    assert (metrics["retries"], metrics["rate_limited"]) == (1, 1)
    assert metrics["seconds_waiting"] == pytest.approx(waited, abs=0.1)


def test_waits_longer_each_time_up_to_a_cap(server, opened, clock):
    provider = opened("openai", HttpPolicy(patient_tries=12, max_backoff=5, breaker=99))
    server.misbehave("unavailable", 11)
    provider.embed(["one"])
    for waited, wanted in zip(clock.waits, [0.5, 1, 2, 4] + [5] * 7, strict=True):
        assert wanted * 0.49 <= waited <= wanted
    assert len({round(waited / wanted, 4) for waited, wanted in zip(clock.waits[4:], [5] * 7, strict=True)}) > 1


def test_one_pause_stops_every_thread(server, opened):
    provider = opened("openai", clock=Clock())
    server.misbehave("rate_limited", 1, when=contains_bad, headers={"retry-after-ms": "600"})

    def works(number):
        for turn in range(20):
            provider.embed(["bad" if (number, turn) == (0, 3) else f"{number} {turn}"])
            time.sleep(0.01)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(works, range(4)))
    (limited,) = [asked.at for asked in server.asked if asked.fault]
    # Requests may have been under way when the answer came; then nobody asks until the pause is over.
    after = sorted(asked.at - limited for asked in server.asked if asked.at > limited + 0.2)
    assert after[0] > 0.58
    assert len(server.asked) == 81


def test_a_text_that_fails_does_not_hold_up_the_others(server, opened, clock):
    provider = opened("openai")
    server.misbehave("server_error", when=contains_bad)
    with pytest.raises(InputRefused):
        provider.embed(["bad"])
    assert provider._client._limiter._paused_until < clock.monotonic()
    assert len(clock.waits) == 1


def test_the_breaker_opens_after_failures_in_a_row(server, opened):
    provider = opened("openai", HttpPolicy(patient_tries=100, breaker=6))
    server.misbehave("rate_limited")
    with pytest.raises(ProviderError, match="6 times in a row"):
        provider.embed(["one"])
    with pytest.raises(ProviderError, match="6 times in a row"):
        provider.embed(["one"])
    assert len(server.asked) == 7
    server.behave()
    provider.embed(["one"])
    server.misbehave("rate_limited", 5)
    provider.embed(["one"])


def test_failures_of_one_moment_count_once(clock):
    limiter = Limiter(HttpPolicy(breaker=3), clock, Counters())
    sent = clock.monotonic()
    assert not any(limiter.failed(sent) for _ in range(8))
    assert not limiter.failed(clock.monotonic())
    assert limiter.failed(clock.monotonic())
    limiter.succeeded()
    assert not limiter.failed(clock.monotonic())


def test_closing_ends_a_long_wait(server, opened):
    provider = opened("ollama", clock=Clock())
    server.misbehave("rate_limited", headers={"Retry-After": "300"})
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(provider.embed, ["one"])
        while not server.asked:
            time.sleep(0.005)
        started = time.monotonic()
        provider.close()
        with pytest.raises(ProviderError, match="closed"):
            call.result(5)
    assert time.monotonic() - started < 1
    provider.close()


def test_closing_lets_a_call_in_flight_finish(server, opened):
    """It is paid for."""
    provider = opened("openai", clock=Clock())
    server.misbehave("late", 1, seconds=0.3)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(provider.embed, TEXTS)
        while not server.asked:
            time.sleep(0.005)
        provider.close()
        assert is_right(server, dict(zip(TEXTS, call.result(5).vectors, strict=True)))


def test_told_wait_of_every_form():
    now = 1_700_000_000.0
    assert told_wait({}, now) is None
    assert told_wait({"retry-after": "Tue, 14 Nov 2023 22:13:30 GMT"}, now) == 10
    assert told_wait({"retry-after": "Tue, 14 Nov 2023 22:13:30 GMT", "date": "Tue, 14 Nov 2023 22:13:25 GMT"}, 0) == 5
    assert told_wait({"retry-after": "Tue, 14 Nov 2000 22:13:30 GMT"}, now) == 0
    assert told_wait({"retry-after": "-3"}, now) == 0
    assert told_wait({"retry-after-ms": "x", "retry-after": "3"}, now) == 3
    assert told_wait({"retry-after": "inf"}, now) is None
    assert told_wait({"retry-after": "31 Feb"}, now) is None


def test_policy_from_the_environment():
    policy = HttpPolicy.from_env({"VECTOR_HTTP_TOTAL": "5.5", "VECTOR_HTTP_TRIES": "9"})
    assert (policy.total, policy.tries, policy.read) == (5.5, 9, 120)
    for name, value in (("TRIES", "1.5"), ("TRIES", "0"), ("READ", "-1"), ("READ", "nan"), ("TOTAL", "long")):
        with pytest.raises(ConfigurationError, match=f"VECTOR_HTTP_{name} is '{value}'"):
            HttpPolicy.from_env({f"VECTOR_HTTP_{name}": value})


# What a refusal means: messages as the servers word them.


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (500, "input (600 tokens) is too large to process. increase the physical batch size", Kind.TOO_LONG),
        (400, "the request exceeds the available context size (512 tokens)", Kind.TOO_LONG),
        (413, "`inputs` must have less than 512 tokens. Given: 900", Kind.BATCH_TOO_LARGE),
        (422, "`inputs` must have less than 512 tokens. Given: 900", Kind.TOO_LONG),
        (422, "batch size 64 > maximum allowed batch size 32", Kind.BATCH_TOO_LARGE),
        (400, "Invalid 'input': array too long. Expected an array with maximum length 2048", Kind.BATCH_TOO_LARGE),
        (400, "Requested 310000 tokens, max 300000 tokens per request", Kind.BATCH_TOO_LARGE),
        (400, "Invalid 'input[3]': input cannot be an empty string.", Kind.REFUSED),
        (400, "This model's maximum context length is 8192 tokens, however you requested 9001", Kind.TOO_LONG),
        (429, "You exceeded your current quota (insufficient_quota)", Kind.FATAL),
        (429, "Rate limit reached: Limit 3, the context is too long", Kind.RATE_LIMITED),
        (503, "Loading model", Kind.UNAVAILABLE),
        (503, "server busy, please try again. maximum pending requests exceeded", Kind.UNAVAILABLE),
        (400, "API key not valid: invalid api_key", Kind.DENIED),
        (408, "", Kind.TIMEOUT),
        (504, "", Kind.TIMEOUT),
        (302, "", Kind.FATAL),
    ],
)
def test_judgement(status, message, kind):
    assert judge(status, message) is kind


def test_error_messages_however_wrapped():
    assert error_message(b'{"error": "two\\nlines"}') == "two lines"
    assert error_message(b'{"error": {"message": "m", "code": "c", "type": "t"}}') == "m (c)"
    assert error_message(b'{"object": "error", "message": "m", "code": 400}') == "m"
    assert error_message(b'{"detail": [{"loc": ["body"], "msg": "m"}]}') == '[{"loc": ["body"], "msg": "m"}]'
    assert error_message(b"\xff<html>") == "\ufffd<html>"
    assert error_message(b"") == ""


# Requests


def test_ollama_request(server, opened, monkeypatch):
    monkeypatch.setenv("OLLAMA_KEEP_ALIVE", "-1")
    monkeypatch.setenv("OLLAMA_OPTIONS", '{"num_ctx": 2048}')
    opened("ollama", model_tag="latest", dimensions=4).embed(["one"])
    assert server.asked[-1].body == {
        **{"model": f"{MODEL}:latest", "input": ["one"], "truncate": False, "dimensions": 4},
        **{"keep_alive": -1, "options": {"num_ctx": 2048}},
    }
    monkeypatch.setenv("OLLAMA_OPTIONS", "[1]")
    with pytest.raises(ConfigurationError, match="OLLAMA_OPTIONS"):
        opened("ollama")


@pytest.mark.parametrize("encodes", ["yes", "ignores", "refuses", "refuses silently"])
@pytest.mark.parametrize("shortens", ["yes", "ignores", "refuses", "refuses silently"])
def test_openai_falls_back_once(server, opened, encodes, shortens):
    server.encodes, server.shortens = encodes, shortens
    provider = opened("openai")
    for _ in range(2):
        assert is_right(server, dict(zip(TEXTS, provider.embed(TEXTS).vectors, strict=True)))
    requests_before = len(server.paths)
    provider.embed(["again"])
    assert len(server.paths) == requests_before + 1
    last = server.asked[-1].body
    assert ("encoding_format" in last) == (encodes == "yes" and shortens != "refuses silently")
    assert {server.paid[text] for text in TEXTS} == {2}


def test_openai_shortens_where_the_server_does(server, opened):
    reply = opened("openai", dimensions=3).embed(["one"])
    assert np.allclose(reply.vectors[0], server.vector("one", 3))
    server.shortens = "ignores"
    with pytest.raises(SpaceRefused, match="8 dimensions, the space has 3"):
        opened("openai", dimensions=3).embed(["one"])


def test_openai_limits_of_a_request(server, opened, monkeypatch):
    monkeypatch.setenv("OPENAI_MAX_REQUEST_TOKENS", "20")
    provider = opened("openai")
    texts = [f"text {number}" + "!" * number for number in range(20)]
    assert is_right(server, dict(zip(texts, provider.embed(texts).vectors, strict=True)))
    assert max(sum(map(estimated_tokens, asked.texts)) for asked in server.asked) <= 20
    assert len(server.asked) > 4
    provider.max_batch_tokens, provider.max_batch_texts = None, 7
    server.asked.clear()
    assert provider.embed(texts).request_tokens == 40
    assert [len(asked.texts) for asked in server.asked] == [7, 7, 6]
    # What was answered before a later request failed is not lost.
    server.misbehave("poison", when=lambda batch: texts[10] in batch)
    with pytest.raises(PartlyRefused) as raised:
        provider.embed(texts)
    assert raised.value.kept == list(range(7))
    assert len(raised.value.reply.vectors) == 7


def test_openai_refuses_a_model_that_changes_on_the_way(server, opened):
    provider = opened("openai")
    provider.embed(["one"])
    assert provider.served_model == MODEL
    server.misbehave("other_model", 1)
    with pytest.raises(SpaceRefused, match="'tiny-embed' first and as 'a-fallback'"):
        provider.embed(["two"])


def test_openai_needs_a_key_for_openai_alone(server, opened, monkeypatch):
    opened("openai").embed(["one"])
    for url in ("", "https://api.openai.com/v1"):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        with pytest.raises(ConfigurationError, match="OPENAI_API_KEY is not set"):
            open_provider(space("openai"))


def test_azure_names_the_deployment(server, opened, monkeypatch):
    provider = opened("azure_openai")
    provider.embed(["one"])
    assert server.paths[-1] == "/openai/deployments/my%20deployment/embeddings?api-version=2024-10-21"
    assert "model" not in server.asked[-1].body
    assert provider.describe().served_model == MODEL
    monkeypatch.setenv("AZURE_OPENAI_API_VERSION", "2025-01-01")
    opened("azure_openai", model_tag="other").embed(["one"])
    assert server.paths[-1] == "/openai/deployments/other/embeddings?api-version=2025-01-01"
    monkeypatch.delenv("AZURE_OPENAI_DEPLOYMENT")
    with pytest.raises(ConfigurationError, match="model_tag .*AZURE_OPENAI_DEPLOYMENT"):
        open_provider(space("azure_openai"))
    monkeypatch.delenv("AZURE_OPENAI_API_KEY")
    with pytest.raises(ConfigurationError, match="neither AZURE_OPENAI_API_KEY"):
        open_provider(space("azure_openai", model_tag="other"))


# What is known of a model


def test_descriptions(server, opened):
    assert opened("ollama").describe().to_dict() == {
        **{"digest": f"sha256:{server.digest}", "served_model": f"{MODEL}:latest", "runtime": "ollama"},
        **{"runtime_version": "0.12.6", "context_length": 512, "embedding_length": 8, "pooling": "mean"},
    }
    assert opened("openai").describe().to_dict() == {"runtime": "openai", "context_length": 512}
    assert open_provider(space("hash")).describe().to_dict() == {}


def test_a_description_never_fails(server, opened):
    providers = [opened(protocol) for protocol in CLASSES]
    server.secret = "now it wants one"
    for provider in providers:
        assert provider.describe().context_length is None


@both
def test_discovery(protocol, server, opened):
    opened(protocol)
    (model,) = discover_models(protocol)
    assert (model.model_name, model.dimensions, model.context_length, model.problem) == (MODEL, 8, 512, None)
    if protocol == "ollama":
        assert (model.model_tag, model.model_digest, model.pooling) == ("latest", f"sha256:{server.digest}", "mean")
    server.misbehave("poison", message="out of memory", when=lambda texts: True)
    (model,) = discover_models(protocol)
    assert model.dimensions is None
    assert "out of memory" in model.problem
    with pytest.raises(ConfigurationError, match="no server"):
        discover_models("hash")


def test_a_model_whose_weights_change(server, opened):
    provider = opened("ollama")
    before = provider.embed(["one"]).vectors
    server.weights = 2
    assert provider.model_digest != provider.current_digest() == f"sha256:{server.digest}"
    assert not np.allclose(before, provider.embed(["one"]).vectors)
    with pytest.raises(SpaceRefused, match=provider.model_digest):
        opened("ollama", model_digest=provider.model_digest)


# Secrets


def test_what_holds_a_key_trims_it_and_does_not_show_it(server, opened, monkeypatch):
    """Not to a debugger either; that no message shows it is in test_secrets.py."""
    server.secret = SECRET
    monkeypatch.setenv("OPENAI_API_KEY", f" {SECRET}\n")
    provider = opened("openai")
    provider.embed(["one"])
    held = [provider, vars(provider), vars(provider._client), provider._client._session.auth]
    assert SECRET not in repr(held)


def test_netrc_does_not_overrule(server, opened, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login else password wrong\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("OPENAI_API_KEY", "right")
    server.secret = "right"
    provider = opened("openai")
    provider._client._session.trust_env = True
    monkeypatch.setenv("NO_PROXY", "*")
    provider.embed(["one"])


def test_many_threads_at_once(server, opened):
    provider = opened("openai", POLICY.__class__(first_backoff=0.01), Clock())
    server.misbehave("reset", 3, when=lambda texts: texts[0].endswith("7"))
    server.misbehave("rate_limited", 3, when=lambda texts: texts[0].endswith("5"))
    batches = [[f"{number}.{text}" for text in range(5)] for number in range(60)]
    found = {}
    lock = threading.Lock()

    def works(batch):
        vectors = provider.embed(batch).vectors
        with lock:
            found.update(zip(batch, vectors, strict=True))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(works, batches))
    assert len(found) == 300
    assert is_right(server, found)
    assert set(server.paid.values()) == {1}

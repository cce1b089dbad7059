"""The embed command against a model server that misbehaves: what it tries again, quarantines, and gives up. Every fault
in each protocol is in test_http_providers.py.

Whatever the server does, `ServedSpace.check` must hold: no vector is lost, duplicated, mixed or paid for twice. A clean
run afterwards completes what is due, and `check` still holds: it pays for nothing again.
"""

from __future__ import annotations

import math
import socket

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from misbehaving_server import MisbehavingServer
from served import ServedSpace

from vector.providers import estimated_tokens

pytestmark = pytest.mark.long

LIMIT = 12  # chunks of a run, of the 16 that there are, in batches of four, two at a time; their texts are distinct
SMALL = ("--limit", LIMIT, "--batch-size", 4, "--concurrency", 2)

both = pytest.mark.parametrize("protocol", ["ollama", "openai"])


@pytest.fixture
def server():
    with MisbehavingServer() as running:
        yield running


@pytest.fixture
def served(small_project, server):
    """Makes the space of a protocol."""
    with small_project.connect():  # kept open, since opening the file takes longer than all else
        yield lambda protocol: ServedSpace(small_project, server, protocol)


def finish(space):
    """A clean run over everything: the server behaves, and the quarantined are tried again."""
    space.server.behave()
    space.server.served_model = "tiny-embed"
    done = space.embed("--retry-failed")
    assert (done.exit_code, done.stderr) == (0, "")
    space.check()
    assert {text for _, _, text, _ in space.stored()} == set(space.texts)


# The fault passes.


@pytest.mark.parametrize(("protocol", "fault", "times"), [("ollama", "rate_limited", 2), ("openai", "poison", 1)])
def test_a_fault_that_passes_is_not_noticed(protocol, served, server, fault, times):
    space = served(protocol)
    server.misbehave(fault, times, when=space.concerns_chunks)
    done = space.embed(*SMALL)
    assert (done.exit_code, done.stderr) == (0, "")
    assert [asked.fault for asked in server.asked].count(fault) == times, "the fault was met"
    assert len(space.stored()) == LIMIT
    assert not space.failures()
    space.check()
    finish(space)


@both
@pytest.mark.parametrize(
    ("options", "least", "most"),
    [
        ({"headers": {"retry-after-ms": "300"}}, 0.3, 2),
        # The server's clock is an hour fast, and dates have no fractions.
        ({"headers": {"Retry-After": "1"}}, 1, 3),
        ({"in_seconds": 2}, 1, 4),
    ],
)
def test_a_rate_limit_stops_every_request_for_as_long_as_it_is_told(protocol, served, server, options, least, most):
    space = served(protocol)
    server.misbehave("rate_limited", 1, when=space.concerns_chunks, **options)
    assert space.embed("--limit", LIMIT, "--batch-size", 4, "--concurrency", 1).exit_code == 0
    (position,) = (number for number, asked in enumerate(server.asked) if asked.fault)
    limited, retried = server.asked[position : position + 2]
    assert limited.texts == retried.texts
    assert least <= retried.at - limited.at < most
    assert space.last_run()[2]["server"]["rate_limited"] == 1
    space.check()
    finish(space)


@both
def test_a_batch_that_is_too_large_is_halved_until_it_is_not(protocol, served, server):
    space = served(protocol)
    server.misbehave("too_large", when=lambda texts: len(texts) > 2 and space.concerns_chunks(texts))
    assert space.embed(*SMALL).exit_code == 0
    assert len(space.stored()) == LIMIT
    assert not space.failures()
    space.check()
    # The size that failed is not tried again, but for the batches that were under way or cut by then.
    assert [asked.fault for asked in server.asked].count("too_large") <= 3
    finish(space)


# One text is why.


@pytest.mark.parametrize(
    ("protocol", "fault", "reason"),
    [("ollama", "server_error", "server_error"), ("openai", "bad_vector", "bad_vector")],
)
def test_the_text_that_is_why_is_quarantined_alone(protocol, served, server, fault, reason):
    space = served(protocol)
    space.project.environment["VECTOR_HTTP_TRIES"] = "1"
    bad = space.texts[5]
    options = {"of": bad, "value": math.nan} if fault == "bad_vector" else {}
    server.misbehave(fault, when=lambda texts: bad in texts, **options)
    done = space.embed(*SMALL)
    assert (done.exit_code, done.stderr) == (1, "")
    assert set(space.failures().values()) == {reason}
    (key,) = space.failures()
    assert space.project.query("select content from chunk where chunk_id = ?", key[0]) == [(bad,)]
    assert len(space.stored()) == LIMIT - 1
    assert bad not in server.paid
    space.check()

    asked = len(server.asked)
    assert space.embed(*SMALL).exit_code == 0, "what is quarantined rests"
    assert not any(bad in each.texts for each in server.asked[asked:])
    finish(space)


@both
def test_several_bad_texts_of_several_kinds(protocol, served, server):
    space = served(protocol)
    refused, broken, worthless, *_ = space.texts[1:]
    server.misbehave("poison", when=lambda texts: refused in texts)
    server.misbehave("server_error", when=lambda texts: broken in texts)
    server.misbehave("bad_vector", when=lambda texts: worthless in texts, of=worthless, value=math.nan)
    assert space.embed("--batch-size", 8).exit_code == 1
    assert sorted(space.failures().values()) == ["bad_vector", "refused", "server_error"]
    assert len(space.stored()) == len(space.texts) - 3
    space.check()
    finish(space)


# The server is why: no text is blamed, and what was answered before is stored.


@pytest.mark.parametrize(
    ("protocol", "fault", "message"),
    [("ollama", "poison", "HTTP 400: invalid input"), ("openai", "hang", "did not answer within 0.5 seconds")],
)
def test_a_server_that_breaks_down_ends_the_run(protocol, served, server, fault, message):
    space = served(protocol)
    space.project.environment |= {"VECTOR_HTTP_READ": "0.5", "VECTOR_HTTP_TOTAL": "0.8"}  # what hangs costs real time
    server.misbehave(fault, when=space.after(1))
    done = space.embed(*SMALL)
    assert done.exit_code == 3
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(space.stored()) == 4
    assert not space.failures()
    status, error, metrics = space.last_run()
    assert (status, metrics["written"]) == ("FAILED", 4)
    assert message in error
    space.check()
    finish(space)


@both
def test_no_server_at_all(protocol, served):
    space = served(protocol)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        there = dict(space.project.environment)
        space.project.environment |= {"OLLAMA_BASE_URL": url, "OPENAI_BASE_URL": url}
        done = space.embed()
    assert (done.exit_code, space.stored(), space.failures()) == (3, [], {})
    assert "cannot be reached" in done.stderr
    space.project.environment = there
    finish(space)


# The space is refused.


@both
@pytest.mark.parametrize("requests", [0, 1])
def test_a_vector_of_another_dimension_is_of_another_space(protocol, served, server, requests):
    space = served(protocol)
    server.misbehave("wrong_dimension", when=space.after(requests))
    done = space.embed(*SMALL)
    assert done.exit_code == 4
    assert "5 dimensions, the space has 8" in done.stderr
    assert len(space.stored()) == 4 * requests
    assert not space.failures()
    assert space.last_run()[0] == "FAILED"
    space.check()
    finish(space)


def test_a_gateway_that_falls_back_to_another_model(served, server):
    space = served("openai")
    server.misbehave("other_model", when=space.after(1))
    done = space.embed("--limit", LIMIT, "--batch-size", 4, "--concurrency", 1)
    assert done.exit_code == 4
    assert "'tiny-embed' first and as 'a-fallback' now" in done.stderr
    assert len(space.stored()) == 4
    space.check()
    finish(space)


# Orders


def test_openai_answers_in_any_order(served, server):
    space = served("openai")
    server.misbehave("shuffled")
    assert space.embed(*SMALL).exit_code == 0
    space.check()
    finish(space)


@pytest.mark.parametrize("fault", ["without_index", "same_index"])
def test_openai_keeps_an_order_that_the_canaries_have_proven(served, server, fault):
    space = served("openai")
    server.misbehave(fault)
    for limit in (4, LIMIT):  # the first run pins the space, the second compares with what is stored
        assert space.embed("--limit", limit, "--batch-size", 4, "--concurrency", 2).exit_code == 0
    space.check()
    finish(space)


@pytest.mark.parametrize(("fault", "told"), [("without_index", "no `index`"), ("same_index", "the same `index`")])
def test_openai_order_that_no_canary_has_proven_is_not_guessed_at(served, server, fault, told):
    """The server told the order of the canaries, and stops to tell it then."""
    space = served("openai")
    server.misbehave(fault, when=lambda texts: len(texts) > 1 and space.concerns_chunks(texts))
    done = space.embed(*SMALL)
    assert done.exit_code == 3
    assert f"answers several texts with {told}" in done.stderr
    assert (space.stored(), space.failures()) == ([], {})
    metrics = space.last_run()[2]
    sent = [text for asked in server.asked for text in asked.texts if asked.fault]
    assert metrics["unusable_texts"] == len(sent) <= 12
    assert metrics["unusable_tokens"] == sum(len(text.split()) for text in sent)
    space.check_vectors()


@both
@pytest.mark.parametrize("fault", ["short_count", "extra_count"])
def test_a_kind_of_reply_that_fails_for_every_batch_ends_the_run(protocol, served, server, fault):
    space = served(protocol)
    server.misbehave(fault, when=lambda texts: len(texts) > 1 and space.concerns_chunks(texts))
    done = space.embed("--batch-size", 4, "--concurrency", 1)
    assert done.exit_code == 3
    assert "4 batches in a row were answered with what cannot be used" in done.stderr
    sent = [text for asked in server.asked for text in asked.texts if asked.fault]
    assert len(sent) <= 4 * 4, "no batch was cut down to single texts"
    assert space.last_run()[2]["unusable_texts"] >= len(sent)
    space.check()
    finish(space)


@both
def test_a_batch_of_canaries_that_fails_ends_the_run_at_once(protocol, served, server):
    space = served(protocol)
    server.misbehave("short_count", when=lambda texts: len(texts) > 1)
    done = space.embed(*SMALL)
    assert done.exit_code == 3
    assert "4 texts with 3 vectors; they are canaries" in done.stderr
    assert [len(asked.texts) for asked in server.asked if asked.fault] == [4, 4]
    assert space.embed("--limit", LIMIT, "--batch-size", 1).exit_code == 0
    space.check()


# Limits of a batch


@both
@pytest.mark.parametrize(
    ("message", "refusals"),
    [
        ("batch size is invalid, it should not be larger than 3.", 2),
        ("the maximum batch size is exceeded", None),
        ("invalid input", None),
    ],
)
def test_a_limit_of_texts_is_learnt_once_and_kept(protocol, served, server, message, refusals):
    """The canaries are asked as a batch, too."""
    space = served(protocol)
    server.misbehave("poison", when=lambda texts: len(texts) > 3, message=message)
    assert space.embed("--limit", LIMIT, "--concurrency", 1).exit_code == 0
    assert not space.failures()
    space.check()
    first = [len(asked.texts) for asked in server.asked if asked.fault]
    assert len(first) <= (refusals or 12)
    assert len(first) == len(set(first)) or refusals is None
    known = space.last_run()[2]["max_batch_texts"]
    assert known == 3 if refusals else known in (2, 3)
    server.asked.clear()
    assert space.embed("--concurrency", 1).exit_code == 0
    assert not [asked for asked in server.asked if asked.fault], "the limit is known"
    assert space.last_run()[2]["max_batch_texts"] == known
    space.check()


# Replies of every form


REPLIES = st.fixed_dictionaries(
    {
        "order": st.sampled_from(["kept", "reversed"]),
        "index": st.sampled_from(["told", "shifted", "first left out", "none", "alike", "twice"]),
        "count": st.sampled_from([0, 0, 0, 1, -1, 5]),
        "tokens": st.sampled_from([None, None, ..., -5, 10**18, 10**400, 0, 1.5, True, "7", [3]]),
    }
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    protocol=st.sampled_from(["ollama", "openai"]),
    reply=REPLIES,
    when=st.sampled_from(["always", "of chunks", "once", "with one text"]),
    batch_size=st.sampled_from([1, 3, 5]),
    concurrency=st.sampled_from([1, 3]),
)
@example(
    protocol="openai",
    reply={"order": "kept", "index": "alike", "count": 0, "tokens": None},
    when="always",
    batch_size=5,
    concurrency=1,
)
@example(
    protocol="openai",
    reply={"order": "reversed", "index": "none", "count": 0, "tokens": ...},
    when="always",
    batch_size=5,
    concurrency=3,
)
def test_no_reply_loses_mixes_or_hides_anything(kept_small_project, protocol, reply, when, batch_size, concurrency):
    """No lost, mixed or doubled vector, and no cost untold, whatever the form of the replies; and then a clean run."""
    kept_small_project.reset()
    with MisbehavingServer() as server, kept_small_project.connect():
        space = ServedSpace(kept_small_project, server, protocol)
        bad = space.texts[5]
        meets = {
            "always": lambda texts: True,
            "of chunks": lambda texts: len(texts) > 1 and space.concerns_chunks(texts),
            "once": space.concerns_chunks,
            "with one text": lambda texts: bad in texts,
        }[when]
        server.misbehave("changed", 1 if when == "once" else None, when=meets, **reply)
        arguments = ("--limit", LIMIT, "--batch-size", batch_size, "--concurrency", concurrency)
        done = space.embed(*arguments)
        assert done.exit_code in (0, 1, 3), done
        assert bool(space.failures()) == (done.exit_code == 1)
        space.check_vectors()
        status, _, metrics = space.last_run()
        assert status == ("FAILED" if done.exit_code == 3 else "SUCCEEDED")
        check_bill(server, metrics)
        # What was stored is not sent again, however the server goes on.
        stored = {text for _, _, text, _ in space.stored()}
        server.behave()
        server.asked.clear()
        done = space.embed("--retry-failed")
        assert (done.exit_code, done.stderr) == (0, "")
        space.check_vectors()
        assert {text for _, _, text, _ in space.stored()} == set(space.texts)
        assert not stored & {text for asked in server.asked for text in asked.texts}


def check_bill(server, metrics):
    """What the run says it was paid is what the server was asked for with an answer, each text once for each time."""
    texts = [text for texts, _ in server.billed for text in texts]
    assert metrics["texts"] + metrics["canary_texts"] + metrics["unusable_texts"] >= len(texts)
    told = metrics["input_tokens"] + metrics["canary_tokens"] + metrics["unusable_tokens"]
    # An impossible count is as good as none; the estimate is never below the words that this model counts.
    assert told >= sum(len(text.split()) for text in texts)
    assert told <= sum(estimated_tokens(text) for text in texts) * 2
    if all(counted for _, counted in server.billed):
        assert told == sum(len(text.split()) for text in texts)


# In a process of its own


def test_the_exit_code_of_the_process(small_project, server):
    space = ServedSpace(small_project, server, "openai")
    bad = space.texts[5]
    server.misbehave("poison", when=lambda texts: bad in texts)
    for fault, arguments, exit_code, message in (
        (None, SMALL, 1, ""),
        ("unavailable", (), 3, "HTTP 503: no capacity"),
        ("wrong_dimension", (), 4, "5 dimensions, the space has 8"),
        (None, ("--retry-failed",), 0, ""),
    ):
        if fault:
            server.misbehave(fault)
        process = space.start(*arguments)
        _, stderr = process.communicate()
        assert process.returncode == exit_code
        assert message in stderr
        assert bool(message) == bool(stderr)
        assert len(space.stored()) == (len(space.texts) if exit_code == 0 else LIMIT - 1)
        space.check()
        server.behave()


@pytest.mark.parametrize("end", ["", "fatal"])
def test_a_model_replaced_during_a_run_leaves_nothing_of_the_new_one(served, server, end):
    space = served("ollama")
    asked = 0

    def replaced(texts):
        nonlocal asked
        asked += space.concerns_chunks(texts)
        if asked == 2:
            server.weights = 2
        return False

    server.misbehave("late", when=replaced, seconds=0)
    if end:
        server.misbehave("rate_limited", when=space.after(4), message="insufficient_quota")
    done = space.embed("--batch-size", 2, "--concurrency", 3)
    assert done.exit_code in ((3, 4) if end else (4,))
    server.weights = 1
    space.check_vectors()
    server.behave()
    assert space.embed().exit_code == 0
    space.check_vectors()

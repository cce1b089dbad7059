"""The embed command as operators see it: a run does what its plan said, limits hold, failures come due again."""

import json
import os
import time
from dataclasses import fields
from importlib.util import find_spec

import pytest
from misbehaving_server import MODEL, MisbehavingServer
from pages import text_of, write_pages
from support import HASH_SPACE, PROJECT_DIR, read_csv

from vector.commands import embed as embed_command
from vector.commands import embed_report
from vector.embedding.plan import EmbedOptions, EmbedPlan
from vector.embedding.writer import EmbedSummary
from vector.providers.hash import HashProvider
from vector.providers.openai import OpenAIProvider
from vector.spaces.canaries import CANARIES
from vector.wording import duration, money

SERVED = {**HASH_SPACE, "space_key": "served", "provider": "openai", "model_name": MODEL}


@pytest.fixture
def server(monkeypatch):
    """A model server that speaks OpenAI's protocol."""
    with MisbehavingServer() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{running.url}/v1")
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        yield running


def use(project, *spaces):
    """Makes these the spaces that are active, with the vectors that they have."""
    keys = {space["space_key"] for space in spaces}
    others = [{**row, "is_active": "false"} for row in project.rows("embedding_space_seed")]
    project.write_rows("embedding_space_seed", [*spaces, *(row for row in others if row["space_key"] not in keys)])
    project.refresh()


def plans(project, *arguments):
    return json.loads(project.embed("--plan", "--json", *arguments))["spaces"]


def runs(project, *arguments, exit_code=0):
    done = project.vector("embed", "--json", *arguments)
    assert done.exit_code == exit_code, done
    return json.loads(done.stdout)["spaces"]


def times_paid(server, project, prefix=""):
    """How often the server was paid for each text of a chunk."""
    contents = project.query("select distinct content from chunk where retired_utc is null")
    return [server.paid[prefix + content] for (content,) in contents]


def all_tokens(run):
    """What a run pays for: the check of the model, too."""
    return run["input_tokens"] + run.get("canary_tokens", 0)


def assert_same(plan, run):
    """The run did what the plan said, where no text was refused."""
    assert (run["planned"], run["written"], run["quarantined"]) == (plan["chunks"], plan["chunks"], 0)
    assert run["texts"] == plan["texts_to_embed"] == plan["texts"] - plan["texts_reused"]
    assert run["reused"] == plan["chunks_reused"] == plan["chunks"] - plan["texts_to_embed"]
    assert run["requests"] == plan["requests"]
    assert run["input_bytes"] == plan["input_bytes"]
    assert sum(plan["chunks_by_reason"].values()) == plan["chunks"]


# The plan is kept


@pytest.mark.parametrize("size", ["1", "7", "1000"])
@pytest.mark.long
def test_a_run_does_what_its_plan_said(project, server, size):
    use(project, HASH_SPACE, {**SERVED, "document_prefix": "passage: "})
    # The space `hash` has the text of `copied`, and neither has that of the twins.
    copied = json.loads(next(row for row in project.rows("page") if row["page_id"] == "apollo")["payload_json"])
    rows = project.rows("page")
    rows.append({"page_id": "copied", "payload_json": json.dumps(copied), "fetched_utc": "2026-01-01"})
    project.write_rows("page", rows)
    write_pages(project, twin="Ünï — the same words.", brother="Ünï — the same words.", alone="Other words.")
    planned = plans(project, "--batch-size", size)
    done = runs(project, "--batch-size", size)
    for plan, run in zip(planned, done, strict=True):
        assert_same(plan, run)
    of_hash, of_served = planned
    assert of_hash["texts_reused"] > 0
    assert of_hash["texts_to_embed"] == 2
    assert of_hash["chunks_reused"] > of_hash["texts_reused"], "the twin too"
    assert of_served["texts_reused"] == 0
    assert of_served["chunks_reused"] > 0
    assert done[1]["reused_tokens"] > 0
    assert set(times_paid(server, project, "passage: ")) == {1}
    assert [plan["chunks"] for plan in plans(project)] == [0, 0]


def test_a_plan_writes_and_sends_nothing(project, server):
    use(project, SERVED)
    before = project.contents()
    assert plans(project)[0]["chunks"] > 400
    assert project.contents() == before
    assert server.paths == []


def test_a_plan_with_a_limit_is_kept(project, server):
    use(project, SERVED)
    (plan,) = plans(project, "--limit", "23", "--batch-size", "5")
    assert plan["chunks"] == 23
    (run,) = runs(project, "--limit", "23", "--batch-size", "5")
    assert_same(plan, run)
    assert project.query("select count(*) from embedding where dimensions = 8 and run_id = ?", run["run_id"]) == [(23,)]


@pytest.mark.skipif(find_spec("onnxruntime") is None or find_spec("tokenizers") is None, reason="extra onnx missing")
def test_the_model_in_the_process_gets_as_many_tokens_as_planned(project):
    (minilm,) = read_csv(PROJECT_DIR / "seeds" / "embedding_space_seed.csv")
    use(project, {**minilm, "price_per_million_tokens": "2"})
    (plan,) = plans(project, "--limit", "30", "--batch-size", "8")
    (run,) = runs(project, "--limit", "30", "--batch-size", "8")
    assert_same(plan, run)
    assert plan["tokens_by"] == "tokenizer"
    assert (run["input_tokens"], run["tokens_counted"]) == (plan["tokens"], True)
    assert plan["cost"] == pytest.approx(plan["tokens"] * 2 / 1_000_000)
    assert run["cost"] == pytest.approx(all_tokens(run) * 2 / 1_000_000)


@pytest.mark.parametrize(("chunks", "sizes"), [(20, [5] * 4), (30, [5] * 6), (7, [4, 3]), (1, [1])])
@pytest.mark.long
def test_threads_of_this_process_get_batches_of_one_size(project, monkeypatch, chunks, sizes):
    asked = []

    def embed(provider, texts):
        if not set(texts) & set(CANARIES):
            asked.append(len(texts))
        return answered(provider, texts)

    answered = HashProvider.embed
    monkeypatch.setattr(HashProvider, "embed", embed)
    monkeypatch.setattr(HashProvider, "preferred_batch_size", 6)
    monkeypatch.setattr(HashProvider, "preferred_concurrency", 2)
    use(project, {**HASH_SPACE, "space_key": "other", "dimensions": "16"})
    (plan,) = plans(project, "--limit", str(chunks))
    (run,) = runs(project, "--limit", str(chunks))
    assert_same(plan, run)
    assert sorted(asked, reverse=True) == sizes


def test_a_server_gets_full_batches(project, server, monkeypatch):
    monkeypatch.setattr(OpenAIProvider, "preferred_batch_size", 6)
    monkeypatch.setattr(OpenAIProvider, "largest_batch_size", None)
    monkeypatch.setattr(OpenAIProvider, "preferred_concurrency", 2)
    use(project, SERVED)
    (plan,) = plans(project, "--limit", "20")
    (run,) = runs(project, "--limit", "20")
    assert_same(plan, run)
    chunks = [len(each.texts) for each in server.asked if not set(each.texts) & set(CANARIES)]
    assert sorted(chunks) == [2, 6, 6, 6]


def test_tokens_and_time_are_known_better_after_a_first_run(project, server):
    use(project, SERVED)
    (before,) = plans(project)
    assert (before["tokens_by"], before["seconds"]) == ("bytes", None)
    assert "not known before a first run" in project.embed("--plan")
    (run,) = runs(project, "--limit", "200")
    (after,) = plans(project)
    assert after["tokens_by"] == "earlier_runs"
    assert after["tokens"] == round(run["input_tokens"] / run["input_bytes"] * after["input_bytes"])
    ((metrics,),) = project.query("select metrics_json from run order by started_utc desc limit 1")
    seconds = run["seconds"] - json.loads(metrics)["canary_seconds"]
    assert after["seconds"] == pytest.approx(seconds / run["input_bytes"] * after["input_bytes"], rel=0.05)
    text = project.embed("--plan")
    assert f"about {after['tokens']:,} tokens (by the tokens a byte of earlier runs)" in text
    assert "at the rate of earlier runs" in text


# Why


@pytest.mark.long
def test_reasons(project):
    assert plans(project)[0]["chunks_by_reason"] == {}
    write_pages(project, one="Words of a page.")
    assert plans(project)[0]["chunks_by_reason"] == {"new": 1}
    project.embed()
    write_pages(project, one="Words of a book.", two="More words.")  # as long as before, so it is the same chunk
    (plan,) = plans(project)
    assert plan["chunks_by_reason"] == {"new": 1, "text_changed": 1}
    assert "why       1 new, 1 with a changed text" in project.embed("--plan")
    assert_same(plan, runs(project, "--batch-size", "128")[0])
    use(project, HASH_SPACE, {**HASH_SPACE, "space_key": "other", "dimensions": "4"})
    same, other = plans(project)
    assert same["chunks_by_reason"] == {}
    assert other["chunks_by_reason"] == {"space_new": other["chunks"]}
    text = project.embed("--plan")
    assert "hash: nothing to embed" in text
    assert f"other: {other['chunks']} chunks to embed" in text
    assert "in a space that has no vector yet" in text


@pytest.mark.long
def test_a_refused_text_waits_for_retry_failed(project, server):
    use(project, SERVED)
    project.embed()
    write_pages(project, bad="Words that are refused.", good="Words that are not.")
    bad = text_of(project, "page:bad")
    server.misbehave("poison", when=lambda texts: bad in texts)
    (run,) = runs(project, exit_code=1)
    assert (run["written"], run["quarantined"]) == (1, 1)
    assert "nothing to embed" in project.embed()
    (plan,) = plans(project, "--retry-failed")
    assert (plan["chunks"], plan["chunks_by_reason"]) == (1, {"failure_retried": 1})
    assert "1 quarantined, tried again" in project.embed("--plan", "--retry-failed")
    assert runs(project, "--retry-failed", exit_code=1)[0]["quarantined"] == 1
    assert project.query("select attempt_count, retry_after_utc from embedding_failure") == [(2, None)]
    server.behave()
    (run,) = runs(project, "--retry-failed", "--batch-size", "10")
    assert_same(plan, run)
    assert server.paid[bad] == 1
    assert plans(project, "--retry-failed")[0]["chunks"] == 0


@pytest.mark.long
def test_an_uncertain_failure_comes_due_again(project, server):
    use(project, SERVED)
    project.embed()
    write_pages(project, bad="Words that the server fails with.")
    bad = text_of(project, "page:bad")
    server.misbehave("server_error", when=lambda texts: bad in texts)
    runs(project, exit_code=1)
    ((reason, message, rests),) = project.query(
        "select reason, error_message, retry_after_utc - last_failed_utc > interval 59 minutes from embedding_failure"
    )
    assert (reason, "boom" in message, rests) == ("server_error", True, True)
    assert plans(project)[0]["chunks"] == 0
    with project.connect() as connection:
        connection.execute("update embedding_failure set retry_after_utc = '2000-01-01'")
    (plan,) = plans(project)
    assert plan["chunks_by_reason"] == {"failure_due": 1}
    assert "1 that failed before and are due again" in project.embed("--plan")
    server.behave()
    assert_same(plan, runs(project, "--batch-size", "10")[0])
    assert plans(project)[0]["chunks"] == 0


# Limits


@pytest.mark.long
def test_max_seconds_is_for_all_spaces_together(project, server, monkeypatch):
    later = {**SERVED, "space_key": "zz", "dimensions": "4"}
    use(project, SERVED, later)
    project.embed("--limit", "1")
    server.asked.clear()
    server.misbehave("late", seconds=0.25)
    started = time.monotonic()
    options = ["--batch-size", "4", "--concurrency", "1", "--max-seconds", "2"]
    first, second = runs(project, *options)
    assert time.monotonic() - started < 8
    assert first["stopped_by"] == "max_seconds"
    assert 0 < first["written"] < first["planned"]
    assert project.query("select count(*) from embedding where run_id = ?", first["run_id"]) == [(first["written"],)]
    assert (second["stopped_by"], second["written"], second["requests"]) == ("max_seconds", 0, 0)
    assert second["planned"] == first["planned"]
    assert len(server.asked) == first["requests"] + first["canary_requests"]
    text = project.embed(*options)
    assert "stopped by --max-seconds; " in text
    assert " chunks are left" in text
    server.behave()
    project.embed()
    assert set(times_paid(server, project)) == {2}, "once a space, and never again"


@pytest.mark.long
def test_max_cost_is_for_all_spaces_together(project, server):
    priced = {**SERVED, "price_per_million_tokens": "1000000"}  # 1 a token
    later = {**SERVED, "space_key": "zz", "dimensions": "4", "price_per_million_tokens": "500000"}
    use(project, priced, later)
    of_first, _ = plans(project)
    (first,) = runs(project, "--space", "served", "--max-cost", "3000", "--batch-size", "4")
    assert first["stopped_by"] == "max_cost"
    assert 0 < first["cost"] == all_tokens(first) <= 3000
    assert 0 < first["written"] < first["planned"]
    assert of_first["cost"] == of_first["tokens"]

    limit = 3 * of_first["cost"]  # more than enough for the rest of the first, whose estimate is three times too much
    text = project.embed("--plan", "--max-cost", "50")
    assert "--max-cost 50 would end the run before all is done" in text
    assert "in all: " in text
    first, second = runs(project, "--batch-size", "4", "--max-cost", str(limit))
    assert (first["stopped_by"], first["written"]) == (None, first["planned"])
    assert first["cost"] + second["cost"] <= limit
    assert second["cost"] == all_tokens(second) / 2
    with project.connect() as connection:
        connection.execute("delete from embedding")
    limit = 2.5 * second["cost"]  # the first space costs twice as much as the second
    first, second = runs(project, "--batch-size", "4", "--max-cost", str(limit))
    assert first["stopped_by"] is None
    assert second["stopped_by"] == "max_cost"
    assert first["cost"] + second["cost"] <= limit


@pytest.mark.long
def test_a_limit_of_cost_needs_a_price_where_somebody_may_be_paid(project, server):
    write_pages(project, one="Words of a page.")
    use(project, HASH_SPACE, SERVED)
    for arguments in (["--max-cost", "1"], ["--max-cost", "1", "--plan"]):
        done = project.vector("embed", "--space", "served", *arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "space served has no price_per_million_tokens" in done.stderr
        assert "seeds/embedding_space_seed.csv" in done.stderr
        assert done.stderr.count("\n") == 1
    assert plans(project, "--space", "hash", "--max-cost", "0")[0]["chunks"] == 1
    (run,) = runs(project, "--space", "hash", "--max-cost", "0")
    assert (run["written"], run["cost"]) == (1, None), "a model in the process costs nothing"
    use(project, HASH_SPACE, {**SERVED, "price_per_million_tokens": "0"})
    (run,) = runs(project, "--space", "served", "--max-cost", "0")
    assert run["cost"] == 0


# What the operator reads


def test_a_plan_in_words():
    plan = EmbedPlan(
        "minilm", chunks=1437, chunks_by_reason={"text_changed": 37, "new": 1400}, texts=1420, texts_reused=40,
        input_bytes=183_000, tokens=61_000, tokens_by="bytes", requests=44, cost=0.00122, seconds=4000,
    )  # fmt: skip
    assert embed_report.plans_text([plan], EmbedOptions()).splitlines() == [
        "minilm: 1,437 chunks to embed",
        "  why       1,400 new, 37 with a changed text",
        "  texts     1,420 distinct: 1,380 to send, 40 whose vector the space has already",
        "  reused    57 chunks without a call of the model",
        "  input     about 61,000 tokens (a token for three bytes), 183,000 bytes",
        "  requests  44, or fewer if larger batches prove faster",
        "  cost      about 0.0012, in the currency of the price",
        "  time      about 67 min, at the rate of earlier runs",
    ]
    text = embed_report.plans_text([plan], EmbedOptions(batch_size=32, max_seconds=3600))
    assert "  requests  44\n" in text
    assert text.endswith("--max-seconds 3600 would end the run before all is done")


def test_a_run_in_words():
    summary = EmbedSummary(
        "minilm", planned=100, written=80, reused=9, reused_tokens=1234, quarantined=1, texts=71, requests=3,
        input_tokens=9000, cost=1234.5, seconds=4, stopped_by="max_cost",
    )  # fmt: skip
    assert embed_report.summary_text(summary).splitlines() == [
        "minilm: 80 vectors written (9 reused), 1 quarantined (see `vector failures`) in 4.0 s, 20/s",
        "  sent 71 texts, 9,000 tokens, in 3 requests, cost 1,234.50",
        "  saved about 1,234 tokens by reuse",
        "  stopped by --max-cost; 19 chunks are left",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "under a second"), (1, "1 s"), (89, "89 s"), (90, "2 min"), (5000, "83 min"), (5400, "1 h 30 min"),
        (7200, "2 h"), (172_000, "47 h 47 min"), (172_800, "2 days"), (190_800, "2 days 5 h"),
    ],
)  # fmt: skip
def test_durations(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("amount", "words"),
    [(0, "0.00"), (0.00122, "0.0012"), (0.5, "0.50"), (0.0456, "0.046"), (1, "1.00"), (1234.5, "1,234.50")],
)
def test_amounts(amount, words):
    assert money(amount) == words


@pytest.mark.parametrize("kind", [EmbedPlan, EmbedSummary])
def test_help_documents_every_key(kind):
    words = set(embed_command.HELP.replace(",", " ").replace(";", " ").replace(".", " ").split())
    keys = {field.name for field in fields(kind)} | set(kind("x").to_dict())
    assert keys <= words


@pytest.mark.long
def test_another_process_is_told_who_has_the_database(project):
    with project.connect():
        process = project.start("embed")
        stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (2, "")
    assert f"is in use by process {os.getpid()}" in stderr
    assert stderr.count("\n") == 1


@pytest.mark.long
def test_verify_runs_the_guards_and_names_those_that_fail(project):
    use(project, HASH_SPACE)
    done = project.vector("embed", "--verify", "--json", "--quiet")
    assert done.exit_code == 0, done
    assert json.loads(done.stdout)["failed_guards"] == []
    with project.connect() as connection:
        connection.execute(
            "update chunk set content_sha256 = repeat('0', 64), retired_utc = null"
            " where chunk_id = (select min(chunk_id) from chunk)"
        )
    done = project.vector("embed", "--verify", "--json", "--quiet", "--limit", "1")
    assert done.exit_code == 5, done
    failed = json.loads(done.stdout)["failed_guards"]
    assert "sha256_matches_chunk_content_sha256__content" in failed
    assert "guard sha256_matches_chunk_content_sha256__content failed" in done.stderr
    assert project.vector("embed", "--verify", "--plan").exit_code == 2

"""A space keeps to the model that it was pinned to: what is noticed, what is told, and that nothing is written then."""

from __future__ import annotations

import json
import shutil
import time

import numpy as np
import pytest
from misbehaving_server import MODEL, MisbehavingServer

from vector.contracts.identity import compute_content_hash
from vector.providers.onnx_models import locate_model
from vector.spaces.canaries import CANARIES, compare

COUNT = len(CANARIES)

both = pytest.mark.parametrize("protocol", ["ollama", "openai"])


# Through the command, on a server


@pytest.fixture
def server():
    with MisbehavingServer() as running:
        yield running


@pytest.fixture
def served(project, server, monkeypatch):
    """Makes a space of the server's model, and embeds into it by the command."""
    monkeypatch.setenv("OLLAMA_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("VECTOR_HTTP_TRIES", "1")
    return lambda protocol="ollama", **attributes: Served(project, server, protocol, attributes)


class Served:
    def __init__(self, project, server, protocol, attributes):
        self.project, self.server = project, server
        with project.store() as store:
            self.space = store.get_or_create_embedding_space(protocol, MODEL, 8, **attributes)

    def embed(self, *arguments):
        """The command, on a few chunks."""
        return self.project.vector("embed", "--space", self.space.space_key, "--limit", "20", "--json", *arguments)

    def rows(self):
        """What is stored of the space: canaries and embeddings."""
        of_space = f"where embedding_space_id = '{self.space.embedding_space_id}' order by all"
        return [self.project.query(f"select * from {name} {of_space}") for name in ("embedding_canary", "embedding")]

    def counts(self):
        return [len(rows) for rows in self.rows()]

    def metrics(self):
        """Of the last run."""
        ((metrics,),) = self.project.query(
            "select metrics_json from run where embedding_space_id = ? order by started_utc desc limit 1",
            self.space.embedding_space_id,
        )
        return json.loads(metrics)


def sizes_of(asked):
    return [len(each.texts) for each in asked]


@both
@pytest.mark.long
def test_the_first_run_pins_and_the_second_asks_once(served, server, protocol):
    space = served(protocol, preprocess_policy={"document_prefix": "passage: ", "query_prefix": "query: "})
    done = space.embed()
    assert (done.exit_code, space.counts()) == (0, [COUNT, 20])
    # Before any chunk: every text alone, then all of them together, as a document of the space.
    assert sizes_of(server.asked[: COUNT + 1]) == [1] * COUNT + [COUNT]
    inputs = [f"passage: {text}" for text in CANARIES]
    assert [each.texts for each in server.asked[:COUNT]] == [[text] for text in inputs]
    assert server.asked[COUNT].texts == inputs
    assert not any(text in inputs for each in server.asked[COUNT + 1 :] for text in each.texts)

    digest = f"sha256:{server.digest}" if protocol == "ollama" else None
    with space.project.store() as store:
        canaries = store.list_embedding_canaries(space.space.embedding_space_id)
        runs = store.list_runs()
    assert [canary.canary_index for canary in canaries] == list(range(COUNT))
    assert [canary.canary_sha256 for canary in canaries] == [compute_content_hash(text) for text in CANARIES]
    assert np.allclose([canary.vector for canary in canaries], [server.vector(text) for text in inputs], atol=1e-6)
    assert {canary.model_digest for canary in canaries} == {digest}
    assert {canary.runtime for canary in canaries} == {"ollama 0.12.6" if protocol == "ollama" else "openai"}
    assert {canary.run_id for canary in canaries} == {runs[-1].run_id}
    metrics = space.metrics()
    assert (metrics["canary_texts"], metrics["canary_requests"]) == (2 * COUNT, COUNT + 1)
    assert metrics["canary_tokens"] == 2 * sum(len(text.split()) for text in inputs)
    assert metrics["texts"] == 20, "those of the chunks alone"

    before, asked = space.rows()[0], len(server.asked)
    server.version = "0.99.0"  # a runtime upgrade that leaves the vectors alike
    done = space.embed()
    assert (done.exit_code, space.counts()) == (0, [COUNT, 40])
    assert server.asked[asked].texts == inputs
    assert space.rows()[0] == before
    metrics = space.metrics()
    assert (metrics["canary_texts"], metrics["canary_requests"]) == (COUNT, 1)
    assert metrics["canary_lowest_cosine"] == 1
    assert space.project.test("--select", "embedding_canary", "one_model_fills_a_space").success


def test_an_idle_run_asks_the_model_nothing(served, server):
    space = served()
    assert space.embed("--limit", "1000").exit_code == 0
    asked = len(server.asked)
    assert space.embed("--limit", "1000").exit_code == 0
    assert len(server.asked) == asked


@both
def test_other_weights_under_the_same_digest_are_refused(served, server, protocol):
    """OpenAI's protocol has no digests at all."""
    server.told_digest = "d" * 64
    space = served(protocol)
    space.embed()
    before, asked = space.rows(), len(server.asked)
    server.weights, server.version = 2, "0.99.0"
    done = space.embed()
    assert done.exit_code == 4
    assert space.rows() == before
    assert [each.texts for each in server.asked[asked:]] == [list(CANARIES)]

    told = compare(*(np.array([vector_of(server, text, weights) for text in CANARIES]) for weights in (1, 2)))
    assert space.space.space_key in done.stderr
    digest = f"sha256:{'d' * 64}" if protocol == "ollama" else "unknown"
    assert f"its digest was {digest}, and that of the one now is {digest}" in done.stderr
    assert ("ran on ollama 0.12.6, now on ollama 0.99.0" in done.stderr) == (protocol == "ollama")
    assert f"{told.lowest_cosine:.6f} at the lowest and {told.mean_cosine:.6f} on average" in done.stderr
    assert "restore that model, or add a new space, with another space_key, to seeds/embedding_space" in done.stderr

    server.weights = 1
    assert space.embed().exit_code == 0
    assert space.counts() == [COUNT, 40]


def vector_of(server, text, weights):
    kept, server.weights = server.weights, weights
    try:
        return server.vector(text)
    finally:
        server.weights = kept


@pytest.mark.parametrize("weights", [1, 2], ids=["alike", "others"])
def test_another_digest_is_refused(served, server, weights):
    server.told_digest = "a" * 64
    space = served()
    space.embed()
    before, asked = space.rows(), len(server.asked)
    server.told_digest, server.weights = "b" * 64, weights
    done = space.embed()
    assert done.exit_code == 4
    assert f"was sha256:{'a' * 64}, and that of the one now is sha256:{'b' * 64}" in done.stderr
    assert ("1.000000 at the lowest and 1.000000 on average" in done.stderr) == (weights == 1)
    assert "at the lowest and" in done.stderr
    assert space.rows() == before
    assert [each.texts for each in server.asked[asked:]] == [list(CANARIES)]
    # A search goes by the digest alone, and pays nothing.
    asked = len(server.asked)
    done = space.project.vector("search", "anything", "--space", space.space.space_key)
    assert (done.exit_code, len(server.asked)) == (4, asked)
    assert f"sha256:{'a' * 64}" in done.stderr


def test_another_digest_is_refused_also_when_the_model_does_not_answer(served, server):
    server.told_digest = "a" * 64
    space = served()
    space.embed()
    server.told_digest = "b" * 64
    server.misbehave("poison")
    done = space.embed()
    assert done.exit_code == 4
    assert f"sha256:{'b' * 64}" in done.stderr
    assert "cosine" not in done.stderr


def test_a_space_is_pinned_though_nothing_was_embedded(served, server):
    """The first run failed right after; the next one finds another model."""
    server.misbehave("poison", message="unauthorized", status=401, when=lambda texts: texts[0] not in CANARIES)
    space = served()
    assert space.embed().exit_code == 3
    assert space.counts() == [COUNT, 0]
    server.behave()
    server.weights = 2
    assert space.embed().exit_code == 4
    assert space.counts() == [COUNT, 0]
    assert space.project.vector("search", "anything", "--space", space.space.space_key).exit_code == 4


# Batches in another order


def several(texts):
    return len(texts) > 1


def test_a_shuffled_batch_is_noticed_before_anything_is_stored(served, server):
    space = served()
    server.misbehave("shuffled", when=several)
    done = space.embed()
    assert (done.exit_code, space.counts()) == (3, [0, 0])
    assert "answers a batch in another order than its texts" in done.stderr
    assert "--batch-size 1" in done.stderr
    assert max(sizes_of(server.asked[:-1])) == 1
    # What the message advises works.
    done = space.embed("--batch-size", "1")
    assert (done.exit_code, space.counts()) == (0, [COUNT, 20])
    done = space.embed()
    assert (done.exit_code, space.counts()) == (3, [COUNT, 20])
    assert "in another order" in done.stderr


def test_a_server_that_takes_few_texts_is_asked_for_fewer(served, server):
    server.misbehave("too_large", when=lambda texts: len(texts) > 5)
    space = served()
    assert space.embed("--batch-size", "5").exit_code == 0
    assert space.counts() == [COUNT, 20]
    asked = len(server.asked)
    space.embed()
    assert sizes_of(server.asked[asked : asked + 6]) == [16, 8, 4, 4, 4, 4]
    assert space.metrics()["canary_requests"] == 6


# Canaries that are refused


def test_a_refused_canary_says_that_the_model_cannot_be_told(served, server):
    server.misbehave("poison", when=lambda texts: CANARIES[3] in texts, message="filtered")
    space = served()
    done = space.embed()
    assert (done.exit_code, space.counts()) == (3, [0, 0])
    assert f"refuses a canary text, {CANARIES[3][:30]!r}" in done.stderr
    assert "filtered" in done.stderr
    server.behave()
    assert space.embed().exit_code == 0
    server.misbehave("poison", when=lambda texts: CANARIES[3] in texts, message="filtered")
    assert (space.embed().exit_code, space.counts()) == (3, [COUNT, 20])


def test_a_space_of_short_texts_is_pinned_to_the_short_canaries(served, server):
    server.context_length = 40  # in words
    space = served()
    assert space.embed().exit_code in (0, 1)
    pinned = [row[0] for row in space.project.query(
        "select canary_index from embedding_canary where embedding_space_id = ? order by 1",
        space.space.embedding_space_id,
    )]  # fmt: skip
    assert pinned == [index for index, text in enumerate(CANARIES) if len(text.split()) <= 40]
    asked = len(server.asked)
    assert space.embed().exit_code in (0, 1)
    assert server.asked[asked].texts == [CANARIES[index] for index in pinned]


def test_a_space_that_reads_next_to_nothing_is_not_pinned(served, server):
    server.context_length = 5
    space = served()
    done = space.embed()
    assert (done.exit_code, space.counts()) == (3, [0, 0])
    assert "canary texts as too long" in done.stderr


# Models in this process


def test_vectors_without_canaries_are_pinned_by_the_next_run(project):
    """An installation of before the ledger."""
    with project.connect() as connection:
        connection.execute("delete from embedding_canary")
        connection.execute("delete from embedding where chunk_id in (select chunk_id from chunk limit 7)")
    project.embed()
    assert project.query("select count(*), count(run_id) from embedding_canary") == [(COUNT, COUNT)]


@pytest.mark.long
def test_a_tokenizer_that_was_swapped_is_noticed(project, tmp_path):
    """The digest of an onnx folder is that of its .onnx file."""
    pytest.importorskip("onnxruntime")
    project.environment["VECTOR_ONNX_HOME"] = str(tmp_path.parent)
    files = locate_model("all-MiniLM-L6-v2")
    tokenizer = files.tokenizer
    (tmp_path / "model.onnx").symlink_to(files.weights)
    shutil.copy(tokenizer, tmp_path / "tokenizer.json")
    with project.store() as store:
        key = store.get_or_create_embedding_space("onnx", tmp_path.name, 384).space_key
    embed = ("embed", "--quiet", "--space", key, "--limit", "4")
    assert project.vector(*embed).exit_code == 0
    assert project.vector(*embed).exit_code == 0
    before = project.contents("job", "run")

    settings = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    settings["normalizer"]["lowercase"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings), encoding="utf-8")
    done = project.vector(*embed)
    assert done.exit_code == 4
    assert done.stderr.count("sha256:8199be6f") == 2, "the digest is what it was"
    assert project.contents("job", "run") == before
    shutil.copy(tokenizer, tmp_path / "tokenizer.json")
    assert project.vector(*embed).exit_code == 0


def test_a_model_that_is_swapped_while_it_is_asked_is_not_pinned(served, server):
    def swap(texts):
        if several(texts):
            server.told_digest = "b" * 64  # the weights are swapped a moment later

    server.misbehave("poison", when=swap)
    space = served()
    done = space.embed()
    assert (done.exit_code, space.counts()) == (4, [0, 0])
    assert "the model was replaced while it was used" in done.stderr


# Crashes


def killed_when(space, reached):
    """Starts the command, and kills it when the server has been asked for what `reached` is true of."""
    process = space.project.start("embed", "--space", space.space.space_key, "--limit", "20")
    deadline = time.monotonic() + 60
    while not any(reached(each.texts) for each in space.server.asked):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.communicate()


@pytest.mark.long
def test_killed_between_pinning_and_embedding(served, server):
    space = served()
    server.misbehave("hang", when=lambda texts: texts[0] not in CANARIES)
    killed_when(space, lambda texts: texts[0] not in CANARIES)
    assert space.counts() == [COUNT, 0]
    before = space.rows()[0]
    server.behave()
    asked = len(server.asked)
    assert space.embed().exit_code == 0
    assert space.counts() == [COUNT, 20]
    assert space.rows()[0] == before
    assert server.asked[asked].texts == list(CANARIES), "it was pinned, and is only checked"


@pytest.mark.parametrize("at", [7, None], ids=["alone", "together"])
@pytest.mark.long
def test_killed_while_pinning(served, server, at):
    def reached(texts):
        return several(texts) if at is None else texts == [CANARIES[at]]

    space = served()
    server.misbehave("hang", when=reached)
    killed_when(space, reached)
    assert space.counts() == [0, 0]
    server.behave()
    assert space.embed().exit_code == 0
    assert space.counts() == [COUNT, 20]


def test_canaries_are_part_of_what_may_be_spent(served, server):
    space = served(price_per_million_tokens=100.0)
    done = space.embed("--max-cost", "0")
    assert (done.exit_code, space.counts(), server.asked) == (0, [0, 0], [])
    assert json.loads(done.stdout)["spaces"][0]["stopped_by"] == "max_cost"
    (summary,) = json.loads(space.embed("--quiet").stdout)["spaces"]
    assert summary["cost"] == pytest.approx((summary["input_tokens"] + summary["canary_tokens"]) * 100 / 1e6)
    asked = len(server.asked)
    assert space.embed("--max-cost", "0").exit_code == 0
    assert len(server.asked) == asked


@pytest.mark.parametrize("policy", [{"max_tokens": 5}, {"truncation": "end"}])
@pytest.mark.parametrize("protocol", ["ollama", "openai"])
def test_a_limit_that_only_the_server_could_keep_is_refused(served, server, protocol, policy):
    done = served(protocol, preprocess_policy=policy).embed("--quiet")
    assert done.exit_code == 2
    assert "has neither max_tokens nor truncation" in done.stderr
    assert server.asked == []

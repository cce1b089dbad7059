"""`vector spaces`: what the spaces cover, and a server's models as rows of the seed."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import llama_server
import pytest
from misbehaving_server import MODEL, MisbehavingServer
from support import HASH_SPACE, PROJECT_DIR

from vector.providers import DiscoveredModel
from vector.spaces.seed import SpaceSeed

SEED = "seeds/embedding_space_seed.csv"


@pytest.fixture(params=["ollama", "openai"])
def served(request, monkeypatch):
    """A server, and the provider that asks it."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with MisbehavingServer() as server:
        monkeypatch.setenv("OLLAMA_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        yield server, request.param


def seed_lines(stdout):
    """The rows that discover printed: those with as many fields as the seed has columns."""
    columns = len(SpaceSeed.read(PROJECT_DIR).columns)
    return [line for line in stdout.splitlines() if len(next(csv.reader([line]), [])) == columns]


def append(project, lines):
    """Does what discover says: appends the rows to the seed."""
    seed = (project.folder / SEED).read_text(encoding="utf-8")
    project.edit(SEED, seed, seed + "".join(f"{line}\n" for line in lines))


def test_list_shows_coverage(project):
    rest = {**HASH_SPACE, "space_key": "rest", "dimensions": "4", "is_active": "false"}
    project.write_rows("embedding_space_seed", [HASH_SPACE, rest])
    project.refresh()
    with project.connect() as connection:
        connection.execute("delete from embedding where chunk_id in (select chunk_id from chunk order by 1 limit 10)")
        connection.execute(
            "insert into embedding_failure by name select uuid() as embedding_failure_id, chunk_id, embedding_space_id,"
            " input_content_sha256, 'too_long' as reason, 'x' as error_message, 1 as attempt_count,"
            " now() as created_utc, now() as last_failed_utc from embedding_pending order by chunk_id limit 3"
        )
    ((chunks,),) = project.query("select count(*) from chunk where retired_utc is null")
    rows = json.loads(project.vector("spaces", "list", "--json").stdout)["rows"]
    assert json.loads(project.vector("spaces", "--json").stdout)["rows"] == rows
    assert json.loads(project.vector("spaces", "--json", "list").stdout)["rows"] == rows
    counts = [
        [row[name] for name in ("space_key", "is_active", "chunks", "current", "pending", "quarantined", "percent")]
        for row in rows
    ]
    assert counts == [
        ["hash", True, chunks, chunks - 10, 7, 3, round(100 * (chunks - 10) / chunks, 2)],
        ["rest", False, chunks, 0, chunks, 0, 0],
    ]
    heading, first, second = project.vector("spaces").stdout.splitlines()
    columns = "space status provider model dimensions active chunks current pending quarantined percent".split()
    assert heading.split() == columns
    assert first.split()[:10] == ["hash", "draft", "hash", "hash", "8", "yes", str(chunks), str(chunks - 10), "7", "3"]
    assert second.split()[5] == "no"


def test_list_before_there_are_chunks(project):
    with project.connect() as connection:
        connection.execute("update chunk set retired_utc = now()")
    (row,) = json.loads(project.vector("spaces", "--json").stdout)["rows"]
    assert (row["chunks"], row["current"], row["percent"]) == (0, 0, None)
    assert project.vector("spaces").exit_code == 0


@pytest.mark.long
def test_discovered_rows_make_a_space_that_embeds(project, served):
    server, provider = served
    done = project.vector("spaces", "discover", "--provider", provider)
    assert (done.exit_code, done.stderr) == (0, "")
    (line,) = seed_lines(done.stdout)
    append(project, [line])
    row = project.rows("embedding_space_seed")[-1]
    assert (row["provider"], row["model_name"], row["dimensions"]) == (provider, MODEL, "8")
    assert row["model_digest"] == (f"sha256:{server.digest}" if provider == "ollama" else "")
    assert (row["normalize_flag"], row["distance_metric"], row["is_active"]) == ("true", "cosine", "true")
    project.refresh()
    assert "vectors written" in project.embed("--space", row["space_key"], "--limit", "20")
    assert project.query(
        "select count(*) from embedding join embedding_space using (embedding_space_id) where space_key = ?",
        row["space_key"],
    ) == [(20,)]
    assert project.vector("search", "a question", "--space", row["space_key"]).exit_code == 0

    again = project.vector("spaces", "discover", "--provider", provider)
    assert seed_lines(again.stdout) == []
    assert f"is space {row['space_key']} of the seed already" in again.stdout


def test_a_model_of_other_weights_is_another_space(project, served):
    server, provider = served
    append(project, seed_lines(project.vector("spaces", "discover", "--provider", provider).stdout))
    server.weights = 2
    (model,) = json.loads(project.vector("spaces", "discover", "--provider", provider, "--json").stdout)["models"]
    if provider == "openai":  # which knows no digest
        assert model["seed_row"] is None
    else:
        assert model["space_key"] == "tiny-embed-2"
        assert f"sha256:{server.digest}" in model["seed_row"]


def test_json_of_discover(project, served):
    server, provider = served
    (model,) = json.loads(project.vector("spaces", "discover", "--provider", provider, "--json").stdout)["models"]
    (line,) = seed_lines(project.vector("spaces", "discover", "--provider", provider).stdout)
    assert model == {
        "provider": provider, "model_name": MODEL, "model_tag": "latest" if provider == "ollama" else None,
        "dimensions": 8, "model_digest": f"sha256:{server.digest}" if provider == "ollama" else None,
        "context_length": 512, "pooling": "mean" if provider == "ollama" else None, "problem": None,
        "document_prefix": None, "query_prefix": None, "space_key": "tiny-embed", "seed_row": line,
    }  # fmt: skip


def test_a_model_that_cannot_be_measured_has_its_problem_and_no_row(project, served):
    server, provider = served
    server.misbehave("server_error", message="out of memory")
    done = project.vector("spaces", "discover", "--provider", provider)
    assert done.exit_code == 3
    assert "out of memory" in done.stdout
    assert seed_lines(done.stdout) == []
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_server_that_is_not_there(project, monkeypatch):
    monkeypatch.setenv("OLLAMA_BASE_URL", "http://127.0.0.1:9")
    done = project.vector("spaces", "discover", "--provider", "ollama")
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.startswith("error: ")
    assert "OLLAMA_BASE_URL" in done.stderr


def test_a_server_that_refuses_shows_no_secret(project, monkeypatch):
    with MisbehavingServer(secret="right") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "s3cret-key")
        done = project.vector("spaces", "discover", "--provider", "openai")
    assert done.exit_code == 3
    assert "OPENAI_API_KEY" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize("provider", ["hash", "onnx", "no such"])
def test_a_provider_without_a_server(project, provider):
    done = project.vector("spaces", "discover", "--provider", provider)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")


@pytest.mark.skipif(bool(llama_server.missing()), reason=f"not installed: {llama_server.missing()}")
@pytest.mark.long
def test_discovered_on_a_real_server_built_embedded_and_found(project, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    command = [sys.executable, str(Path(llama_server.__file__)), str(tmp_path / "minilm.gguf")]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):  # fmt: skip
        monkeypatch.setenv("OPENAI_BASE_URL", f"{process.stdout.readline().strip()}/v1")
        done = project.vector("spaces", "discover", "--provider", "openai")
        assert done.exit_code == 0, done
        (line,) = seed_lines(done.stdout)
        append(project, [line])
        row = project.rows("embedding_space_seed")[-1]
        assert (row["model_name"], row["dimensions"]) == (llama_server.MODEL, "384")
        project.refresh()
        assert project.vector("embed", "--space", row["space_key"], "--limit", "20").exit_code == 0
        ((content,),) = project.query(
            "select content from chunk join embedding_current using (chunk_id) where dimensions = 384 limit 1"
        )
        found = project.vector("search", content, "--space", row["space_key"], "--top-k", "1", "--json")
        assert json.loads(found.stdout)["hits"][0]["content"] == content
        process.stdin.close()


# The rows


def discovered(name, tag=None, digest=None, dimensions=8):
    return DiscoveredModel("ollama", name, tag, dimensions, digest)


def proposed(seed, *model, **more):
    key, line = seed.propose(discovered(*model, **more))
    return key, dict(zip(seed.columns, next(csv.reader([line])), strict=True))


def test_keys_of_proposed_rows_are_plain_and_free():
    seed = SpaceSeed(Path("seed.csv"), ["space_key", "model_name"], [{"space_key": "bge"}])
    names = [("nomic-embed-text", "v1.5"), ("hf.co/org/BGE_small", "latest"), ("bge",), ("bge",), ("日本",)]
    assert [proposed(seed, *name)[0] for name in names] == [
        "nomic-embed-text-v1-5",
        "bge-small",
        "bge-2",
        "bge-3",
        "space",
    ]


def test_rows_keep_the_columns_of_the_file_and_are_quoted():
    seed = SpaceSeed(Path("seed.csv"), ["is_active", "owner", "model_name", "space_key", "dimensions"], [])
    _, line = seed.propose(discovered('odd, "name"', dimensions=384))
    assert line == 'true,,"odd, ""name""",odd-name,384'


def test_models_that_the_seed_has():
    def key(model, **row):
        columns = {"space_key": "known", "provider": "ollama", "dimensions": "8", "model_tag": "", "model_digest": ""}
        return SpaceSeed(Path("seed.csv"), [], [{**columns, **row}]).key_of(model)

    model = discovered("m", "latest", "sha256:a")
    assert key(model, model_name="m") == "known"
    assert key(model, model_name="m", model_tag="latest") == "known"
    assert key(model, model_name="m:latest", model_digest="sha256:a") == "known"
    assert key(model, model_name="m", model_digest="sha256:b") is None
    assert key(model, model_name="m", dimensions="4") is None
    assert key(model, model_name="m", model_tag="v2") is None
    assert key(model, model_name="m", provider="openai") is None


@pytest.mark.parametrize("part", ["model_name", "model_tag", "model_digest"])
@pytest.mark.parametrize("odd", ["\n", "\r\n", "\x85", "\u2028", "\x1b[2K", "\u202e", "\u200b", "\U000e0041"])
@pytest.mark.long
def test_a_name_that_could_pass_for_a_row_gets_none(project, monkeypatch, part, odd):
    forged = f"tiny{odd}evil,ollama,evil,,,8,true,cosine,,,,none,,,evil,true,"
    good = DiscoveredModel("ollama", "good", "v1", 8)
    bad = replace(good, **{"model_name": "bad", part: forged})
    monkeypatch.setattr("vector.commands.spaces.discover_models", lambda provider: [bad, good])
    done = project.vector("spaces", "discover", "--provider", "ollama")
    assert done.exit_code == 0
    _, rows = done.stdout.split("Rows to append")
    assert [line.split(",")[2] for line in seed_lines(rows)] == ["good"]
    assert not any(line.startswith("evil") for line in done.stdout.splitlines())
    first, second = json.loads(project.vector("spaces", "discover", "--provider", "ollama", "--json").stdout)["models"]
    assert (first["seed_row"], first["dimensions"]) == (None, None)
    assert "line break" in first["problem"]
    assert second["seed_row"]


@pytest.mark.parametrize("name", ["", "m" * 201, "m" * 100_000])
def test_a_name_that_no_ledger_holds_gets_no_row(project, monkeypatch, name):
    models = [DiscoveredModel("ollama", name, None, 8), DiscoveredModel("ollama", "good", "v1", 8)]
    monkeypatch.setattr("vector.commands.spaces.discover_models", lambda provider: models)
    done = project.vector("spaces", "discover", "--provider", "ollama")
    assert max(map(len, done.stdout.splitlines())) < 500
    first, second = json.loads(project.vector("spaces", "discover", "--provider", "ollama", "--json").stdout)["models"]
    assert (first["seed_row"], "longer than the ledger holds" in first["problem"]) == (None, True)
    assert second["seed_row"]

"""The whole chain, `dbt build` and `embed` in turn: what it writes, what it leaves alone, and what a crash costs."""

import json
import re
import time
from signal import SIGINT, SIGTERM

import pytest
from support import PROJECT_DIR, ScratchProject, posix_only, read_csv

from vector.errors import ProviderError
from vector.providers.hash import HashProvider
from vector.spaces.canaries import CANARIES

pytestmark = pytest.mark.long


@pytest.fixture
def pages(project: ScratchProject) -> dict[str, dict]:
    """The payloads of the pages by id; write them back with `publish`."""
    return {row["page_id"]: json.loads(row["payload_json"]) for row in project.rows("page")}


def publish(project, pages, *others):
    """Writes the pages, fetched when they were before."""
    fetched = {row["page_id"]: row["fetched_utc"] for row in project.rows("page")}
    project.write_rows(
        "page",
        [
            {"page_id": page_id, "payload_json": json.dumps(payload), "fetched_utc": fetched.get(page_id, "2026-01-01")}
            for page_id, payload in pages.items()
        ],
    )
    project.refresh(*others)


def article(title, text):
    return {"title": title, "lang": "en", "tags": ["test"], "body": {"format": "plain", "text": text}}


def texts(project, source_id):
    """The current chunks of a source: hash of the content by chunk id."""
    return dict(
        project.query(
            "select chunk_id, content_sha256 from chunk where source_id = ? and retired_utc is null", source_id
        )
    )


def embedded(project):
    """Chunk and input hash of every vector."""
    return set(project.query("select chunk_id, input_content_sha256 from embedding"))


def best_hit(project, source_id):
    """The source that is found for the exact text of a source's first chunk, current or not."""
    ((content,),) = project.query(
        "select content from chunk_catalog where source_id = ? order by chunk_index limit 1", source_id
    )
    done = project.vector("search", content, "--top-k", "1", "--json")
    return json.loads(done.stdout)["hits"][0]["source_id"]


def test_only_what_changed_is_embedded(project, pages):
    before, vectors = texts(project, "page:apollo"), embedded(project)
    assert best_hit(project, "page:ceres") == "page:ceres"
    ceres = pages.pop("ceres")
    body = pages["apollo"]["body"]
    assert body["text"].count("John Houbolt") == 1
    body["text"] = body["text"].replace("John Houbolt", "Jane Houbolt")  # as long as before, so no window moves
    pages["phobos"] = article("Phobos", "Phobos is the larger moon of Mars. " * 35)
    publish(project, pages)

    after = texts(project, "page:apollo")
    changed = {pair for pair in after.items() if pair not in before.items()}
    assert before.keys() == after.keys()
    assert 1 <= len(changed) <= 2, "the windows that overlap the name"
    new = set(texts(project, "page:phobos").items())
    assert len(new) == 3
    summary = json.loads(project.embed("--json"))["spaces"][0]
    assert embedded(project) - vectors == changed | new
    assert embedded(project) > vectors, "the vectors of earlier texts stay"
    assert summary["written"] == len(changed | new)

    # The deleted one is no longer found; what was found of it once can still be read.
    assert texts(project, "page:ceres") == {}
    assert best_hit(project, "page:ceres") != "page:ceres"
    assert project.query("select retired_utc is null from source_registry where source_id = 'page:ceres'") == [(False,)]
    ((content, status),) = project.query(
        "select content_then, chunk_status_now from retrieval_audit where source_id = 'page:ceres' and score > 0.999"
    )
    assert content.startswith("Ceres")
    assert status == "retired"

    # It returns with the vectors that it had.
    pages["ceres"] = ceres
    publish(project, pages)
    assert "nothing to embed" in project.embed()
    assert best_hit(project, "page:ceres") == "page:ceres"
    assert project.test().success


def test_a_replay_connects_what_an_edit_cut_elsewhere(project, pages):
    """A longer name moves every offset after it: chunks are retired and made; the mart says that the source did it."""
    text = project.query("select content from chunk where source_id = 'page:apollo' and content like '%Houbolt%'")[0][0]
    asked = json.loads(project.vector("search", text, "--top-k", "500", "--json").stdout)
    body = pages["apollo"]["body"]
    body["text"] = body["text"].replace("John Houbolt", "the engineer John Houbolt")
    pages.pop("ceres")
    publish(project, pages)
    project.embed()

    (found,) = json.loads(project.vector("replay", asked["retrieval_id"], "--json").stdout)["replays"]
    changed = {
        (change["source_id"], change["change"]) for change in found["changes"] if change["change"] in ("gone", "new")
    }
    assert {each for each in changed if each[0] in ("page:apollo", "page:ceres")} == {
        ("page:apollo", "gone"), ("page:apollo", "new"), ("page:ceres", "gone"),
    }  # fmt: skip
    assert set(
        project.query(
            "select source_id, chunk_status_now from retrieval_audit where retrieval_id = ?"
            " and source_id in ('page:apollo', 'page:ceres') and chunk_status_now not in ('current', 'text_changed')",
            asked["retrieval_id"],
        )
    ) == {("page:apollo", "source_text_changed"), ("page:ceres", "retired")}


def test_a_build_drops_the_views_that_an_earlier_version_had(project):
    """A table of the same name was made by somebody, and stays."""
    with project.connect() as connection:
        connection.execute("create view space_drift as select 1 as one; create table near_duplicate_chunk (one int)")
    project.build("--select", "search_setting")
    assert project.query(
        "select table_name from information_schema.tables where table_name in ('space_drift', 'near_duplicate_chunk',"
        " 'search_setting') order by 1"
    ) == [("near_duplicate_chunk",), ("search_setting",)]


def test_a_ledger_gets_the_column_that_its_contract_gets(project):
    before = project.query("select * from retrieval_hit order by all")
    metadata = column("metadata_json", "text")
    project.edit("models/ledgers/retrieval_hit.yml", metadata, metadata + column("reviewed_by", "varchar(100)", "Who."))
    assert "Ledger retrieval_hit: added column reviewed_by" in project.build().output
    assert project.query("select * exclude (reviewed_by) from retrieval_hit order by all") == before
    assert project.query("select distinct reviewed_by from retrieval_hit") == [(None,)]
    assert project.vector("search", "a question").exit_code == 0, "Python writes what it knows of"
    assert not re.search(r"\d+ (inserted|updated)|added column", project.build().output)


@pytest.mark.parametrize(
    ("columns", "difference"),
    [
        pytest.param(("metadata_json", "integer"), "metadata_json .* does not fit the type integer", id="other type"),
        pytest.param(("reviewed_by", "text", "not_null"), "reviewed_by is new, and may not be null", id="not null"),
    ],
)
def test_a_contract_that_a_ledger_cannot_follow_stops_the_run(project, columns, difference):
    before = project.contents()
    name, data_type, *not_null = columns
    constraints = "        constraints:\n          - type: not_null\n" if not_null else ""
    metadata = column("metadata_json", "text")
    kept = metadata if not_null else ""
    project.edit("models/ledgers/retrieval_hit.yml", metadata, kept + column(name, data_type, "Changed.") + constraints)
    done = project.dbt("run", "--select", "retrieval_hit+", "run")
    assert not done.success
    assert re.search(difference, done.output, re.IGNORECASE), done.output
    assert "Traceback" not in done.output
    assert not done.ended("success")
    assert project.contents() == before


def column(name, data_type, description="{{ doc('hit_metadata_json') }}"):
    return f'      - name: {name}\n        description: "{description}"\n        data_type: {data_type}\n'


def test_tags_and_titles_reach_the_registry_and_embed_nothing(project, pages):
    before = project.contents("source_registry", "chunk", "job", "run")
    cut = project.query("select * exclude (context, document_sha256, updated_utc) from chunk order by chunk_id")
    pages["dawn"]["tags"] = ["retagged"]
    # A title of its own, which is not the one that the content begins with.
    project.edit("models/demo/stg_page.sql", "        title,\n        case", "        'T' as title,\n        case")
    publish(project, pages, "stg_page")
    assert project.query("select title, tags_json from source_registry where source_id = 'page:dawn'") == [
        ("T", '{"lang":"en","tags":["retagged"]}')
    ]
    assert project.query("select count(*) from source_registry where title = 'T'") == [(len(pages),)]
    assert "nothing to embed" in project.embed()
    assert project.contents("source_registry", "chunk", "job", "run") == before
    # Chunks say the title in their context and fingerprint, and nothing else of theirs has changed.
    assert project.query("select * exclude (context, document_sha256, updated_utc) from chunk order by chunk_id") == cut
    assert project.query(
        "select count(*) from chunk where source_id like 'page:%' and context is distinct from 'T'"
    ) == [(0,)]


def test_equal_texts_are_embedded_once(project, pages):
    pages |= {"copy-1": article("Copied", "The same."), "copy-2": article("Copied", "The same.")}
    publish(project, pages)
    plan = json.loads(project.embed("--plan", "--json"))["spaces"][0]
    assert (plan["chunks"], plan["texts"], plan["texts_to_embed"]) == (2, 1, 1)
    summary = json.loads(project.embed("--json"))["spaces"][0]
    assert (summary["written"], summary["texts"], summary["reused"]) == (2, 1, 1)

    pages["copy-3"] = article("Copied", "The same.")
    publish(project, pages)
    summary = json.loads(project.embed("--json"))["spaces"][0]
    assert (summary["written"], summary["texts"], summary["reused"], summary["requests"]) == (1, 0, 1, 0)
    assert project.query(
        "select count(*), count(distinct vector_sha256) from embedding join chunk using (chunk_id)"
        " where source_id like 'page:copy-%'"
    ) == [(3, 1)]


# Crashes


def forget_vectors(project):
    with project.connect() as connection:
        connection.execute("delete from embedding")


def stop_when_written(project, size, signal):
    """Starts embed.py, and ends it when it has written so many bytes: DuckDB's log grows with every commit."""
    log = project.database_path.with_name("warehouse.duckdb.wal")
    assert not log.exists()
    process = project.start("embed", "--quiet", "--batch-size", "1", "--concurrency", "1")
    while not log.exists() or log.stat().st_size < size:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.0005)
    process.send_signal(signal)
    _, stderr = process.communicate()
    return process.returncode, stderr


@posix_only
@pytest.mark.parametrize(("signal", "exit_code"), [(SIGTERM, 143), (SIGINT, 130)])
def test_a_stopped_run_is_closed_by_itself(project, signal, exit_code):
    forget_vectors(project)
    stopped = stop_when_written(project, 10_000, signal)
    assert stopped == (exit_code, "stopped; what was finished is stored\n")
    assert project.query("select status from run order by started_utc desc limit 1") == [("FAILED",)]
    assert project.query("select status from job order by created_utc desc limit 1") == [("DEADLETTER",)]
    assert project.query("select count(*) > 0 from embedding") == [(True,)]


class FragileProvider(HashProvider):
    """A hash that is gone after some calls. Canaries do not count."""

    preferred_batch_size = 16

    def __init__(self, space, calls=10**6):
        super().__init__(space)
        self.calls = calls
        self.seen: list[str] = []

    def embed(self, texts):
        if texts[0] in CANARIES:
            return super().embed(texts)
        if self.calls == 0:
            raise ProviderError("the model is gone")
        self.calls -= 1
        self.seen += texts
        return super().embed(texts)


def test_what_a_model_finished_before_it_failed_is_never_asked_for_again(project, monkeypatch):
    forget_vectors(project)
    providers = []

    def use(**fragility):
        def opened(space):
            providers.append(FragileProvider(space, **fragility))
            return providers[-1]

        monkeypatch.setattr("vector.embedding.run.open_provider", opened)

    use(calls=5)
    done = project.vector("embed", "--quiet")
    assert (done.exit_code, done.stderr) == (3, "error: hash: the model is gone\n")
    assert re.fullmatch(r"hash: stopped early, 80 of \d+ vectors written\n", done.stdout)
    assert project.query("select count(*) from embedding") == [(80,)]
    assert project.query("select status, error from run order by started_utc desc limit 1") == [
        ("FAILED", "ProviderError: the model is gone")
    ]
    use()
    project.embed()
    first, second = (set(provider.seen) for provider in providers)
    assert len(first) == 80
    assert not first & second
    assert project.query("select count(*) from embedding_pending") == [(0,)]


def test_the_default_model_end_to_end(project):
    project.write_rows("embedding_space_seed", read_csv(PROJECT_DIR / "seeds" / "embedding_space_seed.csv"))
    project.refresh()
    summary = json.loads(project.embed("--space", "bge-small", "--limit", "12", "--json"))["spaces"][0]
    assert (summary["written"], summary["texts"]) == (12, 12)
    assert summary["input_tokens"] > 0

    question = project.query("select content from chunk join embedding_current using (chunk_id) where dimensions = 384")
    found = json.loads(project.vector("search", question[0][0], "--space", "bge-small", "--json").stdout)
    assert found["candidates"] == 12
    assert found["hits"][0]["content"] == question[0][0]
    assert found["hits"][0]["score"] == pytest.approx(1, abs=1e-4)
    assert project.test("--select", "embedding", "embedding_current").success

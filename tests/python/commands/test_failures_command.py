"""`vector failures`: each quarantined text with what it means and what to do, until it has its vector."""

import json

import pytest
from misbehaving_server import MODEL, MisbehavingServer
from pages import text_of, write_pages
from support import HASH_SPACE

from vector.commands import failures
from vector.errors import UNCERTAIN_REASONS

SERVED = {**HASH_SPACE, "space_key": "served", "provider": "ollama", "model_name": MODEL}


@pytest.fixture
def server(project, monkeypatch):
    """A server with a space `served` next to `hash`, in which everything is embedded."""
    with MisbehavingServer() as running:
        monkeypatch.setenv("OLLAMA_BASE_URL", running.url)
        project.write_rows("embedding_space_seed", [HASH_SPACE, SERVED])
        project.refresh()
        project.embed()
        yield running


def listed(project, *arguments):
    done = project.vector("failures", "--json", *arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    return json.loads(done.stdout)["failures"]


def test_none(project):
    assert project.vector("failures").stdout == "no text is quarantined\n"
    assert listed(project) == []


@pytest.mark.long
def test_each_is_listed_until_it_has_its_vector(project, server):
    write_pages(project, long="word " * 80, failing="Words\nthat the server fails with.", gone="Words of a page.")
    long, failing, gone = (text_of(project, f"page:{page}") for page in ("long", "failing", "gone"))
    server.misbehave("poison", when=lambda texts: long in texts, message="the input length exceeds the context length")
    server.misbehave("poison", when=lambda texts: gone in texts, message="policy violation")
    server.misbehave("server_error", when=lambda texts: failing in texts, message="CUDA error")
    assert project.vector("embed", "--space", "served").exit_code == 1

    by_source = {failure["source_id"]: failure for failure in listed(project)}
    assert set(by_source) == {"page:long", "page:failing", "page:gone"}
    refused = by_source["page:long"]
    assert (refused["space_key"], refused["reason"], refused["attempt_count"]) == ("served", "too_long", 1)
    assert (refused["chunk_index"], refused["is_active"]) == (0, True)
    assert (refused["is_due"], refused["retry_after_utc"]) == (False, None)
    assert "context length" in refused["error_message"]
    assert refused["excerpt"] == f"A page\n\n{'word ' * 15}"[:80]
    assert (refused["meaning"], refused["what_to_do"]) == failures.EXPLANATIONS["too_long"]
    failed = by_source["page:failing"]
    assert (failed["reason"], failed["is_due"]) == ("server_error", False)
    assert failed["retry_after_utc"] > failed["last_failed_utc"]

    text = project.vector("failures").stdout
    assert "too_long: 1 text\n  The text has more tokens than the model takes" in text
    assert "served: page:failing, chunk 0, " in text
    assert "A page Words that the server fails with." in text
    assert "CUDA error" in text
    assert "; due again 20" in text
    assert "; not tried again by itself" in text
    assert listed(project, "--space", "hash") == []
    assert len(listed(project, "--space", "served")) == 3

    with project.connect() as connection:
        connection.execute("update embedding_failure set retry_after_utc = '2000-01-01' where reason = 'server_error'")
    assert "; due now" in project.vector("failures").stdout
    pages = [row for row in project.rows("page") if row["page_id"] != "gone"]
    project.write_rows("page", pages)
    write_pages(project, long="Few words.")
    server.behave()
    project.embed()
    assert listed(project) == []
    assert len(project.query("select * from embedding_failure")) == 3, "history stays"


@pytest.mark.long
def test_failures_of_an_inactive_space_are_listed_as_such(project, server):
    write_pages(project, bad="Words of a page.")
    bad = text_of(project, "page:bad")
    server.misbehave("poison", when=lambda texts: bad in texts)
    assert project.vector("embed").exit_code == 1
    project.write_rows("embedding_space_seed", [HASH_SPACE, {**SERVED, "is_active": "false"}])
    project.refresh()
    (failure,) = listed(project, "--space", "served")
    assert failure["is_active"] is False
    assert "served (inactive): page:bad" in project.vector("failures").stdout


def test_a_space_that_there_is_not(project):
    done = project.vector("failures", "--space", "no such")
    assert (done.exit_code, done.stderr) == (2, "error: no space is called 'no such'; spaces are hash\n")


def test_before_dbt_has_built_the_view(project):
    with project.connect() as connection:
        connection.execute("drop view embedding_failure_open")
    done = project.vector("failures")
    assert done.exit_code == 2
    assert "run `dbt build` first" in done.stderr


def test_every_reason_is_explained():
    of_models = {"too_long", "refused", "not_unicode", "empty", "unknown_tokens", "zero_vector"}
    assert set(failures.EXPLANATIONS) == of_models | UNCERTAIN_REASONS
    for reason, (meaning, what_to_do) in failures.EXPLANATIONS.items():
        assert meaning.endswith(".")
        assert what_to_do.endswith(".")
        assert ("tried again by itself" in what_to_do) == (reason in UNCERTAIN_REASONS)

"""Keys, tokens and passwords of the environment appear nowhere that the embed command writes, whatever fails."""

from __future__ import annotations

import base64
import logging
import socket
from urllib.parse import quote

import pytest
import requests
from misbehaving_server import MisbehavingServer
from served import ServedSpace

SECRET = "s3cret/+=key"
FORMS = (SECRET, quote(SECRET, safe=""), base64.b64encode(f"user:{SECRET}".encode()).decode())
QUOTING = {"message": f"your key {SECRET} is tired"}
FEW = ("--limit", 6, "--batch-size", 3)

# By the variable that holds the secret: the provider that reads it.
PROVIDERS = {
    "OLLAMA_BASE_URL": "ollama",
    "OPENAI_BASE_URL": "openai",
    "OPENAI_API_KEY": "openai",
    "AZURE_OPENAI_API_KEY": "azure_openai",
    "AZURE_OPENAI_AD_TOKEN": "azure_openai",
}
every = pytest.mark.parametrize("variable", PROVIDERS)


@pytest.fixture
def server():
    with MisbehavingServer(secret=SECRET) as running:
        yield running


@pytest.fixture
def guarded(small_project, server):
    """Makes a space of the server, which wants the secret that a variable holds."""

    def makes(variable: str) -> ServedSpace:
        space = ServedSpace(small_project, server, PROVIDERS[variable])
        azure = {"AZURE_OPENAI_ENDPOINT": server.url, "AZURE_OPENAI_DEPLOYMENT": "d"}
        value = SECRET
        if variable.endswith("_URL"):
            value = space.project.environment[variable].replace("//", f"//user:{FORMS[1]}@")
        space.project.environment |= {**azure, variable: value, "VECTOR_DEBUG": "1"}
        return space

    return makes


def assert_kept(*shown):
    for text in shown:
        for form in FORMS:
            assert form not in text


def everything_stored(project):
    """Every row of every table, as text."""
    with project.connect() as connection:
        names = connection.execute("select table_name from duckdb_tables() where schema_name = 'vector'").fetchall()
        return "\n".join(str(connection.execute(f"from {name}").fetchall()) for (name,) in names)


@every
@pytest.mark.long
def test_a_secret_is_used_and_not_shown(variable, guarded, server, caplog):
    caplog.set_level(logging.DEBUG)
    space = guarded(variable)
    bad = space.texts[0]
    for fault, options, exit_code in (
        ("poison", QUOTING, 1),  # the message is stored, as the reason of the quarantine
        ("server_error", QUOTING, 3),
        ("rate_limited", {"message": f"insufficient_quota of {SECRET}"}, 3),
        ("error_in_200", QUOTING, 3),
        ("reset", {}, 3),
        ("not_json", {}, 3),
        ("wrong_dimension", {}, 4),
    ):
        server.behave()
        server.misbehave(fault, when=(lambda texts: bad in texts) if exit_code == 1 else space.after(0), **options)
        done = space.embed("--json", *FEW)
        assert done.exit_code == exit_code, (fault, done)
        assert_kept(done.stdout, done.stderr)
    server.behave()
    assert len(space.stored()) == 5
    stored = everything_stored(space.project)
    assert "your key *** is tired" in stored
    assert_kept(stored, caplog.text)
    assert len(caplog.text) > 1000, "requests were logged"
    done = space.embed("--retry-failed", *FEW)
    assert (done.exit_code, done.stderr) == (0, "")
    assert space.project.query("select distinct endpoint_url from run where endpoint_url is not null") != []
    assert_kept(done.stdout, everything_stored(space.project))


@every
def test_a_secret_that_is_wrong_is_not_shown(variable, guarded, server):
    """The server repeats what it got, and tells what it wants."""
    space = guarded(variable)
    server.secret = f"{SECRET}?"
    done = space.embed(*FEW)
    assert done.exit_code == 3
    assert "denies access" in done.stderr
    assert "Incorrect API key provided: " in done.stderr
    assert_kept(done.stdout, done.stderr, everything_stored(space.project))


@every
def test_a_traceback_shows_no_secret(variable, guarded, monkeypatch):
    """VECTOR_DEBUG=1 shows where what is unforeseen came from."""
    space = guarded(variable)

    def fails(session, request, **settings):
        assert any(form in str(request.headers) for form in FORMS), "it is there to be shown"
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(requests.Session, "send", fails)
    done = space.embed(*FEW)
    assert done.exit_code == 70
    assert "in _request" in done.stderr
    assert "RuntimeError: unforeseen" in done.stderr
    assert_kept(done.stderr, everything_stored(space.project))
    assert space.last_run()[:2] == ("FAILED", "RuntimeError: unforeseen")


def test_the_traceback_of_a_process_shows_no_secret(guarded, server):
    """The server and its model are well, the database is not."""
    space = guarded("OPENAI_API_KEY")
    with space.project.connect() as connection:
        connection.execute("create table elsewhere as from embedding")
        connection.execute("drop table embedding")
        connection.execute("create view embedding as from elsewhere")
    process = space.start(*FEW)
    stdout, stderr = process.communicate()
    assert process.returncode == 70
    assert "Traceback" in stderr
    assert "CatalogException: Catalog Error: embedding is not an table" in stderr
    assert server.paid, "it had used the secret by then"
    assert_kept(stdout, stderr, everything_stored(space.project))


@pytest.mark.parametrize("key", [f"{SECRET}\n{SECRET}", f"{SECRET}schlüssel"])
def test_a_key_that_no_header_can_carry_is_not_shown(key, guarded):
    space = guarded("OPENAI_API_KEY")
    space.project.environment["OPENAI_API_KEY"] = key
    done = space.embed(*FEW)
    assert done.exit_code == 2
    assert "an API key or token in the environment" in done.stderr
    assert_kept(done.stderr, everything_stored(space.project))


@pytest.mark.parametrize("url", [f"127.0.0.1/{SECRET}", f"http://user:{SECRET}@host:port/v1", f"ftp://u:{SECRET}@host"])
def test_a_malformed_url_is_not_shown(url, guarded):
    space = guarded("OPENAI_BASE_URL")
    space.project.environment["OPENAI_BASE_URL"] = url
    done = space.embed(*FEW)
    assert done.exit_code == 2
    assert "OPENAI_BASE_URL is not a URL such as" in done.stderr
    assert_kept(done.stderr, everything_stored(space.project))


def test_the_password_of_a_proxy_is_not_shown(guarded, caplog):
    caplog.set_level(logging.DEBUG)
    space = guarded("OPENAI_API_KEY")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and does not listen
        proxy = f"http://user:{FORMS[1]}@127.0.0.1:{free.getsockname()[1]}"
        space.project.environment |= {
            "OPENAI_BASE_URL": "http://models.example/v1", "HTTP_PROXY": proxy, "http_proxy": proxy,
            "NO_PROXY": "", "no_proxy": "",
        }  # fmt: skip
        done = space.embed(*FEW)
    assert done.exit_code == 3
    assert "cannot be reached through the proxy of ALL_PROXY, HTTPS_PROXY or HTTP_PROXY (ProxyError)" in done.stderr
    assert "is sent over http://, where anyone" in caplog.text
    assert_kept(done.stderr, caplog.text, everything_stored(space.project))

"""Bad input is told in one line or quarantined with its reason, and costs nothing else."""

import json
import os
import subprocess
import sys

import duckdb
import pytest
from support import LEDGERS, PROFILE, PROJECT_DIR, clean_copy

from vector.contracts.models import EmbeddingSpace
from vector.engines import engine_for_target
from vector.errors import ConfigurationError, DatabaseBusy
from vector.project.profile import Target
from vector.wording import SPACES

QUESTION = "Which moon has geysers?"


def run(project, script, *arguments):
    """Runs a script in a process of its own; a later --profiles-dir or --project-dir goes before the project's."""
    process = project.start(script, *arguments)
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def assert_told(outcome, message, exit_code=2):
    code, stdout, stderr = outcome
    assert (code, stdout) == (exit_code, ""), stderr
    assert message in stderr
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1, "one line"


# What the commands are told


@pytest.mark.parametrize("script", ["embed", "search"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "nowhere"], "has no target 'nowhere'; it has duckdb"),
        (["--space", "nowhere"], "no space is called 'nowhere'; spaces are hash"),
        (["--no-such-option"], "unrecognized arguments: --no-such-option"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_arguments(project, script, arguments, message):
    assert_told(run(project, script, *([QUESTION] if script == "search" else []), *arguments), message)


SWITCH_ON = f"set is_active to true in {SPACES} and run `dbt build`"


@pytest.fixture
def resting(project):
    """Saves a space of this key that is inactive, as one that the seed has switched off."""

    def save(key):
        with project.store() as store:
            store.save_embedding_space(EmbeddingSpace.create_new("hash", key, 8, space_key=key, is_active=False))

    return save


@pytest.mark.parametrize("command", [["embed"], ["search", QUESTION]], ids=["embed", "search"])
def test_an_inactive_space_is_not_an_unknown_one(project, resting, command):
    resting("resting")
    done = project.vector(*command, "--space", "resting")
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"error: space resting is inactive: {SWITCH_ON}\n")
    done = project.vector(*command, "--space", "restng")
    assert done.stderr == "error: no space is called 'restng'; spaces are hash, resting (inactive)\n"


def test_without_an_active_space(project, resting):
    with project.connect() as connection:
        connection.execute("update embedding_space set is_active = false")
    resting("resting")
    done = project.vector("embed")
    told = f"error: no embedding space is active; {SWITCH_ON}, for one of hash, resting\n"
    assert (done.exit_code, done.stderr) == (2, told)
    assert project.vector("embed", "--space", "hash").stderr == f"error: space hash is inactive: {SWITCH_ON}\n"


def test_without_a_space(project):
    with project.connect() as connection:
        for name in reversed(LEDGERS):
            connection.execute(f"delete from {name}")
    mend = f"add a row to {SPACES} and run `dbt build`"
    assert project.vector("embed").stderr == f"error: no embedding space is active; {mend}\n"
    done = project.vector("embed", "--space", "hash")
    assert done.stderr == f"error: no space is called 'hash'; there is none yet: {mend}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: question"),
        ([""], "the question is empty"),
        ([" \t\n"], "the question is empty"),
        ([QUESTION, "--top-k", "0"], "argument --top-k: '0' is not a whole number from 1"),
        ([QUESTION, "--top-k", "many"], "argument --top-k: 'many' is not a whole number from 1"),
        ([QUESTION, "--top-k", "9999999999"], "argument --top-k: '9999999999' is not a whole number from 1"),
        # What argv makes of a byte that is no UTF-8. A NUL cannot be in argv at all.
        ([b"moons \xff"], "the question: lone surrogate U+DCFF at position 6 is not allowed"),
    ],
)
def test_questions(project, arguments, message):
    assert_told(run(project, "search", *arguments), message)
    assert project.query("select count(*) from retrieval") == [(2,)], "nothing is logged"


@pytest.mark.parametrize("option", ["--limit", "--batch-size", "--concurrency"])
def test_numbers(project, option):
    assert_told(run(project, "embed", option, "-1"), f"argument {option}: '-1' is not a whole number from 1")


# What the commands connect to


@pytest.fixture
def elsewhere(project, tmp_path):
    """Runs search.py with a profile of another database, in the folder `block`, whose name says nothing of a lock."""
    folder = tmp_path / "block"
    folder.mkdir()

    def search(content=None, settings=""):
        database = folder / "warehouse.duckdb"
        if content is not None:
            database.write_bytes(content)
        profile = PROFILE.format(database=database).replace("threads: 1", f"threads: 1{settings}")
        (folder / "profiles.yml").write_text(profile, encoding="utf-8")
        command = [sys.executable, PROJECT_DIR / "scripts" / "search.py", QUESTION]
        command += ["--project-dir", project.folder, "--profiles-dir", folder]
        done = subprocess.run(command, env=clean_copy(os.environ), capture_output=True, encoding="utf-8", timeout=60)
        return done.returncode, done.stdout, done.stderr

    return search


def test_missing_profile(project, tmp_path):
    command = [sys.executable, PROJECT_DIR / "scripts" / "embed.py", "--project-dir", project.folder]
    command += ["--profiles-dir", tmp_path]
    done = subprocess.run(command, env=clean_copy(os.environ), capture_output=True, encoding="utf-8", timeout=60)
    outcome = (done.returncode, done.stdout, done.stderr)
    assert_told(
        outcome, f"no profiles.yml in {tmp_path}: copy profiles.example.yml to profiles.yml, or give --profiles-dir"
    )


def test_no_database_yet(elsewhere):
    assert_told(elsewhere(), "block/warehouse.duckdb; run `dbt build` first")


@pytest.mark.parametrize("content", [b"", b"a text file", b"x" * 20_000])
def test_a_file_that_is_no_database(elsewhere, content):
    assert_told(elsewhere(content), "block/warehouse.duckdb cannot be opened as a DuckDB database")


def test_a_broken_database(elsewhere, project):
    content = bytearray(project.database_path.read_bytes())
    content[4096:8192] = b"x" * 4096
    assert_told(elsewhere(bytes(content)), "cannot be opened as a DuckDB database: Corrupt database file")


def test_a_schema_that_is_not_built(elsewhere, tmp_path):
    duckdb.connect(str(tmp_path / "empty.duckdb")).close()
    assert_told(elsewhere((tmp_path / "empty.duckdb").read_bytes()), "schema vector lacks embedding_space, job, run")


@pytest.mark.parametrize("settings", [", settings: {no_such: 1}", ", config_options: {no_such: 1}"])
def test_a_setting_that_duckdb_does_not_know(elsewhere, project, settings):
    assert_told(elsewhere(project.database_path.read_bytes(), settings), "no_such")


@pytest.mark.long
def test_a_locked_database(project):
    with project.connect():
        assert_told(run(project, "embed"), f"is in use by process {os.getpid()}; DuckDB lets one process write")
        assert_told(run(project, "search", QUESTION), f"is in use by process {os.getpid()}")
    assert run(project, "search", QUESTION)[0] == 0


@pytest.mark.parametrize(
    "message",
    [
        'IO Error: Could not set lock on file "w.duckdb": Conflicting lock is held in python (PID 7).',
        'IO Error: Cannot open file "w.duckdb": The process cannot access the file because it is being used by another'
        " process.\n\nFile is already open in \nC:\\Python\\python.exe (PID 7)",
        'IO Error: Cannot open file "w.duckdb": Sharing violation.\n',
        'IO Error: Cannot open file "w.duckdb": 另一个程序正在使用此文件，进程无法访问。\n\nFile is already open in \n'
        "D:\\dbx.exe (PID 7)",
        "IO Error: File is already open in \nC:\\Program Files\\Code.exe (PID 7)",
        'IO Error: Cannot open file "w.duckdb": The process cannot access the file because another process has locked a'
        " portion of the file.\n",
        "IO Error: sharing violation",
    ],
)
def test_a_database_that_another_process_has_is_busy_on_every_system(tmp_path, monkeypatch, message):
    (tmp_path / "w.duckdb").touch()

    def refuse(*arguments, **options):
        raise duckdb.IOException(message)

    monkeypatch.setattr(duckdb, "connect", refuse)
    monkeypatch.setattr("vector.engines.find_relations", lambda target: None)
    target = Target("p", "t", "duckdb", "vector", {"path": str(tmp_path / "w.duckdb")}, tmp_path)
    with pytest.raises(DatabaseBusy, match="is in use by (process 7|another process); DuckDB lets one process write"):
        engine_for_target(target)


@pytest.mark.parametrize("held", ["w.duckdb", "attached.duckdb"])
def test_a_database_that_windows_calls_busy_in_another_language_is_busy(tmp_path, monkeypatch, held):
    class Held(PermissionError):
        winerror = 32

    def refuse(path, *others, **options):
        raise duckdb.IOException(
            f'IO Error: Cannot open file "{held}": Der Prozess kann nicht auf die Datei zugreifen, da sie von einem'
            " anderen Prozess verwendet wird.\n"
        )

    def rename(source, target):
        assert source == target
        if source.name == held:
            raise Held(13, "Der Prozess kann nicht auf die Datei zugreifen")

    for name in ("w.duckdb", "attached.duckdb"):
        (tmp_path / name).touch()
    monkeypatch.setattr("vector.engines.duckdb.connection._opened_by_dbt", refuse)
    monkeypatch.setattr("vector.files.WINDOWS", True)
    monkeypatch.setattr("vector.files.os.rename", rename)
    monkeypatch.setattr("vector.engines.find_relations", lambda target: None)
    settings = {"path": str(tmp_path / "w.duckdb"), "attach": [{"path": str(tmp_path / "attached.duckdb")}]}
    target = Target("p", "t", "duckdb", "vector", settings, tmp_path)
    with pytest.raises(DatabaseBusy, match=f"{held} is in use by another process; DuckDB lets one process write"):
        engine_for_target(target)
    monkeypatch.setattr("vector.files.os.rename", lambda source, target: None)
    with pytest.raises(ConfigurationError, match="Der Prozess") as other:
        engine_for_target(target)
    assert not isinstance(other.value, DatabaseBusy), "nobody holds it: something else is wrong"


# What a space asks for


@pytest.mark.parametrize(
    ("provider", "model", "message"),
    [
        (
            "nowhere",
            "model",
            "unknown embedding provider 'nowhere'; known are azure_openai, hash, ollama, onnx, openai, static",
        ),
        ("onnx", "/no/such/folder", "set VECTOR_ONNX_HOME to the folder that holds it"),
    ],
)
@pytest.mark.long
def test_a_space_that_cannot_be_served(project, provider, model, message):
    with project.store() as store:
        store.get_or_create_embedding_space(provider, model, 8, space_key="odd")
    before = project.contents("job", "run")
    assert_told(run(project, "search", QUESTION), "several spaces are active; choose one with --space: hash, odd")
    assert_told(run(project, "search", QUESTION, "--space", "odd"), message)
    assert_told(run(project, "embed", "--quiet", "--space", "odd"), message)
    assert project.contents("job", "run") == before
    ((status, error),) = project.query("select status, error from run order by started_utc desc limit 1")
    assert status == "FAILED"
    assert message in error


# What the sources hold


def body(text, title="A title", **members):
    return json.dumps({"title": title, "body": {"text": text}, **members})


NO_TEXT = "content is null: the payload lacks the text or is not valid JSON"
QUARANTINED = {
    "empty": (body("", title=None), "content is empty"),
    "null-payload": (None, NO_TEXT),
    "json-null": ("null", NO_TEXT),
    "no-object": ('["a text"]', NO_TEXT),
    "no-text": ('{"title": "A title", "body": {}}', NO_TEXT),
    "cut-off": ('{"title": "A title", "body": {"text": "A te', NO_TEXT),
    "nul": (body("before\0after"), "content holds the character U+0000"),
    "nul-in-title": (body("A text.", title="A\0"), "content holds the character U+0000"),
    "lone-surrogate": ('{"title": "A title", "body": {"text": "a \\ud800 b"}}', NO_TEXT),
    "lone-surrogate-in-title": ('{"title": "\\udfff", "body": {"text": "A text."}}', NO_TEXT),
}
TAKEN = {
    "surrogate-pair": '{"title": "A title", "body": {"text": "a \\ud83d\\ude00 b"}}',
    "nul-in-tags": body("A text.", tags=["\0"]),
    'a"b\\c': body("A key that JSON must escape."),
    "5-megabytes": body("word " * 1_000_000),
}


def publish(project, payloads):
    """Adds rows to the source itself, as an API's loader would, and builds what depends on it."""
    with project.connect() as connection:
        rows = [(page_id, payload, "2026-01-01") for page_id, payload in payloads.items()]
        connection.executemany("delete from vector_demo.page where page_id = ?", [(page_id,) for page_id in payloads])
        connection.executemany("insert into vector_demo.page values (?, ?, ?)", rows)
    project.refresh(seeds=False)


def registered(project, page_id):
    (row,) = project.query(
        "select status, error_message, chunk_count, chunk_capped_flag, retired_utc from source_registry"
        " where source_id = ?",
        f"page:{page_id}",
    )
    return row


@pytest.mark.long
def test_sources_that_cannot_be_read_are_quarantined_and_the_others_go_on(project):
    before = project.contents()
    publish(project, {**{page_id: payload for page_id, (payload, _) in QUARANTINED.items()}, **TAKEN})

    for page_id, (_, reason) in QUARANTINED.items():
        assert registered(project, page_id) == ("error", reason, 0, False, None), page_id
        assert project.query("select * from chunk where source_id = ?", f"page:{page_id}") == []
    for page_id in TAKEN.keys() - {"5-megabytes"}:
        assert registered(project, page_id) == ("indexed", None, 1, False, None), page_id
    assert registered(project, "5-megabytes") == ("indexed", None, 1000, True, None), "capped, and said so"

    assert " vectors written" in project.embed()
    assert project.test("--select", "vector").success
    after = project.contents()
    for ledger, rows in before.items():
        assert set(map(str, rows)) <= set(map(str, after[ledger])), f"{ledger} lost a row"
    with project.store() as store:
        pages = store.list_sources("page") + store.list_sources("page_non_latin")
        assert len(pages) == 48 + len(QUARANTINED) + len(TAKEN), "and Python can read them all"


@pytest.mark.long
def test_a_source_that_breaks_keeps_its_history_and_recovers(project):
    ((payload,),) = project.query("select payload_json from vector_demo.page where page_id = 'dawn'")
    vectors = project.query("select * from embedding order by all")
    publish(project, {"dawn": payload[:-1]})
    assert registered(project, "dawn")[:3] == ("error", NO_TEXT, 0)
    assert project.query("select count(*) from embedding_current where source_id = 'page:dawn'") == [(0,)]
    assert project.query("select * from embedding order by all") == vectors

    publish(project, {"dawn": payload})
    assert registered(project, "dawn")[:2] == ("indexed", None)
    assert "nothing to embed" in project.embed()


def test_control_characters_in_attributes_can_be_read_again(project):
    publish(project, {"odd": body("A text.", lang="e\u0001\0n")})
    with project.store() as store:
        assert store.get_source("page:odd").tags == {"lang": "e\u0001\0n", "tags": []}


def test_two_sources_of_one_id_turn_a_test_red_before_anything_is_written(project):
    with project.connect() as connection:
        connection.execute("insert into vector_demo.page values ('dawn', ?, '2026-01-01')", [body("Another dawn.")])
    before = project.contents()
    done = project.dbt("build", "--select", "stg_page+", "--exclude-resource-type", "unit_test")
    assert not done.success
    assert "unique of stg_page" in done.ended("fail")
    assert {"source_registry", "chunk", "chunk_version", "embedding"} <= done.ended("skipped")
    assert project.contents() == before

"""What commands print: any text on any stream, nothing that commands a terminal, one object with --json, one line a
record of the log."""

import contextlib
import io
import json
import logging
import os
import re
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import PROJECT_DIR, Command, clean_copy, clean_environment, posix_only

from vector import wording
from vector.cli import main
from vector.commands import output

ALL = [chr(point) for point in range(sys.maxunicode + 1)]
# Format characters that words are spelt with, or that are seen.
SPELT = {"\u00ad", "\u200c", "\u200d"}
SEEN = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\U00013430-\U0001345f]")
NAMED = "\x1b\x07\x7f\x9b\x85\u061c\u200b\u200e\u200f\u202e\u2066\ufeff\U000e0001\U000e0041\U000e007f\u2028\ud800"
HOSTILE = f"a\nWARNING: forged\r\nerror: forged{NAMED}z"
ANY_TEXT = st.text(st.one_of(st.sampled_from(NAMED + "\n\r\x0b\x0c\x1c\t a"), st.characters(exclude_categories=())))


def commands_a_terminal(character):
    category = unicodedata.category(character)
    if category == "Cf":
        return character not in SPELT and not SEEN.match(character)
    return category in ("Cc", "Cs", "Zl", "Zp") and character not in "\n\t"


# Cleaning


def test_every_character_that_commands_or_hides_is_replaced_and_no_other():
    kept = {each for each in ALL if wording.printable(each) == each}
    assert {each for each in kept if commands_a_terminal(each)} == set()
    lost = {each for each in ALL if each not in kept and not commands_a_terminal(each)}
    assert {each for each in lost if unicodedata.category(each) != "Cn"} == set(), "only what Unicode has not assigned"
    assert not kept & set(NAMED)


@given(ANY_TEXT)
def test_a_line_is_one_line(text):
    line = wording.one_line(text)
    assert len(line.splitlines()) <= 1
    assert not any(map(commands_a_terminal, line))


@given(st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3), st.booleans())
def test_json_has_every_character_and_escapes_what_commands(value, ascii_only):
    printed = wording.json_text(value, ascii_only)
    assert json.loads(printed) == value
    assert len(printed.splitlines()) == 1
    assert not any(map(commands_a_terminal, printed))
    assert printed.isascii() or not ascii_only


@given(ANY_TEXT, st.booleans())
def test_a_record_of_the_log_is_one_line(message, fails):
    try:
        raise RuntimeError(message)
    except RuntimeError:
        error = sys.exc_info() if fails else None
    record = logging.LogRecord("vector", logging.WARNING, "f", 1, "a job: %s", (message,), error)
    line = output.LineFormatter().format(record)
    assert len(line.splitlines()) == 1
    assert line.startswith("WARNING: a job:")
    assert not any(map(commands_a_terminal, line))
    assert not fails or "RuntimeError" in line


def test_a_long_record_is_cut():
    record = logging.LogRecord("vector", logging.WARNING, "f", 1, "x" * 10**6, (), None)
    assert len(output.LineFormatter().format(record)) == output.LOGGED + 3


def test_with_debug_the_traceback_follows_indented(monkeypatch):
    monkeypatch.setenv("VECTOR_DEBUG", "1")
    try:
        raise RuntimeError(HOSTILE)
    except RuntimeError:
        record = logging.LogRecord("vector", logging.WARNING, "f", 1, "said", (), sys.exc_info())
    first, *others = output.LineFormatter().format(record).splitlines()
    assert first.startswith("WARNING: said (RuntimeError: a WARNING: forged")
    assert others
    assert all(each.startswith("    ") for each in others)


def test_the_log_and_errors_of_a_command_are_a_line_each(capsys):
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(output.LineFormatter())
    logger = logging.getLogger("tested")
    logger.propagate = False  # xdist cannot send what pytest would capture of it
    logger.addHandler(handler)
    logger.warning("job %s failed", HOSTILE)
    output.say(f"error: {HOSTILE}")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["WARNING:", "error:"]


# Jobs whose words are hostile


EVIL = "evil\x1b[2J\u202e\nid 9 SUCCEEDED"


@pytest.fixture
def evil(project):
    """A queue whose only job has an id, a key and an error that would command a terminal or forge a line."""
    with project.connect() as connection:
        connection.execute(
            "insert into job by name select ? as job_id, 'EMBED_CHUNKS' as job_type, 'DEADLETTER' as status,"
            " ? as last_error, ? as dedupe_key, * exclude (job_id, job_type, status, last_error, dedupe_key,"
            " by_hand_flag) from job limit 1",
            [EVIL, f"it said {EVIL}", EVIL],
        )
    return project


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        (["jobs", "list", "--status", "DEADLETTER"], 1),
        (["jobs", "retry", EVIL], 1),
        (["jobs", "cancel", EVIL], None),
        (["worker", "--dry-run"], None),
        (["jobs", "show", EVIL], None),
    ],
)
def test_ids_and_errors_of_jobs_command_no_terminal(evil, command, lines):
    done = evil.vector(*command)
    said = done.stdout + done.stderr
    assert not any(map(commands_a_terminal, said))
    assert not any(line.startswith("id 9") for line in said.splitlines())
    if lines:
        assert len(done.stdout.splitlines()) == lines
    listed = evil.vector(*command, "--json")
    assert not any(map(commands_a_terminal, listed.stdout))
    assert len(listed.stdout.splitlines()) == 1
    if command[0] == "jobs" and command[1] == "show":
        assert json.loads(listed.stdout)["job_id"] == EVIL


# Streams

ENCODINGS = ["utf-8", "cp1252", "latin-1", "ascii", "cp932"]


def script(project, name, *arguments, encoding=None, redirection=""):
    """Runs a script with its streams as the shell redirects them; the finished process."""
    environment = {**clean_copy(os.environ), "VECTOR_CACHE_DIR": ""}
    environment.pop("PYTHONUTF8", None)
    if encoding:
        environment["PYTHONIOENCODING"] = encoding
    command = [sys.executable, str(PROJECT_DIR / "scripts" / f"{name}.py"), *arguments]
    command += ["--project-dir", str(project.folder), "--profiles-dir", str(project.folder)]
    shell = ["sh", "-c", f'exec "$@" {redirection}', "sh", *command]
    return subprocess.run(shell, env=environment, cwd=project.folder, capture_output=True, timeout=60)


QUESTION = "日本の探査機 è 🚀"


@posix_only
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.long
def test_search_prints_on_any_stream_what_it_logs(project, encoding):
    before = project.query("select count(*) from retrieval")[0][0]
    text = script(project, "search", QUESTION, encoding=encoding)
    assert (text.returncode, text.stderr) == (0, b"")
    shown = text.stdout.decode(encoding)
    assert shown.startswith(QUESTION.encode(encoding, "replace").decode(encoding))
    assert "compared by" in shown
    done = script(project, "search", QUESTION, "--json", encoding=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout.decode(encoding))["query"] == QUESTION, "nothing is lost in JSON"
    assert project.query("select count(*) from retrieval")[0][0] == before + 2


@posix_only
@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.long
def test_a_closed_stream_is_no_failure(project, redirection):
    before = project.query("select count(*) from retrieval")[0][0]
    done = script(project, "search", QUESTION, redirection=redirection)
    assert (done.returncode, done.stderr) == (0, b"")
    assert project.query("select count(*) from retrieval")[0][0] == before + 1, "and the database is whole"


@pytest.mark.parametrize("arguments", [["search", QUESTION], ["search", "--help"]])
def test_a_reader_that_has_enough_is_no_failure(project, arguments):
    process = project.start(*arguments)
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), said) == (0, "")


@posix_only
def test_what_cannot_be_printed_is_said_with_what_is_logged(project):
    done = script(project, "search", QUESTION, redirection="> /dev/full")
    ((retrieval_id,),) = project.query("select retrieval_id from retrieval order by created_utc desc limit 1")
    said = f"error: the result could not be printed: No space left on device; the search is logged as {retrieval_id}\n"
    assert (done.returncode, done.stderr.decode()) == (70, said)
    done = script(project, "embed", "--json", redirection="> /dev/full")
    assert (done.returncode, done.stderr.decode().count("\n")) == (70, 1)
    assert "what was embedded is stored" in done.stderr.decode()


@pytest.mark.parametrize("encoding", ["cp1252", "cp932", "ascii"])
def test_on_windows_what_is_no_console_gets_utf_8(encoding):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    output._take_any_text(stream, windows=True)
    stream.write("日本 \ud800")
    stream.flush()
    assert raw.getvalue() == "日本 \\ud800".encode()


@pytest.mark.parametrize(
    "command",
    [["search", QUESTION], ["search", QUESTION, "--json"], ["replay", "--since", "2020-01-01"], ["jobs", "list"]],
)
def test_on_windows_every_command_prints_utf_8_into_a_pipe(project, monkeypatch, command):
    """Where Python opens a pipe with the code page of the machine. What was asked, which replay prints, and a job's id
    are any text."""
    with project.connect() as connection:
        connection.execute(
            "insert into job by name select '日本 🚀' as job_id, * exclude (job_id, by_hand_flag) from job limit 1"
        )
    monkeypatch.setattr(output, "WINDOWS", True)
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    where = ["--project-dir", str(project.folder), "--profiles-dir", str(project.folder)]
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="cp1252") for _ in range(2))
    with clean_environment(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*command, *where])
        output.say("error: 日本 \ud800")
    said = err.buffer.getvalue().decode("utf-8")
    assert (code in (0, 1), said.splitlines()[-1]) == (True, "error: 日本 �"), said
    assert "日本" in out.buffer.getvalue().decode("utf-8")


# Failures with --json


def one_object(done, code):
    value = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert done.exit_code == code
    assert value["error"]
    return value


@pytest.mark.parametrize(
    "command",
    [
        ["search", "x"], ["embed"], ["embed", "--plan"], ["worker", "--once"], ["worker", "--dry-run"],
        ["enqueue", "EMBED_CHUNKS"], ["jobs", "list"], ["jobs", "show", "x"], ["jobs", "retry", "x"],
        ["jobs", "cancel", "x"], ["jobs", "requeue-dead"], ["replay", "x"], ["failures"], ["spaces"],
        ["spaces", "list"], ["spaces", "discover", "--provider", "ollama"], ["spaces", "evaluate", "x"],
        ["spaces", "publish", "x"], ["spaces", "rollback"], ["spaces", "retire", "x"], ["spaces", "history"],
        ["report"], ["coverage"], ["verify"],
    ],
)  # fmt: skip
def test_every_command_fails_with_one_object(tmp_path, command):
    done = vector(*command, "--json", "--project-dir", str(tmp_path))
    value = one_object(done, 2)
    assert value == {"error": f"no dbt_project.yml in {tmp_path}: is it a dbt project?", "exit_code": 2}
    assert done.stderr == f"error: {value['error']}\n", "and says it on stderr"
    assert vector(*command, "--project-dir", str(tmp_path)).stdout == ""


def vector(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with clean_environment(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as left:
            code = left.code
    return Command(code, out.getvalue(), err.getvalue())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json"], ["nothing", "--json"], ["jobs", "--json"], ["embed", "--json", "--limit", "no"],
        ["embed", "--limit", "no", "--js"], ["search", "--json"], ["spaces", "--json", "discover"],
        ["worker", "--json"], ["replay", "--json"],
    ],
)  # fmt: skip
def test_wrong_usage_is_one_object(arguments):
    done = vector(*arguments)
    value = one_object(done, 2)
    assert value["exit_code"] == 2
    assert value["error"].endswith(" --help")
    assert done.stderr == f"error: {value['error']}\n"


def test_without_json_wrong_usage_prints_nothing_on_stdout():
    assert vector("embed", "--limit", "no").stdout == ""
    assert vector("search", "--", "--json", "too many").stdout == ""


def test_what_fails_half_way_is_one_object_with_its_error(project):
    with project.store() as store:
        store.get_or_create_embedding_space("ollama", "m", 8, space_key="odd")
    value = one_object(project.vector("embed", "--plan", "--max-cost", "1", "--json"), 2)
    assert [space["space_key"] for space in value["spaces"]] == ["hash"], "what can be planned is"
    assert "odd has no price_per_million_tokens" in value["error"]
    value = one_object(project.vector("embed", "--max-cost", "1", "--json"), 2)
    assert [space["space_key"] for space in value["spaces"]] == ["hash", "odd"]
    assert value["error"] == f"odd: {value['spaces'][1]['error']}"
    value = one_object(project.vector("jobs", "retry", "nothing", "--json"), 2)
    assert (value["changed"], value["unchanged"]) == ([], ["nothing"])
    value = one_object(project.vector("spaces", "rollback", "--json"), 4)
    value = one_object(project.vector("spaces", "publish", "hash", "--skip-tests", "--dry-run", "--json"), 4)
    assert (value["passed"], value["published"]) == (False, False)


def test_what_is_unforeseen_is_one_object(project, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError(HOSTILE)

    monkeypatch.setattr("vector.commands.inspect.verify_vectors", fail)
    done = project.vector("verify", "--json")
    value = one_object(done, 70)
    assert value["error"].startswith("RuntimeError: a ")
    assert done.stderr.count("\n") == 1

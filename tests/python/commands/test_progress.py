"""How far a run is, as a terminal and as a log see it."""

import contextlib
import io
import json
import os
import struct
import subprocess
import sys

import pytest
from support import PROJECT_DIR, ScratchProject, clean_copy

from vector.commands.output import say
from vector.commands.progress import INTERVAL, RATE_WINDOW, ProgressLines, shown_progress
from vector.embedding.writer import EmbedSummary


@pytest.fixture
def forgotten(project: ScratchProject) -> ScratchProject:
    """A project whose every chunk is pending."""
    with project.connect() as connection:
        connection.execute("delete from embedding")
    return project


def embed_on_a_terminal(project, *arguments, columns=100, **environment):
    """Exit code, stdout and what the terminal got, of embed.py with its stderr on a pseudo-terminal."""
    fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24 if columns else 0, columns, 0, 0))
    where = ["--project-dir", str(project.folder), "--profiles-dir", str(project.folder)]
    process = subprocess.Popen(
        [sys.executable, str(PROJECT_DIR / "scripts" / "embed.py"), *arguments, *where],
        **{"stdout": subprocess.PIPE, "stderr": follower, "encoding": "utf-8", "cwd": project.folder},
        env={**clean_copy(os.environ), **environment},
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            block = os.read(leader, 65536)
        except OSError:  # Linux says EIO when the other side is closed
            break
        if not block:
            break
        shown += block
    os.close(leader)
    stdout, _ = process.communicate()
    return process.returncode, stdout, shown.decode("utf-8")


@pytest.mark.parametrize("columns", [100, 0])
def test_a_terminal_gets_a_bar_with_rate_and_remaining_time(forgotten, columns):
    code, stdout, shown = embed_on_a_terminal(forgotten, columns=columns)
    assert (code, "vectors written" in stdout) == (0, True)
    ((total,),) = forgotten.query("select count(*) from embedding")
    drawn = shown.replace("\r\n", "\n").split("\r")
    assert any(f"0/{total} chunks [00:00<?" in line for line in drawn)
    last = drawn[-1]
    assert last.startswith("hash: 100%|")
    assert f"{total}/{total} chunks" in last
    assert "chunks/s]" in last
    assert "█" in last
    assert last.endswith("\n")
    assert "event" not in shown
    assert "\x1b[3" not in shown, "no colour"
    assert all(len(line.strip("\n")) <= (columns or 80) for line in drawn)


def test_a_terminal_of_ascii_gets_a_bar_of_ascii(forgotten):
    code, _, shown = embed_on_a_terminal(forgotten, PYTHONIOENCODING="ascii")
    assert code == 0
    assert "100%|####" in shown
    assert shown.isascii()


def test_an_error_stands_on_its_own_line_under_the_bar(forgotten):
    with forgotten.connect() as connection:  # the model does not answer: nobody listens there
        connection.execute("update embedding_space set provider = 'openai'")
    code, stdout, shown = embed_on_a_terminal(
        forgotten, OPENAI_BASE_URL="http://127.0.0.1:9/v1", VECTOR_HTTP_PATIENT_TRIES="1"
    )
    assert code == 3
    assert stdout == ""
    *bar, error, rest = shown.replace("\r\n", "\n").split("\n")
    assert error.startswith("error: hash: ")
    assert rest == ""
    assert "0%" in "".join(bar)


@pytest.mark.long
def test_quiet_and_idle_runs_show_nothing(forgotten):
    assert embed_on_a_terminal(forgotten, "--quiet", "--limit", "3")[::2] == (0, "")
    assert forgotten.vector("embed", "--quiet").stderr == ""
    done = forgotten.vector("embed")
    assert (done.stderr, "nothing to embed" in done.stdout) == ("", True)
    assert embed_on_a_terminal(forgotten)[::2] == (0, "")


def test_a_pipe_gets_an_object_a_line(forgotten):
    process = forgotten.start("embed", "--json")
    stdout, stderr = process.communicate()
    (summary,) = json.loads(stdout)["spaces"]
    first, *_, last = map(json.loads, stderr.splitlines())
    assert (first["event"], first["space_key"], first["done"]) == ("progress", "hash", 0)
    assert first["planned"] == last["done"] == last["planned"] == summary["planned"]
    assert (first["finished"], last["finished"]) == (False, True)
    assert first["run_id"] == last["run_id"] == summary["run_id"]
    assert last["rate"] > 0
    assert (last["requests"], last["input_tokens"]) == (summary["requests"], summary["input_tokens"])


def test_an_error_is_one_line_among_the_objects(forgotten):
    with forgotten.connect() as connection:
        connection.execute("update embedding_space set provider = 'nowhere'")
    done = forgotten.vector("embed")
    *objects, error = done.stderr.splitlines()
    assert done.exit_code == 2
    assert error.startswith("error: hash: unknown embedding provider 'nowhere'")
    first, last = map(json.loads, objects)
    assert (first["finished"], last["finished"], last["done"]) == (False, True, 0)
    assert last["error"] in error


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_lines_come_seconds_apart_and_tell_the_rate_of_the_last_minute():
    out, clock = io.StringIO(), Clock()
    lines = ProgressLines(out, clock)
    summary = EmbedSummary("one", planned=1000)
    for _ in range(100):  # 1 chunk a second
        lines.show(summary)
        clock.now += 1
        summary.written += 1
    for _ in range(int(RATE_WINDOW + 2 * INTERVAL)):  # then 5 a second
        lines.show(summary)
        clock.now += 1
        summary.written += 5
    read = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["seconds"] for line in read] == [INTERVAL * n for n in range(len(read))]
    assert (read[0]["rate"], read[0]["eta_seconds"]) == (None, None)
    assert read[1]["rate"] == 1
    assert read[1]["eta_seconds"] == 1000 - INTERVAL
    assert read[-1]["rate"] == 5
    assert read[-1]["eta_seconds"] == pytest.approx((1000 - read[-1]["done"]) / 5)
    summary.stopped_by = "max_seconds"
    lines.finish(summary)
    lines.finish(summary)
    last = json.loads(out.getvalue().splitlines()[-1])
    assert (last["finished"], last["stopped_by"], last["eta_seconds"]) == (True, "max_seconds", None)
    assert len(out.getvalue().splitlines()) == len(read) + 1
    assert last["rate"] == pytest.approx(summary.written / last["seconds"], abs=0.1)


def test_each_space_begins_anew():
    out, clock = io.StringIO(), Clock()
    with shown_progress(stream=out) as progress:
        assert isinstance(progress, ProgressLines)
        for key in ("one", "two", "idle"):
            summary = EmbedSummary(key, planned=0 if key == "idle" else 10)
            progress.show(summary)
            summary.written = summary.planned
            clock.now += 1
            progress.show(summary)
            progress.finish(summary)
    assert [(line["space_key"], line["done"]) for line in map(json.loads, out.getvalue().splitlines())] == [
        ("one", 0), ("one", 10), ("two", 0), ("two", 10),
    ]  # fmt: skip


def test_a_reader_that_is_gone_does_not_end_the_run():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    lines = ProgressLines(Gone())
    summary = EmbedSummary("one", planned=10)
    lines.show(summary)
    lines.finish(summary)


def test_a_stderr_that_is_gone_changes_nothing():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    with contextlib.redirect_stderr(Gone()):
        say("error: nobody reads this")


def test_a_reader_that_has_enough_changes_no_exit_code(project):
    process = project.start("search", "Io", "--json", "--no-log", "--top-k", "200")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 0

"""Files that are written for others: replaced as a whole, through links and into what is no file, never into a trap."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support import PROJECT_DIR, clean_copy, posix_only

from vector import files
from vector.errors import ConfigurationError
from vector.jobs.worker import HealthFile

CONTENT = b"<p>the page</p>"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def names(folder):
    return sorted(each.name for each in folder.iterdir())


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


# Links


@pytest.mark.parametrize("there", [True, False], ids=["there", "dangling"])
def test_a_link_is_followed_and_stays(tmp_path, there):
    (tmp_path / "public").mkdir()
    file, link, second = tmp_path / "public" / "page.html", tmp_path / "report.html", tmp_path / "second"
    if there:
        file.write_bytes(b"before")
    link.symlink_to(file)
    second.symlink_to("report.html")
    files.checked_destination(second, "--out")
    files.write_whole(second, CONTENT)
    assert (link.is_symlink(), second.is_symlink(), file.read_bytes()) == (True, True, CONTENT)
    assert names(tmp_path / "public") == ["page.html"]


@posix_only
def test_a_circle_of_links_is_an_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ConfigurationError, match="--out .*/a: Too many levels of symbolic links"):
        files.checked_destination(tmp_path / "a", "--out")


@posix_only
def test_a_name_that_is_too_long_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="--out .*: File name too long"):
        files.checked_destination(tmp_path / ("x" * 300), "--out")
    longest = tmp_path / ("x" * 255)
    files.write_whole(longest, CONTENT)
    assert longest.read_bytes() == CONTENT


@posix_only
def test_a_link_into_a_folder_that_is_not_there_is_an_error(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "none" / "page.html")
    with pytest.raises(ConfigurationError, match="there is no folder .*/none; make it first"):
        files.checked_destination(tmp_path / "a", "--out")


# What is no regular file


@posix_only
def test_a_fifo_is_written_to(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    files.checked_destination(fifo, "--out")
    files.write_whole(fifo, CONTENT * 10_000)
    reader.join(timeout=20)
    assert read == [CONTENT * 10_000]
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    with pytest.raises(OSError, match="No such device"):
        files.write_whole(fifo, CONTENT, wait=False)


@posix_only
def test_a_device_stays_one(tmp_path):
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    for path in ("/dev/null", link):
        files.checked_destination(type(tmp_path)(path), "--out")
        files.write_whole(type(tmp_path)(path), CONTENT)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@posix_only
def test_a_device_that_is_full_says_so():
    with pytest.raises(OSError, match="No space left"):
        files.write_whole(type(PROJECT_DIR)("/dev/full"), CONTENT)


WRITES = (
    "import sys; from pathlib import Path; sys.path.insert(0, 'scripts'); from vector import files\n"
    "files.write_whole(Path(sys.argv[1]), b'the page'); print('after', flush=True)"
)


@posix_only
@pytest.mark.parametrize("out", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_stdout_is_written_to_in_its_turn(tmp_path, out):
    command = [sys.executable, "-c", WRITES, out]
    piped = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True)
    assert piped.stdout == "the pageafter\n", piped.stderr
    target = tmp_path / "redirected"
    with target.open("w") as file:
        file.write("before ")
        file.flush()
        subprocess.run(command, cwd=PROJECT_DIR, stdout=file, check=True)
    assert target.read_text() == "before the pageafter\n"
    assert names(tmp_path) == ["redirected"]


# Permissions, and traps


@posix_only
def test_a_new_file_is_its_owners_and_an_old_one_keeps_its_permissions(tmp_path, umask):
    path = tmp_path / "report.html"
    files.write_whole(path, CONTENT)
    assert mode(path) == 0o600
    path.chmod(0o664)
    files.write_whole(path, b"again")
    assert (mode(path), path.read_bytes()) == (0o664, b"again")
    files.write_whole(tmp_path / "health.json", CONTENT, new_mode=0o666)
    assert mode(tmp_path / "health.json") == 0o644


def test_names_beside_are_random_and_must_be_new(tmp_path, monkeypatch):
    opened = []
    real = os.open

    def watched(path, flags, mode=0o777, **options):
        opened.append((str(path), flags))
        return real(path, flags, mode, **options)

    monkeypatch.setattr("vector.files.os.open", watched)
    for _ in range(2):
        files.write_whole(tmp_path / "report.html", CONTENT)
    (first, flags), (second, _) = opened
    assert first != second
    assert flags & os.O_EXCL
    assert flags & os.O_CREAT
    assert flags & os.O_NOFOLLOW
    monkeypatch.setattr("vector.files.secrets.token_hex", lambda length: "guessed")
    trap, victim = tmp_path / ".report.html.guessed.tmp", tmp_path / "victim"
    victim.write_bytes(b"precious")
    trap.symlink_to(victim)
    with pytest.raises(FileExistsError):
        files.write_whole(tmp_path / "report.html", b"poured in")
    assert victim.read_bytes() == b"precious"


def test_nothing_is_left_beside_after_a_failure(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_bytes(b"before")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vector.files.os.replace", fail)
    with pytest.raises(OSError, match="No space"):
        files.write_whole(path, CONTENT)
    assert (names(tmp_path), path.read_bytes()) == (["report.html"], b"before")


def test_a_mount_of_its_own_is_written_in_place(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_bytes(b"something longer than the page")

    def busy(*arguments):
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr("vector.files.os.replace", busy)
    files.write_whole(path, CONTENT)
    assert (names(tmp_path), path.read_bytes()) == (["report.html"], CONTENT)


# A file that Windows lets nobody else have


class Held(PermissionError):
    """What os.replace raises there: ERROR_ACCESS_DENIED of a target that a reader has open, ERROR_SHARING_VIOLATION."""

    def __init__(self, winerror):
        super().__init__(13, "Access is denied")
        self.winerror = winerror


def refusing(monkeypatch, name, error, times):
    """Makes a function of os fail so many times; the calls."""
    calls, real = [], getattr(os, name)

    def refuse(*paths):
        calls.append(paths)
        if len(calls) <= times:
            raise error
        return real(*paths)

    monkeypatch.setattr(f"vector.files.os.{name}", refuse)
    return calls


@pytest.mark.parametrize("winerror", [5, 32, 33])
def test_a_file_that_a_reader_holds_is_replaced_when_it_is_free(tmp_path, monkeypatch, winerror):
    path = tmp_path / "health.json"
    path.write_bytes(b"before")
    calls = refusing(monkeypatch, "replace", Held(winerror), 4)
    HealthFile(path).write("idle")
    assert len(calls) == 5
    assert (json.loads(path.read_bytes())["state"], names(tmp_path)) == ("idle", ["health.json"])


def test_a_file_that_stays_held_is_given_up(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("vector.files.time.monotonic", lambda: now[0])
    monkeypatch.setattr("vector.files.time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    path = tmp_path / "report.html"
    path.write_bytes(b"before")
    refusing(monkeypatch, "replace", Held(5), 10**6)
    with pytest.raises(PermissionError):
        files.write_whole(path, CONTENT)
    assert 3 <= now[0] < 4
    assert (names(tmp_path), path.read_bytes()) == (["report.html"], b"before")


def test_what_is_refused_for_another_reason_is_not_tried_again(tmp_path, monkeypatch):
    for error in (PermissionError(13, "Permission denied"), Held(19), FileExistsError(17, "File exists")):
        calls = refusing(monkeypatch, "rename", error, 10**6)
        with pytest.raises(type(error)):
            files.rename_new(tmp_path / "a", tmp_path / "b")
        assert len(calls) == 1
        monkeypatch.undo()


def test_whether_a_file_is_held_is_asked_of_windows_only(tmp_path, monkeypatch):
    path = tmp_path / "w.duckdb"
    path.write_bytes(b"rows")
    calls = refusing(monkeypatch, "rename", Held(32), 1)
    assert (files.is_held(path), calls) == (False, [])
    monkeypatch.setattr(files, "WINDOWS", True)
    assert files.is_held(path)
    assert not files.is_held(path), "it is free again"
    assert not files.is_held(tmp_path / "none")
    refusing(monkeypatch, "rename", Held(5), 1)
    assert not files.is_held(path), "a file that may not be renamed, of an administrator say, is none that is held"
    assert path.read_bytes() == b"rows"


# Who writes so


def test_the_health_file_follows_links_and_escapes(tmp_path):
    (tmp_path / "real.json").touch()
    link = tmp_path / "health.json"
    link.symlink_to("real.json")
    HealthFile(link).write("waiting", trouble="\x1b[2J \u202e \ud800 ü\nidle")
    assert link.is_symlink()
    assert link.read_bytes().isascii()
    assert link.read_text().count("\n") == 1
    assert json.loads(link.read_text())["trouble"] == "\x1b[2J \u202e \ud800 ü\nidle"
    assert names(tmp_path) == ["health.json", "real.json"]


@posix_only
def test_a_health_file_that_is_a_fifo_nobody_reads_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "health")
    with pytest.raises(ConfigurationError, match="health file .*: No such device"):
        HealthFile(tmp_path / "health").write("idle")


def report(project, *arguments, **options):
    command = [sys.executable, "-c", "import sys; from vector.cli import main; sys.exit(main())", "report", *arguments]
    command += ["--project-dir", str(project.folder), "--profiles-dir", str(project.folder)]
    return subprocess.run(command, env=clean_copy(os.environ), cwd=project.folder, timeout=60, **options)


@posix_only
@pytest.mark.long
def test_the_report_goes_where_out_leads(project, tmp_path):
    done = report(project, "--out", "/dev/stdout", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("<!doctype html>")
    assert done.stdout.rstrip().endswith("</html>"), "and nothing else"
    assert done.stderr.startswith("/dev/stdout: 1 space, ")
    link = tmp_path / "link.html"
    link.symlink_to(tmp_path / "page.html")
    assert project.vector("report", "--out", str(link)).exit_code == 0
    assert link.is_symlink()
    assert mode(tmp_path / "page.html") == 0o600
    assert names(tmp_path) == ["link.html", "page.html"]
    assert project.vector("report", "--out", "/dev/null").exit_code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_report_that_cannot_be_written_names_out(project, tmp_path):
    sock = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(sock))
        for out in ("/dev/full", str(sock)):
            done = project.vector("report", "--out", out, "--json")
            assert (done.exit_code, done.stderr.count("\n")) == (70, 1), done
            assert done.stderr.startswith(f"error: --out {out}: No s")
            assert json.loads(done.stdout)["error"].startswith(f"--out {out}: No s")


@posix_only
def test_who_reads_no_further_has_had_enough_of_the_report(project, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def read_a_little():
        with open(fifo, "rb") as file:
            file.read(10)

    reader = threading.Thread(target=read_a_little)
    reader.start()
    done = project.vector("report", "--out", str(fifo))
    reader.join()
    assert (done.exit_code, done.stderr) == (0, "")


def test_the_page_says_that_what_ran_was_run_by_hand(project, tmp_path):
    out = tmp_path / "report.html"
    assert project.vector("report", "--out", str(out)).exit_code == 0
    assert "Whatever ran was run by hand: no job was queued." in out.read_text(encoding="utf-8")
    assert "No job was ever queued." not in out.read_text(encoding="utf-8")
    with project.connect() as connection:
        for ledger in (
            "embedding_failure",
            "embedding_canary",
            "embedding",
            "retrieval_hit",
            "retrieval",
            "run",
            "job",
        ):
            connection.execute(f"delete from {ledger}")
    assert project.vector("report", "--out", str(out)).exit_code == 0
    assert "No job was ever queued." in out.read_text(encoding="utf-8")

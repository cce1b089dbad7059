"""Files that this package writes for others to read: whole, or not at all, and where their name leads; and what Windows
does with a file that somebody has open."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vector.errors import ConfigurationError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

WINDOWS = os.name == "nt"
# There a file that is open keeps its name, unless who opened it allows otherwise, which few do: a reader, a backup or a
# virus scanner holds it. ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION; a held target may give ERROR_ACCESS_DENIED.
_HELD = (32, 33)
_MAY_BE_HELD = (5, *_HELD)
_HELD_SECONDS = 3.0

_BINARY = getattr(os, "O_BINARY", 0)
# What a file is opened with that must be new: no other file and no link, made by somebody else, is written to.
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | _BINARY


def checked_destination(path: Path, option: str) -> None:
    """Raises ConfigurationError, which names the option, where nothing can be written to the path."""
    try:
        is_folder, written_through = path.is_dir(), _is_special(path)
    except OSError as error:  # a loop of links, too long a name, a folder that may not be entered
        raise ConfigurationError(f"{option} {path}: {error.strerror}") from None
    if is_folder:
        raise ConfigurationError(f"{option} {path} is a folder; name a file, such as {path / 'report.html'}")
    if written_through:
        if not os.access(path, os.W_OK):
            raise ConfigurationError(f"{option} {path}: is not writable; name another")
        return
    folder = _behind_links(path).parent
    if not folder.is_dir():
        raise ConfigurationError(f"{option} {path}: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK):
        raise ConfigurationError(f"{option} {path}: the folder {folder} is not writable; name another")


def write_whole(path: Path, content: bytes, new_mode: int = 0o600, wait: bool = True) -> None:
    """Replaces a regular file, so that no reader sees half of it, or writes a new one; follows links to it. A file that
    is there keeps its permissions; a new one gets `new_mode`, less what the umask takes away. What is no regular file
    (a FIFO, a device, a pipe behind /dev/stdout) is written to as it is; without `wait`, a FIFO that nobody reads is an
    error. Raises OSError."""
    if _is_special(path):
        _write_through(path, content, wait)
    else:
        _replace(_behind_links(path), content, new_mode)


@contextmanager
def locked(path: Path) -> Iterator[str | None]:
    """A lock among the processes of this machine, which ends with its process at the latest: None where it is got, else
    who holds it. The file stays. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as file:
        if not _lock(file.fileno()):
            holder = file.read(20).decode(errors="replace").strip()
            yield f"process {holder}" if holder else "another process"
            return
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        yield None


def is_ours_alone(folder: Path) -> bool:
    """Whether the folder is this user's, and nobody else can write to it. On Windows the permissions of the folder
    above hold. Raises OSError."""
    if os.name == "nt":
        return True
    found = folder.stat()
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


def is_locked(path: Path) -> bool:
    """Whether a process has the lock of `locked`. Those that ask do not disturb each other. Raises OSError."""
    if sys.platform == "win32":
        with locked(path) as holder:
            return holder is not None
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


def _lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            # A byte far behind the text, which others can read then.
            os.lseek(descriptor, 2**30, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            return True
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError as error:
        # On Windows EACCES and EDEADLK, elsewhere EWOULDBLOCK.
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, getattr(errno, "EDEADLK", 0)):
            return False
        raise
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)


def replace_file(source: str | Path, target: str | Path) -> None:
    """os.replace. Where another process holds a file, on Windows, it is tried again for 3 seconds. Raises OSError."""
    _moved(os.replace, source, target)


def rename_new(source: str | Path, target: str | Path) -> None:
    """os.rename, to a name that nothing has; else as `replace_file`."""
    _moved(os.rename, source, target)


def is_held(path: Path) -> bool:
    """Whether Windows lets nobody else have the file, as another process has it open. To rename a file to its own name
    asks just that, and changes nothing. False elsewhere, where locks are DuckDB's to tell of."""
    if not WINDOWS:
        return False
    try:
        os.rename(path, path)
    except OSError as error:
        return getattr(error, "winerror", None) in _HELD
    return False


def is_stdout(path: Path) -> bool:
    """Whether the path is this process's stdout, such as /dev/stdout."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(1)) and not stat.S_ISCHR(os.fstat(1).st_mode)
    except OSError:
        return False


def _is_special(path: Path) -> bool:
    """Whether something is there that is neither a regular file nor a link to one or to nothing. Raises OSError."""
    try:
        return is_stdout(path) or not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def _behind_links(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _write_through(path: Path, content: bytes, wait: bool) -> None:
    # Its own number rather than the name, which would begin a file anew that stdout is redirected to.
    flags = os.O_WRONLY | _BINARY | (0 if wait else getattr(os, "O_NONBLOCK", 0))
    opened = os.dup(1) if is_stdout(path) else os.open(path, flags)
    with open(opened, "wb") as file:
        file.write(content)


def _replace(target: Path, content: bytes, new_mode: int) -> None:
    beside = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}.tmp")
    try:
        with open(os.open(beside, _NEW, new_mode), "wb") as file:
            file.write(content)
            with suppress(FileNotFoundError):
                _keep_permissions(target, beside)
        try:
            replace_file(beside, target)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            target.write_bytes(content)  # a mount of its own, as a container may have it
    finally:
        beside.unlink(missing_ok=True)


def _keep_permissions(target: Path, beside: Path) -> None:
    before = os.stat(target)
    if hasattr(os, "chown"):
        with suppress(PermissionError):  # only root gives files away
            os.chown(beside, before.st_uid, before.st_gid)
    os.chmod(beside, stat.S_IMODE(before.st_mode))


def _moved(move: Callable[[str | Path, str | Path], None], source: str | Path, target: str | Path) -> None:
    deadline, pause = time.monotonic() + _HELD_SECONDS, 0.01
    while True:
        try:
            return move(source, target)
        except PermissionError as error:
            if getattr(error, "winerror", None) not in _MAY_BE_HELD or time.monotonic() >= deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 0.25)

"""Copies a database's file, in a process of its own: POSIX takes a process's locks on a file away as soon as it closes
any descriptor of it, so a process that has the database open, by us or by its user, must not read the file itself.

Run as a script, without this package: arguments are the folder to copy to and the source's files, of which one may be
missing (the log). Exit codes: 0 copied, and nobody has written meanwhile; 3 the database is open for writing; 4 it was
written to. What is on disk is whole at any moment, as after a power cut; it stayed the same from before to after.
"""

import os
import shutil
import sys
import time

# Older kernels stamp a write with the time of their last tick. Two writes of one tick would look like one.
_TICK = 0.02


def main() -> int:
    """Copies; the exit code."""
    folder, *sources = sys.argv[1:]
    before = _stamps(sources)
    while (age := time.time() - max(stamp[2] for stamp in before) / 1e9) < _TICK and age > -_TICK:
        time.sleep(_TICK)
    if _written_to(sources[0]):
        return 3
    for source, stamp in zip(sources, before, strict=True):
        if stamp[1]:
            target = os.path.join(folder, os.path.basename(source))
            shutil.copyfile(source, target)
            os.chmod(target, 0o600)
            with open(target, "r+b") as file:
                os.fsync(file.fileno())
    return 0 if _stamps(sources) == before else 4


def _stamps(sources: list[str]) -> list[tuple[int, int, int]]:
    """Number, size and time of change of each; zeros for one that is missing or empty."""
    found = []
    for source in sources:
        try:
            each = os.stat(source)
            found.append((each.st_ino, each.st_size, each.st_mtime_ns) if each.st_size else (0, 0, 0))
        except FileNotFoundError:
            found.append((0, 0, 0))
    return found


def _written_to(source: str) -> bool:
    """Whether a process has the database open for writing, as DuckDB tells it to others; on Windows the copy fails."""
    try:
        import fcntl
    except ImportError:
        return False
    with open(source, "rb") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.lockf(file, fcntl.LOCK_UN)
        except OSError:
            return True
    return False


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FileNotFoundError:  # the log, which is gone when the last one closes the database
        sys.exit(4)
    except PermissionError as error:
        if getattr(error, "winerror", None) in (32, 33):  # somebody has it, on Windows
            sys.exit(3)
        sys.exit(error.strerror)
    except OSError as error:  # a full disk
        sys.exit(error.strerror)

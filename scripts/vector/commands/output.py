"""Standard streams and the log, whatever they are: a pipe that was closed, ASCII, a full disk, or nothing at all."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any, NoReturn, TextIO

from vector.errors import VectorError
from vector.files import WINDOWS
from vector.wording import json_text, one_line, printable

# Characters of a record of the log that are shown of it.
LOGGED = 4000


class OutputLost(VectorError):
    """What a command did is done, and its result could not be printed or written."""

    exit_code = 70


def prepare_streams() -> None:
    """Makes stdout and stderr take any text, and be there. Called once, before anything is opened."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Closed, by `>&-` say. The next file, the database for one, would get the number and what is printed to it.
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    windows = WINDOWS and "PYTHONIOENCODING" not in os.environ
    for stream in (sys.stdout, sys.stderr):
        _take_any_text(stream, windows)
    if windows and sys.stdin is not None and not sys.stdin.isatty():
        with suppress(AttributeError, ValueError):
            sys.stdin.reconfigure(encoding="utf-8")


def _take_any_text(stream: TextIO, windows: bool) -> None:
    """What is no console on Windows has the code page of the machine, and gets UTF-8. Elsewhere the encoding is the
    user's choice, and a character that it lacks becomes a question mark."""
    with suppress(AttributeError, ValueError):  # some other object, in place of a stream
        if windows and not stream.isatty():
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        elif stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def print_text(text: str, stored: str = "", styled: bool = False) -> None:
    """Prints a text on stdout, with U+FFFD in place of control characters, unless it is `styled`: who made it has done
    that, and put in codes of `bold`. Who closed stdout, `head` say, has enough, and that is no failure. Raises
    OutputLost, with `stored`, when it cannot be written for another reason."""
    _print(text if styled else printable(text), stored)


def bold() -> tuple[str, str]:
    """What makes text on stdout bold, and ends that; empty where stdout is no terminal that shows it, or the user wants
    no such codes (https://no-color.org)."""
    knows_none = os.environ.get("TERM") == "dumb" or (WINDOWS and "WT_SESSION" not in os.environ)
    plain = knows_none or os.environ.get("NO_COLOR") or not sys.stdout.isatty()
    return ("", "") if plain else ("\x1b[1m", "\x1b[0m")


def print_json(value: Any, stored: str = "") -> None:
    """Prints a value on stdout as one line of JSON; else as `print_text`."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    _print(json_text(value, ascii_only=not encoding.startswith("utf")), stored)


def _print(text: str, stored: str) -> None:
    try:
        print(text)
    except OSError as error:
        _lost(error, stored)
    flush(stored)


def flush(stored: str = "") -> None:
    """Flushes stdout. Raises as `print_text`."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _lost(error, stored)


def _lost(error: OSError, stored: str) -> None:
    # What Python flushes at its end goes nowhere: it would fail again, and change the exit code.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # EINVAL is what Windows says of a pipe that was closed.
    if error.errno == errno.EPIPE or (os.name == "nt" and error.errno == errno.EINVAL):
        return
    done = f"; {stored}" if stored else ""
    raise OutputLost(f"the result could not be printed: {error.strerror or error}{done}") from None


def log_to_stderr() -> None:
    """Warnings of all modules go to stderr, a line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class LineFormatter(logging.Formatter):
    """One record, one line, printable: a server's message cannot pass for a record of its own. With VECTOR_DEBUG the
    traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        error = record.exc_info[1] if record.exc_info else None
        said = f" ({type(error).__name__}: {error})" if error else ""
        line = one_line(f"{record.levelname}: {record.getMessage()}{said}")
        line = line if len(line) <= LOGGED else f"{line[:LOGGED]}..."
        if error is None or not os.environ.get("VECTOR_DEBUG"):
            return line
        shown = "".join(traceback.format_exception(error)).splitlines()
        return "\n".join([line, *(f"    {one_line(each)}" for each in shown)])


def say(line: str) -> None:
    """Prints a line on stderr, printable. Who closed it does not want to know, and that must not change how a command
    ends."""
    with suppress(OSError, ValueError):
        print(one_line(line), file=sys.stderr, flush=True)


def terminating() -> list[signal.Signals]:
    """The signals by which others end a command: SIGTERM; on Windows SIGBREAK, of Ctrl-Break and of a console that is
    closed, too."""
    return [getattr(signal, name) for name in ("SIGTERM", "SIGBREAK") if hasattr(signal, name)]


def leave(code: int) -> NoReturn:
    """Ends the process at once. At its ordinary end Python joins the threads of every pool, daemons or not, and so
    would wait for a model server that nobody else waits for any more."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)

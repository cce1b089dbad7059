"""The `vector` command, and the commands under scripts/: `embed`, `search`, `worker`, `enqueue`, `jobs` and others.

Exit codes: 0 all is well; 1 some inputs were quarantined, jobs were given up, or vectors changed; 2 usage or
configuration; 3 the model cannot be used; 4 a space was refused; 70 anything else, such as a full disk; 130 or 143
interrupted or terminated. With several spaces, the highest.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from vector import __version__
from vector.calls import CallsGivenUp
from vector.commands import embed, failures, inspect, jobs, replay, report, search, spaces, worker
from vector.commands.shared import leave, say
from vector.errors import VectorError


def main(argv: Sequence[str] | None = None, prog: str = "vector") -> int:
    """Runs the command line; the exit code. Errors of the package are one line on stderr."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    parser = _parser(prog)
    arguments = parser.parse_args(argv)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    try:
        exit_code = arguments.run(arguments)
        _flush()
        return exit_code
    except VectorError as error:
        if os.environ.get("VECTOR_DEBUG") and error.__cause__ is not None:
            traceback.print_exc()
        say(f"error: {error}")
        return error.exit_code
    except Exception as error:
        if os.environ.get("VECTOR_DEBUG"):
            # Not raised: Python would exit with 1, which says that inputs were quarantined.
            traceback.print_exc()
            return 70
        first_line = str(error).partition("\n")[0]
        say(f"error: {type(error).__name__}: {first_line} (VECTOR_DEBUG=1 shows where)")
        return 70
    except CallsGivenUp as error:
        say(f"stopped; what was answered is stored; {error}")
        leave(_stopped())
    except (KeyboardInterrupt, _Terminated):
        say("stopped; what was finished is stored")
        return _stopped()


def _stopped() -> int:
    return 143 if _Terminated.received else 130


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our stdout, `head` say, has enough: what Python flushes at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Terminated(BaseException):
    """SIGTERM: unwinds as Ctrl-C does, so that the run is closed. `received`, because an engine that it stops in the
    middle of a statement may raise KeyboardInterrupt instead."""

    received = False


def _terminate(number: int, frame: Any) -> None:
    _Terminated.received = True
    raise _Terminated("terminated")


class _Parser(argparse.ArgumentParser):
    """Argparse's own, but an error is one line, as every other error of a command is."""

    def error(self, message: str) -> NoReturn:
        """Prints the message and exits with 2."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = _Parser(prog, description="The vector runtime of an analytics warehouse.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for group in (embed, search, replay, jobs, worker, failures, spaces, report, inspect):
        group.add_to(commands)
    return parser

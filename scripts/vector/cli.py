"""The `vector` command, and the commands under scripts/: `embed`, `search`, `worker`, `enqueue`, `jobs` and others.

Exit codes: 0 all is well; 1 some inputs were quarantined, jobs were given up, or vectors changed; 2 usage or
configuration; 3 the model cannot be used; 4 a space was refused; 5 a model or a test of dbt failed; 70 anything else,
such as a full disk; 130 or 143 interrupted or terminated. With several spaces, the highest.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from vector import __version__
from vector.commands.output import (
    OutputLost,
    flush,
    leave,
    log_to_stderr,
    prepare_streams,
    print_json,
    say,
    terminating,
)
from vector.errors import CallsGivenUp, VectorError

# Each command: its module in vector.commands, and what `vector --help` says of it. A module is imported when one of its
# commands is asked for: most bring numpy, a database and dbt's reader of profiles, a second of processor time.
COMMANDS = {
    "init": ("init", "bring the runtime into a dbt project"),
    "doctor": ("doctor", "check the installation, setting by setting"),
    "refresh": ("refresh", "build, embed and test: the hourly command"),
    "embed": ("embed", "embed what is pending"),
    "search": ("search", "search a space, and log it"),
    "mcp": ("mcp", "serve search to agents, by MCP"),
    "replay": ("replay", "run logged searches again, and show what changed"),
    "enqueue": ("jobs", "queue a job"),
    "jobs": ("jobs", "look at the queue, and change it"),
    "worker": ("worker", "do what is queued"),
    "failures": ("failures", "list and explain the quarantined texts"),
    "spaces": ("spaces", "list the embedding spaces, or discover models"),
    "report": ("report", "write the visual report, one HTML page"),
    "erase": ("erase", "forget a source, or what somebody asked"),
    "coverage": ("inspect", "how far each space covers the current chunks"),
    "verify": ("inspect", "check every stored vector against its hash"),
}


def main(argv: Sequence[str] | None = None, prog: str = "vector") -> int:
    """Runs the command line; the exit code. Errors of the package are one line on stderr and, with --json or --jsonl,
    one object with the keys `error` and `exit_code` on stdout. Raises SystemExit on wrong usage, and after --help."""
    prepare_streams()
    log_to_stderr()
    arguments = _arguments(prog, sys.argv[1:] if argv is None else argv)
    if threading.current_thread() is threading.main_thread():
        for number in terminating():
            signal.signal(number, _terminate)
    try:
        exit_code = arguments.run(arguments)
        flush()
        return exit_code
    except VectorError as error:
        if os.environ.get("VECTOR_DEBUG") and error.__cause__ is not None:
            traceback.print_exc()
        return _failed(arguments, f"error: {error}", error.exit_code)
    except Exception as error:
        if os.environ.get("VECTOR_DEBUG"):
            # Not raised: Python would exit with 1, which says that inputs were quarantined.
            traceback.print_exc()
        first_line = str(error).partition("\n")[0]
        return _failed(arguments, f"error: {type(error).__name__}: {first_line} (VECTOR_DEBUG=1 shows where)", 70)
    except CallsGivenUp as error:
        leave(_failed(arguments, f"stopped; what was answered is stored; {error}", _stopped()))
    except (KeyboardInterrupt, _Terminated):
        return _failed(arguments, "stopped; what was finished is stored", _stopped())


def _arguments(prog: str, argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command. Raises SystemExit when they are wrong, or ask for help."""
    try:
        return _parser(prog, argv).parse_args(argv)
    except _Usage as error:
        # Nothing is parsed yet; argparse takes the beginning of an option for the whole.
        options = list(argv)[: list(argv).index("--")] if "--" in argv else argv
        json = any(len(each) > 3 and "--jsonl".startswith(each) for each in options)
        raise SystemExit(_failed(argparse.Namespace(json=json), f"error: {error}", 2)) from None
    except SystemExit:
        with suppress(OutputLost):
            flush()  # the help, which `head` may have had enough of
        raise


def _failed(arguments: argparse.Namespace, line: str, exit_code: int) -> int:
    """Says why a command fails, on stderr and, unless its object is there already, as an object; the exit code."""
    say(line)
    if (arguments.json or getattr(arguments, "jsonl", False)) and not getattr(arguments, "printed", False):
        with suppress(OutputLost):
            print_json({"error": line.removeprefix("error: "), "exit_code": exit_code})
    return exit_code


def _stopped() -> int:
    return 143 if _Terminated.received else 130


class _Terminated(BaseException):
    """SIGTERM or its like: unwinds as Ctrl-C does, so the run is closed. `received`, because an engine that it stops
    in the middle of a statement may raise KeyboardInterrupt instead."""

    received = False


def _terminate(number: int, frame: Any) -> None:
    _Terminated.received = True
    raise _Terminated("terminated")


class _Usage(Exception):
    """The command line is wrong."""


class _Parser(argparse.ArgumentParser):
    """Argparse's own, but an error is one line, as every other error of a command is."""

    def error(self, message: str) -> NoReturn:
        """Raises _Usage."""
        raise _Usage(f"{message}; see {self.prog} --help")


def _parser(prog: str, argv: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The parser of all commands; or of the one that the arguments name, with no more than the names of the others."""
    parser = _Parser(prog, description="The vector runtime of an analytics warehouse.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    named = None if argv is None else next((each for each in argv if not each.startswith("-")), "")
    modules = {module for name, (module, _) in COMMANDS.items() if named in (None, name)}
    for name, (module, summary) in COMMANDS.items():
        if module not in modules:
            commands.add_parser(name, help=summary)
    for module in sorted(modules):
        importlib.import_module(f"vector.commands.{module}").add_to(commands)
    return parser

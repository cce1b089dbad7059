"""What the commands share: their common options, the store and the spaces they name, and how they print."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from vector.commands.wording import printable
from vector.contracts.models import EmbeddingSpace, JobType
from vector.engines import engine_for_target
from vector.errors import ConfigurationError
from vector.profile import load_target
from vector.publishing import default_space
from vector.store import VectorStore

Run = Callable[[argparse.Namespace], int]


def add_command(
    commands: Any, name: str, run: Run, summary: str, epilog: str | None = None, nested: bool = False
) -> argparse.ArgumentParser:
    """Declares a command with the options that all have; `run` gives its exit code. A `nested` command keeps what was
    said before its name: `spaces --json list`."""
    absent = {"default": argparse.SUPPRESS} if nested else {}
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--target", metavar="T", help="target of the dbt profile", **absent)
    parser.add_argument("--profiles-dir", metavar="DIR", help="folder of profiles.yml, as for dbt", **absent)
    parser.add_argument("--project-dir", metavar="DIR", help="folder of dbt_project.yml, as for dbt", **absent)
    parser.add_argument("--json", action="store_true", help="print one JSON object", **absent)
    return parser


def positive(text: str) -> int:
    """The whole number of an option, from 1; raises what argparse reports."""
    with suppress(ValueError):
        number = int(text)
        if 1 <= number < 2**31:  # the ledgers' integers
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {2**31 - 1}")


def amount(text: str) -> float:
    """The number of an option, from 0; raises what argparse reports."""
    with suppress(ValueError):
        number = float(text)
        if 0 <= number < math.inf:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0")


def integer(text: str) -> int:
    """The whole number of an option; raises what argparse reports."""
    with suppress(ValueError):
        number = int(text)
        if -(2**31) <= number < 2**31:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number that a ledger holds")


def seconds(text: str) -> float:
    """The seconds of an option, from 0; raises what argparse reports."""
    with suppress(ValueError):
        number = float(text)
        if 0 <= number < 10**9:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")


def lease_seconds(text: str) -> float:
    """The seconds of a lease, from 5: less than that a busy database takes for a heartbeat. Raises what argparse
    reports."""
    with suppress(ValueError):
        if 5 <= (number := float(text)) < 10**9:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 5")


def pause_seconds(text: str) -> float:
    """The seconds of a pause, above 0; raises what argparse reports."""
    with suppress(ValueError):
        if 0 < (number := float(text)) < 10**9:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")


def job_types(text: str) -> list[JobType]:
    """The kinds of job of an option, separated by commas; raises what argparse reports."""
    try:
        return [JobType(each.strip()) for each in text.split(",")]
    except ValueError as error:
        known = ", ".join(each.value for each in JobType)
        raise argparse.ArgumentTypeError(f"{error}; known are {known}") from None


def moment(text: str) -> datetime:
    """The date or time of an option, ISO 8601, UTC unless it says otherwise; raises what argparse reports."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no date or time such as 2026-01-31 or 2026-01-31T12:00"
        ) from None


def open_store(arguments: argparse.Namespace) -> VectorStore:
    """The store of the dbt target that the options name."""
    target = load_target(arguments.project_dir, arguments.profiles_dir, arguments.target)
    return VectorStore(engine=engine_for_target(target))


def chosen_spaces(store: VectorStore, keys: Sequence[str] | None) -> list[EmbeddingSpace]:
    """The active spaces of these keys, or all. Raises ConfigurationError when there is none, or a key is unknown."""
    active = store.list_embedding_spaces()
    if not active:
        raise ConfigurationError("no embedding space is active; add one to seeds/embedding_space_seed.csv")
    if not keys:
        return active
    by_key = {space.space_key: space for space in active}
    unknown = [key for key in keys if key not in by_key]
    if unknown:
        raise ConfigurationError(f"no active space is called {unknown[0]!r}; active are {', '.join(by_key)}")
    return [by_key[key] for key in dict.fromkeys(keys)]


def searched_space(store: VectorStore, key: str | None) -> EmbeddingSpace:
    """The space to search: the one of this key, else the live one, else the only active one. The live one may be
    inactive. Raises ConfigurationError when there is none, or nothing says which."""
    default = default_space(store)
    if default and key in (None, default.space_key):
        return default
    spaces = chosen_spaces(store, [key] if key else None)
    if len(spaces) > 1:
        keys = ", ".join(space.space_key or "" for space in spaces)
        raise ConfigurationError(f"several spaces are active; choose one with --space: {keys}")
    return spaces[0]


def print_table(arguments: argparse.Namespace, relation: str, columns: Sequence[str], order: str) -> int:
    """Prints columns of a relation, as a table or as {"rows": [...]}; exit code 0."""
    store = open_store(arguments)
    try:
        rows = store.engine.query(f"select {', '.join(columns)} from {store.engine.table(relation)} order by {order}")
    finally:
        store.close()
    print_result(arguments, {"rows": [dict(zip(columns, row, strict=True)) for row in rows]}, table(columns, rows))
    return 0


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """The rows under their headings, in columns; what is None is blank, and each row one line."""
    cells = [
        list(headings),
        *(["" if value is None else " ".join(str(value).split()) for value in row] for row in rows),
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def print_result(arguments: argparse.Namespace, value: dict[str, Any], text: str) -> None:
    """Prints the value with --json, else the text: data is part of it, and must not command a terminal."""
    printed = json.dumps(value, ensure_ascii=False, default=str) if arguments.json else printable(text)
    if printed:
        with suppress(BrokenPipeError):  # told at the end of the command, where it changes no exit code
            print(printed)


def say(line: str) -> None:
    """Prints a line on stderr, printable. Who closed it does not want to know, and that must not change how a command
    ends."""
    with suppress(OSError, ValueError):
        print(printable(line), file=sys.stderr, flush=True)

"""What the commands share: their common options, the store they name, and how they print."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import yaml

from vector.commands.output import print_json, print_text
from vector.contracts.models import JobType
from vector.project.profile import Target, load_target
from vector.project.versions import refuse_other_version
from vector.search.policy import DENSE_WEIGHT, FUSIONS, MODES, SearchPolicy
from vector.store import VectorStore
from vector.store.opening import PATIENCE, open_to_write
from vector.wording import printable

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
    parser.add_argument("--json", action="store_true", help="print one JSON object, of a failure too", **absent)
    return parser


def add_vars_option(parser: Any) -> None:
    """Declares `--vars`, for the commands for which variables of dbt matter."""
    parser.add_argument(
        "--vars",
        type=_variables,
        default={},
        metavar="YAML",
        help="as for dbt: over those of the project",
    )


def _variables(text: str) -> dict[str, Any]:
    with suppress(yaml.YAMLError):
        if isinstance(found := yaml.safe_load(text) or {}, dict):
            return found
    raise argparse.ArgumentTypeError("it is not YAML of keys and values, such as '{redact_queries: true}'")


def _number(text: str, kind: Callable[[str], Any], fits: Callable[[Any], bool], wanted: str) -> Any:
    with suppress(ValueError):
        if fits(number := kind(text)):
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")


def positive(text: str) -> int:
    """The whole number of an option, from 1; raises what argparse reports."""
    # Up to what the ledgers' integers hold.
    return _number(text, int, lambda number: 1 <= number < 2**31, f"a whole number from 1 to {2**31 - 1}")


def integer(text: str) -> int:
    """The whole number of an option; raises what argparse reports."""
    return _number(text, int, lambda number: -(2**31) <= number < 2**31, "a whole number that a ledger holds")


def amount(text: str) -> float:
    """The number of an option, from 0; raises what argparse reports."""
    return _number(text, float, lambda number: 0 <= number < math.inf, "a number from 0")


def seconds(text: str) -> float:
    """The seconds of an option, from 0; raises what argparse reports."""
    return _number(text, float, lambda number: 0 <= number < 10**9, "a number of seconds")


def lease_seconds(text: str) -> float:
    """The seconds of a lease, from 5: less than that a busy database takes for a heartbeat. Raises what argparse
    reports."""
    return _number(text, float, lambda number: 5 <= number < 10**9, "a number of seconds from 5")


def pause_seconds(text: str) -> float:
    """The seconds of a pause, above 0; raises what argparse reports."""
    return _number(text, float, lambda number: 0 < number < 10**9, "a number of seconds above 0")


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
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no date or time such as 2026-01-31 or 2026-01-31T12:00"
        ) from None


def add_ranking_options(parser: argparse.ArgumentParser, default: SearchPolicy) -> None:
    """Declares the options that `chosen_policy` reads, with the mode and the hits a source of `default`."""
    mode, per_source = default.mode, default.per_source
    ranking = parser.add_argument_group("ranking")
    ranking.add_argument("--mode", choices=MODES, default=mode, help=f"vectors, words, or both (default {mode})")
    ranking.add_argument("--min-score", type=float, metavar="X", help="leave out hits with a lower score")
    ranking.add_argument(
        "--per-source", type=_limit, default=per_source, metavar="N",
        help=f"at most N hits a source, or none: no limit (default {per_source or 'none'})",
    )  # fmt: skip
    ranking.add_argument("--mmr", type=float, metavar="LAMBDA", help="diversity: from 0, unlike each other, to 1, none")
    ranking.add_argument("--rerank", metavar="M:F", help="a reranker: module:function, or the name of an entry point")
    ranking.add_argument("--pool", type=positive, metavar="N", help="candidates of hybrid, MMR and the reranker")
    ranking.add_argument(
        "--fusion", choices=tuple(FUSIONS), default="score", help="of hybrid: by scores, or by ranks (default score)"
    )
    ranking.add_argument(
        "--dense-weight",
        type=float,
        default=DENSE_WEIGHT,
        metavar="W",
        help="of the vectors' score, 0 to 1 (default %(default)s)",
    )
    ranking.add_argument("--language", metavar="L", help="of the words compared, or none; by default the warehouse's")


def _limit(text: str) -> int | None:
    return None if text == "none" else positive(text)


def chosen_policy(arguments: argparse.Namespace) -> SearchPolicy:
    """The policy that the ranking options name. Raises ConfigurationError on a value that no policy has."""
    return SearchPolicy(
        arguments.mode,
        arguments.min_score,
        arguments.per_source,
        arguments.mmr,
        arguments.rerank,
        arguments.pool,
        arguments.fusion,
        arguments.dense_weight,
        language=arguments.language,
    )


def open_store(arguments: argparse.Namespace, patience: float = PATIENCE) -> VectorStore:
    """The store of the dbt target that the options name, with what was logged beside the warehouse; a search that has
    the database open is waited for, `patience` seconds. Raises ConfigurationError, also where the dbt package of the
    project is of another version than this one."""
    return open_to_write(named_target(arguments), patience)


def named_target(arguments: argparse.Namespace) -> Target:
    """The dbt target that the options name. Raises as open_store."""
    target = load_target(arguments.project_dir, arguments.profiles_dir, arguments.target)
    refuse_other_version(target.project_dir)
    return target


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
        *(["" if value is None else printable(" ".join(str(value).split())) for value in row] for row in rows),
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def print_result(
    arguments: argparse.Namespace,
    value: dict[str, Any],
    text: str,
    error: str | None = None,
    stored: str = "",
    styled: bool = False,
) -> None:
    """Prints the value with --json, else the text, as print_text does: data is part of it, and must not command a
    terminal. `error` says why the command fails all the same, and is then a key of the value; `stored` what is done
    even if this cannot be printed. Raises OutputLost then."""
    arguments.printed = True
    if arguments.json:
        print_json(value if error is None else {**value, "error": error}, stored)
    elif text:
        print_text(text, stored, styled)


def print_lines(arguments: argparse.Namespace, values: Iterable[dict[str, Any]], stored: str = "") -> None:
    """Prints each value as a line of JSON; else as `print_result`."""
    arguments.printed = True
    for value in values:
        print_json(value, stored)

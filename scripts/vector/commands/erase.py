"""`erase`: forgets a source, or what somebody asked, and lets a source in again."""

from __future__ import annotations

import argparse
from typing import Any

from vector.commands.output import say
from vector.commands.shared import add_command, named_target, print_result
from vector.contracts.models import Erasure, ErasureKind
from vector.erasure.erase import Erased, Report, Subject, erase, lift
from vector.errors import ConfigurationError
from vector.store.opening import open_to_write, renew_copy
from vector.wording import counted, one_line

HELP = """examples:
  %(prog)s --source-id page:io --source-id page:europa --reason 'request 17' --dry-run
  %(prog)s --source-id page:io --reason 'request 17'
  %(prog)s --query 'Jane Doe' --reason 'request 18'
  %(prog)s --lift --source-id page:io --reason 'request 17 was withdrawn'

Deletes a source's rows: hits, vectors, failures, every text of its chunks, the registry's row, and what quotes it
(searches, jobs, runs). A source that is still in your tables stays out until it is lifted. --query deletes the logged
searches whose question holds the text, in capitals or not, with their hits. One row per source or query stays, in the
ledger `erasure`, and names neither; so must the reason not.

No other command may be at work. What was interrupted goes on when the same is asked for again. On DuckDB the file is
written anew at the end, which needs room for it once more. Not reached: your own tables, backups, dbt's target/ and
logs (docs/erasure.md).

With --json, one object: {"erased": [...], "freed": ...}; each of erased has the keys kind, subject, erasure_id, rows
(deleted, by table), elsewhere (rows that still hold it, by table and column), was_erased, completed_utc. With --lift,
{"lifted": [...]}.

exit codes: 0 all is erased; 1 it is, and some of it was found in rows that this does not touch, which are named; 2
usage, or a source that nobody knows; 70 the database failed: run it again."""


def add_to(commands: Any) -> None:
    """Declares the command."""
    parser = add_command(commands, "erase", _erase, "forget a source, or what somebody asked", HELP)
    parser.add_argument("--source-id", action="append", default=[], metavar="ID", help="a source, may be repeated")
    parser.add_argument("--query", action="append", default=[], metavar="TEXT", help="a part of logged questions")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, without a name; it is kept")
    parser.add_argument("--dry-run", action="store_true", help="only count")
    parser.add_argument("--lift", action="store_true", help="let a source in again that was erased")


def _erase(arguments: argparse.Namespace) -> int:
    subjects = [Subject(ErasureKind.SOURCE, each) for each in dict.fromkeys(arguments.source_id)]
    subjects += [Subject(ErasureKind.QUERY, each) for each in dict.fromkeys(arguments.query)]
    if not subjects:
        raise ConfigurationError("nothing is named: give --source-id or --query")
    if arguments.lift and (arguments.query or arguments.dry_run):
        raise ConfigurationError("--lift goes with --source-id and --reason only")
    target = named_target(arguments)
    store = open_to_write(target)
    try:
        if arguments.lift:
            return _print_lifted(arguments, lift(store, [each.name for each in subjects], arguments.reason))
        report = erase(store, subjects, arguments.reason, arguments.dry_run)
    finally:
        store.close()
    renew_copy(target)
    return _print_report(arguments, report)


def _print_lifted(arguments: argparse.Namespace, lifted: list[Erasure]) -> int:
    value = {"lifted": [{"erasure_id": each.erasure_id, "lifted_utc": _shown(each.lifted_utc)} for each in lifted]}
    lines = [f"{one_line(each)}: let in again; `dbt build` takes it up" for each in arguments.source_id]
    print_result(arguments, value, "\n".join(lines))
    return 0


def _print_report(arguments: argparse.Namespace, report: Report) -> int:
    value = {"erased": [_as_json(each) for each in report.erased], "freed": report.freed or None}
    lines = [line for each in report.erased for line in _lines(each, arguments.dry_run)]
    print_result(arguments, value, "\n".join([*lines, *filter(None, [report.freed])]), stored="it is erased")
    for each in report.erased:
        for place, rows in each.elsewhere.items():
            say(
                f"warning: {one_line(each.subject.name)}: found in {counted(rows, 'row')} of {place}, which stays:"
                " see to it (docs/erasure.md)"
            )
    return 1 if any(each.elsewhere for each in report.erased) else 0


def _as_json(done: Erased) -> dict[str, Any]:
    return {
        "kind": done.subject.kind.value,
        "subject": done.subject.name,
        "erasure_id": done.erasure.erasure_id,
        "rows": done.rows,
        "elsewhere": done.elsewhere,
        "was_erased": done.was_erased,
        "completed_utc": _shown(done.erasure.completed_utc),
    }


def _shown(moment: Any) -> str | None:
    return moment.isoformat() if moment else None


def _lines(done: Erased, dry_run: bool) -> list[str]:
    name = one_line(done.subject.name)
    if done.was_erased:
        return [f"{name}: erased before ({done.erasure.completed_utc:%Y-%m-%d}), nothing is left"]
    told = ", ".join(f"{table} {count:,}" for table, count in done.rows.items()) or "no rows"
    return [f"{name}: {'would delete' if dry_run else 'deleted'} {told}"]

"""`spaces evaluate`, `publish`, `rollback`, `retire` and `history`: which space is live, and how it came to be."""

from __future__ import annotations

import argparse
import time
from typing import Any

from vector.commands.output import say
from vector.commands.shared import (
    add_command,
    add_ranking_options,
    add_vars_option,
    chosen_policy,
    open_store,
    positive,
    print_result,
    table,
)
from vector.contracts.models import EmbeddingSpace, PublicationAction
from vector.errors import ConfigurationError, PublicationRefused
from vector.evaluation.data_tests import DataTests, run_data_tests
from vector.evaluation.evaluate import evaluate
from vector.evaluation.gate import Gate, GateOptions, check_gate, roll_back
from vector.evaluation.questions import DEFAULT_TOP_K
from vector.project.profile import find_profiles_dir, find_project_dir, load_target
from vector.search.policy import BY_SOURCE
from vector.spaces.coverage import in_words, is_complete
from vector.spaces.publications import retire, status_of, switch
from vector.store.spaces import space_of_key

EVALUATE_HELP = """examples:
  %(prog)s new
  %(prog)s new old --query-set demo
  %(prog)s new old --mode hybrid

Asks the judged questions of the seed eval_query, as the job RETRIEVE_TEST does, and logs the searches. docs/search.md
tells how they are measured. The ranking options are those of search, except that there is one hit per source by
default. `spaces publish` accepts only evaluations with --mode and no other ranking option.

With --json, one object: {"evaluations": [...]}, each with the keys run_id, space_key, query_set, top_k, policy,
coverage (current chunks: chunks, current with a vector, pending and quarantined without), query_count (those with
an answer, which `mean` is over), queries_without_answer (judged, and no source is relevant), queries_without_judgments
(not asked), mean (by metric), best_score (medians of the best hits' scores, with_answer and without_answer, and auroc,
how well they tell the two apart; null where every question has an answer)."""

PUBLISH_HELP = """examples:
  %(prog)s new --dry-run      the checks and their numbers; nothing is switched
  %(prog)s new --note "better on every set"

The space goes live when it passes the gate: it is active, every current chunk has a vector in it, dbt's data tests
pass, and evaluations made since its last change reach the thresholds of the seed publish_threshold, also compared with
the live space. The old space is kept for `spaces rollback`. docs/operations.md has the procedure. Progress is on
stderr.

With --json, one object with the keys space_key, live_space_key (before), passed, published, publication_id (null if
nothing was switched), checks (each with name, passed, detail, figures), options.

exit codes: 0 published, or live already, or a dry run that passed; 2 usage or configuration; 4 a check failed."""

_SWITCH = """With --json, one object with the keys space_key, action, publication_id, publication_number, warnings.

exit codes: 0 well; 2 usage or configuration; 4 refused."""

ROLLBACK_HELP = f"""Skips retired spaces; where no other is left, the rollback is refused.

{_SWITCH}"""

RETIRE_HELP = f"""Retires a draft or a superseded space: no rollback goes back to it. It can still be published.
Where it is retired already, nothing is recorded: action, publication_id and publication_number are null.

{_SWITCH}"""

HISTORY_HELP = """With --json, one object: {"rows": [...]}, each with the keys publication_number, action, space_key,
previous_space_key, published_utc, published_by, note, publication_id. What was checked is in evidence_json of
space_publication."""


# Seconds between two lines of how far the data tests are, which take a minute or more.
TELL_SECONDS = 5.0


def add_to(nested: Any) -> None:
    """Declares the commands under `spaces`."""
    asked = add_command(nested, "evaluate", _evaluate, "ask spaces the judged questions", EVALUATE_HELP, nested=True)
    asked.add_argument("keys", nargs="+", metavar="KEY")
    asked.add_argument("--query-set", metavar="SET", help="only this set (default: all)")
    asked.add_argument("--top-k", type=positive, default=DEFAULT_TOP_K, metavar="N", help="hits a question (100)")
    add_ranking_options(asked, BY_SOURCE)
    live = add_command(nested, "publish", _publish, "make a space live, if it passes the gate", PUBLISH_HELP, True)
    live.add_argument("key", metavar="KEY")
    live.add_argument("--dry-run", action="store_true", help="check, and switch nothing")
    live.add_argument("--allow-quarantined", action="store_true", help="quarantined texts need no vector")
    live.add_argument("--skip-tests", action="store_true", help="do not run dbt's tests; needs --note")
    live.add_argument("--skip-comparison", action="store_true", help="do not compare with the live one; needs --note")
    add_vars_option(live)
    back = add_command(nested, "rollback", _rollback, "make the space before the live one live", ROLLBACK_HELP, True)
    gone = add_command(
        nested, "retire", _retire, "retire a space that is not live; its vectors stay", RETIRE_HELP, True
    )
    gone.add_argument("key", metavar="KEY")
    for each in (live, back, gone):
        each.add_argument("--note", metavar="TEXT", help="why; kept in the log")
    add_command(nested, "history", _history, "list publications, rollbacks and retirements", HISTORY_HELP, True)


def _evaluate(arguments: argparse.Namespace) -> int:
    policy = chosen_policy(arguments)
    store = open_store(arguments)
    try:
        spaces = [space_of_key(store, key) for key in dict.fromkeys(arguments.keys)]
        results = [evaluate(store, space, arguments.query_set, arguments.top_k, policy) for space in spaces]
    finally:
        store.close()
    metrics = list(dict.fromkeys(metric for result in results for metric in result["mean"]))
    cells = [
        [result["space_key"], result["query_count"], *(f"{result['mean'][metric]:.3f}" for metric in metrics)]
        for result in results
    ]
    for space, result in zip(spaces, results, strict=True):
        if not is_complete(result["coverage"]):
            told = in_words(space, result["coverage"])
            say(f"warning: {space.space_key}: {told}; a text without a vector is not found")
    lines = [table(["space", "questions", *metrics], cells), *filter(None, map(_no_answer_text, results))]
    print_result(arguments, {"evaluations": results}, "\n".join(lines))
    return 0


def _no_answer_text(result: dict[str, Any]) -> str | None:
    """How the questions without an answer fared, which are in no mean."""
    best = result["best_score"]
    if not best:
        return None
    shown = {name: "-" if value is None else f"{value:.3f}" for name, value in best.items()}
    return (
        f"{result['space_key']}: {result['queries_without_answer']} more have no answer; the best hit scores"
        f" {shown['without_answer']} there, {shown['with_answer']} elsewhere (medians), AUROC {shown['auroc']}"
    )


def _publish(arguments: argparse.Namespace) -> int:
    options = GateOptions(arguments.allow_quarantined, arguments.skip_tests, arguments.skip_comparison)
    if (options.skip_tests or options.skip_comparison) and not arguments.note and not arguments.dry_run:
        raise ConfigurationError("--skip-tests and --skip-comparison need --note: say why, it is kept in the log")
    if _is_live(arguments):
        value = {"space_key": arguments.key, "live_space_key": arguments.key, "passed": True, "published": False,
                 "publication_id": None, "checks": [], "options": vars(options)}  # fmt: skip
        print_result(arguments, value, f"{arguments.key} is live already; nothing to do")
        return 0
    tests = None if options.skip_tests else _data_tests(arguments)
    store = open_store(arguments)
    try:
        space = space_of_key(store, arguments.key)
        gate = check_gate(store, space, tests, options)
        publication = None
        if gate.passed and not arguments.dry_run:
            publication = switch(store, gate.history, space, PublicationAction.PUBLISH, gate.evidence(), arguments.note)
    finally:
        store.close()
    value = {"space_key": space.space_key, "passed": gate.passed, "published": publication is not None,
             "publication_id": publication.publication_id if publication else None, **gate.evidence()}  # fmt: skip
    failed = ", ".join(check.name for check in gate.checks if not check.passed)
    error = f"{space.space_key} is not good enough to go live: {failed}" if failed else None
    print_result(arguments, value, _gate_text(space, gate, arguments.dry_run), error)
    if error:
        say(f"error: {error}")
    return 0 if gate.passed else PublicationRefused.exit_code


def _is_live(arguments: argparse.Namespace) -> bool:
    """Whether the space is live; an unknown key is told before the tests run."""
    store = open_store(arguments)
    try:
        return status_of(store, space_of_key(store, arguments.key)) == "live"
    finally:
        store.close()


def _data_tests(arguments: argparse.Namespace) -> DataTests:
    say("running dbt's data tests ...")
    project = find_project_dir(arguments.project_dir)
    target = load_target(arguments.project_dir, arguments.profiles_dir, arguments.target)
    told = time.monotonic()

    def on_progress(done: int, planned: int) -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            say(f"data tests: {done} of {planned} done")

    profiles = find_profiles_dir(project, arguments.profiles_dir)
    return run_data_tests(project, profiles, target.name, arguments.vars, on_progress)


def _gate_text(space: EmbeddingSpace, gate: Gate, dry_run: bool) -> str:
    lines = [table(["", "check", "found"], [["ok" if c.passed else "FAILED", c.name, c.detail] for c in gate.checks])]
    if gate.passed and dry_run:
        lines.append(f"{space.space_key} would go live; nothing was switched (--dry-run)")
    elif gate.passed:
        lines.append(f"{space.space_key} is live")
        if gate.live:
            old = gate.live.space_key
            lines.append(
                f"{old} is superseded; `vector spaces rollback` makes it live again, complete as long as it is active"
            )
    return "\n".join(lines)


def _rollback(arguments: argparse.Namespace) -> int:
    store = open_store(arguments)
    try:
        space, publication, warnings = roll_back(store, arguments.note)
    finally:
        store.close()
    _print_switch(arguments, space, publication, f"{space.space_key} is live again", warnings)
    return 0


def _retire(arguments: argparse.Namespace) -> int:
    store = open_store(arguments)
    try:
        space = space_of_key(store, arguments.key)
        publication = retire(store, space, arguments.note)
    finally:
        store.close()
    text = f"{space.space_key} is retired, and no rollback goes back to it"
    if publication is None:
        text = f"{space.space_key} is retired already; nothing was recorded"
    warnings = []
    if space.is_active:
        warnings.append(f"{space.space_key} is still active, and embedded into: set is_active to false in the seed")
    _print_switch(arguments, space, publication, text, warnings)
    return 0


def _print_switch(
    arguments: argparse.Namespace, space: EmbeddingSpace, publication: Any, text: str, warnings: list[str]
) -> None:
    for warning in warnings:
        say(f"warning: {warning}")
    value = {
        "space_key": space.space_key,
        "action": publication.action.value if publication else None,
        "publication_id": publication.publication_id if publication else None,
        "publication_number": publication.publication_number if publication else None,
        "warnings": warnings,
    }
    print_result(arguments, value, text)


def _history(arguments: argparse.Namespace) -> int:
    store = open_store(arguments)
    try:
        keys = {space.embedding_space_id: space.space_key for space in store.list_embedding_spaces(active_only=False)}
        publications = store.list_space_publications()
    finally:
        store.close()
    rows = [
        {
            "publication_number": each.publication_number,
            "action": each.action.value,
            "space_key": keys[each.embedding_space_id],
            "previous_space_key": keys.get(each.previous_space_id or ""),
            "published_utc": each.published_utc.isoformat(sep=" ", timespec="seconds"),
            "published_by": each.published_by,
            "note": each.note,
            "publication_id": each.publication_id,
        }
        for each in publications
    ]
    headings = "publication_number action space_key previous_space_key published_utc published_by note".split()
    cells = [[row[name] for name in headings] for row in rows]
    print_result(arguments, {"rows": rows}, table("number action space previous utc by note".split(), cells))
    return 0

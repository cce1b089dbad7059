"""`refresh`: the hourly command. dbt builds what stands before the vectors, embed fills them, dbt tests them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, TypeVar

from vector.commands.embed import DBT_FAILED, embed_each
from vector.commands.embed_report import plans_text
from vector.commands.output import say
from vector.commands.progress import shown_progress
from vector.commands.refresh_extract import extract_pending, planned
from vector.commands.refresh_report import Refreshed, counts_text, failed_nodes, listed_by_type, node_text
from vector.commands.shared import (
    add_command,
    add_vars_option,
    amount,
    open_store,
    print_result,
    seconds,
)
from vector.embedding import EmbedOptions, EmbedSummary
from vector.embedding.plan import plan_space
from vector.engines import alone, refuse_busy
from vector.errors import DatabaseBusy, DatabaseFailed, VectorError
from vector.jobs.pending_sources import queued_text
from vector.project.dbt import Dbt, DbtProject, DbtRun
from vector.project.profile import Target, load_target
from vector.project.selection import AFTER_EMBED, BEFORE_EMBED, MADE_OF_VECTORS
from vector.project.versions import refuse_other_version
from vector.spaces.choosing import chosen_spaces
from vector.store import VectorStore
from vector.store.opening import writing
from vector.store.runs import close_abandoned_runs

HELP = """examples:
  %(prog)s                          build, embed, test; for cron, every hour
  %(prog)s --dry-run                say what would be done, and do nothing
  %(prog)s --max-seconds 3000       embed sends nothing more after 50 minutes; the next refresh goes on from there
  %(prog)s --max-cost 2.50          of spaces that have a price in the seed
  %(prog)s --wait 600               wait up to 10 minutes for another refresh, or for who has the database open
  %(prog)s --json --quiet

Three steps: dbt builds the documents, what they stand on, the chunks and the marts, and tests them; the missing vectors
of every active space are made; dbt tests what judges vectors, the alarms included. Unit tests are left out: they test
code. A model or a test that fails in the first step ends the refresh before anything is embedded; a warning does not.
What a model server fails with does not keep the tests from being run.

Where a chunk policy is of method extract, one step is between build and embed: each payload that is new or changed
gets a CHUNK_SOURCE job, and those jobs are done here. What cannot be read keeps nothing else from being embedded.

One refresh works at a time. Progress is on stderr, and so are warnings and errors, a line each.

With --json, one object with the keys build, extract, embed, test (null where it did not come to that), seconds,
exit_code. build and test have built (nodes by resource type), changes (rows by ledger: inserted, updated), passed
(tests), warned and failed (each with name, resource_type, status, message, findings), skipped, seconds; extract (null
too where no policy says so) has pending, open, queued, by_source_type, as `vector enqueue CHUNK_SOURCE --pending`, and
succeeded, failed (tried again), dead, seconds; embed has spaces, as `vector embed --json`, and seconds. With --dry-run
build and test have nodes (by resource type), extract has what would be queued, and embed has spaces, as `vector embed
--plan --json`.

exit codes, the highest that applies: 0 well; 1 some texts were quarantined, or not extracted; 2 usage or
configuration, dbt could not run, another refresh is at work; 3 a model cannot be used; 4 a space was refused; 5 a model
or a test of dbt failed; 70 unforeseen; 130 or 143 interrupted or terminated."""

# Seconds between two lines of how far dbt is.
TELL_SECONDS = 5.0
_POLL_SECONDS = 0.5
_LISTED = ("--output", "json", "--output-keys", "unique_id", "--no-write-json")

Result = TypeVar("Result")


def add_to(commands: Any) -> None:
    """Declares `refresh`."""
    refresh = add_command(commands, "refresh", _refresh, "build, embed and test: the hourly command", HELP)
    refresh.add_argument("--max-seconds", type=amount, metavar="S", help="embed sends nothing more after S seconds")
    refresh.add_argument("--max-cost", type=amount, metavar="X", help="send nothing that might cost more than X in all")
    refresh.add_argument(
        "--wait", type=seconds, default=60.0, metavar="S", help="for another refresh or the database (default 60)"
    )
    refresh.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    refresh.add_argument("--quiet", action="store_true", help="show no progress")
    add_vars_option(refresh)


def _refresh(arguments: argparse.Namespace) -> int:
    target = load_target(arguments.project_dir, arguments.profiles_dir, arguments.target)
    refuse_other_version(target.project_dir)  # before dbt builds anything
    project = DbtProject.found(arguments.project_dir, arguments.profiles_dir, arguments.target, arguments.vars)
    with ExitStack() as held:
        steps = _Steps(arguments, target, held.enter_context(Dbt(project)))
        if arguments.dry_run:
            return steps.dry_run()
        steps.waiting(lambda: held.enter_context(alone(target, "refresh")))
        held.enter_context(writing(target, arguments.vars))
        steps.go()
        done = steps.done
    errors = "; ".join(done.errors) or None
    print_result(arguments, done.to_dict(), done.text(), errors, stored="what was built and embedded is stored")
    return done.exit_code


class _Steps:
    """The steps of one refresh. No connection is open while dbt works: on DuckDB it could not open the file."""

    def __init__(self, arguments: argparse.Namespace, target: Target, dbt: Dbt) -> None:
        self.arguments, self.target, self.dbt = arguments, target, dbt
        self.options = EmbedOptions(max_seconds=arguments.max_seconds, max_cost=arguments.max_cost)
        self.done = Refreshed()
        self._wait_until = time.monotonic() + arguments.wait

    def waiting(self, work: Callable[[], Result]) -> Result:
        """What the work gives, once nobody else keeps it from it. Raises DatabaseBusy after --wait."""
        told = False
        while True:
            try:
                return work()
            except DatabaseBusy as busy:
                if time.monotonic() >= self._wait_until:
                    raise
                if not told and not self.arguments.quiet:
                    say(f"waiting: {busy}")
                told = True
            time.sleep(_POLL_SECONDS)

    def _opened(self) -> VectorStore:
        return self.waiting(lambda: open_store(self.arguments, patience=0.0))

    def go(self) -> None:
        """All steps, as far as they come."""
        with self._timed("build"):
            self.done.build = self._dbt("build", "building", *BEFORE_EMBED)
        if not self._stands(self.done.build):
            self._failed("nothing was embedded, as what stands before the vectors has failed", DBT_FAILED)
            return
        with self._timed("extract"):
            self._extract()
        if self.done.exit_code == DatabaseFailed.exit_code:
            return
        with self._timed("embed"):
            self._embed()
        if self.done.exit_code == DatabaseFailed.exit_code:
            return
        with self._timed("test"):
            # What dbt has written of the build stays as it is: it names every relation, and takes a second.
            self.done.test = DbtRun()
            if any(each.written for each in self.done.spaces or ()):
                self.done.test += self._dbt("run", "mapping", *MADE_OF_VECTORS, "--no-write-json")
            self.done.test += self._dbt("test", "testing", *AFTER_EMBED, "--no-write-json")
        self._stands(self.done.test)

    def dry_run(self) -> int:
        """Says what the steps would do, the plan of embed by what is built now; the exit code."""
        nodes = {
            step: listed_by_type(self.dbt.run("list", *_LISTED, *selection).listed)
            for step, selection in (("build", BEFORE_EMBED), ("test", AFTER_EMBED))
        }
        value: dict[str, Any] = {step: {"nodes": counts} for step, counts in nodes.items()}
        value["extract"], extract = None, []
        try:
            with closing(self._opened()) as store:
                if queued := planned(store):
                    value["extract"] = queued.to_dict()
                    extract = [f"extract, as it is built now: {queued_text(queued, dry_run=True)}"]
                plans = [plan_space(store, space, self.options) for space in chosen_spaces(store, None)]
            value["embed"] = {"spaces": [plan.to_dict() for plan in plans]}
            embed = f"embed, as it is built now:\n{plans_text(plans, self.options)}"
        except DatabaseBusy:
            raise
        except VectorError as error:
            value["embed"] = None
            embed = f"embed: not known yet: {error}"
        lines = [f"build: {counts_text(nodes['build'])}", *extract, embed, f"test: {counts_text(nodes['test'])}"]
        print_result(self.arguments, value, "\n".join(lines))
        return 0

    def _dbt(self, command: str, doing: str, *selection: str) -> DbtRun:
        self.waiting(lambda: refuse_busy(self.target))
        last = time.monotonic()

        def on_progress(done: int, planned: int) -> None:
            nonlocal last
            if not self.arguments.quiet and time.monotonic() - last >= TELL_SECONDS:
                last = time.monotonic()
                say(f"{doing}: {done} of {planned} done")

        return self.dbt.run(command, *selection, on_progress=on_progress)

    def _stands(self, run: DbtRun) -> bool:
        """Whether nothing has failed; what has, and what warns, is said."""
        for node in run.ended("warn"):
            say(f"warning: {node_text(node, run)}")
        failed = failed_nodes(run)
        for node in failed:
            self._failed(node_text(node, run), DBT_FAILED)
        return not failed

    def _extract(self) -> None:
        try:
            with closing(self._opened()) as store:
                self.done.extracted = extract_pending(store)
        except VectorError as error:
            self._failed(f"extract: {error}", error.exit_code)
        if self.done.extracted and self.done.extracted.error:
            self._failed(self.done.extracted.error, 1)

    def _embed(self) -> None:
        try:
            self.done.spaces, code = self._embedded()
            self.done.errors += [f"{each.space_key}: {each.error}" for each in self.done.spaces if each.error]
            self.done.exit_code = max(self.done.exit_code, code)
        except VectorError as error:
            self._failed(f"embed: {error}", error.exit_code)

    def _embedded(self) -> tuple[list[EmbedSummary], int]:
        with closing(self._opened()) as store:
            spaces = chosen_spaces(store, None)
            close_abandoned_runs(store)
            with shown_progress(self.arguments.quiet) as progress:
                return embed_each(store, spaces, self.options, progress)

    def _failed(self, line: str, exit_code: int) -> None:
        say(f"error: {line}")
        self.done.errors.append(line)
        self.done.exit_code = max(self.done.exit_code, exit_code)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.done.seconds[step] = time.monotonic() - started

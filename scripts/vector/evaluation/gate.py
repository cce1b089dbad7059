"""The checks that a space must pass before it goes live, and the rollback, which skips most of them: it must work in an
emergency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vector.contracts.models import EmbeddingSpace, PublicationAction, SpacePublication
from vector.errors import PublicationRefused
from vector.evaluation.data_tests import DataTests
from vector.evaluation.quality_gate import Check, quality_checks
from vector.spaces.coverage import coverage_of, in_words
from vector.spaces.publications import History, known_space, switch
from vector.store import VectorStore
from vector.wording import SPACES


@dataclass(frozen=True)
class GateOptions:
    """What an operator may relax; kept in the evidence."""

    allow_quarantined: bool = False
    skip_tests: bool = False
    skip_comparison: bool = False


@dataclass(frozen=True)
class Gate:
    """All checks of a space, and the publications and the live space at that time."""

    history: History
    live: EmbeddingSpace | None
    checks: tuple[Check, ...]
    options: GateOptions

    @property
    def passed(self) -> bool:
        """Whether the space may go live."""
        return all(check.passed for check in self.checks)

    def evidence(self) -> dict[str, Any]:
        """The checks and options, for the ledger."""
        return {
            "live_space_key": self.live.space_key if self.live else None,
            "checks": [asdict(check) for check in self.checks],
            "options": asdict(self.options),
        }


def check_gate(store: VectorStore, space: EmbeddingSpace, tests: DataTests | None, options: GateOptions) -> Gate:
    """Checks the space against the live one, if any. `tests` are dbt's results; None where they were not run.

    Raises ConfigurationError when the seeds of evaluation are not built.
    """
    history = History.read(store)  # before anything else: what comes after it is noticed by the switch
    live = known_space(store, history.live_space_id) if history.live_space_id else None
    checks = (
        _active(space),
        coverage_check(store, space, options.allow_quarantined),
        _tests_check(tests),
        *quality_checks(store, space, live, options.skip_comparison),
    )
    return Gate(history, live, checks, options)


def roll_back(store: VectorStore, note: str | None = None) -> tuple[EmbeddingSpace, SpacePublication, list[str]]:
    """Makes the previous space live again, skipping retired ones.

    Returns that space, the publication, and a warning for each check that it fails. Raises PublicationRefused when
    there is no such space, or it has no current vector.
    """
    history = History.read(store)
    if not history.rollback_space_id:
        raise PublicationRefused("there is no space to go back to that was not retired; see `vector spaces history`")
    space = known_space(store, history.rollback_space_id)
    coverage = coverage_check(store, space)
    if not coverage.figures["current"]:
        raise PublicationRefused(f"{space.space_key} has no current vector, so that search would find nothing")
    checks = (_active(space), coverage)
    evidence = {"checks": [asdict(check) for check in checks], "options": {}}
    publication = switch(store, history, space, PublicationAction.ROLLBACK, evidence, note)
    return space, publication, [f"{space.space_key}: {check.detail}" for check in checks if not check.passed]


def coverage_check(store: VectorStore, space: EmbeddingSpace, allow_quarantined: bool = False) -> Check:
    """Whether every current chunk has a vector of its text in the space; quarantined ones have none."""
    figures = coverage_of(store, space)
    excused = figures["quarantined"] if allow_quarantined else 0
    passed = 0 < figures["chunks"] == figures["current"] + excused and figures["current"] > 0
    detail = in_words(space, figures)
    if figures["quarantined"]:
        detail += ", let pass by --allow-quarantined" if allow_quarantined else ", or --allow-quarantined"
    return Check("coverage", passed, detail, figures)


def _active(space: EmbeddingSpace) -> Check:
    if space.is_active:
        return Check("active", True, "the space is embedded into")
    return Check(
        "active",
        False,
        f"it is inactive, new chunks get no vector: set is_active in {SPACES}, `dbt build`",
    )


def _tests_check(tests: DataTests | None) -> Check:
    if tests is None:
        return Check("invariants", True, "not tested (--skip-tests)", {"skipped": True})
    figures = {"passed": tests.passed, "failed": list(tests.failed), "warned": list(tests.warned)}
    if not tests.passed + len(tests.failed) + len(tests.warned):
        return Check("invariants", False, "dbt found no test to run; is it this runtime's project?", figures)
    detail = f"{tests.passed} data tests passed"
    if tests.warned:
        detail += f", {len(tests.warned)} warned: {_listed(tests.warned)}"
    if tests.failed:
        detail += f", {len(tests.failed)} failed: {_listed(tests.failed)}; see docs/operations.md"
    if tests.told:
        figures["told"] = list(tests.told)
        detail += f"; {'; '.join(tests.told[:5])}"
    return Check("invariants", not tests.failed, detail, figures)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

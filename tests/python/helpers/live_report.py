"""One line at the end of a run of the live suite: what was covered on which server, and what was not."""

from collections import Counter

import pytest

# Set by live.py, once it is connected.
server = ""
driver = ""
asked_again = 0

_outcomes: Counter[str] = Counter()
_not_covered: Counter[str] = Counter()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Counts the tests that ran on the server, and why others did not."""
    if not server or "[duckdb" in report.nodeid:
        return
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _not_covered[reason.removeprefix("Skipped: ").removeprefix("not covered: ")] += 1
    elif report.when == "call" or report.failed:
        _outcomes[report.outcome] += 1


def pytest_unconfigure() -> None:
    """Prints the line, after pytest's own."""
    if server:
        lacking = "; ".join(f"{reason} ({count} test{'s' * (count > 1)})" for reason, count in _not_covered.items())
        print(
            f"\nLive suite: {_outcomes['passed']} tests passed and {_outcomes['failed']} failed by {driver} on"
            f" {server}. Not covered: {lacking or 'nothing'}."
            + f" Commands that met a fault of the stand-in and ran again: {asked_again}."
            * bool(asked_again)
        )

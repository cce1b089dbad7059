"""What `refresh` says of its steps: lines of text, values of JSON, and a line for each thing that went wrong."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vector.commands.embed_report import summary_text
from vector.commands.refresh_extract import Extracted
from vector.embedding import EmbedSummary
from vector.project.dbt import DbtRun, NodeResult
from vector.wording import counted, excerpt

# What dbt's steps build and test; the rest (sources, exposures, hooks) is only said where it fails.
BUILT = ("seed", "snapshot", "model")
_CHANGED = re.compile(r"^(\w+): (\d+) inserted, (\d+) updated$")
# Where dbt's log has the rest of what a node's message says.
_ELSEWHERE = re.compile(r"\s*compiled code at .*", re.DOTALL)
_LONGEST_MESSAGE = 1000
_FINDINGS_SHOWN = 5


@dataclass
class Refreshed:
    """What was done: each step, None where it did not come to that; what went wrong, and the exit code; the seconds of
    each step."""

    build: DbtRun | None = None
    extracted: Extracted | None = None
    spaces: list[EmbedSummary] | None = None
    test: DbtRun | None = None
    errors: list[str] = field(default_factory=list)
    exit_code: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        steps: dict[str, dict[str, Any] | None] = {
            "build": _value(self.build) if self.build else None,
            "extract": self.extracted.to_dict() if self.extracted else None,
            "embed": None if self.spaces is None else {"spaces": [each.to_dict() for each in self.spaces]},
            "test": _value(self.test) if self.test else None,
        }
        for step, value in steps.items():
            if value is not None:
                value["seconds"] = round(self.seconds[step], 3)
        return {**steps, "seconds": round(sum(self.seconds.values()), 3), "exit_code": self.exit_code}

    def text(self) -> str:
        """A line a step, and as many as embed has."""
        lines = []
        if self.build:
            changes = ", ".join(f"{name} {new} new {old} changed" for name, new, old in _changes(self.build))
            lines.append(_dbt_text("build", self.build, self.seconds["build"]))
            lines.append(f"  rows: {changes}" if changes else "  rows: nothing new or changed")
        if self.extracted:
            lines.append(f"{self.extracted.text()} in {self.seconds['extract']:.1f} s")
        lines += [summary_text(each) for each in self.spaces or () if not each.error or each.written]
        if self.test:
            lines.append(_dbt_text("test", self.test, self.seconds["test"]))
        return "\n".join(lines)


def failed_nodes(run: DbtRun) -> tuple[NodeResult, ...]:
    """What ended in an error or, of a test, in a failure."""
    return run.ended("error", "fail", "runtime error", "partial success")


def node_text(node: NodeResult, run: DbtRun) -> str:
    """What a node ended with, in one line: its name, dbt's words, and what it has logged of its findings."""
    kind = {"operation": "hook"}.get(node.resource_type, node.resource_type)
    message = " ".join(_ELSEWHERE.sub("", node.message or node.status).split())
    findings = run.said_of(node.name)
    told = "; ".join((*findings[:_FINDINGS_SHOWN], *([f"and {len(findings) - 5} more"] if findings[5:] else [])))
    return excerpt(f"{kind} {node.name}: {told or message}", _LONGEST_MESSAGE)


def listed_by_type(lines: Sequence[str]) -> dict[str, int]:
    """How many nodes of each type `dbt list --output json` has listed."""
    types = Counter(json.loads(line)["unique_id"].split(".")[0] for line in lines)
    return {name: types[name] for name in (*BUILT, "test") if types[name]}


def counts_text(counts: dict[str, int]) -> str:
    """`8 seeds, 41 models, 76 tests`."""
    return ", ".join(counted(number, name) for name, number in counts.items()) or "nothing"


def _dbt_text(step: str, run: DbtRun, seconds: float) -> str:
    built = Counter(each.resource_type for each in run.ended("success"))
    parts = [counted(built[name], name) for name in BUILT if built[name]]
    parts.append(f"{counted(len(run.ended('pass')), 'test')} passed")
    warned, failed, skipped = len(run.ended("warn")), len(failed_nodes(run)), len(run.ended("skipped"))
    parts += [
        f"{number} {what}" for number, what in ((warned, "warned"), (failed, "failed"), (skipped, "skipped")) if number
    ]
    return f"{step}: {', '.join(parts)} in {seconds:.1f} s"


def _changes(run: DbtRun) -> list[tuple[str, int, int]]:
    found = (_CHANGED.match(line) for line in run.said)
    return [(each[1], int(each[2]), int(each[3])) for each in found if each]


def _value(run: DbtRun) -> dict[str, Any]:
    built = Counter(each.resource_type for each in run.ended("success"))
    return {
        "built": {name: built[name] for name in BUILT if built[name]},
        "changes": {name: {"inserted": new, "updated": old} for name, new, old in _changes(run)},
        "passed": len(run.ended("pass")),
        "warned": [_node_value(each, run) for each in run.ended("warn")],
        "failed": [_node_value(each, run) for each in failed_nodes(run)],
        "skipped": len(run.ended("skipped")),
    }


def _node_value(node: NodeResult, run: DbtRun) -> dict[str, Any]:
    return {
        "name": node.name,
        "resource_type": node.resource_type,
        "status": node.status,
        "message": node.message,
        "findings": list(run.said_of(node.name)),
    }

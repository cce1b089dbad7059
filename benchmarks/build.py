"""`dbt build` of the demo with nothing to do, beside a bare project of as many nodes of each type.

The bare project's models are views of one row, its tests the simplest that dbt has, so that what is left is dbt's own
time. Both are built once before, and parsed; then they take turns.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import yaml
from support import PROJECT_DIR, Warehouse, best_of, parser, print_header, print_table

PARTS = {
    "models": ("test", "unit_test"),
    "without unit tests": ("unit_test",),
    "all": (),
}


def main() -> None:
    """Measures and prints the seconds of each part of a build, and the ratio."""
    given = parser(__doc__, repetitions=3).parse_args()
    print_header("dbt build of the demo, nothing to do")
    with tempfile.TemporaryDirectory(prefix="vector_benchmark_") as folder:
        ours = Project(Path(folder) / "ours", PROJECT_DIR)
        ours.build()
        counts = ours.counts()
        bare = Project(Path(folder) / "bare", _write_bare_project(Path(folder) / "bare_project", counts))
        bare.build()
        subjects = {
            f"{part} {name}": partial(project.build, *left_out)
            for part, left_out in PARTS.items()
            for name, project in (("ours", ours), ("bare", bare))
        }
        best = best_of(given.repetitions, subjects)
    rows = [[part, *(found := (best[f"{part} ours"], best[f"{part} bare"])), found[0] / found[1]] for part in PARTS]
    print_table(["build", "seconds", "a bare project's", "ratio"], rows)
    print(f"\nNodes: {', '.join(f'{count} {kind}' for kind, count in sorted(counts.items()))}.")
    print(f"Load average: {', '.join(f'{load:.1f}' for load in os.getloadavg())}.")


class Project(Warehouse):
    """A dbt project with a warehouse of its own."""

    def __init__(self, folder: Path, project: Path):
        folder.mkdir()
        super().__init__(folder)
        self.project = project

    def build(self, *left_out: str) -> str:
        """`dbt build` of all but these types of resource."""
        where = ("--project-dir", self.project, "--profiles-dir", self.folder)
        own = ("--target-path", self.folder / "target", "--log-path", self.folder / "logs")
        options = ("--exclude-resource-type", *left_out) if left_out else ()
        return self.run([Path(sys.executable).with_name("dbt"), "build", *options, *where, *own])

    def counts(self) -> Counter[str]:
        """Its nodes by type, as dbt's manifest has them."""
        manifest = json.loads((self.folder / "target" / "manifest.json").read_text(encoding="utf-8"))
        found = Counter(node["resource_type"] for node in manifest["nodes"].values())
        return Counter({kind: found[kind] for kind in ("model", "seed", "test")}, unit_test=len(manifest["unit_tests"]))


def _write_bare_project(folder: Path, counts: Counter[str]) -> Path:
    models, seeds = folder / "models", folder / "seeds"
    models.mkdir(parents=True)
    seeds.mkdir()
    settings = {"name": "bare", "version": "1.0", "profile": "vector_runtime", "model-paths": ["models"]}
    (folder / "dbt_project.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    for n in range(counts["seed"]):
        (seeds / f"seed_{n}.csv").write_text("id\n1\n", encoding="utf-8")
    described = []
    for n in range(counts["model"]):
        before = f"{{{{ ref('model_{n - 1}') }}}}" if n % 5 else None
        (models / f"model_{n}.sql").write_text(f"select 1 as id{f' from {before}' if before else ''}\n")
        # A test is of its model and its arguments: an accepted value more makes another one.
        tests = [
            {"accepted_values": {"name": f"test_{each}", "arguments": {"values": list(range(each + 2))}}}
            for each in range(n, counts["test"], counts["model"])
        ]
        described.append({"name": f"model_{n}", "columns": [{"name": "id", "data_tests": tests}]})
    # Of models that refer to no other: a unit test must give rows of each.
    firsts = range(0, counts["model"], 5)
    unit_tests = [
        {
            "name": f"unit_{n}", "model": f"model_{firsts[n % len(firsts)]}", "given": [],
            "expect": {"rows": [{"id": 1}]},
        }
        for n in range(counts["unit_test"])
    ]  # fmt: skip
    text = yaml.safe_dump({"models": described, "unit_tests": unit_tests})
    (models / "models.yml").write_text(text, encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()

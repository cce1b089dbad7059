"""Start-up: processor time of commands in a process each, against a Python that does nothing, and what they import.

The warehouse is the demo's, embedded by its own model. "beside the model" is the search less what opening the model and
one call of it take in a process of their own. With `--before FOLDER`, the `scripts` folder of another checkout, each
command is run from there too, by turns, and the last column is the ratio. The other tables are what a
command imports: the packages that cost most, each with its own modules.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from support import PROJECT_DIR, Warehouse, parser, print_header, print_table

# Without the model: the Python package, a database and one question.
COMMANDS = {
    "--help": ["--help"],
    "coverage": ["coverage"],
    "search, by words": ["search", "geysers", "--mode", "lexical"],
    "search, by vectors": ["search", "geysers", "--mode", "dense"],
}
RUN = "import sys; from vector.cli import main; sys.exit(main(sys.argv[1:]))"
MODEL = (
    "from vector.store import VectorStore; import duckdb, os; from vector.providers import open_provider;"
    "store = VectorStore(duckdb.connect(os.environ['VECTOR_DUCKDB_PATH']));"
    "{}"
)
EMBED = "open_provider(store.list_embedding_spaces()[0]).embed(['geysers'])"


def main() -> None:
    """Measures and prints processor seconds, and the import trees."""
    arguments = parser(__doc__, repetitions=5)
    arguments.add_argument("--before", type=Path, metavar="FOLDER", help="`scripts` of another checkout")
    arguments.add_argument("--most", type=int, default=12, metavar="N", help="packages of an import tree")
    given = arguments.parse_args()
    print_header("Start-up, processor seconds")
    with tempfile.TemporaryDirectory(prefix="vector_benchmark_") as folder:
        warehouse = Demo(Path(folder))
        _print_seconds(warehouse, given.before, given.repetitions)
        for name in ("coverage", "search, by words"):
            print(f"\nImports of `{name}`, milliseconds of its own modules:\n")
            print_table(["package", "ms"], warehouse.imports(COMMANDS[name])[: given.most])


class Demo(Warehouse):
    """The demo's warehouse, built and embedded."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.dbt("build", "--exclude-resource-type", "test", "unit_test", "--vars", "{}")
        self.seconds(RUN, ["embed", "--quiet"])

    def environment(self, scripts: Path) -> dict[str, str]:
        """Of a command: this warehouse, the code of these scripts, compiled beforehand as an installed package is."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "VECTOR_"))}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        return {
            **kept, "VECTOR_DUCKDB_PATH": str(self.path), "PYTHONPATH": str(scripts),
            "DBT_PROFILES_DIR": str(self.folder), "DBT_PROJECT_DIR": str(PROJECT_DIR),
            "DBT_TARGET_PATH": str(self.folder / "target"), "VECTOR_CACHE_DIR": str(self.folder / "cache"),
        }  # fmt: skip

    def seconds(self, code: str, arguments: list[str], scripts: Path = PROJECT_DIR / "scripts") -> float:
        """Processor seconds, user and system, of a process."""
        before = os.times()
        self._python(["-c", code, *arguments], scripts)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    def imports(self, arguments: list[str]) -> list[tuple[str, float]]:
        """The packages that a command imports with the time that their own modules take, the dearest first."""
        told = self._python(["-X", "importtime", "-c", RUN, *arguments], PROJECT_DIR / "scripts")
        found: dict[str, float] = {}
        for own, name in re.findall(r"import time: +(\d+) \| +\d+ \| +(\S+)", told):
            package = ".".join(name.split(".")[: 2 if name.startswith("vector") else 1])
            found[package] = found.get(package, 0.0) + int(own) / 1000
        return sorted(found.items(), key=lambda item: -item[1])

    def _python(self, arguments: list[str], scripts: Path) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], env=self.environment(scripts), cwd=self.folder, capture_output=True,
            encoding="utf-8",
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done.stderr


def _print_seconds(warehouse: Demo, before: Path | None, repetitions: int) -> None:
    here = PROJECT_DIR / "scripts"
    subjects = {("Python alone", here): ("pass", []), ("database", here): (MODEL.format(""), [])}
    subjects["database and model", here] = (MODEL.format(EMBED), [])
    for scripts in filter(None, (here, before)):
        subjects.update({(name, scripts): (RUN, command) for name, command in COMMANDS.items()})
    best = dict.fromkeys(subjects, float("inf"))
    for _ in range(repetitions + 1):  # the first one compiles, and reads the files from the disk
        for key, (code, arguments) in subjects.items():
            best[key] = min(best[key], warehouse.seconds(code, arguments, key[1]))
    alone, model = best["Python alone", here], best["database and model", here] - best["database", here]
    rows: list[list[object]] = []
    for name in COMMANDS:
        took, took_before = best[name, here], best.get((name, before)) if before else None
        beside = took - model if name == "search, by vectors" else took
        ratio = took / took_before if took_before else "-"
        rows.append([name, took, beside, took / alone, took_before or "-", ratio])
    print_table(["command", "seconds", "beside the model", "of Python alone", "before", "ratio"], rows)
    print(f"\nPython alone {alone:.3f}, the model's load and one call {model:.3f}.")


if __name__ == "__main__":
    main()

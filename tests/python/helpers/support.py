"""A scratch project: a copy of this one whose space is a hash, so that embedding takes no time and no model."""

import contextlib
import csv
import gc
import io
import os
import pickle
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import duckdb
import pytest

from vector.cli import main
from vector.engines.duckdb.engine import DuckDBEngine
from vector.engines.read_copy import folder_beside
from vector.store import VectorStore, opening

PROJECT_DIR = Path(__file__).resolve().parents[3]
LEDGERS = (
    "embedding_space", "job", "run", "source_registry", "chunk", "chunk_version", "embedding", "embedding_canary",
    "embedding_failure", "embedding_sketch", "embedding_sketch_mean", "embedding_sketch_recall", "retrieval",
    "retrieval_hit", "space_publication", "evaluation_interval", "erasure",
)  # fmt: skip

HASH_SPACE = {
    "space_key": "hash", "provider": "hash", "model_name": "hash", "dimensions": "8", "normalize_flag": "true",
    "distance_metric": "cosine", "description": "for tests", "is_active": "true",
}  # fmt: skip

# Of norm 1, and the same as float32.
VECTOR = [0.5, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0]

# The manifest of a project without edits, pickled, in its folder.
PARSED = "parsed.pickle"

PROFILE = """\
vector_runtime:
  target: duckdb
  outputs:
    duckdb: {{type: duckdb, path: '{database}', schema: vector, threads: 1}}
"""


@dataclass
class DbtRun:
    """What dbt did: whether all went well, what it said, and how each node ended."""

    success: bool
    output: str
    results: Sequence[Any] = ()

    def ended(self, status: str) -> set[str]:
        """The names of the nodes that ended so; a generic test is called `<test> of <what it tests>`."""
        return {_name(result.node) for result in self.results if result.status == status}


@dataclass
class Command:
    """What a command left behind."""

    exit_code: int
    stdout: str
    stderr: str


class ScratchProject:
    """A project in a folder of its own. `reset` brings its files and its database back to how `keep` found them.

    `environment` is what its commands find in theirs, besides what a clean one has. With `like`, the folder of another
    one, this one is as `keep` found that one, and parsed as it.
    """

    _artifacts = "--no-write-json"  # its relations are where they are without a manifest
    _connections = 0  # that are open in this process, by `connect`

    def __init__(self, folder: Path, like: Path | None = None):
        self.folder = folder
        self.environment: dict[str, str] = {}
        self.database_path = folder / "warehouse.duckdb"
        self._kept_database = folder / "kept.duckdb"
        self._edited: dict[Path, bytes] = {}
        self._manifests: dict[tuple, bytes] = {}  # by the edits that each was parsed with
        for name in (
            "macros",
            "models",
            "seeds",
            "tests/alarms",
            "tests/generic",
            "tests/invariants",
            "tests/on_request",
            "tests/fixtures",
        ):
            shutil.copytree(PROJECT_DIR / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(PROJECT_DIR / "dbt_project.yml", folder)
        (folder / "profiles.yml").write_text(PROFILE.format(database=self.database_path), encoding="utf-8")
        self.write_rows("embedding_space_seed", [HASH_SPACE])
        self._edited.clear()
        # In the smallest blocks, a file of these few rows has a fifth of the size: it is copied for every test.
        duckdb.connect(str(self.database_path), config={"default_block_size": 16384}).close()
        if like:
            shutil.copy(like / "kept.duckdb", self.database_path)
            # dbt itself would parse anew: the path of the database is another one.
            parsed = pickle.loads((like / PARSED).read_bytes())
            for node in parsed["nodes"].values():
                if node.resource_type == "seed":
                    node.root_path = str(folder)  # where dbt-duckdb looks for its rows
            self._manifests[()] = pickle.dumps(parsed)
            (folder / PARSED).write_bytes(self._manifests[()])

    def beside(self, folder: Path) -> "ScratchProject":
        """Another project in a folder of its own, as `keep` found this one."""
        return ScratchProject(folder, like=self.folder)

    def keep(self) -> None:
        """Remembers the database as it is now."""
        shutil.copy(self.database_path, self._kept_database)

    def reset(self) -> None:
        """Undoes every edit, and puts the kept database at its old path, so that dbt need not parse again."""
        # A connection that a cycle of objects still holds would keep the old database open in this process, and write
        # into the file that takes its place.
        gc.collect()
        gc.freeze()  # what is still there need not be looked through next time
        for path, content in self._edited.items():
            path.write_bytes(content)
        self._edited.clear()
        self.environment = {}
        Path(f"{self.database_path}.wal").unlink(missing_ok=True)
        shutil.rmtree(folder_beside(self.database_path), ignore_errors=True)
        shutil.copy(self._kept_database, self.database_path)

    # Files

    def edit(self, path: str, old: str, new: str) -> None:
        """Replaces a passage of a file, which must be there once."""
        content = (self.folder / path).read_text(encoding="utf-8")
        assert content.count(old) == 1, f"{path} has {old!r} {content.count(old)} times"
        self._write(self.folder / path, content.replace(old, new))

    def remove(self, path: str) -> None:
        """Deletes a file; `reset` brings it back."""
        self._edited.setdefault(self.folder / path, (self.folder / path).read_bytes())
        (self.folder / path).unlink()

    def seed_path(self, seed: str) -> Path:
        (path,) = self.folder.glob(f"seeds/**/{seed}.csv")
        return path

    def rows(self, seed: str) -> list[dict[str, str]]:
        """The rows of a seed."""
        return read_csv(self.seed_path(seed))

    def write_rows(self, seed: str, rows: Sequence[dict[str, str]]) -> None:
        """Writes a seed anew under its old header; a column that a row lacks is empty."""
        with self.seed_path(seed).open(encoding="utf-8", newline="") as file:
            header = next(csv.reader(file))
        text = io.StringIO()
        writer = csv.DictWriter(text, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self._write(self.seed_path(seed), text.getvalue())

    def _write(self, path: Path, text: str) -> None:
        self._edited.setdefault(path, path.read_bytes())
        path.write_text(text, encoding="utf-8", newline="")

    # Commands

    def build(self, *arguments: str) -> DbtRun:
        """`dbt build` of seeds and models, without tests, which must succeed."""
        done = self.dbt("build", "--exclude-resource-type", "test", "unit_test", *arguments)
        assert done.success, done.output
        return done

    def refresh(self, *others: str, seeds: bool = True) -> DbtRun:
        """What `build` does where the rows of sources or seeds have changed: the seeds that a test has written, and the
        ledgers that dbt fills. The views are there, but for `others`. An eighth of the time."""
        written = {path.stem for path in self._edited if path.suffix == ".csv"}
        ledgers = {"embedding_space", "source_registry", "chunk", "chunk_version"}
        if written == {"embedding_space_seed"}:
            ledgers = {"embedding_space"}
        return self.build("--select", *(sorted(written) if seeds else ()), *others, *sorted(ledgers))

    def test(self, *arguments: str) -> DbtRun:
        """`dbt test` of data tests."""
        return self.dbt("test", "--exclude-resource-type", "unit_test", *arguments)

    def compiled(self, sql: str) -> str:
        """What dbt makes of a query with macros."""
        (result,) = self.dbt("compile", "--inline", sql).results
        return result.node.compiled_code

    def dbt(self, *arguments: str) -> DbtRun:
        """Runs dbt in this process. A connection that dbt would keep open is closed: the file may be replaced next."""
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.cli.main import dbtRunner
        from dbt_common.behavior_flags import BehaviorFlagRendered

        # Which file asks for a flag is for a warning only, and dbt reads every frame's source for it: a tenth of a run.
        BehaviorFlagRendered._default_source = staticmethod(lambda: "")
        where = ["--project-dir", self.folder, "--profiles-dir", self.folder, "--target-path", self.folder / "target"]
        options = [*map(str, where), "--log-level", "none", "--log-level-file", "none", self._artifacts]
        messages: list[str] = []
        manifest = None if {"--vars", "--target"} & {*arguments} else self._parsed(options)
        runner = dbtRunner(manifest=manifest, callbacks=[lambda event: messages.append(_shown(event))])
        with clean_environment():
            done = runner.invoke([*arguments, *options])
        DuckDBConnectionManager.close_all_connections()
        results = getattr(done.result, "results", None) or []
        output = "\n".join(filter(None, [*messages, str(done.exception or "")]))
        return DbtRun(done.success, output, results)

    def _parsed(self, options: Sequence[str]) -> Any:
        """What dbt has parsed, which saves it a second; None if it cannot. A copy: a run changes what it is given."""
        from dbt.cli.main import dbtRunner
        from dbt.contracts.graph.manifest import Manifest

        # The rows of a seed are none of the manifest's; that there is one is.
        files = {path: path.read_bytes() if path.exists() else None for path in sorted(self._edited)}
        edits = tuple((path, text) for path, text in files.items() if text is None or path.suffix != ".csv")
        if edits not in self._manifests:
            with clean_environment():
                parsed = dbtRunner().invoke(["parse", *options]).result
            if parsed is None:
                return None
            # Field by field: Manifest's own way to be pickled puts some of them in the places of others.
            names = (each.name for each in fields(Manifest) if not each.name.startswith("_"))
            self._manifests[edits] = pickle.dumps({name: getattr(parsed, name) for name in names})
            if not edits:
                (self.folder / PARSED).write_bytes(self._manifests[edits])
        return Manifest(**pickle.loads(self._manifests[edits]))

    def vector(self, *arguments: str) -> Command:
        """Runs the `vector` command in this process."""
        out, err = io.StringIO(), io.StringIO()
        with (
            clean_environment(self.environment),
            self._no_wait_for_copies(),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            exit_code = main([*arguments, *self._location(arguments)])
        return Command(exit_code, out.getvalue(), err.getvalue())

    @contextlib.contextmanager
    def _no_wait_for_copies(self) -> Iterator[None]:
        """While this process has the database open, a read copy of it cannot be made: a command that waits for one
        waits for its test."""
        with pytest.MonkeyPatch.context() as patch:
            if self._connections:
                patch.setattr(opening, "PATIENCE", 0.0)
            yield

    def embed(self, *arguments: str) -> str:
        """What `embed` prints; it must succeed."""
        done = self.vector("embed", *arguments)
        assert done.exit_code == 0, done
        return done.stdout

    def start(self, script: str, *arguments: str) -> subprocess.Popen:
        """Starts scripts/<script>.py in a process of its own."""
        program = [sys.executable, str(PROJECT_DIR / "scripts" / f"{script}.py")]
        command = [*program, *arguments, *self._location(arguments)]
        return subprocess.Popen(
            command, cwd=self.folder, env={**clean_copy(os.environ), **self.environment}, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, encoding="utf-8",
        )  # fmt: skip

    def start_dbt(self, *arguments: str) -> subprocess.Popen:
        """Starts dbt in a process of its own, whose files are not those of this one."""
        target = self.folder / f"target-{secrets.token_hex(4)}"
        where = [*self._location(()), "--target-path", str(target), "--log-path", str(target)]
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("dbt")), *arguments, *where], cwd=self.folder,
            env={**clean_copy(os.environ), **self.environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8",
        )  # fmt: skip

    def _location(self, given: Sequence[str]) -> list[str]:
        """Where the project and its profile are, as options; what a test says itself stands."""
        options = {"--project-dir": str(self.folder), "--profiles-dir": str(self.folder)}
        return [part for name, value in options.items() if name not in given for part in (name, value)]

    # Rows

    @contextlib.contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the database, closed afterwards; relations are found without their schema."""
        with duckdb.connect(str(self.database_path)) as connection:
            connection.execute("use warehouse.vector")
            self._connections += 1
            try:
                yield connection
            finally:
                self._connections -= 1

    @contextlib.contextmanager
    def store(self) -> Iterator[VectorStore]:
        """A store over a connection of its own."""
        with self.connect() as connection:
            yield VectorStore(engine=DuckDBEngine(connection))

    def query(self, sql: str, *parameters: Any) -> list[tuple]:
        """All rows of a select."""
        with self.connect() as connection:
            return connection.execute(sql, parameters).fetchall()

    def contents(self, *without: str) -> dict[str, list[tuple]]:
        """Every row of every ledger, as text, but those of the ledgers named."""
        ledgers = [name for name in LEDGERS if name not in without]
        with self.connect() as connection:
            return {name: connection.execute(f"select * from {name} order by all").fetchall() for name in ledgers}


def row_counts(store: VectorStore) -> dict[str, int]:
    """The number of rows of every table, ledgers and seeds."""
    connection = store.engine.connection
    tables = connection.execute("select table_name from duckdb_tables() where schema_name = 'vector'").fetchall()
    return {name: connection.execute(f"select count(*) from {name}").fetchone()[0] for (name,) in tables}


def drop_constraints(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes every ledger a table of the same rows without any constraint. Referencing tables go first."""
    for name in reversed(LEDGERS):
        connection.execute(f"create table free_{name} as from {name}")
        connection.execute(f"drop table {name}")
        connection.execute(f"alter table free_{name} rename to {name}")


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a file with a header."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def clean_copy(environment: Any) -> dict[str, str]:
    """The environment without what a developer's shell, or make, says of dbt."""
    return {name: value for name, value in environment.items() if not name.startswith(("DBT_", "VECTOR_"))}


@contextlib.contextmanager
def clean_environment(besides: Mapping[str, str] | None = None) -> Iterator[None]:
    """Runs what is inside in a clean environment, with some variables besides."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - clean_copy(os.environ).keys():
            patch.delenv(name)
        patch.setenv("VECTOR_CACHE_DIR", "")  # no files in the developer's own cache
        for name, value in (besides or {}).items():
            patch.setenv(name, value)
        yield


def use_home(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Makes the folder the user's home, to this process and to those it starts. Windows knows USERPROFILE only: a test
    that sets HOME would write into the user's own."""
    for name in ("HOME", "USERPROFILE"):
        patch.setenv(name, str(folder))
    assert Path.home() == folder


# For what Windows does not have: signals to processes, FIFOs, permissions, sh and make.
posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows has none of it")


def _name(node: Any) -> str:
    if getattr(node, "test_metadata", None) and node.attached_node:
        return f"{node.test_metadata.name} of {node.attached_node.rpartition('.')[2]}"
    return node.name


def _shown(event: Any) -> str:
    return "" if event.info.level == "debug" else event.info.msg

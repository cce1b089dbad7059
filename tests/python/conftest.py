"""What several suites share: a scratch warehouse that dbt has built."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from evaluation import Warehouse, open_warehouse
from live_report import pytest_runtest_logreport, pytest_unconfigure  # noqa: F401
from once import made_once
from support import PROJECT_DIR, VECTOR, ScratchProject, clean_copy
from warm_dbt import kept_warm

from vector.chunking import Chunker, ChunkingPolicy
from vector.contracts.models import EmbeddingSpace, VectorChunk, VectorEmbedding, VectorSourceRegistry
from vector.store import VectorStore

# Hundreds of processes are started: each would compile all that it imports of scripts/, which takes longer than to run.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# A shell's background jobs ignore Ctrl-C, and so would the processes that tests send it to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Project:
    """A folder of its own for the warehouse, the profile and dbt's target; the project's files are read in place."""

    folder: Path

    @property
    def database_path(self) -> Path:
        return self.folder / "warehouse.duckdb"

    @property
    def profiles_dir(self) -> Path:
        return self.folder

    @property
    def target_path(self) -> Path:
        return self.folder / "target"

    @property
    def env(self) -> Mapping[str, str]:
        """The environment for dbt and the scripts. What the caller's shell says of dbt is not for the tests."""
        return {**clean_copy(os.environ), "VECTOR_DUCKDB_PATH": str(self.database_path)}

    def dbt(self, *arguments: str) -> str:
        """Runs dbt and gives its output; fails the test with it if dbt fails."""
        command = [
            str(Path(sys.executable).with_name("dbt")),
            *arguments,
            *("--project-dir", str(PROJECT_DIR), "--profiles-dir", str(self.profiles_dir)),
            *("--target-path", str(self.target_path), "--log-path", str(self.folder / "logs")),
        ]
        done = subprocess.run(command, env=self.env, cwd=self.folder, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, f"dbt {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout


# What runs dbt, directly or by one of these fixtures, has the marker dbt: `make test-fast` leaves it out.
_BUILT = {"built_project", "kept_project"}


# Files whose tests take half a minute of a processor and more. They go first, so that no worker ends with one of them
# alone; and before them one that needs no built project, as one worker builds it and another would wait.
_FIRST = "test_tsql_static.py"
_LONGEST = {"test_bad_input.py", "test_chain.py", "test_changed_documents.py", "test_chunk_source.py",
            "test_conformance.py", "test_consumer.py", "test_docs_commands.py", "test_embed_command.py",
            "test_erasure.py", "test_extract_policy.py", "test_invariants.py", "test_kill.py",
            "test_misbehaving_embed.py", "test_pinning.py", "test_publishing.py", "test_refresh.py",
            "test_tsql_statements.py", "test_worker.py"}  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that need what dbt has built, and puts the longest files first."""
    items.sort(key=lambda item: (item.path.name != _FIRST, item.path.name not in _LONGEST))
    for item in items:
        if _BUILT & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.dbt)


@pytest.fixture(scope="session", autouse=True)
def light_processes() -> Iterator[None]:
    """What tests start need not import dbt each time, nor pandas ever: no command needs it, and few users have it."""
    with kept_warm(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(PROJECT_DIR / "tests" / "python" / "helpers" / "children"), prepend=os.pathsep)
        yield


@pytest.fixture(autouse=True)
def no_files_in_the_developers_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies and indexes stay in memory, unless a test says otherwise."""
    monkeypatch.setenv("VECTOR_CACHE_DIR", "")


@pytest.fixture(scope="session")
def built_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project after `dbt build` of its seeds and models (`make test` runs dbt's own tests). Read it only: whoever
    writes takes a copy of the database."""

    def make(folder: Path) -> None:
        folder.mkdir()
        shutil.copy(PROJECT_DIR / "profiles.example.yml", folder / "profiles.yml")
        Project(folder).dbt("build", "--exclude-resource-type", "test", "unit_test")

    return Project(made_once(tmp_path_factory, "built", make))


@pytest.fixture(scope="session")
def kept_project(tmp_path_factory: pytest.TempPathFactory) -> ScratchProject:
    """A copy of the project, built, embedded by hash and searched twice."""
    made = []

    def make(folder: Path) -> None:
        project = ScratchProject(folder)
        project.build()
        project.embed()
        # Only equal texts are alike to a hash, so these find anything at all: what a real search would log.
        for question in ("Which moon has geysers?", "日本の探査機"):
            assert project.vector("search", question).exit_code == 0
        project.keep()
        made.append(project)

    folder = made_once(tmp_path_factory, "kept", make)
    if made:
        return made[0]
    project = ScratchProject(tmp_path_factory.mktemp("scratch") / "project", like=folder)
    project.dbt("compile", "--select", "embedding_space")  # `reset` need not look through dbt if it is there now
    project.keep()
    return project


@pytest.fixture
def project(kept_project: ScratchProject) -> ScratchProject:
    """The built and embedded copy of the project, as new."""
    kept_project.reset()
    return kept_project


@pytest.fixture(scope="session")
def kept_small_project(kept_project: ScratchProject, tmp_path_factory: pytest.TempPathFactory) -> ScratchProject:
    """A copy in which all but 16 chunks of distinct texts are retired, so that a run over all takes no time."""
    small = kept_project.beside(tmp_path_factory.mktemp("small") / "project")
    # Each run would look whether it can make a read copy, which nobody can while a test has the database open.
    file = small.folder / "dbt_project.yml"
    settings = file.read_text(encoding="utf-8")
    file.write_text(settings.replace("read_copy: true", "read_copy: false"), encoding="utf-8")
    with small.connect() as connection:
        connection.execute(
            "update chunk set retired_utc = current_timestamp where chunk_id not in"
            " (select chunk_id from chunk order by byte_count, content_sha256 limit 16)"
        )
    small.keep()
    return small


@pytest.fixture
def small_project(kept_small_project: ScratchProject) -> ScratchProject:
    """The copy with few chunks, as new."""
    kept_small_project.reset()
    return kept_small_project


@pytest.fixture
def store(project: ScratchProject) -> Iterator[VectorStore]:
    """A store over the built and embedded copy."""
    with project.store() as opened:
        yield opened


@pytest.fixture
def space(store: VectorStore) -> EmbeddingSpace:
    """The space of the copy: a hash of 8 dimensions."""
    return store.get_embedding_space_by_key("hash")


@pytest.fixture
def chunk(store: VectorStore) -> VectorChunk:
    """A chunk of Python's own, without a vector."""
    store.save_source(VectorSourceRegistry("note:1", "note", {"file": "n"}))
    (made,) = Chunker(ChunkingPolicy()).chunk("The text of a note.", "note:1", "note")
    store.save_chunk(made)
    return made


@pytest.fixture
def embedding(space: EmbeddingSpace, chunk: VectorChunk) -> VectorEmbedding:
    """A vector for the chunk that is not saved."""
    return VectorEmbedding.create_new(chunk.chunk_id, space.embedding_space_id, chunk.content_sha256, VECTOR)


@pytest.fixture(scope="module")
def warehouse(kept_project: ScratchProject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A built warehouse to evaluate two spaces in."""
    with open_warehouse(kept_project, tmp_path_factory.mktemp("evaluation")) as opened:
        yield opened


@pytest.fixture(scope="module")
def chunks(warehouse: Warehouse) -> list[str]:
    """Ids of some chunks of few sources, several of most."""
    sources = ("page:apollo", "page:io", "page:moon", "page:sun", "page:venus", "entity:io", "entity:madrid")
    return [chunk for chunk, source in sorted(warehouse.sources.items()) if source in sources]

"""What the benchmarks share: a scratch warehouse that dbt builds, fair timing, and tables of figures."""

from __future__ import annotations

import argparse
import gc
import hashlib
import multiprocessing
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "scripts"))

# No demo: the analytics sources are what a benchmark puts into the schema `bench`.
DBT_VARS = "{demo: false, analytics_schema: bench}"
SOURCES_SQL = """
create schema if not exists bench;
create table if not exists bench.page (page_id varchar, payload_json varchar, fetched_utc timestamp);
create table if not exists bench.entity (
    entity_id varchar, name varchar, entity_type varchar, attributes_json varchar, updated_utc timestamp);
create table if not exists bench.event (
    event_id varchar, event_date date, event_type varchar, place varchar, participants varchar, summary varchar,
    updated_utc timestamp);
"""

ASCII_WORDS = "orbit planet moon crater dust ring comet probe signal launch gravity mantle of the and in to a".split()
CYRILLIC_WORDS = "орбита планета луна кратер пыль кольцо комета зонд сигнал запуск мантия и в на о с".split()
CJK_WORDS = "軌道 惑星 月 クレーター 塵 環 彗星 探査機 信号 打ち上げ 重力 地殻 の は と に".split()
WORDS = {"ASCII": (ASCII_WORDS, " "), "Cyrillic": (CYRILLIC_WORDS, " "), "CJK": (CJK_WORDS, "")}


class Warehouse:
    """A folder with a database, a profile and dbt's target of its own; the project's files are read in place."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.path = folder / "warehouse.duckdb"
        shutil.copy(PROJECT_DIR / "profiles.example.yml", folder / "profiles.yml")
        with duckdb.connect(str(self.path)) as connection:
            connection.execute(SOURCES_SQL)

    def run(self, command: Sequence[str], **environment: str) -> str:
        """Runs a command of the project on this warehouse; its output. Raises SystemExit with it when it fails."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "VECTOR_"))}
        done = subprocess.run(
            [str(part) for part in command],
            env={**kept, "VECTOR_DUCKDB_PATH": str(self.path), **environment},
            cwd=self.folder,
            capture_output=True,
            encoding="utf-8",
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def dbt(self, *arguments: str) -> str:
        """Runs dbt on this warehouse; its output."""
        return self.run(
            [
                Path(sys.executable).with_name("dbt"),
                *arguments,
                *("--project-dir", PROJECT_DIR, "--profiles-dir", self.folder, "--vars", DBT_VARS),
                *("--target-path", self.folder / "target", "--log-path", self.folder / "logs"),
            ]
        )

    def build(self) -> str:
        """`dbt build` of seeds and models, without tests."""
        return self.dbt("build", "--exclude-resource-type", "test", "unit_test")

    def compiled_sql(self, model: str) -> str:
        """The SQL of a model as dbt compiled it last."""
        (path,) = (self.folder / "target" / "compiled").rglob(f"models/**/{model}.sql")
        return path.read_text(encoding="utf-8")

    def connect(self) -> duckdb.DuckDBPyConnection:
        """An open connection; close it before the next dbt run."""
        return duckdb.connect(str(self.path))

    def copy(self, name: str) -> Path:
        """A copy of the database file under the same catalog name."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return Path(shutil.copy(self.path, folder / self.path.name))


@contextmanager
def scratch_warehouse() -> Iterator[Warehouse]:
    """A warehouse that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="vector_benchmark_") as folder:
        yield Warehouse(Path(folder))


def text_of(script: str, byte_length: int, seed: int) -> str:
    """A text of words, nearly `byte_length` bytes of UTF-8, the same for the same seed."""
    words, blank = WORDS[script]
    mean = sum(len((word + blank).encode()) for word in words) / len(words)
    count = int(byte_length / mean * 1.1) + 20
    chosen = np.random.default_rng(seed).integers(len(words), size=count)
    return blank.join([words[i] for i in chosen]).encode()[:byte_length].decode(errors="ignore").rstrip()


def unit_vectors(count: int, dimensions: int, seed: int = 0) -> np.ndarray:
    """Random float32 vectors of norm 1, shape (count, dimensions)."""
    vectors = np.random.default_rng(seed).standard_normal((count, dimensions), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def unit(vectors: np.ndarray) -> np.ndarray:
    """The rows divided by their norms, float32."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class TextVectors:
    """Draws unit vectors that lie as those of so many texts: topics, a direction that all share, most of the variance
    in few directions."""

    def __init__(self, count: int, dimensions: int):
        self._random = np.random.default_rng(0)
        shape = (dimensions, dimensions)
        self._spread = (np.arange(1, dimensions + 1) ** -0.38).astype(np.float32)
        self._shared = self._random.standard_normal(dimensions).astype(np.float32) * self._spread.mean()
        # Turned, as no model has its variance along the axes.
        self._turn = np.linalg.qr(self._random.standard_normal(shape))[0].astype(np.float32)
        topics = self._random.standard_normal((max(10, count // 200), dimensions), dtype=np.float32)
        self._topics = topics * self._spread

    def draw(self, count: int) -> np.ndarray:
        """The next so many, float32, a row each."""
        of = self._topics[self._random.integers(len(self._topics), size=count)]
        own = self._random.standard_normal((count, len(self._spread)), dtype=np.float32) * self._spread
        return unit((0.6 * of + 0.8 * own + 1.5 * self._shared) @ self._turn)


def vector_column(vectors: np.ndarray) -> pa.Array:
    """The rows of a float32 matrix as an Arrow array of lists."""
    offsets = np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1]
    return pa.ListArray.from_arrays(offsets, np.ascontiguousarray(vectors).ravel())


def zipfian_texts(count: int, words: int, vocabulary: int = 50_000, seed: int = 0) -> list[str]:
    """Texts of so many words each, whose frequencies fall as the inverse of their rank, as those of a language do."""
    weights = np.cumsum(1 / np.arange(1, vocabulary + 1))
    random = np.random.default_rng(seed)
    names = np.array([f"word{rank}" for rank in range(vocabulary)], dtype=object)
    return [" ".join(names[np.searchsorted(weights, random.random(words) * weights[-1])]) for _ in range(count)]


def fill_chunks(
    connection: duckdb.DuckDBPyConnection, count: int, characters: int = 500, texts: Sequence[str] | None = None
) -> None:
    """Puts `count` chunks of distinct text, of the source types page and event by turns, straight into the ledgers.

    They are managed by 'python', so that a later dbt run leaves them alone; a hundred share a source. With `texts`,
    they have these.
    """
    if texts is not None:
        connection.register("texts", pa.table({"n": range(len(texts)), "content": list(texts)}))
        content, parameters = "select n, content from texts", []
    else:
        content = (
            "select n, left(concat(n, ' ', repeat(concat(md5(n::varchar), ' orbit '), 40)), ?) as content"
            " from range(?) as numbers (n)"
        )
        parameters = [characters, count]
    connection.execute(
        """
        insert into vector.chunk by name
        select
            sha256(concat('bench:', n)) as chunk_id, concat('bench:', n // 100) as source_id,
            if(n % 2 = 0, 'page', 'event') as source_type, '{}' as source_ref_json,
            '{"chunk_index":0,"end_offset":0,"start_offset":0}' as offsets_json, content,
            sha256(content) as content_sha256, strlen(content) as byte_count, '{}' as policy_json,
            'python' as managed_by, now()::timestamp as created_utc, now()::timestamp as updated_utc
        from
        """
        f" ({content})",
        parameters,
    )
    connection.execute(
        "insert into vector.chunk_version by name"
        " select chunk_id, content_sha256, content, created_utc from vector.chunk where managed_by = 'python'"
    )


def fill_embeddings(
    connection: duckdb.DuckDBPyConnection,
    embedding_space_id: str,
    dimensions: int,
    vectors: np.ndarray | None = None,
) -> np.ndarray:
    """Gives every chunk one of the vectors (float32, a row each), or a random unit vector, in the space; the vectors,
    in the order of chunk ids."""
    chunks = connection.sql(
        "select chunk_id, content_sha256 from vector.chunk where retired_utc is null order by chunk_id"
    ).to_arrow_table()
    if vectors is None:
        vectors = unit_vectors(chunks.num_rows, dimensions)
    step = 20_000
    for start in range(0, chunks.num_rows, step):
        part = vectors[start : start + step]
        staged = chunks.slice(start, step).append_column("vector", vector_column(part))
        hashes = [hashlib.sha256(vector.tobytes()).hexdigest() for vector in part]
        connection.register("staged", staged.append_column("vector_sha256", pa.array(hashes)))
        connection.execute(
            "insert into vector.embedding by name select uuid()::varchar as embedding_id, chunk_id,"
            " ? as embedding_space_id, len(vector) as dimensions, content_sha256 as input_content_sha256, vector,"
            " vector_sha256, now()::timestamp as created_utc from staged",
            [embedding_space_id],
        )
        connection.unregister("staged")
    return vectors


def best_of(repetitions: int, subjects: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """The least seconds of each subject. They take turns, so that a noisy moment hits all of them.

    A subject may return its own seconds, where it has to prepare something that does not count.
    """
    best = dict.fromkeys(subjects, float("inf"))
    for _ in range(repetitions):
        for name, subject in subjects.items():
            gc.collect()
            started = time.perf_counter()
            own = subject()
            seconds = time.perf_counter() - started
            best[name] = min(best[name], own if isinstance(own, float) else seconds)
    return best


def reset_peak_memory() -> int | None:
    """Starts a new measurement of peak memory; resident bytes now, or None where the system cannot say."""
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _memory("VmRSS")
    except OSError:
        return None


def peak_memory_growth(start: int | None) -> str:
    """Peak resident memory since `reset_peak_memory` gave `start`, as MB over it."""
    return "unknown" if start is None else f"{(_memory('VmHWM') - start) / 1e6:.0f}"


def in_own_process(subject: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
    """What a function of a module gives in a new Python process; and the process's peak resident MB, all in all."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_with_peak_memory, subject, *arguments).result()


def _with_peak_memory(subject: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
    result = subject(*arguments)
    try:
        return result, f"{_memory('VmHWM') / 1e6:,.0f}"
    except OSError:
        return result, "unknown"


def _memory(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


def parser(description: str | None, repetitions: int) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument(
        "--repetitions", type=int, default=repetitions, metavar="N", help="of each figure; the best counts"
    )
    return made


def judged_data_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of a benchmark that reads judged collections: those of VECTOR_DATA_DIR, or beside the project."""
    made = parser(description, repetitions=1)
    default = os.environ.get("VECTOR_DATA_DIR") or PROJECT_DIR.parent / "shared" / "data"
    made.add_argument("--data", type=Path, default=default, metavar="DIR")
    return made


def print_header(title: str) -> None:
    """What was measured, where and when."""
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    versions = f"Python {platform.python_version()}, DuckDB {duckdb.__version__}"
    print(f"\n{title}\n{moment}, {os.cpu_count()} cores, {versions}\n")


def print_table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A Markdown table; floats with three significant digits."""
    cells = [list(headers), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    print("\n".join(lines), flush=True)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)

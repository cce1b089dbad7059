"""Where executors put what a model answers, before it is merged into a ledger: parquet files of a folder that driver
and executors share, by run, each with an owner whose heartbeat says that it lives.

    <landing>/<space>/<job>/owner            written again and again; its age is told by the storage's own clock
    <landing>/<space>/<job>/<wave>-<task>-<random>.parquet    what a call of the model brought, as soon as it did
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vector.contracts.models import EmbeddingSpace
from vector.embedding.pending import PendingText
from vector.embedding.writer import AnswerWriter, EmbedSummary
from vector.errors import ConfigurationError, InputRefused
from vector.store.vector_batch import VectorBatch

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

# Seconds between two heartbeats, and without one after which the owner counts as dead.
HEARTBEAT = 15.0
LEASE = 120.0
# Seconds that vectors of a model in this process, which nobody is paid for, are kept together.
GATHER = 5.0
# The columns of `embedding`, then those of a refused text.
EMBEDDING_COLUMNS = {
    "embedding_id": "string", "chunk_id": "string", "embedding_space_id": "string", "dimensions": "int",
    "input_content_sha256": "string", "vector": "array<float>", "vector_sha256": "string", "run_id": "string",
    "input_tokens": "int", "used_tokens": "int", "truncated_flag": "boolean", "tokens_estimated_flag": "boolean",
    "created_utc": "timestamp_ntz",
}  # fmt: skip
REFUSAL_COLUMNS = {"reason": "string", "error_message": "string", "unknown_token_share": "double"}
COLUMNS = ", ".join(f"{name} {kind}" for name, kind in {**EMBEDDING_COLUMNS, **REFUSAL_COLUMNS}.items())


class Landing:
    """The folder of a space, or of a job in it, at an address such as file:///data/landing or s3://bucket/landing.

    Raises ConfigurationError when the address is none that pyarrow knows.
    """

    def __init__(self, address: str) -> None:
        from pyarrow import fs

        self.address = address
        try:
            self._files, self._path = fs.FileSystem.from_uri(address)
        except Exception as error:
            raise ConfigurationError(
                f"the landing folder {address} cannot be used: {str(error).splitlines()[0]}; set spark.vector.landing"
                " to one that driver and executors share"
            ) from None

    def of(self, job_id: str) -> Landing:
        """The folder of a job."""
        return Landing(f"{self.address}/{job_id}")

    def jobs(self) -> list[str]:
        """The jobs that have a folder."""
        return sorted(each.base_name for each in self._listed() if not each.is_file)

    def files(self, prefix: str = "") -> list[str]:
        """The addresses of the files of answers whose names begin so."""
        names = (each.base_name for each in self._listed() if each.is_file)
        return sorted(
            f"{self.address}/{name}" for name in names if name.endswith(".parquet") and name.startswith(prefix)
        )

    def _listed(self) -> list[Any]:
        from pyarrow import fs

        return self._files.get_file_info(fs.FileSelector(self._path, allow_not_found=True))

    def beat(self) -> None:
        """Says that the owner lives."""
        self._files.create_dir(self._path, recursive=True)
        with self._files.open_output_stream(f"{self._path}/owner") as file:
            file.write(uuid.uuid4().bytes)

    def last_beat(self) -> datetime | None:
        """When the owner has said so last, by the storage's clock; None where it has not."""
        return self._files.get_file_info(f"{self._path}/owner").mtime

    def write(self, name: str, table: pa.Table) -> None:
        """Puts a file of answers there, whole or not at all."""
        from pyarrow import parquet

        self._files.create_dir(self._path, recursive=True)
        hidden = f"{self._path}/_{name}-{uuid.uuid4().hex}"
        with self._files.open_output_stream(hidden) as file:
            parquet.write_table(table, file)
        self._files.move(hidden, f"{self._path}/{name}-{uuid.uuid4().hex}.parquet")

    def read(self, prefix: str, columns: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of the files whose names begin so."""
        from pyarrow import parquet

        found: list[dict[str, Any]] = []
        for address in self.files(prefix):
            with self._files.open_input_file(f"{self._path}/{address.rpartition('/')[2]}") as file:
                found += parquet.read_table(file, columns=list(columns)).to_pylist()
        return found

    def delete(self, files: Sequence[str]) -> None:
        """Deletes files of answers, which are in a ledger by now."""
        for address in files:
            self._files.delete_file(f"{self._path}/{address.rpartition('/')[2]}")

    def drop(self) -> None:
        """Deletes the folder."""
        with suppress(FileNotFoundError):
            self._files.delete_dir(self._path)


class Heartbeat:
    """Keeps a job's folder alive, from a thread, until it is closed."""

    def __init__(self, landing: Landing) -> None:
        landing.beat()
        self._landing, self._ended = landing, threading.Event()
        self._thread = threading.Thread(target=self._beat, name="landing", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            try:
                self._landing.beat()
            except Exception as error:  # the next one may come through
                logger.warning("%s: no heartbeat: %s", self._landing.address, error)

    def close(self) -> None:
        """Ends the thread."""
        self._ended.set()
        self._thread.join()


class LandingWriter(AnswerWriter):
    """Writes to a landing: what was paid for at once, the rest every few seconds, and the end by `finish`."""

    def __init__(
        self, landing: Landing, name: str, space: EmbeddingSpace, summary: EmbedSummary, is_paid: bool, clock: Any
    ) -> None:
        super().__init__(space, summary)
        self._landing, self._name, self._is_paid, self._clock = landing, name, is_paid, clock
        self._refused: list[dict[str, Any]] = []
        self._flushed = clock()

    def quarantine(self, text: PendingText, error: InputRefused) -> None:
        """Takes a refusal, a row for each chunk."""
        self.summary.quarantined += len(text.chunk_ids)
        self._refused += [
            {
                "chunk_id": chunk_id,
                "embedding_space_id": self.space.embedding_space_id,
                "input_content_sha256": text.content_sha256,
                "run_id": self.summary.run_id,
                "reason": error.reason,
                "error_message": str(error),
                "unknown_token_share": error.unknown_token_share,
            }
            for chunk_id in text.chunk_ids
        ]

    def flush(self) -> None:
        """Writes what was gathered, if it is time."""
        if self._is_paid or self._clock() - self._flushed >= GATHER:
            self.finish()

    def finish(self) -> None:
        """Writes what was gathered."""
        if not len(self._waiting) and not self._refused:
            return
        self._landing.write(self._name, self._table())
        self._waiting, self._refused = VectorBatch(self.space, self.summary.run_id), []
        self._flushed = self._clock()

    def _table(self) -> pa.Table:
        import pyarrow as pa

        rows = self._waiting.rows(list(EMBEDDING_COLUMNS), lambda vector: vector) if len(self._waiting) else []
        records = [dict(zip(EMBEDDING_COLUMNS, row, strict=True)) for row in rows] + self._refused
        kinds = {
            "string": pa.string(), "int": pa.int32(), "boolean": pa.bool_(), "double": pa.float64(),
            "array<float>": pa.list_(pa.float32()), "timestamp_ntz": pa.timestamp("us"),
        }  # fmt: skip
        columns = {**EMBEDDING_COLUMNS, **REFUSAL_COLUMNS}
        arrays = [pa.array([each.get(name) for each in records], kinds[kind]) for name, kind in columns.items()]
        return pa.table(arrays, names=list(columns))

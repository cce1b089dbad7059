"""Character windows: the Python reference that `chunk_window` in SQL must equal.

Window i starts at i * (chunk_size - overlap), in code points. A window that does not reach the end of the
text is cut back to its last space, but only where that leaves no gap before the next window. A window without a visible
character is no chunk, and keeps its place: the next chunk has the index of its own window.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from vector.contracts.identity import content_hash_and_size, generate_chunk_id, is_blank, require_storable_text
from vector.contracts.models import VectorChunk

NORMALIZATION_VERSION = "newline-1"

logger = logging.getLogger(__name__)


def normalize_text(text: str) -> str:
    """The text with every CRLF and lone CR as LF, and nothing else changed (`NORMALIZATION_VERSION`)."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


@dataclass(frozen=True)
class ChunkingPolicy:
    """How texts are cut: sizes in code points. Any change to what it cuts must be a new `version`.

    Raises ValueError when the sizes do not fit together or `max_chunks_per_source` is below 1.
    """

    chunk_size: int = 2000
    overlap: int = 200
    max_chunks_per_source: int = 100
    version: str = "1.0"

    def __post_init__(self) -> None:
        _check_sizes(self.chunk_size, self.overlap)
        if self.max_chunks_per_source < 1:
            raise ValueError("max_chunks_per_source must be at least 1")

    def windows(self, text: str) -> Iterator[tuple[str, int, int]]:
        """The windows of the text in order as (content, start, end), not capped; offsets are code points."""
        return _windows(text, self.chunk_size, self.overlap)

    def to_dict(self) -> dict[str, Any]:
        """What the chunks' policy_json holds: here the four settings under their names."""
        return dict(vars(self))


def chunk_text(text: str, chunk_size: int = 2000, overlap: int = 200) -> list[tuple[str, int, int]]:
    """All windows of the text as (content, start, end), where content is text[start:end].

    Sizes and offsets are code points. No character is left out; an empty text has no windows.

    Raises ValueError when chunk_size is not positive, or overlap is negative or not less than chunk_size.
    """
    _check_sizes(chunk_size, overlap)
    return list(_windows(text, chunk_size, overlap))


@dataclass(frozen=True)
class CutText:
    """The chunks of a text in order. `capped`: the cap left visible characters in no chunk. `blank_char_count`: code
    points in no chunk, as their windows have no visible character; None where every window is a chunk."""

    chunks: list[VectorChunk]
    capped: bool
    blank_char_count: int | None


class Chunker:
    """Cuts a source's content into chunks by one policy; `windows` finds them in its place, in another process say."""

    def __init__(
        self,
        policy: ChunkingPolicy | None = None,
        windows: Callable[[str], Iterator[tuple[str, int, int]]] | None = None,
    ):
        self.policy = policy or ChunkingPolicy()
        self._windows = windows or self.policy.windows

    def chunk(
        self, content: str, source_id: str, source_type: str, source_ref: dict[str, Any] | None = None
    ) -> list[VectorChunk]:
        """The chunks of the content, in order: those of its first `max_chunks_per_source` windows that have a visible
        character; a warning is logged if that caps.

        The content is taken as it is: the caller applies `normalize_text` first. `source_ref` is
        {"source_id": source_id} unless given.

        Raises InvalidRecord when the content holds a NUL or a lone surrogate.
        """
        return self.cut(content, source_id, source_type, source_ref).chunks

    def cut(self, content: str, source_id: str, source_type: str, source_ref: dict[str, Any] | None = None) -> CutText:
        """The same, with what is in no chunk."""
        require_storable_text(content, f"content of source {source_id!r}")
        windows = iter(self._windows(content))
        policy = self.policy.to_dict()
        source_ref = {"source_id": source_id} if source_ref is None else source_ref
        # The windows are cut as they are asked for, so a cap also bounds the work.
        chunks, reached, covered, kept = [], 0, 0, 0
        for index, window in enumerate(islice(windows, self.policy.max_chunks_per_source)):
            text, start, end = window
            reached = max(reached, end)
            if is_blank(text):
                continue
            chunks.append(self._chunk(index, window, source_id, source_type, source_ref, policy))
            kept += max(0, end - max(start, covered))
            covered = max(covered, end)
        following = next(windows, None)
        capped = following is not None and not is_blank(content[following[1] :])
        if capped:
            logger.warning(
                "source %r: capped at %d chunks, %d of %d characters are in no chunk",
                source_id,
                len(chunks),
                len(content) - kept,
                len(content),
            )
        return CutText(chunks, capped, reached - kept or None)

    def _chunk(
        self,
        index: int,
        window: tuple[str, int, int],
        source_id: str,
        source_type: str,
        source_ref: dict[str, Any],
        policy: dict[str, Any],
    ) -> VectorChunk:
        content, start, end = window
        content_sha256, byte_count = content_hash_and_size(content)
        return VectorChunk(
            chunk_id=generate_chunk_id(source_id, index, start, end, self.policy.version),
            source_type=source_type,
            source_ref=dict(source_ref),
            offsets={"chunk_index": index, "start_offset": start, "end_offset": end},
            content=content,
            content_sha256=content_sha256,
            byte_count=byte_count,
            policy=dict(policy),
            source_id=source_id,
        )


def _check_sizes(chunk_size: int, overlap: int) -> None:
    if chunk_size <= 0:
        raise ValueError("chunk_size must be positive")
    if overlap < 0:
        raise ValueError("overlap must be non-negative")
    if overlap >= chunk_size:
        raise ValueError("overlap must be less than chunk_size")


def _windows(text: str, chunk_size: int, overlap: int) -> Iterator[tuple[str, int, int]]:
    step = chunk_size - overlap
    for start in range(0, len(text), step):
        end = start + chunk_size
        if end >= len(text):
            yield text[start:], start, len(text)
            return
        # A space before the next window's start would leave a gap, so it is not looked for there.
        space = text.rfind(" ", start + step, end)
        if space != -1:
            end = space
        yield text[start:end], start, end

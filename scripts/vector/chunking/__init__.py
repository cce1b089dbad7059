"""How a source becomes chunks: what is read of it, and where it is cut."""

from vector.chunking.paragraphs import ParagraphPolicy
from vector.chunking.windows import (
    NORMALIZATION_VERSION,
    Chunker,
    ChunkingPolicy,
    CutText,
    chunk_text,
    normalize_text,
)

__all__ = [
    "NORMALIZATION_VERSION",
    "Chunker",
    "ChunkingPolicy",
    "CutText",
    "ParagraphPolicy",
    "chunk_text",
    "normalize_text",
]

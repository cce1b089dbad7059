"""What gives chunks their vectors: plan, model calls, and writing what was answered."""

from vector.embedding.run import EmbedOptions, EmbedSummary, embed_space

__all__ = ["EmbedOptions", "EmbedSummary", "embed_space"]

"""Chunk policies that SQL cannot cut: at sentences or Markdown structure, in characters or in a model's tokens.

The cutting is that of `semantic-text-splitter` (a Rust library): it fills a chunk with the largest units that fit
(paragraphs, sentences, words, graphemes, code points). Nothing is trimmed, so the chunks cover the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import metadata
from typing import Any

from vector.chunking.windows import ChunkingPolicy
from vector.errors import ConfigurationError

METHODS = ("sentences", "markdown")
# Code points that a chunk of a policy in tokens may have for each token of its chunk_size: to a tokenizer, a word of
# 100,000 characters that it does not know is one token.
CHARACTERS_PER_TOKEN = 16
INSTALL = 'pip install "vector-runtime[jobs]"'


@dataclass(frozen=True)
class SplitterPolicy(ChunkingPolicy):
    """How texts are cut by structure. `chunk_size` and `overlap` are upper bounds, in code points, or, with a
    `tokenizer`, in its tokens, the special ones of the model not counted.

    `method` is `sentences` (paragraphs, Unicode sentences, words) or `markdown` (headings, blocks, then the same).
    `tokenizer` is a model as the provider `onnx` names it. Only a single code point may exceed `chunk_size`, where it
    alone has more tokens. A chunk in tokens has CHARACTERS_PER_TOKEN x `chunk_size` code points at most: what is longer
    is cut by characters first. Raises ValueError on sizes that do not fit together or an unknown method.
    """

    method: str = "sentences"
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, is {self.method!r}")

    def windows(self, text: str) -> Iterator[tuple[str, int, int]]:
        """The chunks of the text as (content, start, end); offsets are code points.

        Raises ConfigurationError when the library or the tokenizer is not installed.
        """
        covered = 0
        for start, content in self._cut(text):
            end = start + len(content)
            # What a capped chunk shares with the one before it may be a piece of its own.
            if end > covered:
                yield content, start, end
                covered = end

    def _cut(self, text: str) -> Iterator[tuple[int, str]]:
        cap = len(text) if self.tokenizer is None else CHARACTERS_PER_TOKEN * self.chunk_size
        for start, content in _splitter(self).chunk_indices(text):
            if len(content) <= cap:
                yield start, content
                continue
            # A piece of a word that is one token may be many.
            in_characters = replace(self, chunk_size=cap, overlap=0, tokenizer=None)
            for offset, piece in _splitter(in_characters).chunk_indices(content):
                for further, part in _splitter(self).chunk_indices(piece):
                    yield start + offset + further, part

    def to_dict(self) -> dict[str, Any]:
        """The settings, and the versions of what cuts by them: another version may cut otherwise."""
        settings = {**super().to_dict(), "splitter": f"semantic-text-splitter {_splitter_version()}"}
        if self.tokenizer is None:
            del settings["tokenizer"]
        else:
            settings["tokenizer_sha256"] = _tokenizer(self.tokenizer)[1]
            settings["max_characters"] = CHARACTERS_PER_TOKEN * self.chunk_size
        return settings


@lru_cache(maxsize=8)
def _splitter(policy: SplitterPolicy) -> Any:
    try:
        from semantic_text_splitter import MarkdownSplitter, TextSplitter
    except ImportError:
        raise _not_installed() from None
    kind = MarkdownSplitter if policy.method == "markdown" else TextSplitter
    if policy.tokenizer is None:
        return kind(policy.chunk_size, overlap=policy.overlap, trim=False)
    tokenizer, _ = _tokenizer(policy.tokenizer)
    return kind.from_huggingface_tokenizer(tokenizer, policy.chunk_size, overlap=policy.overlap, trim=False)


def _splitter_version() -> str:
    try:
        return metadata.version("semantic-text-splitter")
    except metadata.PackageNotFoundError:
        raise _not_installed() from None


def _not_installed() -> ConfigurationError:
    return ConfigurationError(f"chunk policies by sentences or markdown need semantic-text-splitter: {INSTALL}")


@lru_cache(maxsize=4)
def _tokenizer(model_name: str) -> tuple[Any, str]:
    """The model's tokenizer, and the SHA-256 of its file."""
    from vector.providers.model_files import file_sha256
    from vector.providers.onnx_models import locate_tokenizer

    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ConfigurationError(
            'chunk policies in tokens need tokenizers: pip install "vector-runtime[onnx]"'
        ) from None
    path = locate_tokenizer(model_name)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare exceptions of its own
        raise ConfigurationError(f"tokenizer of {model_name!r} cannot be read from {path}: {error}") from None
    # The file may carry both, and either would make every size the same.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, file_sha256(path)

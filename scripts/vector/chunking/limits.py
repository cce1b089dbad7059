"""Limits of one source (docs/operations.md): time, memory, and the size of what goes in and comes out."""

from __future__ import annotations

import os
from dataclasses import dataclass

from vector.errors import ConfigurationError, ExtractionLimit

MEGABYTE = 10**6
# Each limit with its environment variable, what holds without one, and what it must be above: the libraries alone need
# some memory.
_VARIABLES = {
    "seconds": ("VECTOR_EXTRACT_SECONDS", 60.0, 0.0),
    "memory_mb": ("VECTOR_EXTRACT_MEMORY_MB", 1024.0, 50.0),
    "input_mb": ("VECTOR_EXTRACT_INPUT_MB", 16.0, 0.0),
    "output_mb": ("VECTOR_EXTRACT_OUTPUT_MB", 16.0, 0.0),
}
# More seconds or megabytes than this no system counts.
_MOST = 1e9


@dataclass(frozen=True)
class ExtractionLimits:
    """`seconds` of each of a source's two steps, extraction and splitting; `memory_mb` that its process may take on top
    of what it has when it starts; `input_mb` of the payload and `output_mb` of the text, in UTF-8."""

    seconds: float
    memory_mb: float
    input_mb: float
    output_mb: float

    @classmethod
    def from_environment(cls) -> ExtractionLimits:
        """Raises ConfigurationError that names the variable whose value is no number, or is out of bounds."""
        return cls(**{name: _number(*variable) for name, variable in _VARIABLES.items()})

    @property
    def input_bytes(self) -> int:
        """The largest payload."""
        return int(self.input_mb * MEGABYTE)

    @property
    def output_bytes(self) -> int:
        """The largest text."""
        return int(self.output_mb * MEGABYTE)

    def check_input(self, size: int, what: str) -> None:
        """Raises ExtractionLimit when so many bytes are too many."""
        if size > self.input_bytes:
            raise exceeded("input_mb", self.input_mb, f"{what} has {size / MEGABYTE:.1f} MB")


def exceeded(limit: str, most: float, what: str) -> ExtractionLimit:
    """The error of a source that goes beyond a limit, which names the setting."""
    return ExtractionLimit(f"extraction_limit: {what}; {_VARIABLES[limit][0]} is {most:g}")


def _number(variable: str, default: float, above: float) -> float:
    text = os.environ.get(variable, "").strip()
    try:
        number = float(text) if text else default
    except ValueError:
        number = 0
    if not above < number <= _MOST:
        raise ConfigurationError(
            f"{variable} is {text!r}; make it a number above {above:g} and up to {_MOST:,.0f},"
            f" or unset it for {default:g}"
        )
    return number

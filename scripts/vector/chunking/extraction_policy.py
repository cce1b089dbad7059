"""Chunk policies of method `extract`: what a payload is, and how its text is cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vector.chunking.extraction import FORMATS, VALUE_FORMATS, check_json_path, format_of_payload
from vector.chunking.paragraphs import ParagraphPolicy
from vector.errors import InvalidRecord


@dataclass(frozen=True)
class ExtractionPolicy(ParagraphPolicy):
    """A policy for payloads: their text is taken out, then cut as ParagraphPolicy does; sizes are in code points of the
    text.

    `payload_format` is one of FORMATS, None: as each payload looks. `json_path` and `value_format` are for json, as
    vector.chunking.extraction.extract_text takes them. Raises ValueError on what does not fit together.
    """

    payload_format: str | None = None
    json_path: str | None = None
    value_format: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("payload_format", FORMATS), ("value_format", VALUE_FORMATS)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, is {value!r}")
        if self.payload_format == "json":
            if self.json_path is None:
                raise ValueError("json_path is missing; payload_format json needs one, such as $.body.text")
            try:
                check_json_path(self.json_path)
            except InvalidRecord as error:
                raise ValueError(str(error)) from None
        elif self.json_path is not None or self.value_format is not None:
            raise ValueError(f"json_path and value_format are for payload_format json, this is {self.payload_format}")

    def format_of(self, payload: str) -> str:
        """The format of a payload."""
        return self.payload_format or format_of_payload(payload)

    def to_dict(self) -> dict[str, Any]:
        """The four settings of every policy, the method, and what is said of the payload."""
        given = {name: value for name, value in super().to_dict().items() if value is not None}
        return {**given, "method": "extract"}

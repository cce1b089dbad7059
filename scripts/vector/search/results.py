"""What a notebook does with found things: a sequence, shown as a table of snippets, that becomes a data frame."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from vector.errors import ConfigurationError
from vector.search.snippets import Snippet
from vector.wording import excerpt, printable

if TYPE_CHECKING:
    import pandas
    import pyarrow

# Characters of a text that a table in a notebook, and a line of a repr, show.
_SNIPPET, _LINE = 240, 80

Item = TypeVar("Item")


class Results(Sequence[Item], Generic[Item]):
    """A sequence of found things, best first. `COLUMNS` are those of a data frame, each with its type: text,
    integer, real, boolean or json."""

    COLUMNS: ClassVar[Mapping[str, str]]

    @property
    @abstractmethod
    def items(self) -> Sequence[Item]:
        """The things themselves."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What they are, in a line."""

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """A dictionary a thing, with a value for each column, and at least rank, score, source_id, source_title and
        content."""

    @property
    def snippets(self) -> Sequence[Snippet]:
        """What a notebook shows of the text of each."""
        return [Snippet(excerpt(row["content"], _SNIPPET)) for row in self.rows()]

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        return self.items[index]

    def __bool__(self) -> bool:
        """True, also of an empty one: it is an answer all the same."""
        return True

    def to_pandas(self) -> pandas.DataFrame:
        """A data frame, a row per thing. Numbers that may be missing have pandas' nullable types; JSON stays a text.
        Raises ConfigurationError where pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise ConfigurationError("to_pandas needs pandas: `pip install pandas`") from None
        types = {"text": "object", "json": "object", "integer": "Int64", "real": "float64", "boolean": "boolean"}
        rows = self.flat_rows()
        return pandas.DataFrame(
            {name: pandas.Series([row[name] for row in rows], dtype=types[kind]) for name, kind in self.COLUMNS.items()}
        )

    def to_arrow(self) -> pyarrow.Table:
        """An Arrow table, a row per thing, which DuckDB can read by the name of its variable. Raises ConfigurationError
        where pyarrow is not installed."""
        try:
            import pyarrow
        except ImportError:
            raise ConfigurationError("to_arrow needs pyarrow: `pip install pyarrow`") from None
        types = {
            "text": pyarrow.string(), "json": pyarrow.string(), "integer": pyarrow.int64(),
            "real": pyarrow.float64(), "boolean": pyarrow.bool_(),
        }  # fmt: skip
        schema = pyarrow.schema([(name, types[kind]) for name, kind in self.COLUMNS.items()])
        return pyarrow.Table.from_pylist(self.flat_rows(), schema=schema)

    def flat_rows(self) -> list[dict[str, Any]]:
        """A dictionary a thing, with exactly the columns, and JSON as text."""
        json_columns = {name for name, kind in self.COLUMNS.items() if kind == "json"}
        return [
            {
                name: json.dumps(row[name], ensure_ascii=False) if name in json_columns and row[name] is not None
                else row[name]
                for name in self.COLUMNS
            }
            for row in self.rows()
        ]  # fmt: skip

    def __repr__(self) -> str:
        """The title, and a line a thing. No vector, and of a text its beginning."""
        lines = [
            f"{row['rank']:>3}. {row['score']:.3f}  {excerpt(row['source_id'] or '')}  {excerpt(row['content'], _LINE)}"
            for row in self.rows()
        ]
        return "\n".join([self.title, *lines])

    def _repr_html_(self) -> str:
        """What a notebook shows: the title, and a table of snippets. What a document says is text there, never HTML."""
        head = "".join(f"<th style='text-align: left'>{name}</th>" for name in ("rank", "score", "source", "text"))
        body = "".join(
            f"<tr><td>{row['rank']}</td><td>{row['score']:.3f}</td>"
            f"<td style='text-align: left'>{_shown(row['source_title'] or row['source_id'])}</td>"
            f"<td style='text-align: left'>{snippet.marked('<b>', '</b>', escape)}</td></tr>"
            for row, snippet in zip(self.rows(), self.snippets, strict=True)
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f"<p>{_shown(self.title)}</p>{table}"


def _shown(text: str | None) -> str:
    return escape(printable(text or ""))

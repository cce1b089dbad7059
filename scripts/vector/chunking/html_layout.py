"""How inscriptis lays HTML out for us: no length that a document names, no blanks that only line columns up.

Each could make gigabytes of a document of some kilobytes: a padding of 100,000, or one wide cell in a column of many.
"""

from __future__ import annotations

from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.model.attribute import Attribute
from inscriptis.model.config import ParserConfig
from inscriptis.model.css import CssParse
from inscriptis.model.html_document_state import HtmlDocumentState
from inscriptis.model.html_element import HtmlElement
from inscriptis.model.table import Table
from inscriptis.model.tag import CustomHtmlTagHandlerMapping
from inscriptis.model.tag.table_tag import table_start_handler

# What a style says beside lengths: what is shown at all, and whether blanks count.
_STYLES = ("display", "white-space")


def layout() -> ParserConfig:
    """The configuration of inscriptis."""
    tags = CustomHtmlTagHandlerMapping(start_tag_mapping={"table": _start_table}, end_tag_mapping={})
    config = ParserConfig(css=CSS_PROFILES["strict"], custom_html_tag_handler_mapping=tags)
    config.attribute_handler = Attribute()
    config.attribute_handler.attribute_mapping = {"style": _apply_style}
    return config


def _apply_style(style: str, element: HtmlElement) -> None:
    kept = [each for each in style.split(";") if each.partition(":")[0].strip().lower() in _STYLES]
    CssParse.attr_style(";".join(kept), element)


def _start_table(state: HtmlDocumentState, attributes: dict) -> None:
    table_start_handler(state, attributes)
    started = state.current_table[-1]
    state.current_table[-1] = _Table(started.left_margin_len, started.cell_separator)


class _Table(Table):  # type: ignore[misc]  # inscriptis has no types
    """A table whose cells are as wide and as high as their text."""

    def get_text(self) -> str:
        """The rows; the first lines of a row's cells are beside each other, then their second ones, and so on."""
        return "\n".join("\n".join(self._lines(row.columns)) for row in self.rows) + "\n"

    def _lines(self, cells: list) -> list[str]:
        lines: list[list[str]] = []
        for cell in cells:
            cell.normalize_blocks()
            for i, line in enumerate(cell.blocks):
                if i == len(lines):
                    lines.append([])
                if line.strip():
                    lines[i].append(line.rstrip())
        return [self.cell_separator.join(parts) for parts in lines]

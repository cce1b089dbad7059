"""A scanner of T-SQL, as far as the rules need one: comments dropped, literals and quoted names told from words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\*.*?\*/ )
    | (?P<text> [nN]?'(?:[^']|'')*' )
    | (?P<quoted> "(?:[^"]|"")*" | \[(?:[^\]\s]|\]\])+\] )
    | (?P<variable> @@?\w+ )
    | (?P<word> \#{0,2}[^\W\d]\w* )
    | (?P<number> \d+(?:\.\d+)?(?:[eE][-+]?\d+)? )
    | (?P<symbol> :: | \|\| | // | ->>? | <> | != | <= | >= | \*\* | [^\s\w] )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """A token: its kind, as the scanner names it, its text, and how many parentheses are open around it."""

    kind: str
    text: str
    depth: int

    @property
    def lower(self) -> str:
        return self.text.lower()

    @property
    def name(self) -> str:
        """The identifier, without its quotes."""
        return self.text[1:-1] if self.kind == "quoted" else self.text

    @property
    def value(self) -> str:
        """What a text literal says."""
        return self.text[self.text.index("'") + 1 : -1].replace("''", "'")


def tokens(sql: str) -> list[Token]:
    """The tokens of a text, comments left out. A parenthesis has the depth of what is around it."""
    return list(_tokens(sql))


def _tokens(sql: str) -> Iterator[Token]:
    depth = 0
    for match in _TOKEN.finditer(sql):
        kind, text = match.lastgroup, match.group()
        if kind == "comment":
            continue
        if text == ")":
            depth -= 1
        yield Token(kind, text, depth)
        if text == "(":
            depth += 1

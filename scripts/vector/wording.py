"""Numbers and texts as people and programs read them."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from typing import Any

# What a terminal would obey rather than show, or a reader cannot see: control characters of C0 and C1 but for the end
# of a line and the tab, Unicode's separators of lines, lone surrogates, and its format characters (category Cf: those
# that turn the direction of writing, and tag characters, are some) but those that words and emoji are spelt with (soft
# hyphen, U+200C, U+200D) and the signs that are seen (of Arabic, Syriac, Kaithi and hieroglyphs).
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
_LINE_END = re.compile("[ \t]*[\n\x0b\x0c\r\x1c-\x1e\x85\u2028\u2029]+[ \t]*")

# Where settings are declared: in this project, and in one that has installed it.
SPACES = "seeds/embedding_space_seed.csv (or the relation that the variable embedding_spaces names)"
THRESHOLDS = "seeds/evaluation/publish_threshold.csv (or the relation that the variable publish_thresholds names)"

# Characters of a text of unknown length that are shown of it.
SHOWN = 200

# The environment of a Python that writes to a pipe of ours: on Windows it would take the code page of the machine.
UTF_8 = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}


def counted(number: int, noun: str) -> str:
    """`1 chunk`, `1,200 chunks`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """In the one or two units that matter: `under a second`, `40 s`, `12 min`, `3 h 20 min`, `2 days 5 h`."""
    if seconds < 1:
        return "under a second"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h" if hours else f"{days} days"


def money(amount: float) -> str:
    """With cents, and with two digits that count below one: `1,234.50`, `0.0012`."""
    return f"{amount:,.2f}" if amount >= 1 or not amount else f"{amount:.{_places(amount)}f}"


def _places(amount: float) -> int:
    """Decimal places that show two digits of an amount between 0 and 1."""
    places = 2
    while amount * 10**places < 10 and places < 12:
        places += 1
    return places


def printable(text: str) -> str:
    """The text with U+FFFD for whatever would command a terminal."""
    return _UNPRINTABLE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """The text, printable, with a blank for every end of a line: nothing in it can look like a line of its own."""
    return printable(_LINE_END.sub(" ", text).strip())


def shell_line(arguments: Sequence[str]) -> str:
    """The words as the user's shell takes them; cmd.exe knows double quotes only."""
    return subprocess.list2cmdline(arguments) if os.name == "nt" else shlex.join(arguments)


def json_text(value: Any, ascii_only: bool = False) -> str:
    """The value as JSON in one line, with an escape for whatever would command a terminal and, with `ascii_only`, for
    whatever is not ASCII. NaN and infinity, which JSON does not know, are null."""
    try:
        text = json.dumps(value, ensure_ascii=ascii_only, default=str, allow_nan=False)
    except ValueError:
        text = json.dumps(finite(value), ensure_ascii=ascii_only, default=str)
    return _UNPRINTABLE.sub(_escaped, text)


def finite(value: Any) -> Any:
    """The value with None in place of every number in it that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    return [finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found.group())[1:-1]


def excerpt(text: str, length: int = SHOWN) -> str:
    """The beginning of a text, on one line, printable."""
    line = printable(" ".join(text.split()))
    return f"{line[:length]}..." if len(line) > length else line

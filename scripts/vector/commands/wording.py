"""Numbers and texts as people read them."""

from __future__ import annotations

import re

# What a terminal would obey rather than show: control characters of C0 and C1 but for the end of a line and the tab,
# those that turn the direction of writing, and lone surrogates, which cannot be printed at all.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# Characters of a text of unknown length that are shown of it.
SHOWN = 200


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


def excerpt(text: str, length: int = SHOWN) -> str:
    """The beginning of a text, on one line, printable."""
    line = printable(" ".join(text.split()))
    return f"{line[:length]}..." if len(line) > length else line

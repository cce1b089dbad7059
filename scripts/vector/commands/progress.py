"""How far an embed run is: a bar on a terminal, else one JSON object a line on stderr."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from vector.embedding.writer import EmbedSummary
from vector.wording import one_line

# Seconds between two lines, and those over which the rate is taken: texts become longer as a run goes on.
INTERVAL = 5.0
RATE_WINDOW = 60.0


class Progress(Protocol):
    """`show` is called as often as one likes, `finish` when a space has ended, well or not; again does no harm. Of a
    space that has nothing to do, nothing is shown."""

    def show(self, summary: EmbedSummary) -> None:
        """The space is as far as the summary says."""

    def finish(self, summary: EmbedSummary) -> None:
        """The space is done, or given up."""


@contextmanager
def shown_progress(quiet: bool = False, stream: TextIO | None = None) -> Iterator[Progress]:
    """The progress that suits the stream, stderr by default. Log messages go above a bar that is shown."""
    stream = stream or sys.stderr
    if quiet:
        yield Silence()
    elif stream.isatty():
        bar = ProgressBar(stream)
        with logging_redirect_tqdm():
            try:
                yield bar
            finally:
                bar.close()
    else:
        yield ProgressLines(stream)


class Silence:
    """Shows nothing."""

    def show(self, summary: EmbedSummary) -> None:
        """Nothing."""

    def finish(self, summary: EmbedSummary) -> None:
        """Nothing."""


class ProgressBar:
    """A bar a space, with rate and remaining time. It has no colour, and is of ASCII where the terminal is."""

    FORMAT = (
        "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} chunks"
        " [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"
    )

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: Any = None

    def show(self, summary: EmbedSummary) -> None:
        """Moves the bar; draws it first, if there is anything to do."""
        if not summary.planned:
            return
        if self._bar is None:
            self._bar = tqdm(
                total=summary.planned, desc=one_line(summary.space_key), unit=" chunks", file=self._stream,
                bar_format=self.FORMAT, **_size(self._stream),
            )  # fmt: skip
        self._bar.set_postfix_str(f"{summary.quarantined} quarantined" if summary.quarantined else "", refresh=False)
        self._bar.update(_done(summary) - self._bar.n)

    def finish(self, summary: EmbedSummary) -> None:
        """Draws the bar as it is at the end, and leaves it there."""
        if self._bar is not None:
            self.show(summary)
            self.close()

    def close(self) -> None:
        """Ends the line of a bar that is shown."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()
            self._bar = None


class ProgressLines:
    """A JSON object a line: when a space begins, every few seconds at most, and when it ends."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream: TextIO | None = stream
        self._clock = clock
        self._points: deque[tuple[float, int]] = deque()  # when so many chunks were done
        self._began = self._written = 0.0

    def show(self, summary: EmbedSummary) -> None:
        """Writes a line if one is due."""
        if not summary.planned:
            return
        now = self._clock()
        if not self._points:
            self._began = now
        elif now - self._written < INTERVAL:
            return
        self._points.append((now, _done(summary)))
        while len(self._points) > 2 and now - self._points[1][0] >= RATE_WINDOW:
            self._points.popleft()
        self._write(summary, now, _rate(self._points[0], self._points[-1]))

    def finish(self, summary: EmbedSummary) -> None:
        """Writes the last line, with the rate of the whole."""
        if self._points:
            now = self._clock()
            self._write(summary, now, _rate((self._began, 0), (now, _done(summary))), finished=True)
        self._points.clear()

    def _write(self, summary: EmbedSummary, now: float, rate: float | None, finished: bool = False) -> None:
        self._written = now
        left = summary.planned - _done(summary)
        line = {
            "event": "progress",
            "utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "space_key": summary.space_key,
            "run_id": summary.run_id,
            "done": _done(summary),
            "planned": summary.planned,
            "quarantined": summary.quarantined,
            "rate": rate and round(rate, 1),
            "eta_seconds": None if finished or not rate else round(left / rate, 1),
            "seconds": round(now - self._began, 1),
            "requests": summary.requests,
            "input_tokens": summary.input_tokens,
            "cost": summary.cost,
            "finished": finished,
            "stopped_by": summary.stopped_by,
            "error": summary.error,
        }
        if self._stream is not None:
            try:
                print(json.dumps(line), file=self._stream, flush=True)
            except OSError:  # whoever read it is gone, which is no reason to stop embedding
                self._stream = None


def _size(stream: TextIO) -> dict[str, Any]:
    """Of a terminal that does not know its size (it says 0 by 0, on which tqdm draws nothing), 80 by 24."""
    known = os.get_terminal_size(stream.fileno()).columns > 0
    return {"dynamic_ncols": True} if known else {"ncols": 80, "nrows": 24}


def _done(summary: EmbedSummary) -> int:
    return summary.written + summary.quarantined


def _rate(first: tuple[float, int], last: tuple[float, int]) -> float | None:
    """Chunks a second between two points; None where there is no telling."""
    seconds, chunks = last[0] - first[0], last[1] - first[1]
    return chunks / seconds if seconds > 0 and chunks > 0 else None

"""Extraction and splitting in a process of their own, which is killed when a source takes too much of anything.

What reads documents is other people's code over other people's bytes: a pattern may hold Python's interpreter for
hours, and then no heartbeat, signal or time limit of this process does anything.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from queue import Empty, SimpleQueue
from typing import Any

from vector.chunking.articles import Article, Heading
from vector.chunking.extraction_child import ERRORS
from vector.chunking.limits import ExtractionLimits, exceeded
from vector.chunking.splitting import SplitterPolicy
from vector.errors import SourceUnreadable, VectorError

# How often the worker is asked whether it must end.
_POLL_SECONDS = 0.1
_START_SECONDS = 120.0
_LONGEST_HEAD = 100_000
# What the process gets of the environment: no key, no password, no warehouse.
_ENVIRONMENT = (
    "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "USERPROFILE",
    "VECTOR_ONNX_HOME",
)  # fmt: skip
# Threads, each with memory of its own, would bring one source no gain.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


class Stopped(Exception):
    """The worker must end, or has lost the job: the process was killed."""


class ExtractionProcess:
    """Reads the texts of sources within limits. For one thread; `should_stop` is asked all the time.

    The process is one that an earlier source has left, or a new one. What exceeds a limit raises ExtractionLimit; what
    the process says of a source is raised as vector.chunking.extraction and splitting do.
    """

    def __init__(self, limits: ExtractionLimits, should_stop: Callable[[], bool] = lambda: False):
        self.limits, self._should_stop = limits, should_stop

    def extract_text(self, payload: str, text_format: str, json_path: str | None, value_format: str) -> str:
        """As vector.chunking.extraction.extract_text."""
        return self.extract(payload, text_format, json_path, value_format).text

    def extract(self, payload: str, text_format: str, json_path: str | None, value_format: str) -> Article:
        """As vector.chunking.extraction.extract, with the first headings of very many. Plain text is not sent
        anywhere."""
        size = len(payload.encode())
        self.limits.check_input(size, "the payload")
        if text_format == "text":
            if size > self.limits.output_bytes:
                raise exceeded("output_mb", self.limits.output_mb, f"its text has {size / 10**6:.1f} MB")
            return Article(payload)
        request = {"task": "extract", "format": text_format, "json_path": json_path, "value_format": value_format}
        head, text = self._asked(request, payload)
        return Article(text.decode(), head["title"], tuple(Heading(**each) for each in head["headings"]))

    def windows(self, policy: SplitterPolicy, text: str) -> Iterator[tuple[str, int, int]]:
        """As the policy's own, as many as its cap and one more."""
        self.limits.check_input(len(text.encode()), "the text")
        request = {"task": "split", "policy": asdict(policy)}
        _, windows = self._asked(request, text)
        for start, end in json.loads(windows):
            yield text[start:end], start, end

    def _asked(self, request: dict[str, Any], text: str) -> tuple[dict[str, Any], bytes]:
        body = text.encode()
        head = {**request, "limits": asdict(self.limits), "length": len(body)}
        child = _taken()
        try:
            reply, answer = self._watched(child, lambda: child.ask(head, body, self.limits.output_bytes))
        except BaseException:
            child.kill()
            raise
        _leave(child) if not reply.get("spent") else child.kill()
        if "error" in reply:
            raise ERRORS.get(reply["error"], SourceUnreadable)(reply["message"])
        return reply, answer

    def _watched(self, child: _Child, exchange: Callable[[], Any]) -> Any:
        """What the exchange gives, in a thread of its own: this one looks at the time and the worker."""
        done: SimpleQueue[Any] = SimpleQueue()

        def run() -> None:
            try:
                done.put(exchange())
            except BaseException as error:
                done.put(error)

        threading.Thread(target=run, name="extraction", daemon=True).start()
        deadline = time.monotonic() + self.limits.seconds
        while True:
            with suppress(Empty):
                found = done.get(timeout=max(min(_POLL_SECONDS, deadline - time.monotonic()), 0.001))
                if isinstance(found, _Died):
                    raise self._reason(child) from None
                if isinstance(found, BaseException):
                    raise found
                return found
            if time.monotonic() >= deadline:
                raise exceeded("seconds", self.limits.seconds, "it takes longer than one source may")
            if self._should_stop():
                raise Stopped

    def _reason(self, child: _Child) -> VectorError:
        """Why the process has ended. A kill from outside says nothing of the source, which is tried again."""
        code = child.code()
        if code == -9:
            return SourceUnreadable("the process that read it was killed by somebody else, the system say")
        if code == -24:  # SIGXCPU
            return exceeded("seconds", self.limits.seconds, "it takes longer than one source may")
        return exceeded(
            "memory_mb",
            self.limits.memory_mb,
            f"the process that read it ended with {code}, as one without memory does",
        )


class _Died(Exception):
    """The process ended before it had answered."""


class _Child:
    """A process that reads sources."""

    def __init__(self) -> None:
        paths = [path for path in sys.path if path]
        # Isolated (-I), so that neither the folder it starts in nor a variable brings other code.
        code = f"import sys; sys.path[:] = {paths!r}; from vector.chunking.extraction_child import main; main()"
        kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**kept, **_ONE_THREAD},
            # Ctrl-C is the worker's to hear; on Windows all that share its console hear it.
            start_new_session=os.name != "nt",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        timer = threading.Timer(_START_SECONDS, self._process.kill)
        timer.start()
        try:
            self._head()
        except _Died:
            raise SourceUnreadable(f"the process that reads sources does not start: exit code {self.code()}") from None
        finally:
            timer.cancel()

    def ask(self, head: dict[str, Any], body: bytes, most: int) -> tuple[dict[str, Any], bytes]:
        """The reply to a request. Raises _Died when there is none."""
        try:
            self._process.stdin.write(json.dumps(head).encode() + b"\n" + body)
            self._process.stdin.flush()
            reply = self._head()
            length = reply.get("length", 0)
            answer = self._process.stdout.read(length) if 0 <= length <= most else b""
        except (OSError, ValueError):
            raise _Died from None
        if len(answer) != length:
            raise _Died
        return reply, answer

    def _head(self) -> dict[str, Any]:
        line = self._process.stdout.readline(_LONGEST_HEAD)
        if not line.endswith(b"\n"):
            raise _Died
        return json.loads(line)

    def code(self) -> int:
        """The exit code, once it has ended, or has been killed because it does not."""
        try:
            return self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.returncode

    def kill(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError, ValueError):
                pipe.close()

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None


# Processes that wait for the next source: as many as have worked at a time.
_idle: list[_Child] = []
_lock = threading.Lock()


def _taken() -> _Child:
    while True:
        with _lock:
            child = _idle.pop() if _idle else None
        if child is None:
            return _Child()
        if child.is_alive:
            return child
        child.kill()


def _leave(child: _Child) -> None:
    with _lock:
        _idle.append(child)


@atexit.register
def end_all() -> None:
    """Ends the processes that wait."""
    with _lock:
        while _idle:
            _idle.pop().kill()

"""The process that reads one source at a time for a worker, so that it can be killed: see
vector.chunking.extraction_process.

It is started with nothing of the worker's: no connection, no key, no file. A request is a line of JSON and the bytes of
a text; a reply is the same. It ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from vector.chunking.extraction import extract
from vector.chunking.limits import MEGABYTE, ExtractionLimits, exceeded
from vector.chunking.splitting import SplitterPolicy
from vector.errors import ConfigurationError, ExtractionLimit, InvalidRecord, SourceUnreadable

# What is told to the worker by its name; any other error is a source that cannot be read.
ERRORS = {each.__name__: each for each in (ConfigurationError, ExtractionLimit, InvalidRecord, SourceUnreadable)}
# Of the line before a text, in characters: a title, and as many headings as there is room for.
LONGEST_TITLE = 1000
LONGEST_HEADINGS = 60_000
_OUT_OF_MEMORY = "it takes more memory than one source may"


def main() -> None:
    """Answers requests until there are none."""
    requests = sys.stdin.buffer
    # What a library prints must not be taken for a reply.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    size = _address_space()
    _forbid_files()
    _send(replies, {"ready": True})
    while line := requests.readline():
        request = json.loads(line)
        limits = ExtractionLimits(**request["limits"])
        text = requests.read(request["length"])
        _limit(limits, size)
        head, reply = _answered(request, text, limits)
        del text
        # Memory that is not given back would be taken from the next source.
        head["spent"] = size is not None and _address_space() - size > limits.memory_mb * MEGABYTE / 2
        _send(replies, head, reply)


def _answered(request: dict[str, Any], text: bytes, limits: ExtractionLimits) -> tuple[dict[str, Any], bytes]:
    try:
        more, reply = _TASKS[request["task"]](request, text.decode(), limits)
        if len(reply) > limits.output_bytes:
            raise exceeded("output_mb", limits.output_mb, f"its text has {len(reply) / MEGABYTE:.1f} MB")
        return {**more, "length": len(reply)}, reply
    except MemoryError:
        error: Exception = exceeded("memory_mb", limits.memory_mb, _OUT_OF_MEMORY)
    except tuple(ERRORS.values()) as raised:
        error = raised
    except Exception as raised:  # a library may fail as it likes
        error = SourceUnreadable(f"{type(raised).__name__}: {str(raised)[:1000]}")
    return {"error": type(error).__name__, "message": str(error)[:8000]}, b""


def _extract(request: dict[str, Any], text: str, limits: ExtractionLimits) -> tuple[dict[str, Any], bytes]:
    found = extract(text, request["format"], request["json_path"], request["value_format"])
    headings = []
    room = LONGEST_HEADINGS
    for each in found.headings:
        room -= len(json.dumps(asdict(each)))
        if room < 0:
            break
        headings.append(asdict(each))
    return {"title": (found.title or "")[:LONGEST_TITLE] or None, "headings": headings}, found.text.encode()


def _split(request: dict[str, Any], text: str, limits: ExtractionLimits) -> tuple[dict[str, Any], bytes]:
    """Starts and ends of the policy's windows, one more than its cap, so that whoever cuts sees that it caps."""
    policy = SplitterPolicy(**request["policy"])
    windows = islice(policy.windows(text), policy.max_chunks_per_source + 1)
    return {}, json.dumps([(start, end) for _, start, end in windows]).encode()


_TASKS = {"extract": _extract, "split": _split}


def _send(replies: BinaryIO, head: dict[str, Any], body: bytes = b"") -> None:
    replies.write(json.dumps(head).encode() + b"\n" + body)
    replies.flush()


def _address_space() -> int | None:
    """The bytes of addresses that this process has; None where nothing tells."""
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return None


def _forbid_files() -> None:
    with suppress(ImportError, OSError, ValueError):
        import resource

        for each in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
            resource.setrlimit(each, (0, 0))


def _limit(limits: ExtractionLimits, size: int | None) -> None:
    """Limits of the system, where it has them; the time is the worker's to watch, whose death this one must outlive no
    longer than its work may take."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + limits.seconds) + 2)
        if size is not None:
            _lower(resource.RLIMIT_AS, size + int(limits.memory_mb * MEGABYTE))


def _lower(limit: int, value: int) -> None:
    import resource

    _, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))

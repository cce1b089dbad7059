"""The process that runs dbt's commands for a `vector` command, one after the other: see vector.project.dbt.

A request is a line of JSON, the arguments of a command. What dbt says comes back as lines of JSON while it works
({"said": text}), and a last one of how it ended ({"success", "error", "results", "listed"}). The process ends when its
standard input does.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from contextlib import suppress
from typing import Any


def main() -> None:
    """Answers requests until there are none."""
    requests = sys.stdin.buffer
    # What an adapter prints must not be taken for a reply.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def send(value: dict[str, Any]) -> None:
        try:
            replies.write(json.dumps(value).encode() + b"\n")
            replies.flush()
        except OSError:
            os._exit(1)  # nobody waits for dbt any more

    from dbt.cli.main import dbtRunner

    def on_event(event: Any) -> None:
        if event.info.level != "debug":
            send({"said": event.info.msg})

    for request in requests:
        done = dbtRunner(callbacks=[on_event]).invoke(json.loads(request))
        _let_go()
        send(_ending(done))


def _ending(done: Any) -> dict[str, Any]:
    results = getattr(done.result, "results", None) or []
    return {
        "success": done.success,
        "error": str(done.exception) if done.exception is not None else None,
        "results": [
            [each.node.unique_id, str(each.status), each.message, each.execution_time]
            for each in results
            if hasattr(each, "node")
        ],
        "listed": done.result if isinstance(done.result, list) else [],
    }


def _let_go() -> None:
    """dbt-duckdb keeps the file open until its process ends, and nobody else could open it."""
    with suppress(ImportError):
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager

        manager: Any = DuckDBConnectionManager
        manager.close_all_connections()
        gc.collect()


if __name__ == "__main__":
    main()

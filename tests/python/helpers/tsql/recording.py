"""dbt against the recording driver: what it sent, by node."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

from tsql.project import run_dbt
from tsql.server import CannedServer

_COMMENT = re.compile(r"/\* (\{.*?\}) \*/\s*", re.DOTALL)
_EXEC = re.compile(r"\bexec\('((?:[^']|'')*)'\)", re.IGNORECASE)
_VIEW = re.compile(r"\s*create (?:or alter )?view\s+\S+\s+as\b", re.IGNORECASE)


@dataclass
class Recording:
    """The statements of one run of dbt, in the order of each session, by the name of their node."""

    done: CompletedProcess
    statements: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    parameters: dict[str, list[list]] = field(default_factory=lambda: defaultdict(list))

    @property
    def output(self) -> str:
        return self.done.stdout + self.done.stderr

    @property
    def every_statement(self) -> list[str]:
        return [sql for found in self.statements.values() for sql in found]

    def ours(self, node: str) -> list[str]:
        """A ledger's statements without those that are dbt-sqlserver's own."""
        return [sql for sql in self.statements[node] if "__dbt_sbq" not in sql and not _is_transaction(sql)]

    def views(self) -> Iterator[tuple[str, str]]:
        """The node and the query of every view that was made, a test's and a unit test's included."""
        for node, found in self.statements.items():
            for sql in found:
                for text in _EXEC.findall(sql):
                    view = text.replace("''", "'")
                    if match := _VIEW.match(view):
                        yield node, view[match.end() :].strip().removesuffix(";")


def record(folder: Path, server: CannedServer, *arguments: str) -> Recording:
    """Runs dbt against the canned server."""
    answers, log = folder / "answers.json", folder / "recording.jsonl"
    log.unlink(missing_ok=True)
    log.touch()
    server.write(answers)
    done = run_dbt(
        *arguments,
        folder=folder,
        PYTHONPATH=os.pathsep.join(map(str, [Path(__file__).parent / "driver", Path(__file__).parents[1]])),
        TSQL_ANSWERS=str(answers),
        TSQL_RECORDING=str(log),
    )
    recording = Recording(done)
    current: dict[int, str] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        call = json.loads(line)
        if call["call"] != "execute":
            continue
        sql = call["sql"]
        session = call["session"]
        if match := _COMMENT.match(sql):
            current[session] = json.loads(match.group(1)).get("node_id", "").split(".")[-1]
            sql = sql[match.end() :]
        # What is sent without dbt's comment belongs to what the session does: a seed's rows, a transaction's end.
        node = current.get(session, "")
        recording.statements[node].append(sql.strip())
        recording.parameters[node].append(call["parameters"])
    return recording


def _is_transaction(sql: str) -> bool:
    return sql == "BEGIN TRANSACTION" or sql.startswith(("IF @@TRANCOUNT", "SET XACT_ABORT"))

"""A warehouse as the last release left it: what its `dbt build` and its commands made, kept in tests/upgrade.

Frozen: a release adds a folder of its own, and changes none that is there.
"""

import json
from pathlib import Path

import duckdb
from support import PROJECT_DIR, ScratchProject, read_csv

FOLDER = PROJECT_DIR / "tests" / "upgrade" / "v0.1.0"


def ledgers() -> dict[str, dict]:
    """{ledger: its CREATE TABLE, the names of its columns, and its rows as texts}, parents first."""
    return json.loads((FOLDER / "ledgers.json").read_text(encoding="utf-8"))


def last_version(folder: Path) -> ScratchProject:
    """Today's project with the seeds and the ledgers of the last release, and nothing else built."""
    project = ScratchProject(folder)
    for path in (FOLDER / "seeds").glob("*.csv"):
        project.write_rows(path.stem, read_csv(path))
    with duckdb.connect(str(project.database_path)) as connection:
        connection.execute("create schema vector")
        for name, ledger in ledgers().items():
            connection.execute(ledger["create"])
            columns = ledger["columns"]
            connection.executemany(
                f"insert into vector.{name} ({', '.join(columns)}) values ({', '.join('?' * len(columns))})",
                ledger["rows"],
            )
    project.keep()
    project._edited.clear()  # the frozen seeds stay
    return project


def rows_of_then(project: ScratchProject, *without: str) -> dict[str, list[tuple]]:
    """What the columns of the last release hold now, as texts, ledger by ledger, but for those named."""
    found = {}
    with project.connect() as connection:
        for name, ledger in ledgers().items():
            if name not in without:
                columns = ", ".join(f"cast({column} as varchar)" for column in ledger["columns"])
                found[name] = sorted(connection.execute(f"select {columns} from {name}").fetchall(), key=repr)
    return found

"""`mcp`: the warehouse as a server of tools for agents."""

from __future__ import annotations

import argparse
from typing import Any

from vector.commands.shared import add_command
from vector.integrations.mcp_server import mcp_server
from vector.warehouse import open_warehouse

HELP = """examples:
  %(prog)s                          for an agent's configuration, which starts it
  %(prog)s --space bge-small --project-dir /srv/warehouse

A server of the Model Context Protocol on stdin and stdout. Its tools are search, evidence, get_source and
list_source_types; none changes anything, and searches are logged as those of `vector search`. It ends when its client
closes stdin. Needs `pip install "vector-runtime[mcp]"`. docs/doors.md has the configuration."""


def add_to(commands: Any) -> None:
    """Declares `mcp`."""
    mcp = add_command(commands, "mcp", _mcp, "serve search to agents, by MCP", HELP)
    mcp.add_argument("--space", metavar="KEY", help="the space to search; by default the live one")
    mcp.add_argument("--redact", action="store_true", help="record hashes of the questions in place of them")


def _mcp(arguments: argparse.Namespace) -> int:
    with open_warehouse(arguments.target, arguments.project_dir, arguments.profiles_dir) as warehouse:
        server = mcp_server(warehouse, arguments.space, arguments.redact)
        # What is wrong with the project is said before a client waits for an answer.
        warehouse.reader.require_built("embedding_current")
        warehouse.release()
        server.run()
    return 0

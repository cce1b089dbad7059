"""The examples of docs/doors.md run as they stand, on the demo."""

import contextlib
import io
import json
import re
import shlex
import sys
from pathlib import Path

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from support import PROJECT_DIR, clean_environment

PAGE = (PROJECT_DIR / "docs" / "doors.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def example(section, language):
    """The one example of a section."""
    ((kind, code),) = re.findall(r"```(\w+)\n(.*?)```", SECTIONS[section], re.DOTALL)
    assert kind == language
    return code


@pytest.mark.parametrize("section", ["Python", "SQL", "LangChain"])
def test_what_is_python_runs_in_the_projects_folder_and_is_logged(section, project, monkeypatch):
    monkeypatch.chdir(project.folder)
    before = project.query("select count(*) from retrieval")
    names, printed = {}, io.StringIO()
    with clean_environment(), contextlib.redirect_stdout(printed):
        exec(compile(example(section, "python"), f"docs/doors.md, {section}", "exec"), names)
        opened = names.get("warehouse") or getattr(names.get("retriever"), "warehouse", None)
        if opened:
            opened.close()
        if "connection" in names:
            names["connection"].close()
        names.clear()
    assert "entity:" in printed.getvalue()
    project.vector("coverage")  # a command that opens the database takes in what was logged beside it
    assert project.query("select count(*) from retrieval") > before


def test_the_command_prints_a_line_a_hit(project):
    program, *words = shlex.split(example("Command line", "sh"))
    assert program == "vector"
    assert len([json.loads(line) for line in project.vector(*words).stdout.splitlines()]) == 5


def test_the_configuration_starts_a_server_with_the_tools_of_the_table(project):
    (server,) = json.loads(example("Agents", "json"))["mcpServers"].values()
    assert server["command"] == "vector"
    arguments = [str(project.folder) if word.startswith("/path/") else word for word in server["args"]]
    command = str(Path(sys.executable).with_name("vector"))
    started = StdioServerParameters(command=command, args=arguments, cwd=project.folder)

    async def tools():
        async with Client(started) as client:
            return {tool.name for tool in (await client.list_tools()).tools}

    assert anyio.run(tools) == set(re.findall(r"^\| `(\w+)` \|", SECTIONS["Agents"], re.MULTILINE))


def test_the_columns_of_sql_are_those_that_are_named():
    from vector.search.search import SearchResult

    listed = re.search(r"`to_arrow\(\)`: ([\w, \n]+)\.", SECTIONS["SQL"]).group(1)
    assert [name.strip() for name in listed.replace("\n", " ").split(",")] == list(SearchResult.COLUMNS)

"""Commands that README, --help and the docs tell people to run do run."""

import argparse
import re
import shlex
import tomllib

import pytest
from evaluation import ask_few
from support import PROJECT_DIR

from vector import cli

README = (PROJECT_DIR / "README.md").read_text(encoding="utf-8")
# A line of a crontab: five fields of time, then the command.
CRON = re.compile(r"^ {4}((?:[\d*/,-]+ +){5})(\S.*)$", re.MULTILINE)
# What the demo alone cannot give: a server, an evaluation that passes the gate, a space that was live before.
NEEDS_MORE = {"discover": 3, "publish": 4, "rollback": 4, "erase": 1}


def readme_commands():
    """The `vector` commands of README's table of everyday commands."""
    table = README.split("## Everyday commands")[1].split("\n## ")[0]
    return re.findall(r"^\| `(vector [^`]+)` \|", table, re.MULTILINE)


@pytest.mark.long
def test_the_everyday_commands_run_on_the_demo(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the report goes
    project.environment = {"OLLAMA_BASE_URL": "http://127.0.0.1:9", "VECTOR_HTTP_TRIES": "1"}
    with project.connect() as connection:
        ask_few(connection)
    commands = readme_commands()
    assert len(commands) > 20
    for command in commands:
        words = shlex.split(command)[1:]
        done = project.vector(*(word.replace("bge-small", "hash") for word in words))
        allowed = {0, *(code for name, code in NEEDS_MORE.items() if name in words)}
        assert done.exit_code in allowed, (command, done)


def parsers(parser):
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from parsers(each)


def examples():
    """(prog, arguments) of every example in a --help."""
    for parser in parsers(cli._parser("vector")):
        for line in parser.format_help().split("examples:")[1:]:
            for example in re.findall(rf"^ {{2}}(?:\w+ \| )?{parser.prog}( .*)?$", line.split("\n\n")[0], re.MULTILINE):
                # What a line says of itself stands behind it, in a column of its own.
                yield parser.prog, re.split(r" {3,}", example)[0].strip()


@pytest.mark.parametrize(("prog", "arguments"), sorted(set(examples())))
def test_the_examples_of_help_are_right(prog, arguments):
    words = [*prog.split()[1:], *shlex.split(arguments)]
    assert cli._parser("vector").parse_args(words).run


def test_the_examples_of_embed_run_on_the_demo(project):
    shown = [arguments for prog, arguments in examples() if prog == "vector embed" and "sqlserver" not in arguments]
    assert len(shown) >= 6
    for arguments in shown:
        done = project.vector("embed", *shlex.split(arguments.replace("bge-small", "hash")))
        assert (done.exit_code, "error" in done.stderr) == (0, False), (arguments, done)


# Schedules


def cron_lines():
    for path in sorted(PROJECT_DIR.glob("docs/*.md")):
        for _, command in CRON.findall(path.read_text(encoding="utf-8")):
            yield path.name, command


def test_schedules_have_no_colours():
    lines = list(cron_lines())
    assert len(lines) >= 4
    text = "\n".join(path.read_text(encoding="utf-8") for path in PROJECT_DIR.glob("docs/*.md"))
    units = [("unit", line) for line in text.splitlines() if "ExecStart=" in line]
    for name, line in lines + units:
        assert re.search(r"\bdbt (?!--no-use-colors)[a-z-]", line) is None, (name, line)
        assert "%" not in line or name == "unit", "cron takes it for the end of a line"


def test_alarms_of_the_docs_are_the_variables_of_the_project():
    page = (PROJECT_DIR / "docs" / "operations.md").read_text(encoding="utf-8")
    project = (PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(alarm_\w+): [\d.]+` \|", page, re.MULTILINE)
    assert sorted(named) == sorted(re.findall(r"^  (alarm_\w+): null$", project, re.MULTILINE))


# Links


def anchors(text):
    """The anchors of a page, as GitHub makes them of its headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links():
    """(page, target, anchor) of every link between pages, and of those that the report makes."""
    pages = [*PROJECT_DIR.glob("*.md"), *PROJECT_DIR.glob("docs/**/*.md"), *PROJECT_DIR.glob("benchmarks/*.md")]
    for page in pages:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")):
            yield page.name, (page.parent / target).resolve() if target else page, anchor
    for template in PROJECT_DIR.glob("scripts/vector/report/templates/*.j2"):
        for target, anchor in re.findall(r'docs\("([^"#]+)(?:#([^"]*))?"', template.read_text(encoding="utf-8")):
            yield template.name, PROJECT_DIR / "docs" / target, anchor


def test_links_lead_somewhere():
    found = list(links())
    assert len(found) > 40
    dead = [each for each in found if not each[1].exists()]
    dead += [each for each in found if each[2] and each[2] not in anchors(each[1].read_text(encoding="utf-8"))]
    assert dead == []


def test_pages_that_code_names_exist():
    named = {
        name
        for folder in ("scripts", "models", "macros", "benchmarks")
        for path in PROJECT_DIR.glob(f"{folder}/**/*")
        if path.suffix in (".py", ".sql", ".yml", ".md", ".j2")
        for name in re.findall(r"(?<!Ollama's )\bdocs/[\w/-]+\.md", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 4
    assert {name for name in named if not (PROJECT_DIR / name).exists()} == set()


def file_of(path):
    """The file of a path as the maintainers' pages give it: below scripts/vector where it is of Python."""
    found = [where for where in (PROJECT_DIR / path, PROJECT_DIR / "scripts/vector" / path) if where.is_file()]
    return found[0] if found else None


def test_the_map_of_the_code_is_right():
    text = (PROJECT_DIR / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*\?) \| (.*) \|$", text, re.MULTILINE)
    assert len(rows) == 13
    for question, answer in rows:
        files = re.findall(r"`([\w/]+\.(?:py|sql))`(?: \(([^)]*)\))?", answer)
        assert 1 <= len(files) <= 2, question
        for path, names in files:
            assert file_of(path), (question, path)
            content = file_of(path).read_text(encoding="utf-8")
            for name in re.findall(r"`([\w.]+)`", names):
                assert re.search(rf"\b{name.rpartition('.')[2]}\b", content), (question, path, name)


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_maintainers_are_sent_to_exist(page):
    text = (PROJECT_DIR / page).read_text(encoding="utf-8")
    paths = set(re.findall(r"`((?!tsql/)[\w/]+/[\w]+\.(?:py|sql|yml|csv|md))`", text))
    assert len(paths) > 10
    assert {path for path in paths if file_of(path) is None} == set()
    tests = set(re.findall(r"`(test_\w+\.py|misbehaving_server\.py)`", text))
    assert {name for name in tests if not list(PROJECT_DIR.glob(f"tests/python/**/{name}"))} == set()


def test_the_drawing_of_the_wings_has_the_layers_that_are_tested():
    tools = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    (layers,) = (each["layers"] for each in tools["importlinter"]["contracts"] if each["type"] == "layers")
    text = (PROJECT_DIR / "docs/architecture.md").read_text(encoding="utf-8")
    drawn = [line for line in text.splitlines() if re.match(r" {12}", line) and "─" not in line]
    assert len(drawn) == len(layers)
    for line, layer in zip(drawn, layers, strict=True):
        for name in re.findall(r"vector\.(\w+)", layer):
            assert re.search(rf"\b{name}\b", line), (name, line)

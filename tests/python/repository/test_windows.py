"""What would fail on Windows, found by reading the code: an encoding that is the machine's, a module or a signal that
is not there, a file that is moved without patience."""

import ast
import importlib.util
import re
import shlex
import signal
import subprocess
import sys

import pytest
from support import PROJECT_DIR

from vector import cli, wording

# Modules, and names of `signal`, that Python has elsewhere only.
POSIX_MODULES = {"crypt", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
WINDOWS_SIGNALS = {"SIGABRT", "SIGBREAK", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM", "SIG_DFL", "SIG_IGN"}
TEXT_MODES = set("rwaxt+")


def sources(*folders):
    for folder in folders:
        for path in sorted((PROJECT_DIR / folder).rglob("*.py")):
            yield path.relative_to(PROJECT_DIR).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def calls(tree):
    """(name, keywords, call) of every call of a function or method."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, {keyword.arg for keyword in node.keywords}, node


def where(path, node):
    return f"{path}:{node.lineno}: {ast.unparse(node)[:100]}"


def is_text_mode(call):
    """Whether a call of `open` or its like names a mode of text, or none, which is one."""
    owner = getattr(call.func, "value", None)
    if isinstance(owner, ast.Name) and owner.id not in ("Path", "file", "path", "tempfile", "io"):
        return False  # os.open, and what other classes call so
    given = [*call.args[:2], *(each.value for each in call.keywords if each.arg == "mode")]
    modes = [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return not any("b" in mode and set(mode) <= TEXT_MODES | {"b"} for mode in modes)


def without_encoding(tree):
    for name, keywords, call in calls(tree):
        if "encoding" in keywords:
            continue
        if (
            (name == "read_text" and not call.args)
            or (name == "write_text" and len(call.args) < 2)
            or (name in ("open", "fdopen") and is_text_mode(call))
            or (name == "NamedTemporaryFile" and call.args and is_text_mode(call))
            or keywords & {"text", "universal_newlines"}
        ):
            yield call


def test_text_is_read_and_written_as_utf_8():
    found = [where(path, call) for path, tree in sources("scripts") for call in without_encoding(tree)]
    assert found == []


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("open('a')", 1), ("open('a', 'w')", 1), ("open('a', 'rb')", 0), ("open(os.open(b, n), 'wb')", 0),
        ("path.open('w')", 1), ("path.open('rb')", 0), ("path.open()", 1), ("os.open('a', n)", 0),
        ("path.read_text()", 1), ("path.read_text('utf-8')", 0), ("path.write_text('x')", 1),
        ("path.write_text('x', encoding='utf-8')", 0), ("subprocess.run(c, text=True)", 1),
        ("subprocess.run(c, text=True, encoding='utf-8')", 0), ("NamedTemporaryFile('w')", 1),
        ("NamedTemporaryFile(delete=False)", 0),
    ],
)  # fmt: skip
def test_the_reader_finds_a_missing_encoding(code, missing):
    assert len(list(without_encoding(ast.parse(code)))) == missing


def test_processes_that_write_text_to_us_are_told_to_write_utf_8():
    found = [
        (where(path, call), "env" in keywords)
        for path, tree in sources("scripts")
        for name, keywords, call in calls(tree)
        if name in ("Popen", "run", "check_output") and ast.unparse(call.func).startswith("subprocess.")
    ]
    assert found
    assert [place for place, told in found if not told] == []
    code = "import sys; print('日本 🚀')"
    environment = {"PYTHONIOENCODING": "cp1252", **wording.UTF_8}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert done.stdout.decode("utf-8").strip() == "日本 🚀"


def test_files_are_moved_with_patience():
    """By vector.files alone, which tries again where a reader holds one."""
    found = [
        where(path, call)
        for path, tree in sources("scripts")
        if path != "scripts/vector/files.py"
        for name, _, call in calls(tree)
        if (name in ("replace", "rename", "renames") and ast.unparse(call.func).startswith("os."))
        or (name == "move" and ast.unparse(call.func) == "shutil.move")
        or (name == "rename" and len(call.args) == 1 and not call.keywords)
    ]
    assert found == []


def at_import(tree):
    """The nodes that run when a module is imported: all but the bodies of functions."""
    waiting = list(ast.iter_child_nodes(tree))
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) == "sys.platform == 'win32'":
            waiting += node.body  # what else is for other systems
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        elif not isinstance(node, ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def only_elsewhere(tree):
    for node in at_import(tree):
        if isinstance(node, ast.Import) and {each.name for each in node.names} & POSIX_MODULES:
            yield node
        elif isinstance(node, ast.ImportFrom):
            names = {each.name for each in node.names if each.name.startswith("SIG")}
            if node.module in POSIX_MODULES or (node.module == "signal" and names - WINDOWS_SIGNALS):
                yield node
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "signal"
            and node.attr.startswith("SIG")
            and node.attr not in WINDOWS_SIGNALS
        ):
            yield node


def test_every_module_can_be_imported_on_windows():
    found = [
        where(path, node) for path, tree in sources("scripts", "tests", "benchmarks") for node in only_elsewhere(tree)
    ]
    assert found == []


def test_the_lists_of_this_test_are_right():
    here = {name for name in POSIX_MODULES - {"crypt"} if importlib.util.find_spec(name)}
    assert sys.platform == "win32" or here == POSIX_MODULES - {"crypt"}
    assert {name for name in WINDOWS_SIGNALS - {"SIGBREAK"} if not hasattr(signal, name)} == set()
    code = "import fcntl\nfrom signal import SIGKILL, SIGTERM\nx = signal.SIGKILL\ndef f():\n    import pty\n"
    assert len(list(only_elsewhere(ast.parse(code)))) == 3


def test_a_command_that_is_shown_can_be_pasted(monkeypatch):
    words = ["dbt", "test", "--project-dir", "C:\\My Projects\\日本", "--vars", '{"a": 1}']
    assert wording.shell_line(words) == "dbt test --project-dir 'C:\\My Projects\\日本' --vars '{\"a\": 1}'"
    monkeypatch.setattr("vector.wording.os.name", "nt")
    shown = wording.shell_line(words)
    monkeypatch.undo()
    assert shown == 'dbt test --project-dir "C:\\My Projects\\日本" --vars "{\\"a\\": 1}"'


def test_what_the_docs_say_for_cmd_has_no_single_quotes_and_no_slashes():
    page = (PROJECT_DIR / "docs/install.md").read_text(encoding="utf-8")
    section = page.split("\n## Windows\n")[1]
    commands = [line.strip() for line in section.splitlines() if line.startswith("    ")]
    commands += re.findall(r"`((?:vector|dbt|set) [^`]+)`", section)
    assert len(commands) > 8
    for command in commands:
        assert "'" not in command, command
        assert not re.search(r"(\.venv|requirements)/", command), command
        assert command.split()[0] in {"py", "copy", "set", "vector", "dbt"} or command.startswith(".venv\\Scripts\\")
    for command in commands:  # the options are those of vector
        words = re.sub(r"^\.venv\\Scripts\\", "", command)
        if words.startswith("vector "):
            cli._parser("vector").parse_args(shlex.split(words)[1:])

"""`init`: brings the runtime into a dbt project, by writing what is missing and nothing else."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from vector import __version__
from vector.commands.doctor import FLAG
from vector.commands.shared import add_command, print_result
from vector.errors import ConfigurationError, UnusableInput
from vector.project.profile import find_project_dir, read_yaml
from vector.project.relations import PACKAGE
from vector.project.variables import load_variables

HELP = """examples:
  %(prog)s --git https://github.com/OWNER/REPOSITORY --from ticket --id ticket_id --text body
  %(prog)s --local ../vector-runtime --from help_desk.tickets --text body --title subject --updated closed_at

Writes packages.yml, dbt_project.yml (a flag, the documents, the schema) and a document model over one of your models or
over a table that a source of yours declares (`source.table`). What is there already stays as it is; run it again to add
another document model. Then: dbt deps, vector refresh, vector search "a question".

With --json, one object with the key written (paths).

exit codes: 0 well; 2 usage, or a file that cannot be extended by itself: it says which lines to add."""

_DOCUMENT = """\
-- Documents of {source}, one row per source, with the columns that the vector runtime reads (docs/schema.md).
select
    concat('{name}:', {id}) as source_id,
    {type} as source_type,
    concat('{{"{column}":', {id_json}, '}}') as source_ref_json,
    {title} as title,
    {body} as content,
    {none} as tags_json,
    {updated} as updated_utc
from {{{{ {relation} }}}}
"""


def add_to(commands: Any) -> None:
    """Declares the command."""
    parser = add_command(commands, "init", _init, "bring the runtime into a dbt project", HELP)
    package = parser.add_mutually_exclusive_group()
    package.add_argument("--git", metavar="URL", help="repository of the dbt package")
    package.add_argument("--local", metavar="DIR", help="folder of the dbt package, in place of a repository")
    parser.add_argument("--from", dest="relation", metavar="MODEL", help="a model of yours, or source.table")
    parser.add_argument("--id", default="id", metavar="COLUMN", help="its key (default id)")
    parser.add_argument("--text", default="content", metavar="COLUMN", help="the text (default content)")
    parser.add_argument("--title", metavar="COLUMN", help="a title; without one, none")
    parser.add_argument("--updated", metavar="COLUMN", help="when the row was last changed; without one, unknown")


def _init(arguments: argparse.Namespace) -> int:
    folder = find_project_dir(arguments.project_dir)
    project = folder / "dbt_project.yml"
    content = read_yaml(project)
    if content.get("name") == PACKAGE:
        raise UnusableInput(f"{folder} is the runtime's own project: go to yours")
    written = [_package(folder, arguments), _flag(project, content), _schema(project, content)]
    if arguments.relation:
        name, path = _document(folder, content, arguments)
        written += [path, _named(folder, content, name)]
    paths = [str(path.relative_to(folder)) for path in dict.fromkeys(filter(None, written))]
    lines = [f"wrote {path}" for path in paths] or ["nothing was missing"]
    if not arguments.relation and not _documents(folder):
        lines.append("no document model yet: name a model or a source's table by --from, see `vector init --help`")
    else:
        lines.append('next: dbt deps, vector refresh, vector search "a question"; `vector doctor` says what is missing')
    print_result(arguments, {"written": paths}, "\n".join(lines))
    return 0


def _package(folder: Path, arguments: argparse.Namespace) -> Path | None:
    files = [folder / name for name in ("packages.yml", "dependencies.yml")]
    path = next((each for each in files if each.is_file()), files[0])
    there = (read_yaml(path).get("packages") or []) if path.is_file() else []
    if any(re.search(r"vector[-_]runtime", str(entry)) for entry in there) or (
        arguments.local and any(entry.get("local") == arguments.local for entry in there if isinstance(entry, dict))
    ):
        return None
    if arguments.local:
        lines = [f"  - local: {arguments.local}"]
    elif arguments.git:
        lines = [f"  - git: {arguments.git}", f"    revision: v{__version__}"]
    else:
        raise UnusableInput("where the dbt package is to come from is not said: give --git URL, or --local DIR")
    _extend(path, "packages", lines)
    return path


def _flag(path: Path, content: Mapping[str, Any]) -> Path | None:
    if (content.get("flags") or {}).get(FLAG) is True:
        return None
    _extend(path, "flags", [f"  {FLAG}: true"])
    return path


def _schema(path: Path, content: Mapping[str, Any]) -> Path | None:
    if PACKAGE in (content.get("models") or {}):
        return None
    _extend(path, "models", [f"  {PACKAGE}:", "    +schema: vector"])
    return path


def _documents(folder: Path) -> list[str]:
    return list(load_variables(folder).get("documents") or [])


def _named(folder: Path, content: Mapping[str, Any], name: str) -> Path | None:
    """Names the document model in the variables of the package."""
    path, named = folder / "dbt_project.yml", _documents(folder)
    if name in named:
        return None
    if PACKAGE in (content.get("vars") or {}):
        by_hand = f"documents: [{', '.join([*named, name])}]"
        raise ConfigurationError(f"{path}: set `{by_hand}` under `vars: {PACKAGE}:` yourself; the model is written")
    _extend(path, "vars", [f"  {PACKAGE}:", f"    documents: [{name}]"])
    return path


def _document(folder: Path, content: Mapping[str, Any], arguments: argparse.Namespace) -> tuple[str, Path | None]:
    """Writes the document model, unless it is there: its name and its path."""
    parts = arguments.relation.split(".")
    for word in (*parts, arguments.id, arguments.text, arguments.title or "x", arguments.updated or "x"):
        if not re.fullmatch(r"\w+", word):
            raise UnusableInput(f"{word!r} is no plain name: write the model yourself, see docs/schema.md")
    if len(parts) > 2:
        raise UnusableInput(f"--from {arguments.relation}: name a model, or source.table")
    name = parts[-1].lower()
    path = folder / str((content.get("model-paths") or ["models"])[0]) / f"vector_{name}.sql"
    if path.exists():
        return path.stem, None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_document_sql(name, parts, arguments), encoding="utf-8")
    return path.stem, path


def _document_sql(name: str, parts: list[str], arguments: argparse.Namespace) -> str:
    def as_text(expression: str) -> str:
        return f'{{{{ vector_runtime.as_text("{expression}") }}}}'

    return _DOCUMENT.format(
        source=arguments.relation,
        name=name,
        column=arguments.id,
        id=as_text(arguments.id),
        id_json=f"{{{{ vector_runtime.json_string(vector_runtime.as_text('{arguments.id}')) }}}}",
        type=as_text(f"'{name}'"),
        title=as_text(arguments.title or "null"),
        body=as_text(arguments.text),
        none=as_text("null"),
        updated=arguments.updated or "{{ vector_runtime.as_timestamp('null') }}",
        relation=f"source('{parts[0]}', '{parts[1]}')" if len(parts) == 2 else f"ref('{parts[0]}')",
    )


def _extend(path: Path, key: str, lines: list[str]) -> None:
    """Puts lines below a key at the top of a YAML file, which is made if need be; comments stay. Raises
    ConfigurationError, with the file as it was, where it would not say then what it did with the lines added."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    heading = re.search(rf"^{key}:[ \t]*(#.*)?$\n?", before, re.MULTILINE)
    if heading:
        head, tail = before[: heading.end()], before[heading.end() :]
        indent = re.match(r"\n*(?:[ ]*#.*\n)*([ ]+|(?=- ))\S", tail)
        lines = [(indent[1] if indent else "  ") + line[2:] for line in lines]
    else:
        head, tail = f"{_whole_lines(before)}\n{key}:\n".lstrip(), ""
    after = _whole_lines(head) + "".join(f"{line}\n" for line in lines) + tail
    found = None
    with suppress(yaml.YAMLError):
        found = yaml.safe_load(after)
    if not _same(found, _with_added(yaml.safe_load(before) or {}, key, yaml.safe_load("\n".join(lines)))):
        told = " ".join(line.strip() for line in lines)
        raise ConfigurationError(f"{path} is written in a way that cannot be extended here: add `{told}` under {key}")
    path.write_text(after, encoding="utf-8")


def _whole_lines(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def _with_added(content: Mapping[str, Any], key: str, added: Any) -> dict[str, Any]:
    there = content.get(key)
    return {**content, key: [*(there or []), *added] if isinstance(added, list) else {**(there or {}), **added}}


def _same(found: Any, expected: Any) -> bool:
    """Equal, but for the order of a list."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(_same(found[key], expected[key]) for key in expected)
    if isinstance(found, list) and isinstance(expected, list):
        return sorted(map(str, found)) == sorted(map(str, expected))
    return bool(found == expected)

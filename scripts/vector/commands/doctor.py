"""`doctor`: whether all that the runtime stands on is there, and what to do where it is not."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from vector import __version__
from vector.commands.shared import add_command, print_result
from vector.contracts.ledgers import LEDGERS
from vector.contracts.models import EmbeddingSpace
from vector.engines import engine_for_target
from vector.errors import VectorError
from vector.project.profile import Target, find_project_dir, load_target, read_yaml
from vector.project.relations import PACKAGE
from vector.project.variables import Variables, load_variables, runtime_package
from vector.project.versions import refuse_other_version
from vector.providers import EmbeddingProvider, open_provider
from vector.providers.unknown_tokens import reading
from vector.store import VectorStore

FLAG = "require_ref_searches_node_package_before_root"
# Prefixes of the environment variables that the commands and dbt read.
_READ = ("VECTOR_", "DBT_", "OLLAMA_", "OPENAI_", "AZURE_OPENAI_")

# Chunks of a source type that are looked at, how well the model must read one, from 0 to 1 (`reading`), and the share
# of those below it that goes without a warning.
SAMPLED, LEAST_READ, MOST_UNREAD = 40, 0.4, 0.2

# The keys of the variable `retention`, and what each is about.
RETENTION = {"retrieval_days": "logged searches", "embedding_days": "vectors that nothing needs"}

HELP = """examples:
  %(prog)s                          after `vector init`, after an upgrade, and when something does not work
  %(prog)s --target prod

One line a finding: ok, what is wrong and what to do, or WARN: what works, and not well. It opens the warehouse and the
model of each active space, which looks at some chunks of each source type, and writes nothing. Variables follow, with
where each comes from, and the names of the environment variables that are set.

With --json, one object with the keys findings (each with subject, ok, warning, detail), variables (name: value,
source), environment (names).

exit codes: 0 all is well, or there are warnings; 2 something is wrong."""


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it works, and in words what was found or is to be done. `warning`: it works, and not
    well."""

    subject: str
    ok: bool
    detail: str
    warning: bool = False

    @property
    def word(self) -> str:
        """How its line begins."""
        return "WARN " if self.warning else "ok   " if self.ok else "WRONG"


def add_to(commands: Any) -> None:
    """Declares the command."""
    add_command(commands, "doctor", _doctor, "check the installation, setting by setting", HELP)


def _doctor(arguments: argparse.Namespace) -> int:
    findings = list(_findings(arguments))
    variables = _settings(arguments)
    value = {
        "findings": [asdict(each) for each in findings],
        "variables": variables,
        "environment": _environment(),
    }
    lines = [f"{each.word}  {each.subject}: {each.detail}" for each in findings]
    lines += ["", *(f"{name}: {each['value']!r} ({each['source']})" for name, each in variables.items())]
    lines += [f"{name} is set in the environment" for name in value["environment"]]
    print_result(arguments, value, "\n".join(lines))
    return 0 if all(each.ok for each in findings) else 2


def _findings(arguments: argparse.Namespace) -> Iterator[Finding]:
    """What is found, from the ground up. What stands on something wrong is not looked at."""
    yield _name_is_ours()
    try:
        folder = find_project_dir(arguments.project_dir)
    except VectorError as error:
        yield Finding("dbt project", False, str(error))
        return
    yield Finding("dbt project", True, str(folder))
    yield _package(folder)
    project = read_yaml(folder / "dbt_project.yml")
    if project.get("name") != PACKAGE:
        yield _flag(project)
    variables = load_variables(folder)
    yield _documents(variables, with_demo=project.get("name") == PACKAGE)
    yield _retention(variables)
    try:
        target = load_target(folder, arguments.profiles_dir, arguments.target)
    except VectorError as error:
        yield Finding("profile", False, str(error))
        return
    yield Finding("profile", True, f"target {target.name} ({target.type})")
    yield from _warehouse(target)


def _name_is_ours() -> Finding:
    try:
        theirs = metadata.version("vector")
    except metadata.PackageNotFoundError:
        return Finding("Python package", True, f"vector-runtime {__version__}")
    return Finding(
        "Python package",
        False,
        f"the package `vector` {theirs} of scikit-hep is installed too, under the same import name: use an environment"
        " without it (docs/install.md)",
    )


def _package(folder: Path) -> Finding:
    if runtime_package(folder) is None:
        return Finding("dbt package", False, f"{PACKAGE} is not installed in {folder}: `vector init`, then `dbt deps`")
    try:
        refuse_other_version(folder)
    except VectorError as error:
        return Finding("dbt package", False, str(error))
    return Finding("dbt package", True, f"{PACKAGE} {__version__}")


def _flag(project: Mapping[str, Any]) -> Finding:
    flags = project.get("flags") or {}
    if isinstance(flags, dict) and flags.get(FLAG) is True:
        return Finding("flags", True, f"{FLAG} is true")
    return Finding(
        "flags",
        False,
        f"set `{FLAG}: true` under flags of dbt_project.yml: else a model of yours called run, job or document takes"
        " the place of ours",
    )


def _documents(variables: Variables, with_demo: bool) -> Finding:
    """`with_demo`: what the variable `demo` is where it is not set."""
    named = [str(name) for name in variables.get("documents") or []]
    if variables.get("demo", with_demo) or variables.get("analytics_schema"):
        named.append("those of the demo")
    if named:
        return Finding("documents", True, ", ".join(named))
    return Finding("documents", False, "no model is named in `vars: vector_runtime: documents`: `vector init`")


def _retention(variables: Variables) -> Finding:
    """How long what is old is kept, as the macro retention_days takes it."""
    given = variables.get("retention") or {}
    if not isinstance(given, dict):
        return Finding("retention", False, f"is {given!r}; give keys and values, as {{retrieval_days: 90}}")
    for key, days in given.items():
        if key not in RETENTION:
            return Finding("retention", False, f"has the unknown key {key}; known are {', '.join(RETENTION)}")
        if days is not None and not (type(days) is int and 1 <= days <= 36500):
            return Finding("retention", False, f"{key} is {days!r}; give a whole number from 1 to 36500, or null")
    days = {what: given.get(key) for key, what in RETENTION.items()}
    return Finding(
        "retention", True, ", ".join(f"{what} {n} days" if n else f"{what} kept" for what, n in days.items())
    )


def _warehouse(target: Target) -> Iterator[Finding]:
    try:
        store = VectorStore(engine=engine_for_target(target))
    except VectorError as error:
        yield Finding("warehouse", False, str(error))
        return
    with closing(store):
        missing = store.engine.missing_relations([ledger.table for ledger in LEDGERS])
        if missing:
            yield Finding("schema", False, f"{', '.join(missing)} of {store.engine.location}: run `dbt build`")
            return
        yield Finding("schema", True, f"all ledgers are in {store.engine.location}")
        spaces = store.list_embedding_spaces()
        if not spaces:
            yield Finding("spaces", False, "no embedding space is active")
        for space in spaces:
            try:
                with closing(open_provider(space)) as provider:
                    digest = provider.current_digest()
                    unread = list(_unread_texts(store, space, provider))
            except VectorError as error:
                yield Finding(f"space {space.space_key}", False, str(error))
            else:
                yield Finding(f"space {space.space_key}", True, f"{space.model_name}, {digest or 'without a digest'}")
                yield from unread


def _unread_texts(store: VectorStore, space: EmbeddingSpace, provider: EmbeddingProvider) -> Iterator[Finding]:
    """A warning for each source type of whose texts the model's tokenizer hardly knows the words."""
    if provider.fertility("") is None:
        return
    chunk = store.engine.table("chunk")
    rows = store.engine.query(
        f"select chunk.source_type, chunk.content from {chunk} as chunk inner join"
        " (select chunk_id, row_number() over (partition by source_type order by chunk_id) as place"
        f" from {chunk} where retired_utc is null) as sampled on sampled.chunk_id = chunk.chunk_id"
        f" where sampled.place <= {SAMPLED} order by chunk.source_type",
        [],
    )
    for source_type, of_type in groupby(rows, key=itemgetter(0)):
        read = [reading(provider.fertility(text) or 0.0) for _, text in of_type]
        unread = sum(each < LEAST_READ for each in read)
        if unread > MOST_UNREAD * len(read):
            yield Finding(
                f"space {space.space_key}",
                True,
                f"its model hardly knows the words of {unread} of {len(read)} chunks of source type {source_type}: it"
                " spells them out, or has no tokens for them, so their vectors say little. Words carry a hybrid search"
                " of them; for vectors, add a space with a model of their languages (docs/search.md)",
                warning=True,
            )


def _settings(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The variables of the runtime, with where each comes from."""
    try:
        folder = find_project_dir(arguments.project_dir)
        variables = load_variables(folder)
        package = runtime_package(folder)
        known = (package[1].get("vars") or {}) if package else variables.values
    except VectorError:
        return {}
    return {
        name: {
            "value": variables.get(name),
            "source": "dbt_project.yml" if name in variables.own else "default",
        }
        for name in sorted(known)
        if name == "retention" or not isinstance(known[name], dict)  # others are the variables of a package
    }


def _environment() -> list[str]:
    return sorted(name for name in os.environ if name.startswith(_READ) and os.environ[name])

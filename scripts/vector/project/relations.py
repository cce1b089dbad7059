"""Where dbt built the relations of the runtime, wherever `schema`, `alias` or `generate_schema_name` put them.

dbt writes it to `target/manifest.json`, which is of the target that dbt was last run for. What is needed of it is kept
beside it in `vector_relations.json`, a few kilobytes for each target, which is read instead as long as the manifest is
the same. It can be copied to a host without the manifest, and tells of one target when the manifest is of another.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from vector.errors import ConfigurationError
from vector.files import replace_file
from vector.project.profile import Target, environment_option, read_yaml, rendered

PACKAGE = "vector_runtime"
FILE = "vector_relations.json"


@dataclass(frozen=True)
class Relation:
    """The parts of a relation's name, unquoted. No database: the target's own."""

    database: str | None
    schema: str
    identifier: str


@dataclass(frozen=True)
class Relations:
    """The relations by the names of their models. One that is not among `named` is beside the ledger `embedding`, under
    its own name; so are all where nothing is known of them, in `schema` (dbt's default). `known`: dbt said where."""

    schema: str
    named: Mapping[str, Relation] = field(default_factory=dict)
    known: bool = False

    def of(self, name: str) -> Relation:
        """The relation of a model, seed or native table."""
        return self.named.get(name) or Relation(self.home.database, self.home.schema, name)

    @property
    def home(self) -> Relation:
        """The ledger `embedding`: what is beside it is the runtime's."""
        return self.named.get("embedding") or Relation(None, self.schema, "embedding")

    @property
    def schemas(self) -> set[str]:
        """All schemas that hold a relation."""
        return {self.home.schema, *(each.schema for each in self.named.values())}


def find_relations(target: Target) -> Relations:
    """Where dbt built the relations of a target: what it said last, else where it puts them by default.

    Raises ConfigurationError when the manifest is of another target only and the project puts relations elsewhere than
    dbt does by default, so that nobody can say where those of this target are.
    """
    folder = target_folder(target.project_dir)
    kept = _Kept.read(folder)
    manifest = folder / "manifest.json"
    stamp = _stamp(manifest)
    problem = None
    if stamp is not None and kept.manifest != stamp:
        built, problem = _read_manifest(manifest)
        if built:
            kept = kept.with_built(built, stamp)
            kept.write(folder)
    for built in kept.targets:
        if built["profile"] == target.profile and built["target"] == target.name and built["schema"] == target.schema:
            named = {
                name: Relation(None if database == built["database"] else database, schema, identifier)
                for name, (database, schema, identifier) in built["relations"].items()
            }
            return Relations(target.schema, named, known=True)
    if problem:
        raise ConfigurationError(f"{manifest} {problem}; run `dbt parse --target {target.name}` to write it anew")
    for built in kept.targets:
        if not _is_plain(built):
            raise ConfigurationError(
                f"{manifest} says where target {built['target']!r} has its relations, not where {target.name!r} has"
                f" them (schema {target.schema}); run `dbt build --target {target.name}`, or `dbt parse` if it is built"
            )
    return Relations(target.schema)


def target_folder(project_dir: Path) -> Path:
    """dbt's target folder: DBT_TARGET_PATH, else `target-path` of the project, else `target`; below the project."""
    path = project_dir / "dbt_project.yml"
    given = environment_option("TARGET_PATH") or rendered(read_yaml(path).get("target-path"), f"target-path in {path}")
    return project_dir / str(given or "target")


@dataclass(frozen=True)
class _Kept:
    """The small file: of which manifest it was read last, and what was read, for each target the latest."""

    manifest: list[int] | None = None
    targets: tuple[dict[str, Any], ...] = ()

    @classmethod
    def read(cls, folder: Path) -> _Kept:
        """What the folder has; empty where it has none that can be read."""
        try:
            content = json.loads((folder / FILE).read_text(encoding="utf-8"))
            kept = cls(content["manifest"], tuple(content["targets"]))
            # What somebody has edited badly is as good as absent.
            for each in kept.targets:
                [each[key] for key in ("profile", "target", "database", "schema")]
                [(database, schema, name) for database, schema, name in each["relations"].values()]
            return kept
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def with_built(self, built: dict[str, Any], stamp: list[int]) -> _Kept:
        """The same with this target's relations in place of its earlier ones."""
        others = [each for each in self.targets if _identity(each) != _identity(built)]
        return _Kept(stamp, (built, *others))

    def write(self, folder: Path) -> None:
        """Puts it into the folder, whole or not at all."""
        # A folder that cannot be written to costs the time to read the manifest again, no more.
        with suppress(OSError):
            text = json.dumps({"manifest": self.manifest, "targets": self.targets}, indent=1, ensure_ascii=False)
            with NamedTemporaryFile("w", encoding="utf-8", dir=folder, prefix=FILE, delete=False) as file:
                file.write(text)
            try:
                os.chmod(file.name, 0o644)
                replace_file(file.name, folder / FILE)
            except OSError:
                os.unlink(file.name)
                raise


def _identity(built: dict[str, Any]) -> tuple[str, str, str]:
    return built["profile"], built["target"], built["schema"]


def _stamp(path: Path) -> list[int] | None:
    with suppress(OSError):
        found = path.stat()
        return [found.st_mtime_ns, found.st_size]
    return None


def _read_manifest(path: Path) -> tuple[dict[str, Any] | None, str | None]:
    """What the manifest says of this runtime's relations, if anything; else, what is wrong with it."""
    try:
        manifest = json.loads(path.read_bytes())
        nodes = {
            node["name"]: node
            for node in manifest["nodes"].values()
            if node["package_name"] == PACKAGE
            and node["resource_type"] in ("model", "seed")
            and "demo" not in node["fqn"][1:2]  # dbt's alone
        }
        if "embedding" not in nodes:
            return None, None
        # dbt_project.yml has dbt write there which target it is run for; the manifest itself does not say.
        built_for = nodes["embedding"]["config"].get("meta", {}).get("built_for", {})
        own = {key: str(built_for.get(key, "")) for key in ("profile", "target", "database", "schema")}
        places = {name: [node["database"], node["schema"], node["alias"]] for name, node in nodes.items()}
        return {**own, "relations": places}, None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, "is not whole, or no manifest of dbt"
    except OSError as error:
        return None, f"cannot be read: {error.strerror}"


def _is_plain(built: dict[str, Any]) -> bool:
    """Whether all is in the target's own schema under its own name, as dbt does by default."""
    default = [built["database"], built["schema"]]
    return all([*default, name] == place for name, place in built["relations"].items())

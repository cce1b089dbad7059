"""The seed of embedding spaces, read to propose rows for it; it is never written."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from vector.errors import ConfigurationError
from vector.project.variables import load_variables, runtime_package
from vector.providers.base import DiscoveredModel

_DEFAULT = "embedding_space_seed"


@dataclass
class SpaceSeed:
    """The file, its columns in order, and its rows. Proposed keys are taken from then on."""

    path: Path
    columns: list[str]
    rows: list[dict[str, str]]

    @classmethod
    def read(cls, project_dir: Path) -> SpaceSeed:
        """The seed of a dbt project: the one that the variable `embedding_spaces` names, else this runtime's own,
        which may be that of the installed package. Raises ConfigurationError when there is none."""
        name = load_variables(project_dir).get("embedding_spaces") or _DEFAULT
        package = runtime_package(project_dir)
        folders = (project_dir, package[0] if package else project_dir)
        found = (path for folder in folders for path in sorted(folder.glob(f"seeds/**/{name.split('.')[-1]}.csv")))
        path = next(found, None)
        if path is None:
            raise ConfigurationError(f"no {name}.csv under {project_dir / 'seeds'}: is it a project with this runtime?")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
        return cls(path, list(reader.fieldnames or ()), rows)

    def key_of(self, model: DiscoveredModel) -> str | None:
        """The key of the first row that has this model already: of the same name, tag and dimensions, and of no other
        digest."""
        wanted = (model.provider, _full_name(model.model_name, model.model_tag), str(model.dimensions))
        for row in self.rows:
            name = _full_name(row.get("model_name") or "", row.get("model_tag"))
            if (row.get("provider"), name, row.get("dimensions")) != wanted:
                continue
            if not row.get("model_digest") or row["model_digest"] == model.model_digest:
                return row.get("space_key")
        return None

    def propose(self, model: DiscoveredModel) -> tuple[str, str]:
        """A new key, and the line for the file, without its end. The model must have its dimensions."""
        key = self._free_key(model)
        # Model servers normalise or are normalised here; they refuse a text that is too long, whatever the policy, and
        # pool by themselves.
        own = model.provider == "onnx"
        row = {
            "space_key": key,
            "provider": model.provider,
            "model_name": model.model_name,
            "model_tag": model.model_tag or "",
            "model_digest": model.model_digest or "",
            "dimensions": str(model.dimensions),
            "normalize_flag": "true",
            "distance_metric": "cosine",
            "document_prefix": model.document_prefix or "",
            "query_prefix": model.query_prefix or "",
            "truncation": "end" if own else "none",
            "max_tokens": str(model.context_length or "") if own else "",
            "pooling": (model.pooling or "") if own else "",
            "description": f"{_full_name(model.model_name, model.model_tag)} on {model.provider}",
            "is_active": "true",
        }
        self.rows.append(row)
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([row.get(column, "") for column in self.columns])
        return key, line.getvalue()

    def _free_key(self, model: DiscoveredModel) -> str:
        """From the model's name without its registry and folder, and its tag, unless that is `latest`."""
        words = model.model_name.rsplit("/", 1)[-1]
        if model.model_tag and model.model_tag != "latest":
            words += f"-{model.model_tag}"
        base = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:90] or "space"
        taken = {row.get("space_key") for row in self.rows}
        return next(key for key in [base, *(f"{base}-{n}" for n in range(2, len(taken) + 3))] if key not in taken)


def _full_name(name: str, tag: str | None) -> str:
    """Name and tag, without the tag that servers assume."""
    return (f"{name}:{tag}" if tag else name).removesuffix(":latest")

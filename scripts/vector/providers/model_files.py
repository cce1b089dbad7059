"""Files of models that run in this process: those that an installed package carries, and those in a user's folder."""

from __future__ import annotations

import hashlib
import os
from importlib import metadata
from pathlib import Path

from vector.errors import ConfigurationError


def file_sha256(path: Path) -> str:
    """Lower-case hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def packaged_file(package: str, file_name: str, sha256: str, install: str) -> Path:
    """The file of that name and hash in an installed distribution, found without importing it. `install` is the
    command that brings it. Raises ConfigurationError when it is missing or is not the pinned one."""
    try:
        files = metadata.distribution(package).files or []
    except metadata.PackageNotFoundError:
        raise ConfigurationError(f"the package {package} with {file_name} is not installed: {install}") from None
    paths = [Path(str(file.locate())) for file in files if file.name == file_name]
    paths = [path for path in paths if path.is_file()]
    if not paths:
        raise ConfigurationError(f"the installed package {package} has no {file_name}: {install}")
    found = [file_sha256(path) for path in paths]
    if sha256 not in found:
        raise ConfigurationError(
            f"{paths[0]} has sha256 {found[0]}, expected {sha256}: "
            f"{install.replace('install', 'install --force-reinstall')}"
        )
    return paths[found.index(sha256)]


def folder_files(provider: str, model_name: str, default: str, weights: tuple[str, ...]) -> tuple[Path, Path]:
    """The weights and the tokenizer.json of the model in a user's folder: an absolute one, or one under the folder
    that the variable VECTOR_<PROVIDER>_HOME names. `weights` are the paths that its weights may have; `default` is the
    one model that is no folder. Raises ConfigurationError when a file is missing."""
    folder, variable = Path(model_name), f"VECTOR_{provider.upper()}_HOME"
    if not folder.is_absolute():
        home = os.environ.get(variable)
        if not home:
            raise ConfigurationError(
                f"{provider} model {model_name!r} is neither {default!r} nor an absolute folder path; "
                f"set {variable} to the folder that holds it"
            )
        folder = Path(home) / folder
    found = next((folder / path for path in weights if (folder / path).is_file()), None)
    if found is None:
        raise ConfigurationError(f"{provider} model {model_name!r}: no {' or '.join(weights)} in {folder}")
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise ConfigurationError(f"{provider} model {model_name!r}: no tokenizer.json in {folder}")
    return found, tokenizer


def one_line(error: Exception) -> str:
    """What a library said of a file or an input, as one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]

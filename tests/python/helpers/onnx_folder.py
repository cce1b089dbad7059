"""Small models as folders of Hugging Face: a graph that looks up a vector a token, written without a library.

The bytes are those of onnx.proto (github.com/onnx/onnx), of which only the few fields that the graph needs are written.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = "[UNK] [CLS] [SEP] the moon has geysers query passage : say".split()
DIMENSIONS = 4
TABLE = np.random.default_rng(7).normal(size=(len(WORDS), DIMENSIONS)).astype(np.float32)
_INT64, _FLOAT = 7, 1


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    value = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _tensor_of(name: str, type_: int, *axes: str | int) -> bytes:
    dims = b"".join(_field(1, _field(1 if isinstance(axis, int) else 2, axis)) for axis in axes)
    return _field(1, name) + _field(2, _field(1, _field(1, type_) + _field(2, dims)))


def _node(operator: str, inputs: list[str], output: str, **integers: int) -> bytes:
    attributes = b"".join(
        _field(5, _field(1, name) + _field(3, value) + _field(20, 2)) for name, value in integers.items()
    )
    return b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, operator) + attributes


def graph(inputs=("input_ids", "attention_mask"), outputs=("last_hidden_state",), table=TABLE) -> bytes:
    """An ONNX model. Of the outputs, `sentence_embedding` is the greatest value of each dimension over the tokens, the
    others are the vectors of the tokens. With an input `position_ids`, positions are added to the ids, so that the
    table needs as many rows more."""
    nodes = []
    ids = "input_ids"
    if "position_ids" in inputs:
        nodes.append(_node("Add", ["input_ids", "position_ids"], "shifted"))
        ids = "shifted"
    for name in outputs:
        if name == "sentence_embedding":
            nodes.append(_node("Gather", ["table", ids], "looked_up", axis=0))
            nodes.append(_node("ReduceMax", ["looked_up", "axis"], name, keepdims=0))
        else:
            nodes.append(_node("Gather", ["table", ids], name, axis=0))
    values = _field(1, table.shape[0]) + _field(1, table.shape[1]) + _field(2, _FLOAT)
    values += _field(8, "table") + _field(9, table.tobytes())
    axis = _field(1, 1) + _field(2, _INT64) + _field(8, "axis") + _field(9, np.array([1], np.int64).tobytes())
    shapes = {"sentence_embedding": ("batch", table.shape[1])}
    content = (
        b"".join(_field(1, node) for node in nodes)
        + _field(2, "small")
        + _field(5, values)
        + (_field(5, axis) if "sentence_embedding" in outputs else b"")
        + b"".join(_field(11, _tensor_of(name, _INT64, "batch", "tokens")) for name in inputs)
        + b"".join(
            _field(12, _tensor_of(name, _FLOAT, *shapes.get(name, ("batch", "tokens", table.shape[1]))))
            for name in outputs
        )
    )
    return _field(1, 8) + _field(7, content) + _field(8, _field(2, 18))


def tokenizer() -> Tokenizer:
    """Words of WORDS between [CLS] and [SEP]."""
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return made


def write_folder(folder: Path, files: Mapping[str, object] = MappingProxyType({}), *weights: str, model=None) -> Path:
    """A model's folder with weights, by default in onnx/model.onnx, and these files besides, each a text or JSON."""
    for name in weights or ("onnx/model.onnx",):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(graph() if model is None else model)
    tokenizer().save(str(folder / "tokenizer.json"))
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def vectors_of(text: str) -> np.ndarray:
    """The vectors of a text's tokens, special ones included."""
    return TABLE[tokenizer().encode(text).ids]

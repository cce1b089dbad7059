"""The static model: vectors against WordLlama's own and by hand, independence of the batch, refusals, and a space."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from evaluation import ask_few
from hypothesis import given, settings
from hypothesis import strategies as st
from support import PROJECT_DIR

from vector.errors import ConfigurationError, InputRefused, SpaceRefused
from vector.evaluation.evaluate import evaluate
from vector.providers import open_provider, token_counter
from vector.providers import static as static_module

pytest.importorskip("tokenizers")
safetensors = pytest.importorskip("safetensors.numpy")

MODEL = static_module.DEFAULT_MODEL
DIGEST = f"sha256:{static_module.MODEL_FILE[2]}"
TEXTS = [
    "The river flooded the valley after days of rain.",
    "Heavy rainfall made the stream burst its banks.",
    "The committee approved the new income tax rules.",
    "Zürich, naïve café: 日本語 ёжик \U0001f6b2",
    "word",
]


def space(model_name=MODEL, dimensions=256, **settings):
    defaults = {"model_tag": None, "model_digest": None, "normalize_flag": True, "preprocess_policy": None}
    return SimpleNamespace(provider="static", model_name=model_name, dimensions=dimensions, **(defaults | settings))


@pytest.fixture(scope="module")
def wordllama():
    provider = open_provider(space(model_digest=DIGEST))
    yield provider
    provider.close()


def write_model(folder, vectors, vocabulary):
    """A model in the layout that a user brings: whole words, those that are not in the vocabulary unknown."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir(exist_ok=True)
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    # Settings that a file may carry, and that must not count.
    tokenizer.enable_padding(length=16)
    tokenizer.enable_truncation(2)
    tokenizer.save(str(folder / "tokenizer.json"))
    safetensors.save_file({"embeddings": np.array(vectors, dtype=np.float32)}, str(folder / "model.safetensors"))
    return folder


@pytest.fixture
def words(tmp_path, monkeypatch):
    """Words with vectors of two dimensions."""
    monkeypatch.setenv("VECTOR_STATIC_HOME", str(tmp_path))
    vocabulary = {"[UNK]": 0, "east": 1, "west": 2, "north": 3, "nowhere": 4}
    return write_model(tmp_path / "words", [[9, 9], [1, 0], [-1, 0], [0, 1], [0, 0]], vocabulary)


# The model of the package


def test_vectors_are_those_of_wordllama(wordllama):
    # In a process of its own: the package sets up logging when it is imported.
    reference = subprocess.run(
        [
            sys.executable,
            "-c",
            "import json, sys\n"
            "from safetensors.numpy import load_file\n"
            "from tokenizers import Tokenizer\n"
            "from wordllama.inference import WordLlamaInference\n"
            "model, tokenizer, *texts = json.load(sys.stdin)\n"
            "theirs = WordLlamaInference(load_file(model)['embedding.weight'], Tokenizer.from_file(tokenizer))\n"
            "print(json.dumps([theirs.embed(text, norm=True)[0].tolist() for text in texts]))\n",
        ],
        input=json.dumps([*map(str, static_module.locate_model(MODEL)[:2]), *TEXTS]),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    ours = wordllama.embed(TEXTS).vectors
    assert np.allclose(ours, json.loads(reference.stdout), atol=1e-5)
    assert np.allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-6)


def test_related_sentences_are_closer_than_unrelated(wordllama):
    river, stream, tax = wordllama.embed(TEXTS[:3]).vectors
    assert river @ stream > river @ tax + 0.2


def test_opening_it_imports_no_wordllama_asks_no_network_and_writes_no_file(tmp_path):
    script = (
        "import socket, sys\n"
        "from types import SimpleNamespace\n"
        "def refuse(*arguments): raise SystemExit('asked the network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from vector.providers import open_provider\n"
        "open_provider(SimpleNamespace(**eval(sys.argv[1]))).embed(['a canal lock'])\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('wordllama', 'huggingface_hub')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, repr(vars(space()))],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(PROJECT_DIR / "scripts")},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    assert list(tmp_path.rglob("*")) == []


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(min_size=1, max_size=80).filter(str.strip), min_size=1, max_size=12), st.randoms())
def test_a_vector_depends_on_its_text_alone(wordllama, texts, random):
    alone = {text: wordllama.embed([text]).vectors[0].tobytes() for text in texts}
    random.shuffle(texts)
    assert [vector.tobytes() for vector in wordllama.embed(texts).vectors] == [alone[text] for text in texts]


def test_a_vector_depends_on_its_text_alone_in_threads_and_large_batches(wordllama):
    texts = [f"Sentence {number} about " + "locks and canals " * (number % 90) for number in range(700)]
    batch = [vector.tobytes() for vector in wordllama.embed(texts).vectors]
    with ThreadPoolExecutor(4) as pool:
        together = [reply.vectors[0].tobytes() for reply in pool.map(lambda text: wordllama.embed([text]), texts)]
    assert batch == together


def test_weights_whose_sum_is_not_exact_depend_on_no_neighbour_either(tmp_path, monkeypatch):
    monkeypatch.setenv("VECTOR_STATIC_HOME", str(tmp_path))
    vocabulary = {"[UNK]": 0, **{f"w{number}": number for number in range(1, 500)}}
    random = np.random.default_rng(7)
    folder = write_model(tmp_path / "random", random.standard_normal((500, 37)), vocabulary)
    texts = [" ".join(f"w{token}" for token in random.integers(1, 500, size)) for size in range(1, 300, 7)]
    for normalize in (True, False):
        provider = open_provider(space(str(folder), 37, normalize_flag=normalize))
        alone = [provider.embed([text]).vectors[0].tobytes() for text in texts]
        assert [vector.tobytes() for vector in provider.embed(texts[::-1]).vectors][::-1] == alone


def test_tokens_are_counted_before_and_after_truncation(wordllama):
    reply = wordllama.embed(["hello world", "hello " * 3000])
    assert reply.input_tokens == reply.used_tokens == [2, 3001]
    short = open_provider(space(preprocess_policy={"max_tokens": 8}))
    reply = short.embed(["hello " * 3000, "hello " * 7 + "hello", "hello world"])
    assert (reply.input_tokens, reply.used_tokens) == ([3001, 8, 2], [8, 8, 2])
    # What is left are the first eight words: the same vector.
    assert reply.vectors[0].tobytes() == reply.vectors[1].tobytes()
    assert token_counter(space(preprocess_policy={"max_tokens": 8}))(["hello world", "hello " * 3000]) == [2, 3001]


def test_what_it_says_of_itself(wordllama):
    described = wordllama.describe().to_dict()
    assert (described["digest"], described["pooling"], described["embedding_length"]) == (DIGEST, "mean", 256)
    assert "context_length" not in described
    assert wordllama.embed([]).vectors.shape == (0, 256)


# A model of one's own


def test_the_mean_by_hand(words):
    raw = open_provider(space(str(words), 2, normalize_flag=False))
    reply = raw.embed(["east north", "east east north nowhere", "lost east"])
    # Unknown words are left out of the mean, and are tokens of the text nevertheless.
    assert reply.vectors.tolist() == [[0.5, 0.5], [0.5, 0.25], [1, 0]]
    assert reply.input_tokens == reply.used_tokens == [2, 4, 2]
    unit = open_provider(space(str(words), 2)).embed(["east east north nowhere"]).vectors[0]
    assert unit.tolist() == pytest.approx([2 / 5**0.5, 1 / 5**0.5])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t\u2003", "empty"),
        ("lost and found", "unknown_tokens"),
        ("\u200b", "unknown_tokens"),
        ("east west", "zero_vector"),
        ("nowhere", "zero_vector"),
        ("a\ud800", "not_unicode"),
    ],
)
def test_a_text_without_a_vector_is_refused(words, text, reason):
    provider = open_provider(space(str(words), 2))
    for texts in ([text], ["north", text, "east"]):
        with pytest.raises(InputRefused) as raised:
            provider.embed(texts)
        assert raised.value.reason == reason


@pytest.mark.parametrize(("text", "reason"), [("", "empty"), ("  ", "empty"), ("<unk>", "unknown_tokens")])
def test_wordllama_refuses_them_too(wordllama, text, reason):
    with pytest.raises(InputRefused) as raised:
        wordllama.embed([text])
    assert raised.value.reason == reason


def test_too_long_is_refused_where_nothing_may_be_cut(words):
    provider = open_provider(space(str(words), 2, preprocess_policy={"max_tokens": 3, "truncation": "none"}))
    assert provider.embed(["east north east"]).used_tokens == [3]
    with pytest.raises(InputRefused, match="4 tokens, the space allows 3") as raised:
        provider.embed(["east east north north"])
    assert raised.value.reason == "too_long"


def test_unknown_tokens_of_a_unigram_model_are_left_out(words):
    from tokenizers import Tokenizer, models

    vocabulary = [("<unk>", -9.0), ("a", -1.0), ("b", -1.0)]
    Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=False)).save(str(words / "tokenizer.json"))
    provider = open_provider(space(str(words), 2, normalize_flag=False))
    assert provider.embed(["a?"]).vectors.tolist() == [[1, 0]]
    with pytest.raises(InputRefused, match="none of the text's"):
        provider.embed(["?"])


# What is not the model


def test_another_digest_or_dimension_is_another_space():
    with pytest.raises(SpaceRefused, match=f"{DIGEST}.*sha256:{'0' * 64}"):
        open_provider(space(model_digest="sha256:" + "0" * 64))
    with pytest.raises(SpaceRefused, match="256 dimensions, the space 384"):
        open_provider(space(dimensions=384))


def test_a_damaged_or_missing_package_says_what_to_install(monkeypatch):
    package, file_name, _ = static_module.MODEL_FILE
    for pinned, message in (
        (
            (package, file_name, "0" * 64),
            r'sha256 64b47a2d.* expected 000.*--force-reinstall "vector-runtime\[static\]"',
        ),
        ((package, "no_such.file", "0" * 64), r'wordllama has no no_such.file: pip install "vector-runtime\[static\]"'),
        (("no-such-package", file_name, "0" * 64), r'not installed: pip install "vector-runtime\[static\]"'),
    ):
        monkeypatch.setattr(static_module, "MODEL_FILE", pinned)
        with pytest.raises(ConfigurationError, match=message):
            open_provider(space())


@pytest.mark.parametrize("missing", ["tokenizers", "safetensors.numpy"])
def test_a_missing_library_says_what_to_install(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError, match=r"needs (tokenizers|safetensors): pip install"):
        open_provider(space())


def test_a_folder_is_found_and_told_apart(words, monkeypatch):
    monkeypatch.delenv("VECTOR_STATIC_HOME")
    with pytest.raises(ConfigurationError, match="'words' is not .* set VECTOR_STATIC_HOME"):
        open_provider(space("words", 2))
    monkeypatch.setenv("VECTOR_STATIC_HOME", str(words.parent))
    digest = open_provider(space("words", 2)).model_digest
    assert digest == f"sha256:{static_module.file_sha256(words / 'model.safetensors')}"
    (words / "tokenizer.json").unlink()
    with pytest.raises(ConfigurationError, match="no tokenizer.json in"):
        open_provider(space("words", 2))
    with pytest.raises(ConfigurationError, match="no model.safetensors in"):
        open_provider(space("other", 2))


def test_files_that_are_not_a_static_model(words):
    weights = words / "model.safetensors"
    for tensors in (
        {"a": np.ones((5, 2), dtype=np.float32), "b": np.ones(5, dtype=np.float32)},
        {"a": np.ones((5, 2), dtype=np.int8)},
        {"a": np.ones(5, dtype=np.float32)},
    ):
        safetensors.save_file(tensors, str(weights))
        with pytest.raises(ConfigurationError, match="reads a single table of floats"):
            open_provider(space(str(words), 2))
    safetensors.save_file({"a": np.ones((4, 2), dtype=np.float32)}, str(weights))
    with pytest.raises(ConfigurationError, match="vectors of 4 tokens, .* a token 4"):
        open_provider(space(str(words), 2))
    for name in ("model.safetensors", "tokenizer.json"):
        (words / name).write_bytes(b"not a model")
        with pytest.raises(ConfigurationError, match=f"cannot be loaded from .*{name}"):
            open_provider(space(str(words), 2))


# A space of the project


SEED_ROW = {
    "space_key": "wordllama", "provider": "static", "model_name": MODEL, "model_digest": DIGEST, "dimensions": "256",
    "normalize_flag": "true", "distance_metric": "cosine", "truncation": "end", "description": "a second space",
    "is_active": "true",
}  # fmt: skip


def documented_row():
    """The row of the README, by column."""
    header = (PROJECT_DIR / "seeds/embedding_space_seed.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    lines = (PROJECT_DIR / "README.md").read_text(encoding="utf-8").splitlines()
    (row,) = [line.strip().split(",") for line in lines if line.strip().startswith("wordllama,static,")]
    return {name: value for name, value in zip(header, row, strict=True) if value}


@pytest.mark.long
def test_the_readme_s_row_is_a_space_that_is_filled_and_finds(project):
    row = documented_row()
    assert row == {**SEED_ROW, "description": row["description"]}
    project.write_rows("embedding_space_seed", [*project.rows("embedding_space_seed"), row])
    project.refresh()
    assert "vectors written" in project.embed("--space", "wordllama")
    assert (
        project.query("select pending_count from space_coverage where space_key = 'wordllama' and pending_count > 0")
        == []
    )
    tests = project.test(
        "--select", "embedding", "embedding_canary", "embedding_current", "--exclude", "few_texts_are_truncated"
    )
    assert tests.success, tests.output
    assert project.vector("search", "--space", "wordllama", "Which moon has geysers?").exit_code == 0

    found = judged_ndcg(project, "wordllama")
    meaningless = judged_ndcg(project, "hash")
    # A hash finds by chance: 0.10 of these. This model has 0.39, the default one 0.51.
    assert meaningless < 0.15
    assert found > 0.33, (found, meaningless)


def judged_ndcg(project, space_key):
    """Mean nDCG@10 by source over the first judged questions of the demo."""
    with project.store() as store:
        ask_few(store.engine)
        return evaluate(store, store.get_embedding_space_by_key(space_key), "demo")["mean"]["nDCG@10"]


def test_its_canaries_tell_it_from_a_changed_tokenizer(project, tmp_path):
    """The digest is of the weights alone; the space is pinned to what comes out."""
    project.environment = {"VECTOR_STATIC_HOME": str(tmp_path)}
    weights, tokenizer, _ = static_module.locate_model(MODEL)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(weights.read_bytes())
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    row = {**SEED_ROW, "model_name": folder.name}
    project.write_rows("embedding_space_seed", [*project.rows("embedding_space_seed"), row])
    project.refresh()
    project.embed("--space", "wordllama", "--limit", "5")
    settings = json.loads(tokenizer.read_text(encoding="utf-8"))
    settings["normalizer"]["normalizers"].append({"type": "Lowercase"})
    settings["normalizer"]["normalizers"].append({"type": "Replace", "pattern": {"String": "e"}, "content": "a"})
    (folder / "tokenizer.json").write_text(json.dumps(settings), encoding="utf-8")
    refused = project.vector("embed", "--space", "wordllama")
    assert refused.exit_code == 4, refused

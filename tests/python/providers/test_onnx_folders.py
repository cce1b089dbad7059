"""Folders of models as Hugging Face has them: which file, how it is pooled, and what a space that is filled keeps."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_folder import DIMENSIONS, TABLE, WORDS, graph, vectors_of, write_folder

from vector.contracts.models import EmbeddingSpace
from vector.errors import ConfigurationError, SpaceRefused
from vector.providers import PreprocessPolicy, discover_models, open_provider
from vector.search.search import embed_question
from vector.spaces.pinning import pin_or_check
from vector.spaces.seed import SpaceSeed

TEXT = "the moon has geysers"
POOLED = {"mean": lambda rows: rows.mean(axis=0), "cls": lambda rows: rows[0], "last": lambda rows: rows[-1]}
CLS = {"1_Pooling/config.json": {"word_embedding_dimension": DIMENSIONS, "pooling_mode_cls_token": True}}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VECTOR_ONNX_HOME", str(tmp_path))
    return tmp_path


def space(name, digest=None, **policy):
    return SimpleNamespace(
        provider="onnx", model_name=name, model_tag=None, model_digest=digest, dimensions=DIMENSIONS,
        normalize_flag=False, preprocess_policy=policy or None,
    )  # fmt: skip


def vector(name, digest=None, text=TEXT, **policy):
    return open_provider(space(name, digest, **policy)).embed([text]).vectors[0]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([*POOLED]), st.lists(st.sampled_from([*WORDS[3:], "unknown"]), min_size=1, max_size=30))
def test_each_pooling_is_what_its_name_says(tmp_path_factory, pooling, words):
    folder = tmp_path_factory.getbasetemp() / "any"
    write_folder(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VECTOR_ONNX_HOME", str(folder.parent))
        found = vector("any", text=" ".join(words), pooling=pooling)
    assert found == pytest.approx(POOLED[pooling](vectors_of(" ".join(words))), abs=1e-6)


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        (None, "mean"),
        ({}, "mean"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True, "include_prompt": True}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": "lasttoken"}, "last"),
    ],
)
def test_a_folder_says_how_it_is_pooled(home, config, pooling):
    files = {} if config is None else {"1_Pooling/config.json": config}
    write_folder(home / "BAAI/some-model", files)
    provider = open_provider(space("BAAI/some-model"))
    assert provider.describe().pooling == pooling
    assert provider.embed([TEXT]).vectors[0] == pytest.approx(POOLED[pooling](vectors_of(TEXT)), abs=1e-6)
    other = "last" if pooling == "mean" else "mean"
    assert vector("BAAI/some-model", pooling=other) == pytest.approx(POOLED[other](vectors_of(TEXT)), abs=1e-6)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"pooling_mode_max_tokens": True}, "says max,"),
        ({"pooling_mode_max_tokens": True, "pooling_mode_cls_token": True}, "says cls and max,"),
        ({"pooling_mode_mean_tokens": True, "include_prompt": False}, "says mean without the prompt,"),
        ({"pooling_mode": "weightedmean"}, "says weightedmean,"),
    ],
)
def test_a_pooling_that_is_not_done_here_is_told(home, config, told):
    write_folder(home / "odd", {"1_Pooling/config.json": config})
    with pytest.raises(ConfigurationError, match=told):
        vector("odd")
    assert vector("odd", pooling="cls") == pytest.approx(vectors_of(TEXT)[0])


def test_a_folder_that_cannot_be_read_is_told(home):
    write_folder(home / "broken", {"1_Pooling/config.json": "{pooling"})
    with pytest.raises(ConfigurationError, match=r"1_Pooling.config\.json cannot be read"):
        vector("broken")
    write_folder(home / "broken", {"1_Pooling/config.json": "[1]"})
    with pytest.raises(ConfigurationError, match=r"1_Pooling.config\.json holds no object"):
        vector("broken")


def test_a_graph_that_pools_by_itself_is_left_alone(home):
    write_folder(home / "whole", CLS, model=graph(outputs=("token_embeddings", "sentence_embedding")))
    own = open_provider(space("whole"))
    assert own.embed([TEXT]).vectors[0] == pytest.approx(vectors_of(TEXT).max(axis=0))
    assert own.describe().pooling is None
    # A space's word goes before the graph's, where that gives the vectors of tokens too.
    assert vector("whole", pooling="cls") == pytest.approx(vectors_of(TEXT)[0])
    write_folder(home / "only", CLS, model=graph(outputs=("sentence_embedding",)))
    assert vector("only") == pytest.approx(vectors_of(TEXT).max(axis=0))
    assert open_provider(space("only")).model_digest == own_digest(home / "only")
    with pytest.raises(ConfigurationError, match="pools by itself"):
        vector("only", pooling="cls")


def own_digest(folder):
    from vector.providers.model_files import onnx_sha256

    return f"sha256:{onnx_sha256(folder / 'onnx' / 'model.onnx')}"


def test_inputs_as_graphs_have_them(home):
    table = np.vstack([TABLE, TABLE, TABLE])
    model = graph(("input_ids", "position_ids", "token_type_ids", "attention_mask"), table=table)
    write_folder(home / "positions", model=model)
    ids = [WORDS.index(word) for word in ("[CLS]", *TEXT.split(), "[SEP]")]
    expected = table[[number + place for place, number in enumerate(ids)]]
    assert vector("positions", pooling="last") == pytest.approx(expected[-1])
    write_folder(home / "cached", model=graph(("input_ids", "past_key_values.0.key")))
    with pytest.raises(ConfigurationError, match=r"cannot give: past_key_values\.0\.key"):
        vector("cached")


def test_which_file_of_a_folder(home):
    write_folder(home / "one", {}, "onnx/model_quantized.onnx")
    assert vector("one", pooling="cls") == pytest.approx(vectors_of(TEXT)[0])
    write_folder(home / "plain", {}, "onnx/model_fp16.onnx", "onnx/model.onnx")
    (home / "plain/onnx/model_fp16.onnx").write_bytes(b"is not opened")
    vector("plain")
    write_folder(home / "two", CLS, "onnx/model_O2.onnx", "onnx/model_int8.onnx")
    with pytest.raises(ConfigurationError, match=r"has onnx/model_O2\.onnx, onnx/model_int8\.onnx; give the space"):
        vector("two")
    assert vector("two/onnx/model_int8.onnx") == pytest.approx(vectors_of(TEXT)[0]), "the folder above says so"
    assert vector(str(home / "two/onnx/model_int8.onnx")) == pytest.approx(vectors_of(TEXT)[0])
    with pytest.raises(ConfigurationError, match="no model.onnx or onnx/model.onnx in"):
        vector("two/onnx/model_int4.onnx")


def test_a_folders_word_is_part_of_the_digest_where_no_space_says(home):
    folder = write_folder(home / "said", CLS)
    digest = open_provider(space("said")).model_digest
    assert digest != own_digest(folder) == open_provider(space("said", pooling="cls")).model_digest
    assert vector("said", digest) == pytest.approx(vectors_of(TEXT)[0])
    with pytest.raises(SpaceRefused, match=f"digest {own_digest(folder)}, the space was made with sha256:000"):
        open_provider(space("said", "sha256:" + "0" * 64))
    (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_lasttoken": True}), encoding="utf-8")
    assert open_provider(space("said")).model_digest not in (digest, own_digest(folder))
    with pytest.raises(SpaceRefused, match=f"the space was made with {digest}"):
        open_provider(space("said", digest))


def ledger_space(store, name, digest=None):
    made = EmbeddingSpace.create_new("onnx", name, DIMENSIONS, space_key=name, model_digest=digest)
    store.save_embedding_space(made)
    return made


@pytest.mark.parametrize("declared", [True, False])
def test_a_space_that_was_filled_by_the_mean_keeps_it(store, home, caplog, declared):
    """As version 0.1 did, which read no 1_Pooling: what is there is neither embedded again nor searched otherwise."""
    folder = write_folder(home / "older")
    old = ledger_space(store, "older", own_digest(folder) if declared else None)
    policy = PreprocessPolicy()
    assert pin_or_check(store, old, open_provider(old), policy).first_use
    write_folder(folder, CLS)
    with caplog.at_level(logging.WARNING):
        provider = open_provider(old)
        assert pin_or_check(store, old, provider, policy).lowest_cosine > 0.999999
    assert caplog.text.count("its folder says pooling cls; this space was filled by the mean") == 1
    rows = vectors_of(TEXT)
    expected = POOLED["mean"](rows) / np.linalg.norm(POOLED["mean"](rows))
    assert provider.embed([TEXT]).vectors[0] == pytest.approx(expected, abs=1e-6)
    assert embed_question(store, old, open_provider(old), TEXT).vector == pytest.approx(expected, abs=1e-6)

    new = ledger_space(store, "older/onnx/model.onnx")
    pin_or_check(store, new, open_provider(new), policy)
    assert embed_question(store, new, open_provider(new), TEXT).vector == pytest.approx(
        rows[0] / np.linalg.norm(rows[0])
    )
    (folder / "1_Pooling/config.json").unlink()
    for provider in (open_provider(new), open_provider(new)):
        with pytest.raises(SpaceRefused, match="belongs to another model"):
            embed_question(store, new, provider, TEXT)


def test_folders_are_discovered_with_what_they_say(home):
    prompts = {"prompts": {"query": "query : ", "document": "passage : "}, "default_prompt_name": None}
    write_folder(
        home / "org/full",
        {**CLS, "config_sentence_transformers.json": prompts, "sentence_bert_config.json": {"max_seq_length": 384}},
    )
    write_folder(home / "plain", {"tokenizer_config.json": {"model_max_length": 10**30}})
    write_folder(home / "dense", {"modules.json": [{"idx": 2, "type": "sentence_transformers.models.Dense"}]})
    write_folder(home / "odd", {"1_Pooling/config.json": {"pooling_mode_max_tokens": True}})
    write_folder(home / "two", {}, "model_a.onnx", "model_b.onnx")
    write_folder(home / ".hidden/model")
    (home / "no-weights").mkdir()
    found = {model.model_name: model for model in discover_models("onnx")}
    assert list(found) == ["dense", "odd", "org/full", "plain", "two"]
    full = found["org/full"]
    assert (full.pooling, full.document_prefix, full.query_prefix) == ("cls", "passage : ", "query : ")
    assert (full.dimensions, full.context_length, full.model_digest) == (DIMENSIONS, 384, own_digest(home / "org/full"))
    assert (found["plain"].pooling, found["plain"].context_length, found["plain"].query_prefix) == ("mean", None, None)
    assert "Dense" in found["dense"].problem
    assert "max" in found["odd"].problem
    assert "model_a.onnx, model_b.onnx" in found["two"].problem

    columns = (
        "space_key provider model_name model_digest document_prefix query_prefix truncation max_tokens pooling".split()
    )
    _, line = SpaceSeed(home / "seed.csv", columns, []).propose(full)
    assert line == f"full,onnx,org/full,{full.model_digest},passage : ,query : ,end,384,cls"


@pytest.mark.parametrize("home_is", ["/", "", "/no/such/folder"])
def test_discovery_wants_a_folder_of_models(monkeypatch, home_is):
    monkeypatch.setenv("VECTOR_ONNX_HOME", home_is)
    with pytest.raises(ConfigurationError, match="set VECTOR_ONNX_HOME"):
        discover_models("onnx")


@pytest.mark.parametrize("provider", ["static", "openai", "ollama"])
def test_pooling_is_for_onnx(monkeypatch, provider):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    asked = {**vars(space("wordllama-l2-supercat-256", pooling="cls")), "provider": provider, "dimensions": 256}
    with pytest.raises(ConfigurationError, match="pooling"):
        open_provider(SimpleNamespace(**asked, endpoint_url=None))


def test_execution_providers_are_those_of_the_environment_or_a_clear_refusal(home, monkeypatch):
    write_folder(home / "any")
    plain = vector("any")
    monkeypatch.setenv("VECTOR_ONNX_EXECUTION_PROVIDERS", " CPUExecutionProvider, ")
    assert (vector("any") == plain).all()
    monkeypatch.setenv("VECTOR_ONNX_EXECUTION_PROVIDERS", "AbacusExecutionProvider,CPUExecutionProvider")
    with pytest.raises(ConfigurationError, match="'AbacusExecutionProvider', which the installed onnxruntime lacks"):
        vector("any")


def test_a_model_that_falls_back_to_the_cpu_is_refused(home, monkeypatch):
    """As with a build for GPUs on a machine without one: ONNX Runtime itself only logs it."""
    import onnxruntime

    write_folder(home / "any")
    made = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda model, options, providers: made(model, options, providers[-1:])
    )
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setenv("VECTOR_ONNX_EXECUTION_PROVIDERS", "CUDAExecutionProvider")
    with pytest.raises(ConfigurationError, match="does not run on CUDAExecutionProvider here"):
        vector("any")

"""Texts that a model's tokenizer does not know are told, quarantined, and get no vector."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from vector.chunking import Chunker, ChunkingPolicy
from vector.commands.doctor import _unread_texts
from vector.contracts.models import EmbeddingSpace, VectorSourceRegistry
from vector.embedding import EmbedOptions, embed_space
from vector.providers import open_provider
from vector.providers.base import PreprocessPolicy
from vector.providers.onnx_models import DEFAULT_MODEL
from vector.providers.unknown_tokens import MOST_UNKNOWN, UnknownTokens, reading
from vector.search.search import embed_question

# Each would have had the vector of all the others.
UNKNOWN = {
    "Thai": "สวัสดีชาวโลก ยินดีต้อนรับ, ครับ.",
    "Khmer": "ភាសាខ្មែរ",
    "hex": "deadbeef" * 40,
    "base64": "aGVsbG8gd29ybGQ" * 20,
    "emoji": "😀😀 🎉! 🚀?",
    "nothing that is kept": "\u180e\u0301\u2063",
}
KNOWN = {
    "English": "The probe sent three frames.",
    "English with an emoji": "The probe sent three frames 🚀.",
    "Russian": "Привет мир",
    "punctuation": "... !",
    "a half": "probe สวัสดี",
}


@pytest.fixture(scope="module")
def minilm():
    """The default model behind a prefix, which is no word of a text."""
    return EmbeddingSpace.create_new(
        "onnx", DEFAULT_MODEL, 384, space_key="prefixed", preprocess_policy={"document_prefix": "search document: "}
    )


@pytest.fixture(scope="module")
def provider(minilm):
    opened = open_provider(minilm)
    yield opened
    opened.close()


def test_the_default_model_says_what_it_does_not_know(provider, minilm):
    policy = PreprocessPolicy.from_dict(minilm.preprocess_policy)
    texts = [policy.document_input(text) for text in (*UNKNOWN.values(), *KNOWN.values())]
    shares = provider.embed(texts).unknown_shares
    assert shares[: len(UNKNOWN)] == [1.0] * len(UNKNOWN)
    assert shares[len(UNKNOWN) :] == pytest.approx([0, 1 / 6, 0, 0, 1 / 2], abs=0.05)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    """Counts over a vocabulary of five words; the prefix is two of them."""
    path = tmp_path_factory.mktemp("words") / "tokenizer.json"
    words = {"[UNK]": 0, "[CLS]": 1, "a": 2, "b": 3, "c": 4, "to": 5, "find": 6, ".": 7}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
    tokenizer.save(str(path))
    policy = PreprocessPolicy(document_prefix="to find . ", query_prefix="to find a ")
    return tokenizer, UnknownTokens(tokenizer, path, policy)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", ".", "x", "yy", "é"]), max_size=30))
def test_the_share_is_of_the_texts_own_words(vocabulary, words):
    tokenizer, counter = vocabulary
    unknown = sum(word in ("x", "yy", "é") for word in words)
    known = sum(word in ("a", "b", "c") for word in words)
    found = counter.share(tokenizer.encode("to find . " + " ".join(words)).ids)
    assert found == pytest.approx((unknown / (unknown + known) if unknown else 0) if words else 1)


def test_mostly_unknown_texts_are_quarantined_with_their_share(store, minilm):
    store.save_embedding_space(minilm)
    store.save_source(VectorSourceRegistry("note:u", "note", {}))
    texts = {**UNKNOWN, **KNOWN}
    saved = {}
    for name, text in texts.items():
        (saved[name],) = Chunker(ChunkingPolicy()).chunk(text, f"note:{name}", "note")
    store.save_chunks(saved.values())
    summary = embed_space(store, minilm, EmbedOptions(chunk_ids=[chunk.chunk_id for chunk in saved.values()]))
    assert (summary.written, summary.quarantined) == (len(KNOWN), len(UNKNOWN))
    failures = {failure.chunk_id: failure for failure in store.list_embedding_failures(minilm.embedding_space_id)}
    assert failures.keys() == {saved[name].chunk_id for name in UNKNOWN}
    for failure in failures.values():
        assert (failure.reason, failure.unknown_token_share) == ("unknown_tokens", 1.0)
        assert "does not know 100% of the text's tokens" in failure.error_message
        assert failure.retry_after_utc is None
    embedded = {embedding.chunk_id for embedding in store.list_embeddings(None, minilm.embedding_space_id)}
    assert embedded == {saved[name].chunk_id for name in KNOWN}
    again = embed_space(store, minilm, EmbedOptions(chunk_ids=[chunk.chunk_id for chunk in saved.values()]))
    assert (again.written, again.quarantined) == (0, 0)


def test_a_question_of_unknown_words_is_flagged(store, minilm, provider, caplog):
    store.save_embedding_space(minilm)
    with caplog.at_level(logging.WARNING):
        embed_question(store, minilm, provider, KNOWN["English"])
        assert caplog.text == ""
        embed_question(store, minilm, provider, UNKNOWN["Thai"])
    assert "space prefixed: its model does not know 100% of the question's words" in caplog.text
    assert 0.5 <= MOST_UNKNOWN < 1


READ = {
    "English": "Which spacecraft was the first to land on a comet, and in which year did it arrive there?",
    "upper case": "WHICH SPACECRAFT WAS THE FIRST TO LAND ON A COMET?",
    "numbers": "2014-11-12, 67 / 4.95; 1,000,000",
    "nothing": "",
}
UNREAD = {
    "Russian": "Какой космический аппарат первым сел на комету?",
    "Arabic": "ما هي المركبة الفضائية التي هبطت على مذنب لأول مرة؟",
    "Hindi": "धूमकेतु पर उतरने वाला पहला अंतरिक्ष यान कौन सा था?",
    "Greek": "Ποιο διαστημόπλοιο προσεδαφίστηκε πρώτο σε κομήτη;",
    "Chinese": "哪个航天器首次在彗星上着陆？",
    "Japanese": "彗星に初めて着陸した探査機はどれですか。",
    "Korean": "혜성에 처음으로 착륙한 우주선은 무엇입니까?",
    "Thai": "ยานอวกาศลำใดลงจอดบนดาวหางเป็นลำแรก",
}


@pytest.mark.parametrize("text", READ.values(), ids=READ)
def test_the_default_model_reads_english(provider, text):
    assert reading(provider.fertility(text)) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("text", UNREAD.values(), ids=UNREAD)
def test_the_default_model_reads_no_other_script(provider, text):
    assert reading(provider.fertility(text)) == 0


def test_the_default_model_half_reads_languages_of_its_script(provider):
    for text in ("Welche Raumsonde landete als erste auf einem Kometen?", "¿Qué nave aterrizó primero en un cometa?"):
        assert 0.2 < reading(provider.fertility(text)) < 0.9


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("ab .,7\u0301ж月ำ") | st.characters(), max_size=40))
def test_fertility_is_a_share_of_letters(vocabulary, text):
    _, counter = vocabulary
    found = counter.fertility(text)
    assert 0 <= found <= 1
    assert 0 <= reading(found) <= 1
    if not any(map(str.isalpha, text)):
        assert found in (0, 1)  # nothing, or marks alone


def test_fertility_counts_tokens_a_letter(vocabulary):
    _, counter = vocabulary
    assert counter.fertility("to find . a") == pytest.approx(3 / 7)
    assert counter.fertility("to xyz") == pytest.approx((1 + 3) / 5), "an unknown token counts as one a letter"
    assert counter.fertility("7 . 9") == 0


def test_doctor_warns_of_source_types_that_a_model_does_not_read(store, minilm, provider):
    texts = {"russian": UNREAD["Russian"], "english": READ["English"], "chinese": UNREAD["Chinese"]}
    for source_type, text in texts.items():
        store.save_source(VectorSourceRegistry(f"{source_type}:1", source_type, {}))
        store.save_chunks(Chunker(ChunkingPolicy()).chunk(text, f"{source_type}:1", source_type))
    found = list(_unread_texts(store, minilm, provider))
    told = [finding.detail for finding in found]
    assert [any(f"source type {name}:" in each for each in told) for name in texts] == [True, False, True]
    assert any("words of 1 of 1 chunks of source type chinese" in each for each in told)
    assert all(finding.ok and finding.warning for finding in found)
    hashed = EmbeddingSpace.create_new("hash", "hash", 8)
    assert list(_unread_texts(store, hashed, open_provider(hashed))) == [], "it has no tokenizer"

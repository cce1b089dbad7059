"""SQL and Python give the same bytes: hashes, ids, windows and JSON of the models are those of the reference.

What runs here is the SQL that dbt compiled from the models and macros, over tables of this file's texts.
"""

import json
import logging
import re
import runpy

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from parity import (
    FIXTURES,
    HOSTILE,
    Warehouse,
    as_pinned,
    characters,
    few,
    fill_documents,
    hostile_cases,
    names,
    policies,
    texts_with_headings,
    titles,
)

from vector.chunking import Chunker, ChunkingPolicy, ParagraphPolicy, normalize_text
from vector.chunking.sources import SourceDocument, cut
from vector.contracts.identity import BLANKS, canonical_json, compute_content_hash, is_blank
from vector.contracts.models import EmbeddingSpace
from vector.errors import InvalidRecord

storable_characters = characters.filter(lambda character: character != "\0")


@pytest.fixture(scope="module")
def chunking(built_project):
    return Warehouse(
        built_project,
        models=["document", "chunk_window", "document_registration"],
        inputs=["document_input", "chunk_policy_input", "erasure"],
    )


@pytest.fixture(scope="module")
def spaces(built_project):
    return Warehouse(built_project, models=["embedding_space_identity"], inputs=["embedding_space_input"])


@pytest.fixture(scope="module")
def text_functions(kept_project):
    """Gives what the project's text macros make of each text, one dict a text."""
    kept_project.reset()
    compiled = kept_project.compiled(
        """
        select
            {{ sha256_hex('text') }} as sha256_hex,
            {{ char_count('text') }} as char_count,
            {{ utf8_byte_count('text') }} as utf8_byte_count,
            {{ last_space_offset('text') }} as last_space_offset,
            {{ contains_nul('text') }} as contains_nul,
            {{ is_blank('text') }} as is_blank,
            {{ has_blank_run('text', 3) }} as has_blank_run,
            {{ normalize_text('text') }} as normalize_text,
            {{ json_string('text') }} as json_string
        from given
        order by position
        """,
    )
    connection = duckdb.connect()
    connection.execute("create table given (position integer, text varchar)")

    def evaluate(texts):
        connection.execute("delete from given")
        connection.executemany("insert into given values (?, ?)", list(enumerate(texts)))
        cursor = connection.execute(compiled)
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]

    return evaluate


@few
@given(texts=st.lists(st.text(characters), min_size=1, max_size=24))
@example(texts=["", " ", "  a  ", "a\0b", "\r\n\r", "é\u0301 😀"])
def test_text_macros_equal_python(text_functions, texts):
    for text, found in zip(texts, text_functions(texts), strict=True):
        del found["json_string"]
        assert found == {
            "sha256_hex": compute_content_hash(text),
            "char_count": len(text),
            "utf8_byte_count": len(text.encode("utf-8")),
            "last_space_offset": text.rfind(" "),
            "contains_nul": "\0" in text,
            "is_blank": is_blank(text),
            "has_blank_run": re.search(f"[{BLANKS}]{{3}}", text) is not None,
            "normalize_text": normalize_text(text),
        }


@few
@given(
    texts=st.lists(
        st.text(st.sampled_from("\x0b\x0e\x0f\x1a\x1f\\u01BF") | storable_characters), min_size=1, max_size=24
    )
)
@example(texts=["", '"', "\\", '\\"', "\\n", "\n\r\t", "/", "\x7f\x85\u2028"])
@example(texts=["".join(map(chr, range(1, 32))) * 2, r"\u001F \\u001F", "\x1f\\u001F\\\x1f", "\x01\x1f\x01"])
def test_json_string_equals_json_dumps(text_functions, texts):
    found = [row["json_string"] for row in text_functions(texts)]
    assert found == [json.dumps(text, ensure_ascii=False) for text in texts]


# A repeated text is long enough for several blocks of 32 windows and, at times, for several segments of 1,024.
documents = st.lists(
    st.tuples(
        st.text(characters, max_size=40)
        | texts_with_headings
        | st.builds(str.__mul__, st.text(storable_characters), st.integers(1, 300)),
        names.filter(lambda name: name != "*"),
        st.none() | policies(),
    ),
    min_size=1,
    max_size=12,
)
LONG = (
    "word \r\né😀",
    "quote'\"\\",
    ChunkingPolicy(chunk_size=4, overlap=3, max_chunks_per_source=5000, version='v"\\'),
)


@few
@given(given_documents=documents, default_policy=policies(), title=titles)
@example(given_documents=[(LONG[0] * 400, LONG[1], LONG[2])], default_policy=ChunkingPolicy(), title="T")
@example(
    given_documents=[("a\0b", "nul", None), ("", "empty", None), (" ", "blank", None)],
    default_policy=LONG[2],
    title=None,
)
@example(
    given_documents=[
        ("\n" * 300 + "a" + " \u200b" * 300 + "b" + "\n" * 300, "v", None),
        ("a" + "\n" * 9, "v", LONG[2]),
    ],
    default_policy=ChunkingPolicy(chunk_size=100, overlap=10, max_chunks_per_source=7),
    title=None,
)
@example(
    given_documents=[("\n" * 900, "v", None), ("a" * 700 + "\n" * 100, "v", None), ("\n" * 700 + "a", "v", None)],
    default_policy=ChunkingPolicy(chunk_size=100, overlap=0, max_chunks_per_source=7),
    title=None,
)
@example(
    # Levels of 16, 256 and 4,096 stretches; lines that start on both sides of a stretch's end; groups of spaces.
    given_documents=[
        ("A line.\n" * 9000, "v", None),
        ("One. " * 9000 + "\n" + "Two " * 9000 + "\n\n" + "3" * 9000, "v", None),
        ("abc\ndef\nghi\n\n\n  \n j\n", "v", ParagraphPolicy(4, 0, 9)),
        ("abc\n" + " \n" * 40 + "x" * 9 + " " * 90, "v", None),
    ],
    default_policy=ParagraphPolicy(chunk_size=12, overlap=2, max_chunks_per_source=90_000),
    title=None,
)
@example(
    # Headings and titles begin and end with what DuckDB's trim() takes, and that of other engines does not.
    given_documents=[("# 0\u00a0\nabc\n==\u2003A ==\u00a0\nb\n== \u3000B\u00a0==\nc\n#\u00a0no", "v", None)],
    default_policy=ParagraphPolicy(chunk_size=9, overlap=0, max_chunks_per_source=90),
    title="\u00a0A title\u2003",
)
def test_documents_and_chunks_equal_the_reference(chunking, given_documents, default_policy, title):
    sources = [(f"{position}:{name}", text, policy) for position, (text, name, policy) in enumerate(given_documents)]
    fill_documents(chunking, sources, default_policy, title)

    expected_documents, expected_sources, expected_chunks = [], [], []
    for position, (source_id, text, policy) in enumerate(sources):
        policy = policy or default_policy
        normalised = normalize_text(text)
        document = SourceDocument(source_id, f"type {position}", {}, text, title, managed_by="dbt")
        source, chunks = cut(document, policy)
        refused = "\0" in text or is_blank(text)
        # Of paragraphs, only the cut text tells how many windows there are.
        of_characters = not isinstance(policy, ParagraphPolicy)
        window_count = 0 if refused else len(list(policy.windows(normalised))) if of_characters else None
        expected_sources.append(
            {
                **{name: getattr(source, name) for name in REGISTERED},
                "status": source.status.value,
            }
        )
        expected_documents.append(
            {
                "source_id": source_id,
                "content": normalised,
                "content_sha256": compute_content_hash(normalised),
                "char_count": len(normalised),
                "refused": refused,
                "policy_version": policy.version,
                "window_count": window_count,
                "chunk_count": None if window_count is None else min(window_count, policy.max_chunks_per_source),
            }
        )
        expected_chunks += [
            {
                "chunk_id": chunk.chunk_id,
                "source_id": source_id,
                "source_type": chunk.source_type,
                "source_ref_json": canonical_json(chunk.source_ref),
                **chunk.offsets,
                "offsets_json": canonical_json(chunk.offsets),
                "content": chunk.content,
                "context": chunk.context,
                "content_sha256": chunk.content_sha256,
                "byte_count": chunk.byte_count,
                "policy_json": canonical_json(chunk.policy),
                "policy_version": policy.version,
                "managed_by": "dbt",
            }
            for chunk in chunks
        ]

    found_documents = chunking.rows(
        "select source_id, content, content_sha256, char_count, content_error is not null as refused, policy_version,"
        " window_count, chunk_count from document"
    )
    assert by_key(found_documents, "source_id") == by_key(expected_documents, "source_id")
    found_sources = chunking.rows(f"select {', '.join(REGISTERED)}, status from document_registration")
    assert by_key(found_sources, "source_id") == by_key(expected_sources, "source_id")
    found_chunks = chunking.rows("select * exclude (document_sha256) from chunk_window")
    assert by_key(found_chunks, "source_id", "chunk_index") == by_key(expected_chunks, "source_id", "chunk_index")


def fingerprint(document):
    """`document_sha256` of a row of `document`."""
    numbers = (document[name] for name in ("chunk_size", "overlap", "max_chunks_per_source"))
    names = (
        "normalization_version", "method", "policy_version", "content_sha256", "source_type", "source_ref_json",
        "title",
    )  # fmt: skip
    texts = (document[name] for name in names)
    parts = [
        "cut-1",
        *("-" if number is None else str(number) for number in numbers),
        *("-" if text is None else f"{len(text)}:{text}" for text in texts),
    ]
    return compute_content_hash(" ".join(parts))


@few
@given(given_documents=documents, default_policy=st.none() | policies(), title=titles)
def test_a_fingerprint_is_of_all_that_the_chunks_follow_from(chunking, given_documents, default_policy, title):
    sources = [(f"{position}:{name}", text, policy) for position, (text, name, policy) in enumerate(given_documents)]
    fill_documents(chunking, [*sources, ("null", None, None)], default_policy, title)
    for document in chunking.rows("select * from document"):
        assert document["document_sha256"] == fingerprint(document)


# What document_registration has as `cut` has it.
REGISTERED = (
    "source_id", "content_sha256", "char_count", "policy_version", "chunk_count", "chunk_capped_flag",
    "blank_char_count", "error_message", "managed_by",
)  # fmt: skip


def by_key(rows, *columns):
    return sorted(rows, key=lambda row: [row[column] for column in columns])


preprocess_policies = st.fixed_dictionaries(
    {},
    optional={
        "document_prefix": names,
        "query_prefix": names,
        "template": names,
        "truncation": st.sampled_from(["end", "none"]),
        "max_tokens": st.integers(1, 2**31 - 1),
    },
)
given_spaces = st.fixed_dictionaries(
    {
        "provider": names.filter(str.strip),
        "model_name": names.filter(str.strip),
        "model_tag": st.none() | names,
        "model_digest": st.none() | names,
        "dimensions": st.integers(1, 2**31 - 1),
        "normalize_flag": st.booleans(),
        "distance_metric": st.sampled_from(["cosine", "dot", "euclidean"]),
        "preprocess_policy": st.none() | preprocess_policies,
        "transform_ref": st.none() | names,
    }
)


@few
@given(declared=st.lists(given_spaces, min_size=1, max_size=16))
def test_space_ids_equal_the_reference(spaces, declared):
    rows, expected = [], {}
    for position, settings_of_space in enumerate(declared):
        space = EmbeddingSpace.create_new(**settings_of_space)
        policy = space.preprocess_policy
        expected[str(position)] = (space.embedding_space_id, policy and canonical_json(policy))
        columns = {name: value for name, value in settings_of_space.items() if name != "preprocess_policy"}
        rows.append({"space_key": str(position), **columns, **(policy or {})})
    spaces.fill("embedding_space_input", rows)
    found = spaces.rows("select space_key, embedding_space_id, preprocess_policy_json from embedding_space_identity")
    assert {row["space_key"]: (row["embedding_space_id"], row["preprocess_policy_json"]) for row in found} == expected


# The pinned texts.


def test_the_pinned_texts_are_those_of_their_generator():
    assert len(HOSTILE["texts"]) >= 60
    generator = runpy.run_path(str(FIXTURES / "make_hostile_texts.py"))
    assert (FIXTURES / "hostile_texts.json").read_text(encoding="ascii") == generator["document"]()


def test_python_gives_the_pinned_chunks(caplog):
    caplog.set_level(logging.ERROR, logger="vector.chunking")
    for source_id, text, policy, entry, answers in hostile_cases():
        normalised = normalize_text(text)
        assert (len(normalised), compute_content_hash(normalised)) == (entry["char_count"], entry["content_sha256"])
        if "\0" in normalised:
            with pytest.raises(InvalidRecord, match="NUL"):
                Chunker(policy).chunk(normalised, source_id, "page")
            assert answers["count"] == 0
            continue
        chunks = [
            (chunk.offsets["start_offset"], chunk.offsets["end_offset"], chunk.chunk_id, chunk.content_sha256)
            for chunk in Chunker(policy).chunk(normalised, source_id, "page")
        ]
        assert (source_id, policy.version, as_pinned(chunks)) == (source_id, policy.version, answers)


@pytest.mark.parametrize("policy_version", HOSTILE["policies"])
def test_sql_gives_the_pinned_chunks(chunking, policy_version):
    cases = [case for case in hostile_cases() if case[2].version == policy_version]
    fill_documents(chunking, [(source_id, text, policy) for source_id, text, policy, _, _ in cases])
    documents = {
        source_id: found
        for source_id, *found in chunking.connection.execute(
            "select source_id, char_count, content_sha256 from document"
        ).fetchall()
    }
    chunks = {}
    for source_id, *chunk in chunking.connection.execute(
        "select source_id, start_offset, end_offset, chunk_id, content_sha256 from chunk_window"
        " order by source_id, chunk_index"
    ).fetchall():
        chunks.setdefault(source_id, []).append(chunk)
    assert len(documents) == len(cases)
    for source_id, _, _, entry, answers in cases:
        assert (source_id, documents[source_id]) == (source_id, [entry["char_count"], entry["content_sha256"]])
        assert (source_id, as_pinned(chunks.get(source_id, []))) == (source_id, answers)

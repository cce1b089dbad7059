"""A checkout with the line ends of Windows, in a folder with blanks and letters that no code page of Europe has, gives
the ids and hashes of the one with LF."""

import pytest
from support import ScratchProject

# Texts of several lines in one field: a checkout changes the line ends inside them too.
LINES = 'A first line,\nwith "quotes" and 日本.\n\nA second paragraph: naïve 🚀.\n'
EVENT = {"event_id": "lines", "event_date": "2026-01-01", "event_type": "test", "place": "日本", "summary": LINES}
PAYLOAD = '{"title": "Lines – Über",\n "lang": "en",\n "body": {"format": "plain", "text": "one\\ntwo\\r\\n日本"}}'
PAGE = {"page_id": "lines", "payload_json": PAYLOAD, "fetched_utc": "2026-01-01"}
# What is equal: all but times, and what is random.
EQUAL = {
    "embedding_space": "embedding_space_id, space_key, preprocess_policy_json",
    "source_registry": "source_id, status, source_ref_json, title, content_sha256, char_count, chunk_count",
    "chunk": "chunk_id, source_id, offsets_json, content, content_sha256, policy_json",
    "chunk_version": "chunk_id, content_sha256, content",
}


def add_lines(project):
    for seed, row in (("event", EVENT), ("page", PAGE)):
        project.write_rows(seed, [*project.rows(seed), row])


def rows(project):
    return {name: project.query(f"select {columns} from {name} order by all") for name, columns in EQUAL.items()}


@pytest.mark.long
def test_a_checkout_with_crlf_has_the_same_ids(project, tmp_path):
    add_lines(project)
    project.refresh()
    other = ScratchProject(tmp_path / "ein Ordner 日本" / "project")
    add_lines(other)
    changed = 0
    for path in other.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"\r" not in content, path
            path.write_bytes(content.replace(b"\n", b"\r\n"))
            changed += 1
    assert changed > 200, "models, macros, seeds, tests and configuration"
    ledgers = ["embedding_space", "source_registry", "chunk", "chunk_version"]
    other.build("--select", *(f"+{name}" for name in ledgers))
    assert rows(other) == rows(project)
    assert len(rows(other)["chunk"]) > 400
    (text,) = other.query("select content from chunk where source_id = 'event:lines'")
    assert LINES.strip() in text[0]

"""What the suites of parity share: texts of every kind, policies, and models over tables of a test's own rows."""

import hashlib
import json

import duckdb
from hypothesis import settings
from hypothesis import strategies as st
from support import PROJECT_DIR

from vector.chunking import ChunkingPolicy, ParagraphPolicy

FIXTURES = PROJECT_DIR / "tests" / "fixtures"


# One fuzzed example is a whole table, so few examples are many texts. No deadline: the first query plans, a CI stalls.
few = settings(max_examples=40, deadline=None)


# Few letters, many blanks and line ends, so that cuts happen; then every character that has a UTF-8 form.
characters = st.sampled_from('  \r\n\n..!"。」\taé\u0301\u200d\u00ad\ufeff\u3000\x1c😀') | st.characters(
    exclude_categories=["Cs"]
)

# JSON strings in SQL escape these three control characters and no other; identity.py refuses the others.
json_characters = st.sampled_from("\"\\' :{}\n\r\té😀") | st.characters(min_codepoint=0x20, exclude_categories=["Cs"])
names = st.text(json_characters)


class Warehouse:
    """A database in memory: views of the compiled models over empty tables shaped as the built project's."""

    def __init__(self, project, models, inputs):
        manifest = json.loads((project.target_path / "manifest.json").read_text(encoding="utf-8"))
        nodes = {node["name"]: node for node in manifest["nodes"].values()}
        self.connection = duckdb.connect()
        self.connection.execute(f"attach '{project.database_path}' as built (read_only)")
        for name in inputs:
            schema = nodes[name]["schema"]
            self.connection.execute(f"create table {name} as select * from built.{schema}.{name} limit 0")
        self.connection.execute("detach built")
        for name in models:
            compiled = (
                project.target_path / "compiled" / nodes[name]["package_name"] / nodes[name]["original_file_path"]
            )
            sql = compiled.read_text(encoding="utf-8")
            for parent in nodes[name]["depends_on"]["nodes"]:
                assert manifest["nodes"][parent]["relation_name"] in sql
                sql = sql.replace(manifest["nodes"][parent]["relation_name"], manifest["nodes"][parent]["name"])
            self.connection.execute(f"create view {name} as {sql}")

    def fill(self, table, rows):
        """Replaces the table's rows by these dicts; columns that they do not name are null."""
        self.connection.execute(f"delete from {table}")
        for row in rows:
            marks = ", ".join("?" * len(row))
            self.connection.execute(f"insert into {table} ({', '.join(row)}) values ({marks})", list(row.values()))

    def rows(self, sql):
        cursor = self.connection.execute(sql)
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


@st.composite
def policies(draw):
    kind, size = draw(st.sampled_from([ChunkingPolicy, ParagraphPolicy])), draw(st.integers(1, 24))
    return kind(
        chunk_size=size,
        overlap=draw(st.integers(0, size - 1 - (size // 4 if kind is ParagraphPolicy else 0))),
        max_chunks_per_source=draw(st.integers(1, 8) | st.just(5000)),
        version=draw(names),
    )


# Lines of a text with headings, and some that are none.
HEADING_LINES = [
    "# A", "## B", "### B > C ", "#\tD", "####### no", "#no", " # no", "# ", "== E ==", "=== F\t===\t", "== G", "==",
    "====", "=== H ==", "======= no =======", "```", "```sql", "a", "", "# Io", "== = ==", "#### \u200b",
    "# " + "long " * 90,
]  # fmt: skip
short_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
heading_lines = st.sampled_from(HEADING_LINES) | st.builds(
    "{} {}".format, st.sampled_from(["#", "##", "###", "######", "=="]), short_texts
)
texts_with_headings = st.lists(heading_lines, max_size=12).map("\n".join)
titles = st.none() | st.sampled_from(["", " ", "A", "A > ", "Io", "\tIo ", "B" * 300, 'e\u0301 \\ "q"']) | short_texts


def fill_documents(chunking, sources, default_policy=None, title=None):
    """`sources` are (source_id, text, policy): a source type, and so a policy, for each. Without one, it is `*`'s."""
    chunking.fill(
        "document_input",
        [
            {
                "source_id": source_id,
                "source_type": f"type {position}",
                "source_ref_json": "{}",
                "content": text,
                "title": title,
            }
            for position, (source_id, text, _) in enumerate(sources)
        ],
    )
    typed = [(f"type {position}", policy) for position, (_, _, policy) in enumerate(sources)]
    chunking.fill(
        "chunk_policy_input",
        [
            {
                "policy_version": policy.version,
                "source_type": source_type,
                "chunk_size": policy.chunk_size,
                "overlap": policy.overlap,
                "max_chunks_per_source": policy.max_chunks_per_source,
                "is_active": True,
                "method": policy.to_dict().get("method"),
            }
            for source_type, policy in [*typed, ("*", default_policy)]
            if policy is not None
        ],
    )


HOSTILE = json.loads((FIXTURES / "hostile_texts.json").read_text(encoding="ascii"))


def hostile_cases():
    """(source_id, text, policy, entry, answers) for each text and policy."""
    for entry in HOSTILE["texts"]:
        text = "".join(piece * times for piece, times in entry["pieces"])
        for version, answers in entry["policies"].items():
            settings_of_policy = dict(HOSTILE["policies"][version])
            kind = ParagraphPolicy if settings_of_policy.pop("method", None) else ChunkingPolicy
            policy = kind(**settings_of_policy, version=version)
            yield f"hostile:{entry['name']}", text, policy, entry, answers


def as_pinned(chunks):
    """Chunks as (start, end, id, hash), in the form that the fixture has them."""
    if len(chunks) <= 8:
        return {"count": len(chunks), "chunks": [list(chunk) for chunk in chunks]}
    lines = "".join(" ".join(map(str, chunk)) + "\n" for chunk in chunks)
    return {"count": len(chunks), "digest": hashlib.sha256(lines.encode()).hexdigest()}

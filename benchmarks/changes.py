"""Texts indexed, indexed again with nothing changed, and with 1% changed: this project, frameworks, bare stores.

The programs are the strings below, and they are what runs: a function `index(texts)` of each is called three times in
one process, and timed. The model, a hash of the text, is the same for all and takes no time worth measuring. Bare
stores do what a careful script does: they read the hashes that they hold, embed what differs and upsert it; they hold
no run, no check and no history. `embed_space` finds its chunks in the warehouse, where `dbt build` or CHUNK_SOURCE put
them. After the last call each program must hold as many texts as there are, the changed ones among them.

Each other tool is installed by pip into a virtual environment of its own, which is gone afterwards; one that cannot be
installed or run is named with the reason.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from side_by_side import Place, build_with_space
from support import parser, print_header, print_table, scratch_warehouse, zipfian_texts

# As the provider `hash`, by numpy; and what a script over a bare store does first.
MODEL = """
import hashlib
import numpy as np

calls = []

def embed(texts):
    calls.append(len(texts))
    drawn = b"".join(hashlib.shake_256(text.encode()).digest(768) for text in texts)
    rows = np.frombuffer(drawn, "<i2").reshape(len(texts), 384) * 2.0 + 1
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

def differing(held, texts):
    rows = ((i, hashlib.sha256(text.encode()).hexdigest(), text) for i, text in enumerate(texts))
    return [row for row in rows if held.get(row[0]) != row[1]]
"""
PROGRAM = """
import json, time
import model
from model import differing, embed

texts = json.load(open("texts.json"))
changed = [text + " (changed)" if i % 100 == 7 else text for i, text in enumerate(texts)]
{start}
took = []
for now in (texts, texts, changed):
    {before}
    started = time.perf_counter()
    index(now)
    took.append(time.perf_counter() - started)
found = {check}
assert found == (len(texts), len(texts) // 100), found
assert not model.calls or sum(model.calls) == len(texts) + len(texts) // 100, sum(model.calls)
print(json.dumps(took))
"""


@dataclass(frozen=True)
class Tool:
    """`start` makes `index(texts)`; `before` is a line that does not count; `check` gives the number of texts that are
    held with a vector, and of those that say that they changed."""

    name: str
    packages: tuple[str, ...]
    start: str
    check: str
    before: str = "pass"


OURS = """
import os, duckdb
from vector.embedding import embed_space
from vector.store import VectorStore
from vector.chunking import ChunkingPolicy
from vector.chunking.sources import SourceDocument, cut, store_sources
store = VectorStore(duckdb.connect(os.environ["VECTOR_DUCKDB_PATH"]))
(space,) = (space for space in store.list_embedding_spaces() if space.space_key == "hash")
def save(texts):
    cuts = [cut(SourceDocument(f"text:{i}", "text", {}, text), ChunkingPolicy()) for i, text in enumerate(texts)]
    for first in range(0, len(cuts), 1000):
        store_sources(store, cuts[first : first + 1000])
"""
OUR_CHECK = """store.engine.query(
    "select count(*), count(case when content like '%(changed)' then 1 end)"
    " from vector.embedding_current inner join vector.chunk using (chunk_id)"
)[0]"""
LANGCHAIN = """
from langchain_chroma import Chroma
from langchain_classic.indexes import SQLRecordManager, index as index_documents
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
class Hash(Embeddings):
    def embed_documents(self, texts):
        return embed(texts).tolist()
    def embed_query(self, text):
        return embed([text])[0].tolist()
store = Chroma("texts", Hash(), persist_directory="langchain")
records = SQLRecordManager("texts", db_url="sqlite:///records.sqlite")
records.create_schema()
def index(texts):
    documents = [Document(text, metadata={"source": str(i)}) for i, text in enumerate(texts)]
    index_documents(
        documents, records, store, cleanup="full", source_id_key="source", batch_size=1000, key_encoder="sha256"
    )
"""
LLAMA_INDEX = """
import chromadb
from llama_index.core import Document
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.vector_stores.chroma import ChromaVectorStore
class Hash(BaseEmbedding):
    def _get_text_embedding(self, text):
        return embed([text])[0].tolist()
    def _get_text_embeddings(self, texts):
        return embed(texts).tolist()
    _get_query_embedding = _get_text_embedding
    async def _aget_query_embedding(self, text):
        return self._get_query_embedding(text)
collection = chromadb.PersistentClient("llama").get_or_create_collection("texts")
store = ChromaVectorStore(chroma_collection=collection)
docstore = SimpleDocumentStore()
# Without a splitter a changed text keeps its id, and Chroma its old vector. A text is one node; nothing is downloaded.
splitter = SentenceSplitter(chunk_size=1000, tokenizer=str.split, chunking_tokenizer_fn=lambda text: [text])
pipeline = IngestionPipeline(
    transformations=[splitter, Hash(embed_batch_size=1000)], docstore=docstore, vector_store=store,
    docstore_strategy=DocstoreStrategy.UPSERTS,
)
def index(texts):
    for first in range(0, len(texts), 5000):  # Chroma takes no more than 5,461
        part = enumerate(texts[first : first + 5000], first)
        pipeline.run(documents=[Document(text=text, id_=str(i)) for i, text in part])
    docstore.persist("docstore.json")
"""
LANCE = """
import lancedb
import pyarrow as pa
schema = pa.schema(
    {"id": pa.int64(), "sha256": pa.string(), "text": pa.string(), "vector": pa.list_(pa.float32(), 384)}
)
table = lancedb.connect("lance").create_table("texts", schema=schema)
def index(texts):
    held = dict(table.to_lance().to_table(["id", "sha256"]).to_pandas().itertuples(index=False)) if len(table) else {}
    rows = differing(held, texts)
    if rows:
        ids, hashes, new = zip(*rows)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(embed(new).ravel()), 384)
        staged = pa.table([pa.array(ids), pa.array(hashes), pa.array(new), vectors], schema=schema)
        table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(staged)
"""
SQLITE = """
import apsw, sqlite_vec  # the sqlite3 of many a Python loads no extension
database = apsw.Connection("texts.sqlite")
database.enable_load_extension(True)
database.load_extension(sqlite_vec.loadable_path())
database.execute("create table text (id integer primary key, sha256 text, content text)")
database.execute("create virtual table vec using vec0(id integer primary key, embedding float[384])")
def index(texts):
    held = dict(database.execute("select id, sha256 from text"))
    rows = differing(held, texts)
    if rows:
        vectors = embed([text for _, _, text in rows])
        ids = [(i,) for i, _, _ in rows]
        with database:
            database.executemany("insert or replace into text values (?, ?, ?)", rows)
            database.executemany("delete from vec where id = ?", ids)
            database.executemany("insert into vec values (?, ?)", [(i, v.tobytes()) for (i,), v in zip(ids, vectors)])
"""
PGVECTOR = """
import pgserver, psycopg
from pgvector.psycopg import register_vector
server = pgserver.get_server("postgres")
database = psycopg.connect(server.get_uri())
database.execute("create extension vector")
register_vector(database)
database.execute("create table text (id bigint primary key, sha256 text, content text, embedding vector(384))")
database.execute("create temporary table staged (like text)")
database.commit()
def index(texts):
    held = dict(database.execute("select id, sha256 from text").fetchall())
    rows = differing(held, texts)
    if rows:
        vectors = embed([text for _, _, text in rows])
        database.execute("truncate staged")
        with database.cursor() as cursor, cursor.copy("copy staged from stdin with (format binary)") as copy:
            copy.set_types(["int8", "text", "text", "vector"])
            for row, vector in zip(rows, vectors):
                copy.write_row((*row, vector))
        database.execute(
            "insert into text select * from staged on conflict (id) do update set sha256 = excluded.sha256,"
            " content = excluded.content, embedding = excluded.embedding"
        )
    database.commit()
"""
SQL_CHECK = """database.execute(
    "select count(*), count(case when content like '%(changed)' then 1 end) from {}"
).fetchone()"""
TOOLS = [
    Tool("this project, `embed_space`", (), OURS + "def index(texts):\n    embed_space(store, space)", OUR_CHECK,
         before="save(now)"),
    Tool("this project, `store_sources` and `embed_space`", (),
         OURS + "def index(texts):\n    save(texts)\n    embed_space(store, space)", OUR_CHECK),
    Tool("LangChain index() and Chroma", ("langchain-chroma", "langchain-classic", "greenlet"), LANGCHAIN,
         "len(store.get()['ids']), len(store.get(where_document={'$contains': '(changed)'})['ids'])"),
    Tool("LlamaIndex and Chroma", ("llama-index-vector-stores-chroma", "llama-index-core"), LLAMA_INDEX,
         "collection.count(), len(collection.get(where_document={'$contains': '(changed)'})['ids'])"),
    Tool("LanceDB, bare", ("lancedb", "pylance", "numpy", "pandas"), LANCE,
         "len(table), table.count_rows(\"text like '%(changed)'\")"),
    Tool("sqlite-vec, bare", ("sqlite-vec", "apsw", "numpy"), SQLITE,
         SQL_CHECK.format("text inner join vec using (id)")),
    Tool("pgvector, bare", ("pgvector", "pgserver", "psycopg[binary]", "numpy"), PGVECTOR, SQL_CHECK.format("text")),
]  # fmt: skip


def main() -> None:
    """Indexes three times by each tool, and prints a row a tool."""
    arguments = parser(__doc__, repetitions=3)
    arguments.add_argument("--texts", type=int, default=20_000, metavar="N", help="texts that are indexed")
    given = arguments.parse_args()
    print_header(f"Indexed, again, and with 1% changed: {given.texts:,} texts of 80 words, 384 dimensions")
    rows, refused = [], []
    texts = zipfian_texts(given.texts, 80)
    with scratch_warehouse() as environments:
        for tool in TOOLS:
            try:
                rows.append(_measured(tool, texts, given.repetitions, environments.folder))
            except ChildProcessError as error:
                refused.append(f"{tool.name} could not be measured: {error}")
    ours = rows[0][2:] if rows else []
    rows = [[*row, *(seconds / base for seconds, base in zip(row[2:], ours, strict=True))] for row in rows]
    print_table(["tool", "version", "first s", "nothing changed s", "1% changed s", "ratio", "ratio", "ratio"], rows)
    print("\n".join(["", *refused]).rstrip())


def _measured(tool: Tool, texts: list[str], repetitions: int, environments: Path) -> list[object]:
    """The tool's name, its version, and the least seconds of each of the three calls."""
    program = PROGRAM.format(start=tool.start, before=tool.before, check=tool.check)
    best = [float("inf")] * 3
    for _ in range(repetitions):
        with scratch_warehouse() as warehouse:
            if not tool.packages:
                build_with_space(warehouse)
            place = Place(warehouse, texts, MODEL, environments)
            output, _, _ = place.run([place.python_of(tool.packages), "-c", program])
            best = [min(pair) for pair in zip(best, json.loads(output.splitlines()[-1]), strict=True)]
            version = place.version_of(tool.packages)
    return [tool.name, version, *best]


if __name__ == "__main__":
    main()

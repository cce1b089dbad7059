"""The shortest program that indexes texts and asks a question: vector.open(), Chroma, LanceDB and llm side by side.

The programs are the strings below, and they are what runs. Lines count what is in them; making the warehouse (`dbt
build`), and the embedding model, a hash of the text that is the same for all, do not count. A cold question is asked by
a process that opens the index; a warm one by the same process again. The baseline is a Python that embeds the question.

Each other tool is installed by pip into a virtual environment of its own, which is gone afterwards; one that cannot be
installed or run is named with the reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from support import PROJECT_DIR, Warehouse, parser, print_header, print_table, scratch_warehouse, zipfian_texts

from vector.store import VectorStore

# What the provider `hash` gives, in Python alone. It knows only equal texts, so each question is one of the texts.
MODEL = """
import hashlib, math, struct

def embed(texts):
    vectors = []
    for text in texts:
        odd = [2 * n + 1 for n in struct.unpack("<384h", hashlib.shake_256(text.encode()).digest(768))]
        norm = math.sqrt(sum(n * n for n in odd))
        vectors.append([n / norm for n in odd])
    return vectors
"""
LLM_PLUGIN = """
import llm, model

class Hash(llm.EmbeddingModel):
    model_id, batch_size = "hash", 2000

    def embed_batch(self, items):
        return model.embed(list(items))

@llm.hookimpl
def register_embedding_models(register):
    register(Hash())
"""
BEFORE = "import json\nfrom model import embed\ntexts = json.load(open('texts.json')) if {} else []\nquestion = {!r}\n"
AFTER = """
import time
took = []
for question in {questions!r}:
    wall, processor = time.perf_counter(), time.process_time()
    {ask}
    took.append((time.perf_counter() - wall, time.process_time() - processor))
    assert {best} == question, {best}
print(json.dumps(took))
"""


@dataclass(frozen=True)
class Tool:
    """`start` makes the index, `add` fills it, `ask` is one line, whose best hit is the text `best`. `open` finds the
    index that is there, where `start` does not."""

    name: str
    packages: tuple[str, ...]
    start: str
    add: str
    ask: str
    best: str
    open: str = ""

    @property
    def lines(self) -> int:
        """Lines of the program, without blank ones."""
        return sum(bool(line.strip()) for line in "\n".join((self.start, self.add, self.ask)).splitlines())


OURS_START = """
import vector
from vector.chunking import Chunker
warehouse = vector.open()
"""
OURS_ADD = """
chunks = [chunk for i, text in enumerate(texts) for chunk in Chunker().chunk(text, f"text:{i}", "text")]
warehouse.store.save_chunks(chunks)
warehouse.embed("hash")
"""
TOOLS = [
    Tool(
        "vector.open(), hybrid", (), OURS_START, OURS_ADD,
        "hits = warehouse.search(question, top_k=5, space='hash')", "hits[0].content",
        "import vector\nwarehouse = vector.open()\n",
    ),
    Tool(
        "vector.open(), by vectors", (), OURS_START, OURS_ADD,
        "hits = warehouse.search(question, top_k=5, space='hash', mode='dense')", "hits[0].content",
        "import vector\nwarehouse = vector.open()\n",
    ),
    Tool(
        "Chroma", ("chromadb",),
        """
import chromadb
client = chromadb.PersistentClient("chroma")
collection = client.get_or_create_collection("texts", embedding_function=None, metadata={"hnsw:space": "cosine"})
""",
        """
for i in range(0, len(texts), 5000):
    part = texts[i : i + 5000]
    collection.add([str(i + n) for n in range(len(part))], documents=part, embeddings=embed(part))
""",
        "hits = collection.query(query_embeddings=embed([question]), n_results=5)", "hits['documents'][0][0]",
    ),
    Tool(
        "LanceDB", ("lancedb",),
        """
import lancedb
database = lancedb.connect("lance")
""",
        """
rows = [{"text": text, "vector": vector} for text, vector in zip(texts, embed(texts))]
table = database.create_table("texts", rows)
""",
        "hits = table.search(embed([question])[0]).distance_type('cosine').limit(5).to_list()", "hits[0]['text']",
        "import lancedb\ntable = lancedb.connect('lance').open_table('texts')\n",
    ),
    Tool(
        "llm, its Collection", ("llm",),
        """
import llm, sqlite_utils
collection = llm.Collection("texts", sqlite_utils.Database("llm.db"), model_id="hash")
""",
        "collection.embed_multi(((str(i), text) for i, text in enumerate(texts)), store=True)",
        "hits = collection.similar(question, number=5)", "hits[0].content",
    ),
]  # fmt: skip
# Commands, each of them a line: what indexes, and what asks.
LLM_INDEX = ["llm", "embed-multi", "texts", "rows.json", "-m", "hash", "--store", "-d", "similar.db"]
LLM_ASK = ["llm", "similar", "texts", "-n", "5", "-d", "similar.db", "-c"]


class Place:
    """The folder of a warehouse, with the texts and the model beside it; the tools' environments are there too, unless
    `environments` names another folder."""

    def __init__(self, warehouse: Warehouse, texts: list[str], model: str = MODEL, environments: Path | None = None):
        self.folder = folder = warehouse.folder
        self.environments = environments or folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "VECTOR_"))}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        self.environment = {
            **kept, "VECTOR_DUCKDB_PATH": str(warehouse.path), "VECTOR_CACHE_DIR": str(folder / "cache"),
            "DBT_PROJECT_DIR": str(PROJECT_DIR), "DBT_PROFILES_DIR": str(folder),
            "DBT_TARGET_PATH": str(folder / "target"), "PYTHONPATH": f"{folder}{os.pathsep}{PROJECT_DIR / 'scripts'}",
            "LLM_USER_PATH": str(folder / "llm_user"), "ANONYMIZED_TELEMETRY": "False", "HOME": str(folder),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1", "VECTOR_REDACT_QUERIES": "false",
        }  # fmt: skip
        self.questions = texts[:12]
        (folder / "model.py").write_text(model)
        (folder / "texts.json").write_text(json.dumps(texts))
        rows = [{"id": str(i), "content": text} for i, text in enumerate(texts)]
        (folder / "rows.json").write_text(json.dumps(rows))

    def python_of(self, packages: tuple[str, ...]) -> str:
        """A Python that has the packages."""
        if not packages:
            return sys.executable
        made = self.environments / packages[0]
        python = str(made / "bin" / "python")
        if not made.is_dir():
            self.run([sys.executable, "-m", "venv", str(made)])
            self.run([python, "-m", "pip", "install", "--quiet", *packages])
            if packages == ("llm",):  # a plugin is a distribution that says so
                (site,) = made.glob("lib/*/site-packages")
                (site / "hash_plugin.py").write_text(LLM_PLUGIN)
                (site / "hash_plugin-1.dist-info").mkdir()
                (site / "hash_plugin-1.dist-info/METADATA").write_text("Name: hash-plugin\nVersion: 1\n")
                (site / "hash_plugin-1.dist-info/entry_points.txt").write_text("[llm]\nhash = hash_plugin\n")
        return python

    def run(self, command: list[str]) -> tuple[str, float, float]:
        """Output, seconds and processor seconds of a process. Raises ChildProcessError with its last line."""
        before, started = os.times(), time.perf_counter()
        done = subprocess.run(command, env=self.environment, cwd=self.folder, capture_output=True, encoding="utf-8")
        wall, after = time.perf_counter() - started, os.times()
        if done.returncode:
            raise ChildProcessError((done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2])
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        return done.stdout, wall, spent

    def program(self, *parts: str, texts: bool = False) -> list[str]:
        """`-c` and a program of these parts."""
        return ["-c", "\n".join((BEFORE.format(texts, self.questions[0]), *parts))]

    def version_of(self, packages: tuple[str, ...]) -> str:
        """The installed version of a tool's package."""
        package = packages[0] if packages else "vector-runtime"
        code = f"from importlib.metadata import version; print(version({package!r}))"
        return self.run([self.python_of(packages), "-c", code])[0].strip()


def build_with_space(warehouse: Warehouse) -> None:
    """Builds it, with a space `hash` of the provider that MODEL is."""
    warehouse.build()
    with warehouse.connect() as connection:
        VectorStore(connection).get_or_create_embedding_space("hash", "shake-256", 384, space_key="hash")


def main() -> None:
    """Indexes, asks, and prints a row a tool."""
    arguments = parser(__doc__, repetitions=5)
    arguments.add_argument("--texts", type=int, default=10_000, metavar="N", help="texts that are indexed")
    given = arguments.parse_args()
    print_header(f"Side by side, {given.texts:,} texts of 80 words, 384 dimensions")
    with scratch_warehouse() as warehouse:
        build_with_space(warehouse)
        texts = zipfian_texts(100, 6, seed=1) + zipfian_texts(given.texts - 100, 80)
        rows, refused = measured(Place(warehouse, texts), given.repetitions)
    print_table(
        ["tool", "version", "lines", "index s", "cold ms", "processor ms", "of Python", "warm ms", "processor ms"], rows
    )
    print("\n".join(["", *refused]).rstrip())


def measured(place: Place, repetitions: int) -> tuple[list[list[object]], list[str]]:
    """The rows, and a line for each tool that could not be measured."""
    indexed: dict[str, float] = {}
    asks = {"Python, the question's vector alone": [sys.executable, *place.program("embed([question])")]}
    warm, refused, versions = {}, [], {}
    for tool in TOOLS:
        try:
            python = place.python_of(tool.packages)
            versions[tool.name] = place.version_of(tool.packages)
            whole = place.program(tool.start, tool.add, tool.ask, texts=True)
            indexed[tool.name] = place.run([python, *whole])[1]
            asks[tool.name] = [python, *place.program(tool.open or tool.start, tool.ask)]
            again = AFTER.format(questions=place.questions[1:], ask=tool.ask, best=tool.best)
            warm[tool.name] = [python, *place.program(tool.open or tool.start, tool.ask, again)]
        except ChildProcessError as error:
            refused.append(f"{tool.name} could not be measured: {error}")
    try:
        llm = [str(Path(place.python_of(("llm",))).with_name("llm"))]
        indexed["llm similar"] = place.run([*llm, *LLM_INDEX[1:]])[1]
        command = [*llm, *LLM_ASK[1:], place.questions[0]]
        if place.questions[0] not in place.run(command)[0]:
            raise ChildProcessError("it does not find a text by itself")
        asks["llm similar"], versions["llm similar"] = command, versions.get("llm, its Collection", "-")
    except ChildProcessError as error:
        refused.append(f"llm similar could not be measured: {error}")
    cold = {name: (float("inf"), float("inf")) for name in asks}
    again = {name: (float("inf"), float("inf")) for name in warm}
    for _ in range(repetitions):
        for name, command in asks.items():
            _, *took = place.run(command)
            cold[name] = tuple(map(min, zip(cold[name], took, strict=True)))
        for name, command in warm.items():
            # The median of the questions of a process, of which the first was asked before.
            took = [sorted(each)[len(each) // 2] for each in zip(*json.loads(place.run(command)[0]), strict=True)]
            again[name] = tuple(map(min, zip(again[name], took, strict=True)))
    lines = {**{tool.name: tool.lines for tool in TOOLS}, "llm similar": 2}
    alone = cold[next(iter(cold))][1]
    rows = []
    for name, (wall, processor) in cold.items():
        of_it = [1000 * seconds for seconds in again[name]] if name in again else ["-", "-"]
        rows.append([
            name, versions.get(name, "-"), lines.get(name, "-"), indexed.get(name, "-"),
            1000 * wall, 1000 * processor, processor / alone, *of_it,
        ])  # fmt: skip
    return rows, refused


if __name__ == "__main__":
    main()

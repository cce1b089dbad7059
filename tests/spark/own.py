"""A lake of its own with the ledgers of own_lake, a model server that executors can reach, and drivers to be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from misbehaving_server import MODEL, MisbehavingServer
from served import SHORT_WAITS

from vector.contracts.models import EmbeddingSpace
from vector.embedding.landing import Landing
from vector.embedding.options import EmbedOptions
from vector.embedding.run import embed_space
from vector.store import VectorStore
from vector.store.runs import close_abandoned_runs

if TYPE_CHECKING:
    from conftest import Lake

# A driver of its own: `vector embed` into one space, with smaller waves.
_DRIVER = textwrap.dedent(
    """
    import json, sys
    from vector.embedding import spread
    from vector.embedding.options import EmbedOptions
    from vector.embedding.run import embed_space
    from vector.project.profile import load_target
    from vector.store.opening import open_to_write
    from vector.store.runs import close_abandoned_runs

    given = json.loads(sys.argv[1])
    spread.WAVE = given["wave"]
    store = open_to_write(load_target())
    print("open", flush=True)
    sys.stdin.readline()
    close_abandoned_runs(store)
    space = store.get_embedding_space_by_key(given["space"])
    print(json.dumps(embed_space(store, space, EmbedOptions(**given["options"])).to_dict()), flush=True)
    """
)


@dataclass
class OwnLake:
    """See the module. `texts` are those of all chunks, by source."""

    lake: Lake
    store: VectorStore
    server: MisbehavingServer
    texts: dict[str, str] = field(default_factory=dict)
    _spaces: int = 0

    def space(self, **more: Any) -> EmbeddingSpace:
        """A new space of the server's model; its inputs are told from those of others by their prefix."""
        self._spaces += 1
        self.server.behave()
        self.server.asked.clear()
        self.server.paid.clear()
        for old in self.store.list_embedding_spaces():
            self.store.save_embedding_space(_inactive(old))
        policy = {"document_prefix": f"{self._spaces}: "}
        return self.store.get_or_create_embedding_space(
            "openai", MODEL, self.server.dimensions, preprocess_policy=policy, **more
        )

    def embed(self, space: EmbeddingSpace, **options: Any) -> Any:
        """As `vector embed` does, in this process; the summary."""
        close_abandoned_runs(self.store)
        return embed_space(self.store, space, EmbedOptions(**options))

    def driver(self, space: EmbeddingSpace, wave: int = 1000, **options: Any) -> subprocess.Popen[str]:
        """A driver in a process group of its own, which begins when it is told to."""
        given = json.dumps({"space": space.space_key, "wave": wave, "options": options})
        return subprocess.Popen(
            [sys.executable, "-c", _DRIVER, given],
            env=self.lake.env, cwd=self.lake.project, start_new_session=True, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def rows(self, space: EmbeddingSpace) -> dict[str, list[float]]:
        """The vector of each chunk of the space, by chunk id. Fails where one has two."""
        sql = f"select chunk_id, vector from {self.store.engine.table('embedding')} where embedding_space_id = ?"
        rows = self.store.engine.query(sql, [space.embedding_space_id])
        assert len(rows) == len({chunk_id for chunk_id, _ in rows}), "a chunk has two vectors"
        return {chunk_id: list(vector) for chunk_id, vector in rows}

    def landing(self, space: EmbeddingSpace) -> Landing:
        """The folder of the space."""
        return Landing(f"{self.store.engine.landing_folder()}/{space.embedding_space_id}")

    def landed(self, space: EmbeddingSpace) -> set[str]:
        """The hashes of the texts whose vectors have landed, and are not merged."""
        of_space = self.landing(space)
        jobs = map(of_space.of, of_space.jobs())
        return {row["input_content_sha256"] for each in jobs for row in each.read("", ("input_content_sha256",))}

    def times_paid(self, space: EmbeddingSpace) -> dict[str, int]:
        """How often a good answer went out for each text of a chunk."""
        prefix = space.preprocess_policy["document_prefix"]
        return {text: self.server.paid[prefix + text] for text in set(self.texts.values())}


def _inactive(space: EmbeddingSpace) -> EmbeddingSpace:
    from dataclasses import replace

    return replace(space, is_active=False)


def environment(server: MisbehavingServer) -> dict[str, str]:
    """What leads drivers and executors to the server."""
    return {
        **SHORT_WAITS, "OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "", "VECTOR_SPARK_MASTER": "local[2,4]",
        "VECTOR_HTTP_TOTAL": "60", "VECTOR_CACHE_DIR": "", "PATH": os.environ["PATH"],
    }  # fmt: skip

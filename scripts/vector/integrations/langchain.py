"""The door for LangChain: a retriever over `vector.open()`.

from vector.integrations.langchain import VectorRetriever

retriever = VectorRetriever(k=5)                # the dbt project of this folder
retriever.invoke("Which moon has geysers?")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vector.errors import ConfigurationError
from vector.warehouse import Warehouse, open_warehouse

try:
    from langchain_core.callbacks import CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
    from pydantic import ConfigDict, Field
except ImportError:
    raise ConfigurationError(
        "vector.integrations.langchain needs langchain-core: `pip install 'vector-runtime[langchain]'`"
    ) from None


class VectorRetriever(BaseRetriever):
    """A retriever whose every question is an audited search of the warehouse.

    `k` is the number of documents. `search_options` are further arguments of Warehouse.search: mode, space,
    source_type, source_id, tags, policy, redact and so on. Both can be given to `invoke` too. Without a `warehouse` it
    is `vector.open()`.

    A document is a chunk: its id the chunk's, its text the chunk's, and its metadata retrieval_id, rank, score,
    source_id, source_type, source_title, context, source_ref, start_offset, end_offset and content_sha256. `invoke`
    raises what Warehouse.search raises.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    warehouse: Warehouse = Field(default_factory=open_warehouse, exclude=True)
    k: int = 4
    search_options: Mapping[str, Any] = Field(default_factory=dict)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None, **options: Any
    ) -> list[Document]:
        """The documents of a question, best first."""
        wanted = self.k if k is None else k
        hits = self.warehouse.search(query, wanted, **{**self.search_options, **options})
        return [_document(row) for row in hits.rows()]


def _document(row: dict[str, Any]) -> Document:
    kept = (
        "retrieval_id", "rank", "score", "source_id", "source_type", "source_title", "context", "source_ref",
        "start_offset", "end_offset", "content_sha256",
    )  # fmt: skip
    return Document(id=row["chunk_id"], page_content=row["content"], metadata={name: row[name] for name in kept})

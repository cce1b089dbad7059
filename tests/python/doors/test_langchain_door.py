"""The door for LangChain: the standard suite for retrievers, and what ours says besides."""

import json
import pickle

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_tests.integration_tests import RetrieversIntegrationTests
from support import clean_environment

import vector
from vector.errors import ConfigurationError
from vector.integrations.langchain import VectorRetriever

QUESTION = "Which moon has geysers?"


@pytest.fixture(scope="module")
def warehouse(kept_project):
    with clean_environment(), vector.open(project_dir=kept_project.folder, profiles_dir=kept_project.folder) as opened:
        kept_project.reset()
        yield opened


@pytest.mark.anyio
class TestStandard(RetrieversIntegrationTests):
    @pytest.fixture
    def anyio_backend(self):
        return "asyncio"

    @pytest.fixture(autouse=True)
    def over(self, warehouse):
        self.opened = warehouse

    @property
    def retriever_constructor(self):
        return VectorRetriever

    @property
    def retriever_constructor_params(self):
        return {"warehouse": self.opened}

    @property
    def retriever_query_example(self):
        return QUESTION


def test_a_document_is_a_chunk_that_can_be_traced(warehouse):
    (document,) = VectorRetriever(warehouse=warehouse, search_options={"source_type": "entity"}).invoke(QUESTION, k=1)
    assert document.metadata["source_type"] == "entity"
    (hit,) = warehouse.store.list_retrieval_hits(document.metadata["retrieval_id"])
    assert hit.chunk_id == document.id
    chunk = warehouse.store.get_chunk(document.id)
    assert (chunk.content, chunk.context) == (document.page_content, document.metadata["context"])
    assert document.metadata["context"]
    json.dumps(document.metadata)  # what tracers and vector stores of others keep
    pickle.dumps(document)


def test_it_is_part_of_a_chain_and_asks_as_it_is_told(warehouse):
    retriever = VectorRetriever(warehouse=warehouse, k=2)
    chain = retriever | RunnableLambda(lambda documents: [each.metadata["rank"] for each in documents])
    assert chain.invoke(QUESTION) == [1, 2]
    assert chain.batch([QUESTION] * 3) == [[1, 2]] * 3
    (unlogged,) = retriever.invoke(QUESTION, k=1, log=False)
    assert unlogged.metadata["retrieval_id"] is None


def test_its_searches_are_replayed_as_any_other(kept_project, warehouse):
    (document,) = VectorRetriever(warehouse=warehouse, k=1).invoke(QUESTION)
    warehouse.close()
    done = kept_project.vector("replay", document.metadata["retrieval_id"], "--json")
    assert json.loads(done.stdout)["changed"] == 0


def test_without_a_warehouse_it_is_that_of_the_folder(kept_project, warehouse, monkeypatch, tmp_path):
    warehouse.close()
    monkeypatch.chdir(kept_project.folder)
    with clean_environment():
        retriever = VectorRetriever(k=1)
        assert len(retriever.invoke(QUESTION)) == 1
        retriever.warehouse.close()
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigurationError, match=r"no dbt_project\.yml"):
            VectorRetriever()

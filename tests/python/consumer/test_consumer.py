"""A project of other people that has installed the runtime: its models, its schemas, its names, its mistakes."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from shop import Shop
from support import PROJECT_DIR, clean_environment

from vector.cli import main

pytestmark = [pytest.mark.dbt, pytest.mark.long]

DOCUMENTS = ("+document_input", "+chunk_policy_input", "+embedding_space_input", "document_model_has_rows")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The consumer, whose own flags make every warning of dbt an error, after a `dbt build` with every data test."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    done = shop.dbt("build", "--exclude-resource-type", "unit_test")
    assert done.success, done.output
    shop.embed()
    shop.keep()
    return shop


@pytest.fixture
def shop(built):
    built.reset()
    return built


def test_unit_and_data_tests_of_the_package_run_and_its_own_names_are_left_alone(shop):
    assert shop.ask('select * from analytics."run"') == [(1, Decimal("42.2"))]
    assert shop.ask("select document_type from analytics.document") == [("invoice",)]
    done = shop.dbt("build", "--select", "vector_runtime.ledgers.run", "vector_runtime.documents.document")
    assert done.success, done.output
    assert {result.node.resource_type for result in done.results} >= {"model", "test", "unit_test"}
    assert all(result.node.package_name == "vector_runtime" for result in done.results)


def test_documents_spaces_and_policies_are_its_own_with_defaults_for_what_they_lack(shop):
    assert shop.ask("select source_id, title from document_input order by all") == [
        ("article:1", "Returns"), ("article:2", "Gift cards"), ("article:3", "Delivery"),
        ("ticket:1", "Lamp broken"), ("ticket:2", "Late"),
    ]  # fmt: skip
    assert shop.ask("select space_key, normalize_flag, distance_metric, is_active from embedding_space") == [
        ("hash", True, "cosine", True)
    ]
    assert shop.ask("select distinct query_kind from eval_query_input") == [(None,)]
    assert shop.ask("select overlap, max_chunks_per_source, is_active, method from chunk_policy_input") == [
        (0, 1000, True, None)
    ]
    assert shop.ask("select distinct policy_version from source_registry") == [("shop-200-v1",)]
    # None of the demo's, nor the seeds that its own relations replace.
    assert (
        shop.ask("""
        select table_name from information_schema.tables
        where table_name in ('page', 'eval_query', 'chunk_policy', 'embedding_space_seed', 'stg_page')
    """)
        == []
    )


def test_the_chain_works_where_its_schemas_went(shop):
    assert shop.vector("search", "How do I return a parcel?").exit_code == 0
    # As its variables say under the package's scope.
    assert shop.ask("select query_text from retrieval") == [("[redacted]",)]
    assert shop.vector("spaces", "evaluate", "hash").exit_code == 0
    published = shop.vector("spaces", "publish", "hash")
    assert published.exit_code == 0, published
    assert "data tests passed" in published.stdout
    assert shop.ask("select status from space_status") == [("live",)]


def test_another_target_has_schemas_of_its_own(shop):
    done = shop.build("--target", "other", "--select", "+document_input")
    assert done.success, done.output
    assert shop.ask('select count(*) from "other_Vector Search".document_input') == [(5,)]


TICKET = "models/vector_ticket.sql"


@pytest.mark.parametrize(
    ("path", "old", "new", "told"),
    [
        (TICKET, '    "Subject" as title,\n', "", "Document model vector_ticket lacks title; a document has"),
        (
            TICKET, "concat('ticket:', \"Ticket-Id\")", '"Ticket-Id"',
            "Document model vector_ticket has source_id as integer, not as text; a document has the columns",
        ),
        (
            TICKET, "concat('ticket:', \"Ticket-Id\")", "concat('article:', \"Ticket-Id\")",
            "is_in_one_document_model: source_id article:1 is in vector_article and vector_ticket",
        ),
        (TICKET, "'help_desk', 'tickets') }}", "'help_desk', 'tickets') }} where 1 = 0",
         "document_model_has_rows: vector_ticket has no row"),
        ("seeds/vector_chunk_policy.csv", "chunk_size", "size",
         "vector_chunk_policy lacks the column chunk_size; it needs policy_version, source_type, chunk_size, and may"),
        ("seeds/vector_space.csv", "space_key,", "key,", "vector_space lacks the column space_key; it needs"),
        ("dbt_project.yml", "vector_ticket, vector_article]", "vector_ticket, vector_letter]", "vector_letter"),
        ("dbt_project.yml", "[vector_ticket, vector_article]", "[]", "No document model: name models of yours in"),
    ],
    ids=["no column", "a type", "same id", "no row", "policy's column", "space's column", "no model", "no documents"],
)  # fmt: skip
def test_what_it_breaks_is_one_line_that_names_it(shop, path, old, new, told):
    shop.edit(path, old, new)
    lines = [line for line in shop.faults(*DOCUMENTS) if told in line]
    assert len(set(lines)) == 1, lines


def test_a_missing_seed_is_named(shop):
    shop.remove("seeds/vector_space.csv")
    (line,) = {line for line in shop.faults(*DOCUMENTS) if "vector_space" in line}
    assert "embedding_space_input" in line


def test_a_run_that_does_not_touch_the_package_is_not_its_business(shop):
    shop.edit("dbt_project.yml", "+schema: Vector Search", "+schema: llm")
    assert shop.dbt("run", "--select", "document", "--exclude", "package:vector_runtime").success
    done = shop.dbt("run", "--select", "document_input")
    assert not done.success
    assert "document_input would be built into the schema llm, which belongs to another runtime" in done.output


def test_from_nothing_to_an_answer(tmp_path):
    """What the README tells a user to do, in a project that has one table of texts."""
    (tmp_path / "dbt_project.yml").write_text("name: mine\nversion: 1.0.0\nprofile: mine\n", encoding="utf-8")
    profile = f"{{type: duckdb, path: '{tmp_path / 'mine.duckdb'}', schema: main}}"
    (tmp_path / "profiles.yml").write_text(f"mine: {{target: dev, outputs: {{dev: {profile}}}}}\n", encoding="utf-8")
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "ticket.csv").write_text(
        "ticket_id,subject,body\n1,Lamp,The lamp is broken.\n2,Parcel,Where is my parcel?\n", encoding="utf-8"
    )
    here = ["--project-dir", str(tmp_path), "--profiles-dir", str(tmp_path)]
    asked = [
        "--local",
        str(PROJECT_DIR),
        "--from",
        "ticket",
        "--id",
        "ticket_id",
        "--text",
        "body",
        "--title",
        "subject",
    ]
    with clean_environment():
        assert main(["init", *asked, *here]) == 0
        deps = [Path(sys.executable).with_name("dbt"), "deps", *here]
        subprocess.run(deps, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
        assert main(["refresh", "--quiet", *here]) == 0
        assert main(["doctor", *here]) == 0
        assert main(["search", "Which light does not work?", "--top-k", "1", *here]) == 0
    with duckdb.connect(str(tmp_path / "mine.duckdb")) as connection:
        assert connection.execute("select source_id from main_vector.retrieval_audit").fetchall() == [("ticket:1",)]

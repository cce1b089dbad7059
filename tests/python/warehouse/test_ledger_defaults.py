"""What an INSERT by hand leaves out of a ledger is filled in by the engine, as the records of Python fill it in."""

import json
import re
import uuid
from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
import yaml
from support import PROJECT_DIR

from vector.contracts import ledgers
from vector.contracts.models import JobStatus, JobType, VectorJob, _now

# Of these Python makes the id from what the row says: a random one would be wrong.
DERIVED_IDS = {"embedding_space_id", "evaluation_interval_id"}


def declared(table: str) -> dict[str, object]:
    """{column: its default in the yml} of a ledger; None where it has none."""
    (model,) = yaml.safe_load((PROJECT_DIR / f"models/ledgers/{table}.yml").read_text(encoding="utf-8"))["models"]
    return {column["name"]: column.get("config", {}).get("meta", {}).get("default") for column in model["columns"]}


@pytest.mark.parametrize("ledger", ledgers.LEDGERS, ids=lambda ledger: ledger.table)
def test_the_engine_fills_in_what_python_fills_in(ledger):
    found, (first, *_) = declared(ledger.table), ledger.column_names
    for field, name in zip(fields(ledger.record), ledger.column_names, strict=True):
        if field.default_factory is _now or name == "updated_utc":
            expected = "current_utc()"
        elif name == first and name not in DERIVED_IDS and name in (f"{ledger.table}_id", "publication_id"):
            expected = None if ledger.table == "chunk" else "random_id()"
        elif field.default is MISSING or field.default is None:
            expected = None
        else:
            expected = getattr(field.default, "value", field.default)
        assert found[name] == expected, name


@pytest.fixture
def connection(project):
    """In a session of another time zone."""
    with project.connect() as opened:
        opened.execute("set timezone = 'Asia/Tokyo'")
        yield opened


def inserted(connection, sql: str, *parameters: object) -> dict[str, object]:
    """The row of an INSERT."""
    cursor = connection.execute(f"{sql} returning *", parameters)
    names = [column[0] for column in cursor.description]
    (row,) = cursor.fetchall()
    return dict(zip(names, row, strict=True))


def test_a_row_by_hand_has_its_id_its_times_and_its_state(connection, space):
    def is_now(moment: datetime) -> bool:
        return abs(datetime.now(UTC).replace(tzinfo=None) - moment) < timedelta(minutes=5)

    job = inserted(connection, "insert into job (job_type, input_json) values ('EMBED_CHUNKS', '{}')")
    another = inserted(connection, "insert into job (job_type, input_json) values ('EMBED_CHUNKS', '{}')")
    assert uuid.UUID(job["job_id"]).version == uuid.UUID(another["job_id"]).version == 4
    assert job["job_id"] != another["job_id"]
    like = VectorJob.create_new(JobType.EMBED_CHUNKS, {})
    for name in ("priority", "max_attempts", "attempt_count", "by_hand_flag", "locked_by", "dedupe_key"):
        assert job[name] == getattr(like, name)
    assert job["status"] == JobStatus.NEW.value
    assert is_now(job["created_utc"])
    assert is_now(job["available_utc"])

    run = inserted(connection, "insert into run (job_id, worker_id) values (?, 'by hand')", job["job_id"])
    assert (run["status"], is_now(run["started_utc"])) == ("RUNNING", True)
    source = inserted(
        connection,
        "insert into source_registry (source_id, source_type, source_ref_json) values ('hand:1', 'note', '{}')",
    )
    assert (source["status"], source["managed_by"], source["chunk_capped_flag"]) == ("indexed", "python", False)
    assert is_now(source["created_utc"])
    assert is_now(source["updated_utc"])
    retrieval = inserted(
        connection,
        "insert into retrieval (embedding_space_id, query_text, query_sha256, top_k) values (?, '?', sha256('?'), 5)",
        space.embedding_space_id,
    )
    assert retrieval["exact_flag"] is True
    assert uuid.UUID(retrieval["retrieval_id"]).version == 4


@pytest.mark.parametrize(
    ("sql", "column"),
    [
        (
            "insert into retrieval (embedding_space_id, query_text, top_k) values ('s', '?', 5)",
            "retrieval.query_sha256",
        ),
        (
            "insert into retrieval_hit (retrieval_id, rank, chunk_id, score) values ('r', 1, 'c', 0.5)",
            "retrieval_hit.content_sha256",
        ),
        (
            "insert into embedding (chunk_id, embedding_space_id, input_content_sha256, vector, vector_sha256)"
            " values ('c', 's', 'h', [0.5], 'v')",
            "embedding.dimensions",
        ),
        (
            "insert into embedding_space (space_key, provider, model_name, dimensions) values ('s', 'hash', 'hash', 8)",
            "embedding_space.embedding_space_id",
        ),
    ],
)
def test_what_follows_from_other_columns_is_asked_for_by_name(connection, sql, column):
    with pytest.raises(duckdb.ConstraintException, match=f"NOT NULL constraint failed: {column}"):
        connection.execute(sql)


def test_the_columns_of_before_are_in_the_views_of_the_docs(connection):
    (views,) = re.findall(
        r"^```sql\n(.*?)^```", (PROJECT_DIR / "docs/schema.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    connection.execute(views)
    for table, new, old in (
        ("embedding", "vector", "vector_json"),
        ("retrieval", "query_embedding", "query_embedding_json"),
    ):
        (text, vector), *_ = connection.execute(
            f"select compat.{table}.{old}, vector.{table}.{new} from compat.{table} inner join vector.{table}"
            f" using ({table}_id) where {new} is not null"
        ).fetchall()
        assert json.loads(text) == pytest.approx(vector)

"""Times of sources are UTC, whatever zone the session or the value has; what cannot be kept names its row."""

from datetime import UTC, datetime, timedelta, timezone

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tsql.to_duckdb import teach, to_duckdb

from vector.contracts.models import VectorSourceRegistry
from vector.errors import InvalidRecord
from vector.store import VectorStore

# One west of Greenwich, one east by three quarters of an hour, both with a change of the clocks or a history of them.
ZONES = ("UTC", "America/New_York", "Asia/Kathmandu")

# A value of a source, as DuckDB's SQL words it, and the time that the ledger keeps of it.
VALUES = {
    # Texts: with a zone or an offset converted, without one taken as UTC.
    "'2024-01-01T00:00:00Z'": "2024-01-01 00:00:00",
    "'2024-01-01t00:00:00z'": "2024-01-01 00:00:00",
    "'2024-01-01 00:00:00+02'": "2023-12-31 22:00:00",
    "'2024-01-01T00:00:00.25-05:30'": "2024-01-01 05:30:00.25",
    "'2024-01-01 00:00:00 +0545'": "2023-12-31 18:15:00",
    "'2024-01-01 00:00:00 UTC'": "2024-01-01 00:00:00",
    "' 2024-01-01 10:20 '": "2024-01-01 10:20:00",
    "'2024-01-01'": "2024-01-01 00:00:00",
    # Hours that a change of the clocks leaves out, or has twice, in New York.
    "'2024-03-10T02:30:00'": "2024-03-10 02:30:00",
    "'2024-11-03T01:30:00'": "2024-11-03 01:30:00",
    "timestamp '2024-03-10 02:30'": "2024-03-10 02:30:00",
    "timestamptz '2024-11-03 01:30:00-05'": "2024-11-03 06:30:00",
    "timestamptz '2024-11-03 01:30:00-04'": "2024-11-03 05:30:00",
    # Before 1970, and before zones were whole hours.
    "'1960-05-05T00:00:00-11:00'": "1960-05-05 11:00:00",
    "timestamptz '1850-01-01 00:00:00+00'": "1850-01-01 00:00:00",
    "date '1582-10-15'": "1582-10-15 00:00:00",
    "timestamp_ns '2024-01-01 00:00:00.123456'": "2024-01-01 00:00:00.123456",
    # The first and the last of what all engines have.
    "'0001-01-01'": "0001-01-01 00:00:00",
    "timestamp '9999-12-31 23:59:59.999999'": "9999-12-31 23:59:59.999999",
    # What cannot be kept.
    "'0001-01-01T00:00+02:00'": None,
    "'9999-12-31T23:00:00-05:00'": None,
    "'12000-01-01'": None,
    "timestamptz '12000-01-01 00:00:00+00'": None,
    "date '12000-01-01'": None,
    "timestamp '0044-03-15 (BC) 00:00:00'": None,
    "timestamptz 'infinity'": None,
    "timestamp '-infinity'": None,
    "'2024-02-30'": None,
    "'2024-01-01 10:00 pm'": None,
    "'2024-01-01 00:00:00 Europe/Berlin'": None,
    "'2024-01-01 00:00:00+25:00'": None,
    "'2024-01-01 00:00:00-14:30'": None,
    "'2024-01-01 00:00:00+05:99'": None,
    "'2016-12-31T23:59:60Z'": None,
    "'yesterday'": None,
    "''": None,
    "20240101": None,
    "null": None,
}


@pytest.fixture(scope="module")
def as_timestamp(kept_project):
    """The SQL of the macro, over a column `moment` of a table `given`."""
    kept_project.reset()
    return kept_project.compiled("select {{ as_timestamp('moment') }} as kept from given")


@pytest.mark.parametrize("zone", ZONES)
def test_a_time_is_kept_in_utc_whatever_the_sessions_zone(as_timestamp, zone):
    with duckdb.connect() as connection:
        connection.execute(f"set TimeZone = '{zone}'")
        kept = {}
        for value in VALUES:
            connection.execute(f"create or replace table given as select {value} as moment")
            (kept[value],) = connection.execute(f"select cast(kept as varchar) from ({as_timestamp})").fetchone()
        assert kept == VALUES


moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31))
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(max_examples=60, deadline=None)
@given(given_moments=st.lists(st.tuples(moments, offsets), min_size=1, max_size=20), zone=st.sampled_from(ZONES))
def test_any_text_with_an_offset_is_converted(as_timestamp, given_moments, zone):
    aware = [moment.replace(tzinfo=offset) for moment, offset in given_moments]
    with duckdb.connect() as connection:
        connection.execute(f"set TimeZone = '{zone}'")
        connection.execute("create table given (moment varchar)")
        connection.executemany("insert into given values (?)", [(moment.isoformat(),) for moment in aware])
        kept = [row[0] for row in connection.execute(as_timestamp).fetchall()]
    assert kept == [moment.astimezone(UTC).replace(tzinfo=None) for moment in aware]


@pytest.fixture(scope="module")
def in_tsql(parsed_folder):
    """The T-SQL of the macro, in DuckDB's words."""
    from tsql.project import run_dbt

    done = run_dbt(
        "compile", "--quiet", "--no-populate-cache", "--no-introspect", "--inline",
        "select {{ as_timestamp('moment') }} as kept from given", folder=parsed_folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "datetimeoffset" in done.stdout
    return to_duckdb(done.stdout, "memory")


def test_t_sql_keeps_the_same_times(in_tsql):
    # What only DuckDB's types have, and the forms of a text that SQL Server reads otherwise, or not at all.
    foreign = ("infinity", "12000", "BC", "UTC", "+0545", "+02'", "20240101", " pm", "Berlin", "timestamp_ns", "t00")
    with duckdb.connect() as connection:
        teach(connection)
        for value, kept in VALUES.items():
            if not any(word in value for word in foreign):
                connection.execute(f"create or replace table given as select {value} as moment")
                found = connection.execute(f"select cast(kept as varchar) from ({in_tsql})").fetchone()
                assert (value, *found) == (value, kept)


# A warehouse

MIXED = """
select
    concat('event:', n) as source_id, 'event' as source_type, '{"n":1}' as source_ref_json, 'T' as title,
    concat('text ', n) as content, '{}' as tags_json, moment as updated_utc
from (values (1, '2024-07-01T12:00:00+02:00'), (2, '2024-07-01 12:00:00'), (3, '0044-03-15 (BC)'), (4, 'gestern'))
    as given (n, moment)
"""
ZONED = """
select
    'entity:zoned' as source_id, 'entity' as source_type, cast(null as varchar) as source_ref_json, 'T' as title,
    'text' as content, '{}' as tags_json, timestamptz '2024-07-01 12:00:00+02:00' as updated_utc
union all
select 'entity:late', 'entity', '{}', 'T', 'text', '{}', timestamptz '12000-01-01 00:00:00+00'
"""


@pytest.mark.long
def test_builds_under_three_zones_write_once_and_name_what_cannot_be_kept(project):
    project._write(project.folder / "models/demo/stg_event.sql", MIXED)
    project._write(project.folder / "models/demo/stg_entity.sql", ZONED)
    selected = ("run", "-s", "demo", "documents", "source_registry", "chunk", "chunk_version", "chunk_catalog")
    written = None
    for zone in ZONES:
        project._write(project.folder / "profiles.yml", PROFILE_IN.format(database=project.database_path, zone=zone))
        done = project.dbt(*selected)
        assert done.success, done.output
        rows = project.query(
            "select source_id, source_updated_utc, status, error_message, chunk_count, updated_utc from source_registry"
            " where source_type in ('event', 'entity') and retired_utc is null order by source_id"
        )
        assert written in (None, rows), "another zone rewrites nothing"
        written = rows
    noon = datetime(2024, 7, 1, 12)
    unfit = "updated_utc is no time of the years 1 to 9999 in UTC: "
    assert [row[:2] + row[2:5] for row in written] == [
        ("entity:late", None, "error", unfit + "12000-01-01 00:00:00", 1),
        ("entity:zoned", noon - timedelta(hours=2), "error", "source_ref_json is null", 1),
        ("event:1", noon - timedelta(hours=2), "indexed", None, 1),
        ("event:2", noon, "indexed", None, 1),
        ("event:3", None, "error", unfit + "0044-03-15 (BC)", 1),
        ("event:4", None, "error", unfit + "gestern", 1),
    ]
    with project.store() as store:
        assert len(store.list_sources("entity")) >= 2
    warned = project.dbt("test", "-s", "source_can_be_indexed")
    assert "source_can_be_indexed" in warned.ended("warn")


PROFILE_IN = """\
vector_runtime:
  target: duckdb
  outputs:
    duckdb: {{type: duckdb, path: '{database}', schema: vector, threads: 1, settings: {{TimeZone: '{zone}'}}}}
"""


@pytest.mark.parametrize("kept", ["12000-01-01", "0044-03-15 (BC)"])
def test_a_time_that_an_earlier_version_kept_breaks_no_list(store: VectorStore, caplog, kept):
    changed = f"update vector.source_registry set source_updated_utc = '{kept}' where source_id = 'page:io'"
    store.engine.connection.execute(changed)
    assert store.get_source("page:io").source_updated_utc is None
    assert len(store.list_sources()) > 100
    assert "source_registry page:io: source_updated_utc is " in caplog.text


def test_a_row_that_cannot_be_read_is_named(store: VectorStore):
    store.engine.connection.execute("update vector.source_registry set tags_json = '{' where source_id = 'page:io'")
    assert len(store.list_sources()) > 100
    with pytest.raises(InvalidRecord, match="source_registry page:io: tags_json is no JSON that can be read"):
        list(store.get_source("page:io").tags)


def test_a_record_that_cannot_be_kept_is_named(store: VectorStore):
    with pytest.raises(InvalidRecord, match=r"^source_registry note:9: source_ref_json is null; give a value$"):
        store.save_sources([VectorSourceRegistry("note:8", "note", {}), VectorSourceRegistry("note:9", "note", None)])
    assert store.get_source("note:8") is None
    late = datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))
    with pytest.raises(InvalidRecord, match="VectorSourceRegistry note:9: source_updated_utc 9999-12-31T23:59:59"):
        VectorSourceRegistry("note:9", "note", {}, source_updated_utc=late)
    described = VectorSourceRegistry("note:9", "note", {}).to_dict()
    with pytest.raises(InvalidRecord, match="source_updated_utc: .*12000-01-01.*note:9"):
        VectorSourceRegistry.from_dict({**described, "source_updated_utc": "12000-01-01"})

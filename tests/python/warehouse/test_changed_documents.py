"""A build cuts only the documents that have changed, and leaves the ledgers as a cut of all of them would."""

import random

import pytest
from support import ScratchProject, read_csv

pytestmark = pytest.mark.long

TEXT = "The moon {} has craters and no air.\nIts name is old, and nobody knows who gave it. " * 30
CHUNKS = (
    "select chunk_id, source_id, source_type, source_ref_json, offsets_json, content, context, content_sha256,"
    " byte_count, policy_json, document_sha256 from "
)
COUNTS = (
    "select source_id, source_type, title, content_sha256, char_count, policy_version, chunk_count, chunk_capped_flag,"
    " blank_char_count, tags_json, status, error_message, document_sha256 from "
)


@pytest.fixture(scope="module")
def kept_moons(kept_project: ScratchProject, tmp_path_factory: pytest.TempPathFactory) -> ScratchProject:
    project = kept_project.beside(tmp_path_factory.mktemp("moons") / "project")
    with project.connect() as connection:
        connection.execute(
            """
            create table moon as
            select
                concat('event:', n) as source_id,
                case when n < 3 then 'note' else 'event' end as source_type,
                '{}' as source_ref_json,
                concat('Moon ', n) as title,
                concat(
                    replace($text, '{}', n::varchar), case when n % 4 = 1 then repeat(chr(10), 4000) else '' end
                ) as content,
                '{}' as tags_json,
                timestamp '2026-01-01' as updated_utc
            from range(12) as numbers (n)
            """,
            {"text": TEXT},
        )
    project._write(project.folder / "models/demo/stg_event.sql", "select * from {{ target.schema }}.moon")
    project.write_rows(
        "chunk_policy",
        [
            *read_csv(project.seed_path("chunk_policy")),
            {"policy_version": "note-v1", "source_type": "note", "chunk_size": "300", "overlap": "40",
             "max_chunks_per_source": "5", "is_active": "true", "method": "characters"},
        ],
    )  # fmt: skip
    project.refresh("stg_event")
    assert_whole(project)
    project.keep()
    project._edited.clear()  # the model and the policies stay
    return project


@pytest.fixture
def moons(kept_moons: ScratchProject) -> ScratchProject:
    """Events of a table that a test writes: twelve of several chunks, of two types, some with blank windows."""
    kept_moons.reset()
    return kept_moons


def assert_whole(project: ScratchProject) -> None:
    """The current chunks and the registry are those of a cut of all documents."""
    current = " where managed_by = 'dbt' and retired_utc is null order by all"
    assert project.query(CHUNKS + "chunk" + current) == project.query(CHUNKS + "chunk_window order by all")
    assert project.query(COUNTS + "source_registry" + current) == project.query(
        COUNTS + "document_registration order by all"
    )


def write(project: ScratchProject, sql: str) -> None:
    with project.connect() as connection:
        connection.execute(sql)


def test_only_the_changed_source_is_written(moons):
    write(moons, "update moon set content = concat(content, 'The end.') where source_id = 'event:7'")
    output = moons.refresh().output
    assert "source_registry: 0 inserted, 1 updated" in output
    written = "select distinct source_id from chunk where updated_utc > created_utc and retired_utc is null"
    assert moons.query(written) == [("event:7",)]
    assert_whole(moons)


# A build that ends between the registry and the chunks


def test_chunks_that_a_killed_build_left_behind_are_cut_by_the_next(moons):
    write(moons, "update moon set content = replace(content, 'craters', 'valleys')")
    moons.build("--select", "source_registry")
    moons.refresh()
    assert_whole(moons)


def test_a_text_that_returns_after_a_killed_build(moons):
    write(moons, "create table earlier as from moon")
    write(moons, "update moon set content = concat(content, repeat('More. ', 400)), title = 'Other'")
    moons.build("--select", "source_registry")
    write(moons, "delete from moon; insert into moon from earlier")
    moons.refresh()
    assert_whole(moons)
    moons.build("--select", "source_registry")
    assert "chunk: nothing new or changed" in moons.refresh().output


def test_chunks_without_their_registry(moons):
    """As `dbt run -s chunk` cuts by hand: by the documents, whatever the registry says."""
    write(moons, "update moon set content = concat(content, 'The end.') where source_id in ('event:1', 'event:7')")
    write(moons, "delete from moon where source_id = 'event:3'")
    moons.build("--select", "chunk")
    current = " where managed_by = 'dbt' and retired_utc is null order by all"
    assert moons.query(CHUNKS + "chunk" + current) == moons.query(CHUNKS + "chunk_window order by all")
    moons.refresh()
    assert_whole(moons)


def test_a_policy_that_is_edited_without_a_new_version(moons):
    policies = moons.rows("chunk_policy")
    for policy in policies:
        policy["max_chunks_per_source"] = "3"
    moons.write_rows("chunk_policy", policies)
    moons.build("--select", "chunk_policy", "source_registry")
    moons.refresh()
    assert_whole(moons)


def test_an_earlier_version_had_no_fingerprints(moons):
    write(moons, "update chunk set document_sha256 = null; update source_registry set document_sha256 = null")
    moons.refresh()
    assert_whole(moons)
    assert "chunk: nothing new or changed" in moons.refresh().output


# Rows that were changed by hand

HEALED = {
    "a chunk is gone": "delete from chunk_version where chunk_id = '{chunk}';"
    " delete from chunk where chunk_id = '{chunk}'",
    "a chunk is retired": "update chunk set retired_utc = now() where chunk_id = '{chunk}'",
    "a chunk is Python's": "update chunk set managed_by = 'python', content = 'x' where chunk_id = '{chunk}'",
    "a chunk has no fingerprint": "update chunk set document_sha256 = null, context = 'x' where chunk_id = '{chunk}'",
    "a chunk too many": "insert into chunk select * replace ('more' as chunk_id) from chunk where chunk_id = '{chunk}'",
    "the registry has no fingerprint": "update source_registry set document_sha256 = null, chunk_count = 99"
    " where source_id = '{source}'",
    "the registry is of another text": "update source_registry set document_sha256 = 'x', chunk_count = 99"
    " where source_id = '{source}'",
    "the source is retired": "update source_registry set retired_utc = now() where source_id = '{source}'",
    "the source is Python's": "update source_registry set managed_by = 'python', chunk_count = 9"
    " where source_id = '{source}'",
    "the source has no number": "update source_registry set chunk_count = null where source_id = '{source}'",
}  # fmt: skip


@pytest.mark.parametrize("damage", HEALED)
def test_what_a_build_heals(moons, damage):
    ((chunk,),) = moons.query(
        "select chunk_id from chunk where source_id = 'event:7' and retired_utc is null order by chunk_id limit 1"
    )
    write(moons, HEALED[damage].format(chunk=chunk, source="event:7"))
    moons.refresh()
    assert_whole(moons)
    assert "chunk: nothing new or changed" in moons.refresh().output


@pytest.mark.parametrize(
    "damage",
    [
        "update chunk set content = 'x', content_sha256 = sha256('x') where source_id = 'event:7'",
        "update chunk set context = 'x' where source_id = 'event:7'",
        "update source_registry set chunk_count = 99 where source_id = 'event:7'",
    ],
)
def test_a_cut_of_all_on_request_heals_the_rest(moons, damage):
    asked = ("--vars", "cut_all: true")
    test = ("--select", "chunks_are_those_of_a_full_cut", "source_registry_matches_chunks")
    assert moons.test(*test, *asked).success
    write(moons, damage)
    moons.refresh()
    done = moons.test(*test, *asked)
    assert not done.success, done.output
    moons.build("--select", "source_registry", "chunk", "chunk_version", *asked)
    assert_whole(moons)
    assert moons.test(*test, *asked).success
    assert list(moons.test("--select", "chunks_are_those_of_a_full_cut").results) == [], "only on request"


# Anything in any order

EDITS = (
    "update moon set content = concat(content, 'The end of {n}.') where source_id = 'event:{n}'",
    "update moon set content = concat('# A heading\n', content) where source_id = 'event:{n}'",
    "update moon set content = left(content, 700) where source_id = 'event:{n}'",
    "update moon set content = concat(content, repeat(chr(10), 3000), 'x') where source_id = 'event:{n}'",
    "update moon set content = null where source_id = 'event:{n}'",
    "update moon set content = ' ' where source_id = 'event:{n}'",
    "update moon set title = 'Moon {m}' where source_id = 'event:{n}'",
    "update moon set title = null where source_id = 'event:{n}'",
    "update moon set source_type = case source_type when 'note' then 'event' else 'note' end"
    " where source_id = 'event:{n}'",
    "update moon set source_ref_json = '{{\"a\":{m}}}' where source_id = 'event:{n}'",
    "update moon set source_ref_json = null where source_id = 'event:{n}'",
    "update moon set tags_json = '{{\"a\":{m}}}' where source_id = 'event:{n}'",
    "delete from moon where source_id = 'event:{n}'",
    "delete from moon where source_id = 'event:{n}'; insert into moon"
    " select * replace ('event:{n}' as source_id) from moon where source_id = 'event:{m}'",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_any_edits_and_kills_leave_the_ledgers_as_a_full_cut_would(moons, seed):
    chance = random.Random(seed)
    for _ in range(8):
        happened = []
        for _ in range(chance.randint(0, 4)):
            sql = chance.choice(EDITS).format(n=chance.randrange(12), m=chance.randrange(12))
            if chance.random() < 0.3:
                source = f"event:{chance.randrange(12)}"
                found = moons.query("select chunk_id from chunk where source_id = ? order by chunk_id limit 1", source)
                if found:
                    sql = HEALED[chance.choice(list(HEALED))].format(chunk=found[0][0], source=source)
                    sql = sql.replace("'more'", f"'more {chance.random()}'")
            happened.append(sql)
            write(moons, sql)
        if chance.random() < 0.2:
            policies = moons.rows("chunk_policy")
            policies[-1]["chunk_size"] = str(chance.randint(200, 400))
            moons.write_rows("chunk_policy", policies)
            happened.append("a policy is edited")
        if chance.random() < 0.4:
            happened.append("killed")
            moons.build("--select", "chunk_policy", "source_registry")
        else:
            moons.refresh()
            print(happened)
            assert_whole(moons)
    moons.refresh()
    assert_whole(moons)
    assert "chunk: nothing new or changed" in moons.refresh().output

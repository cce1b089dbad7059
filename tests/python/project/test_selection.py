"""Which nodes each step is about: as options of dbt, by selector, and in a project that installs this one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from support import PROJECT_DIR, clean_copy

from vector.project.dbt import Dbt, DbtProject
from vector.project.selection import AFTER_EMBED, BEFORE_EMBED, GUARDS

OPTIONS = {"before_embed": BEFORE_EMBED, "after_embed": AFTER_EMBED, "guards": GUARDS}
NAMES = ("--output", "name", "--no-write-json")


def listed(dbt, *selection):
    return set(dbt.run("list", *NAMES, *selection).listed)


@pytest.fixture(scope="module")
def dbt(kept_project):
    """dbt on a copy that has the selectors."""
    kept_project.reset()
    shutil.copy(PROJECT_DIR / "selectors.yml", kept_project.folder)
    with Dbt(DbtProject(kept_project.folder, kept_project.folder, "duckdb")) as opened:
        yield opened
    (kept_project.folder / "selectors.yml").unlink()


@pytest.mark.long
def test_a_step_is_the_same_by_options_and_by_selector(dbt):
    steps = {name: listed(dbt, "--selector", name) for name in ("production", *OPTIONS)}
    assert {name: listed(dbt, *options) for name, options in OPTIONS.items()} == {name: steps[name] for name in OPTIONS}

    data = listed(dbt, "--exclude", "resource_type:unit_test")
    assert steps["production"] == data
    assert steps["before_embed"] | steps["after_embed"] == data
    assert not steps["before_embed"] & steps["after_embed"]
    assert {"chunk", "embedding", "space_coverage"} <= steps["before_embed"]
    early = {"chunk_policy_is_immutable", "chunks_cover_their_source", "source_can_be_indexed"}
    late = {"live_space_is_covered", "embedding_input_is_a_chunk_version", "vector_is_finite_embedding_vector"}
    assert early <= steps["before_embed"]
    assert late <= steps["after_embed"]
    invariants = {path.stem for path in PROJECT_DIR.glob("tests/invariants/*.sql")}
    assert early | late | invariants <= steps["guards"]
    assert "unique_stg_page_source_id" not in steps["guards"]


# A project that installs this one

CONSUMER = {
    "dbt_project.yml": """
        name: shop
        version: 1.0.0
        profile: vector_runtime
        flags: {require_ref_searches_node_package_before_root: true, require_generic_test_arguments_property: true,
          indirect_selection: cautious}
        """,
    "packages.yml": f"packages: [{{local: '{PROJECT_DIR.as_posix()}'}}]",
    "models/others.sql": "select 1 as one",
    "models/covered.sql": "select * from {{ ref('vector_runtime', 'space_coverage') }}",
    "models/models.yml": """
        models:
          - {name: others, columns: [{name: one, data_tests: [unique]}]}
          - {name: covered, columns: [{name: space_key, data_tests: [not_null]}]}
        """,
    "tests/ours_of_theirs.sql": "select * from {{ ref('vector_runtime', 'embedding') }} where dimensions = 3",
    "tests/invariants/ours.sql": "select one from {{ ref('others') }} where one = 2",
}


@pytest.fixture(scope="module")
def consumer(tmp_path_factory):
    """What each step is in a project that has this one installed."""
    folder = tmp_path_factory.mktemp("consumer")
    for name, text in CONSUMER.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(text), encoding="utf-8")
    shutil.copy(PROJECT_DIR / "profiles.example.yml", folder / "profiles.yml")
    command = [str(Path(sys.executable).with_name("dbt")), "deps", "--project-dir", str(folder)]
    done = subprocess.run(command, cwd=folder, env=clean_copy(os.environ), capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout
    with Dbt(DbtProject(folder, folder, "duckdb", {"alarm_max_pending": 1, "alarm_hours_without_embed": 6})) as opened:
        yield [listed(opened, *options) for options in OPTIONS.values()]


@pytest.mark.dbt
@pytest.mark.long
def test_a_consumers_other_models_are_not_built(consumer):
    before, after, guards = consumer
    assert {"chunk", "embedding", "chunk_policy_is_immutable"} <= before
    assert not {"others", "covered", "unique_others_one", "not_null_covered_space_key", "ours"} & (
        before | after | guards
    )


@pytest.mark.dbt
@pytest.mark.long
def test_what_a_consumer_tests_of_the_runtime_is_tested(consumer):
    """Its test of a ledger that Python fills, after embed; the publish gate asks for the runtime's own. Its own flag
    indirect_selection changes nothing."""
    before, after, guards = consumer
    assert {
        "ours_of_theirs",
        "pending_is_low",
        "spaces_are_embedded_into",
        "live_space_is_covered",
        "belongs_to_space_embedding_",
    } <= after
    assert not {"ours_of_theirs", "pending_is_low"} & before
    assert {path.stem for path in PROJECT_DIR.glob("tests/invariants/*.sql")} <= guards
    assert "ours_of_theirs" not in guards
    assert not {path.stem for path in PROJECT_DIR.glob("tests/alarms/*.sql")} & guards, "an alarm is of operations"

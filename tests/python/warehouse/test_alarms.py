"""Alarms: data tests that are off until a variable is set, and red when what they watch happens."""

import pytest
from support import PROJECT_DIR

pytestmark = pytest.mark.long

SET = {
    "alarm_hours_without_embed": "6",
    "alarm_min_coverage": "0.99",
    "alarm_max_pending": "5",
    "alarm_max_cost_per_day": "2.5",
}
# What happens, and what the alarm says of it.
HAPPENS = {
    "spaces_are_embedded_into": (
        "update run set completed_utc = completed_utc - interval 7 hour where run_id in (select run_id from embedding)",
        "hash: no embed run has succeeded for 7 hours",
    ),
    "coverage_is_high": (
        "delete from embedding where embedding_id in (select embedding_id from embedding limit 10)",
        "hash: 468 of 478 current chunks have a vector, 0 are quarantined",
    ),
    "pending_is_low": ("select 1", "hash: 10 chunks wait for a vector"),
    "cost_of_a_day_is_low": (
        """update run set metrics_json = '{"cost": 3.25}' where run_id in (select run_id from embedding)""",
        "the runs of the last 24 hours cost 3.2500",
    ),
}


def test_every_alarm_is_planted_here():
    assert {path.stem for path in PROJECT_DIR.glob("tests/alarms/*.sql")} == HAPPENS.keys()


def test_an_alarm_is_off_until_its_variable_is_set(project):
    assert list(project.test("--select", "tag:vector_runtime_alarm").results) == []


def test_each_alarm_is_red_when_it_happens_and_green_before(project):
    for name, value in SET.items():
        project.edit("dbt_project.yml", f"{name}: null", f"{name}: {value}")

    before = project.test("--select", "tag:vector_runtime_alarm")
    assert before.ended("pass") == HAPPENS.keys(), before.output

    with project.connect() as connection:
        for plant, _ in HAPPENS.values():
            connection.execute(plant)
    after = project.test("--select", "tag:vector_runtime_alarm")
    assert after.ended("fail") == HAPPENS.keys(), after.output
    for name, (_, said) in HAPPENS.items():
        assert f"{name}: {said}" in after.output


@pytest.mark.parametrize(
    "changed",
    ["update run set status = 'FAILED'", "update job set job_type = 'RETRIEVE_TEST'"],
    ids=["a failed run", "a run of another kind"],
)
def test_no_other_run_counts_as_an_embed(project, changed):
    project.edit("dbt_project.yml", "alarm_hours_without_embed: null", "alarm_hours_without_embed: 6")
    with project.connect() as connection:
        connection.execute(changed)
        connection.execute("update embedding_space set created_utc = created_utc - interval 7 hour")
    done = project.test("--select", "spaces_are_embedded_into")
    assert done.ended("fail") == {"spaces_are_embedded_into"}, done.output

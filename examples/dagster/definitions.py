"""The runtime in Dagster: dbt's models as assets, its tests as asset checks, and the vectors as an asset between them.

    pip install dagster dagster-webserver dagster-dbt      # beside vector-runtime
    VECTOR_PROJECT_DIR=/srv/vector dagster dev -f definitions.py

The project's folder needs the selectors.yml of the runtime and, where `dagster dev` does not make it, the manifest that
`dbt parse` writes. The steps run one after the other; on DuckDB, where one process has the file, let runs wait for each
other too (`max_concurrent_runs: 1` of the instance). Tested with dagster 1.13 and dagster-dbt 0.29.
"""

import json
import os
import subprocess
from pathlib import Path

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, DbtProject, dbt_assets

PROJECT_DIR = Path(os.environ.get("VECTOR_PROJECT_DIR", ".")).resolve()

project = DbtProject(PROJECT_DIR, profiles_dir=os.environ.get("DBT_PROFILES_DIR", PROJECT_DIR))
project.prepare_if_dev()
# Source tests are checks of the sources; they stop the step as any other.
translator = DagsterDbtTranslator(
    DagsterDbtTranslatorSettings(enable_asset_checks=True, enable_source_tests_as_checks=True)
)


@dbt_assets(manifest=project.manifest_path, project=project, selector="before_embed", dagster_dbt_translator=translator)
def before_vectors(context: dg.AssetExecutionContext, dbt: DbtCliResource):
    """What stands before the vectors, with the checks of it."""
    yield from dbt.cli(["build"], context=context).stream()


# What embed reads. All models of the first step are there by then, as they are one step.
PENDING = dg.AssetKey("embedding_pending")


@dg.asset(deps=[PENDING], kinds={"python"}, group_name="vectors")
def vectors(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The vectors that were missing, of every active space, and what they cost."""
    done = subprocess.run(["vector", "embed", "--json", "--quiet"], cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True)
    summary = json.loads(done.stdout or "{}")
    # 1: some texts were quarantined, the rest is stored.
    if done.returncode > 1:
        raise dg.Failure(summary.get("error", "see stderr"), metadata={"exit_code": done.returncode})
    spaces = summary["spaces"]
    if done.returncode == 1:
        context.log.warning("some texts were quarantined; `vector failures` lists them")
    return dg.MaterializeResult(
        metadata={
            "written": sum(space["written"] for space in spaces),
            "reused": sum(space["reused"] for space in spaces),
            "quarantined": sum(space["quarantined"] for space in spaces),
            "input_tokens": sum(space["input_tokens"] for space in spaces),
            "cost": float(sum(space["cost"] or 0 for space in spaces)),
            "spaces": dg.MetadataValue.json(spaces),
        }
    )


@dg.asset_check(asset=vectors, description="dbt's data tests of what stands on the vectors, alarms included.")
def vectors_are_sound(dbt: DbtCliResource) -> dg.AssetCheckResult:
    """One check of all the tests after embed; those that failed or warned are in its metadata."""
    done = dbt.cli(["test", "--selector", "after_embed"], raise_on_error=False)
    done.wait()
    results = done.get_artifact("run_results.json")["results"]
    tests = [each for each in results if each["unique_id"].startswith("test.")]
    told = {each["unique_id"]: each["message"] for each in tests if each["status"] != "pass"}
    failed = [each for each in results if each["status"] not in ("pass", "warn", "success")]
    return dg.AssetCheckResult(
        passed=bool(tests) and not failed,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"tests": len(tests), "not_passed": dg.MetadataValue.json(told)},
    )


refresh = dg.define_asset_job("refresh", selection=dg.AssetSelection.all())

defs = dg.Definitions(
    assets=[before_vectors, vectors],
    asset_checks=[vectors_are_sound],
    jobs=[refresh],
    schedules=[dg.ScheduleDefinition(job=refresh, cron_schedule="0 * * * *")],
    resources={"dbt": DbtCliResource(project)},
)

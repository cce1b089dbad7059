"""What dbt's manifest says of the project: who may read a model, its grain, and that all is described."""

import json

import pytest
from support import PROJECT_DIR

PUBLIC = {"space_coverage", "chunk_catalog", "retrieval_audit", "source_reach", "space_map"}
IMPLEMENTATIONS = ("default__", "sqlserver__", "spark__")


@pytest.fixture(scope="module")
def manifest(built_project) -> dict:
    return json.loads((built_project.target_path / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def models(manifest) -> dict[str, dict]:
    return {node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}


def test_analysts_are_sent_to_the_public_marts_and_no_others(models):
    table = (PROJECT_DIR / "docs/analysts.md").read_text(encoding="utf-8").partition("**Coverage.**")[0]
    assert {name for name, model in models.items() if model["access"] == "public"} == PUBLIC
    assert {name for name in models if f"| `{name}` |" in table} == PUBLIC


def test_a_public_mart_keeps_its_columns_and_types(models):
    for name in PUBLIC:
        assert all(column["data_type"] for column in models[name]["columns"].values()), name
        # dbt refuses a contract to a Python model; its hook is the contract's check.
        checked = [hook["sql"] for hook in models[name]["config"]["post-hook"]] if name == "space_map" else []
        assert models[name]["contract"]["enforced"] or "get_assert_columns_equivalent" in "".join(checked), name


def test_every_model_has_a_group(models):
    assert {name: model["group"] for name, model in models.items() if not model["group"]} == {}


def test_every_model_has_a_primary_key_test(manifest, models):
    """As dbt-project-evaluator counts: unique and not null, the latter by a test or a constraint, or the test that
    dbt_project.yml names to it."""
    tested: dict[str, set[tuple[str, str]]] = {name: set() for name in models}
    for node in manifest["nodes"].values():
        if node["resource_type"] == "test" and node.get("attached_node", "") in manifest["nodes"]:
            name = manifest["nodes"][node["attached_node"]]["name"]
            tested.setdefault(name, set()).add((node["test_metadata"]["name"], node["column_name"]))
    without = []
    for name, tests in tested.items():
        columns = models[name]["columns"] if name in models else {}
        not_null = {c for c, is_ in columns.items() if {"not_null"} & {each["type"] for each in is_["constraints"]}}
        not_null |= {column for test, column in tests if test == "not_null"}
        unique = {column for test, column in tests if test in ("unique", "is_in_one_document_model")}
        if name in models and not unique & not_null and ("is_idempotent_on", None) not in tests:
            without.append(name)
    assert without == []


def test_every_model_column_and_macro_is_described(manifest, models):
    own = {macro["name"]: macro for macro in manifest["macros"].values() if macro["package_name"] == "vector_runtime"}
    bare = []
    for name, macro in own.items():
        if _described_by(name) in own:
            continue
        # The argument of a materialization is dbt's.
        arguments = [] if name.startswith("materialization_") else macro["arguments"]
        bare += [name] if not macro["description"] else []
        bare += [f"{name}({argument['name']})" for argument in arguments if not argument["description"]]
    bare += [name for name, model in models.items() if not model["description"]]
    bare += [f"{n}.{c}" for n, model in models.items() for c, is_ in model["columns"].items() if not is_["description"]]
    assert bare == []


def test_who_reads_the_marts_is_an_exposure(manifest):
    assert {exposure["name"] for exposure in manifest["exposures"].values()} == {"embed", "search", "report"}


def test_the_demo_does_not_age_and_other_sources_do(manifest):
    for source in manifest["sources"].values():
        assert source["loaded_at_query"]
        assert not any(
            (source["freshness"] or {}).get(limit, {}).get("count") for limit in ("warn_after", "error_after")
        )


def _described_by(macro: str) -> str:
    """The dispatcher that describes an implementation."""
    return next((macro.removeprefix(prefix) for prefix in IMPLEMENTATIONS if macro.startswith(prefix)), "")

"""A variable of the project is the same to Python as to dbt, and a setting that protects privacy fails closed."""

import itertools
import logging

import pytest
import yaml
from support import clean_environment

from vector.errors import ConfigurationError
from vector.project.variables import load_variables
from vector.search.redaction import redaction_is_set

TOP = "vars:\n  redact_queries: false\n"
OWN = "vars:\n  vector_runtime:\n    redact_queries: true\n"
BOTH = "vars:\n  redact_queries: true\n  vector_runtime:\n    redact_queries: false\n"
OTHERS = "vars:\n  dbt_utils:\n    redact_queries: true\n"


@pytest.fixture(autouse=True)
def _no_variables_of_the_shell():
    with clean_environment():
        yield


@pytest.fixture
def folder(tmp_path):
    def written(text):
        (tmp_path / "dbt_project.yml").write_text(f"name: vector_runtime\n{text}", encoding="utf-8")
        return tmp_path

    return written


@pytest.mark.parametrize(
    ("text", "value"), [(TOP, False), (OWN, True), (BOTH, False), (OTHERS, None), ("", None), ("vars:\n", None)]
)
def test_the_projects_own_scope_comes_first(folder, text, value):
    assert load_variables(folder(text)).get("redact_queries") is value
    assert redaction_is_set(folder(text)) is bool(value)


def write_consumer(folder, places, packages_path="dbt_packages"):
    """A project `shop` whose package is the runtime; `places` says where the variable is set, each to its own name."""

    def scopes(top, scoped):
        values = {"redact_queries": top} if top in places else {}
        return {**values, **({"vector_runtime": {"redact_queries": scoped}} if scoped in places else {})}

    package = folder / packages_path / "vector_runtime"
    package.mkdir(parents=True, exist_ok=True)
    root = {"name": "shop", "profile": "shop", "version": "1", "vars": scopes("root_top", "root_scope")}
    if packages_path != "dbt_packages":
        root["packages-install-path"] = packages_path
    (folder / "dbt_project.yml").write_text(yaml.safe_dump(root), encoding="utf-8")
    theirs = {"name": "vector_runtime", "version": "1", "vars": scopes("package_top", "package_scope")}
    (package / "dbt_project.yml").write_text(yaml.safe_dump(theirs), encoding="utf-8")
    return {"redact_queries": "command_line"} if "command_line" in places else {}


PLACES = ("command_line", "root_scope", "root_top", "package_scope", "package_top")
SETTINGS = [each for count in range(len(PLACES) + 1) for each in itertools.combinations(PLACES, count)]


@pytest.mark.parametrize("places", SETTINGS, ids="+".join)
def test_in_a_project_that_has_installed_the_runtime_the_order_is_dbts(tmp_path, places):
    given = write_consumer(tmp_path, places)
    found = load_variables(tmp_path, given).get("redact_queries", "default")
    assert found == dbts_own(tmp_path, given) == (places[0] if places else "default")


def dbts_own(folder, given):
    """What `var` of dbt gives to the package, by dbt's own code."""
    from types import SimpleNamespace

    from dbt.config.project import VarProvider
    from dbt.context.configured import ConfiguredVar

    def project(path):
        content = yaml.safe_load((path / "dbt_project.yml").read_text(encoding="utf-8"))
        return SimpleNamespace(project_name=content["name"], vars=VarProvider(content["vars"]))

    root, package = project(folder), project(folder / "dbt_packages" / "vector_runtime")
    root.cli_vars, root.credentials = given, SimpleNamespace(type="duckdb")
    root.load_dependencies = lambda: {"shop": root, "vector_runtime": package}
    return ConfiguredVar({}, root, "vector_runtime")("redact_queries", "default")


def test_packages_may_be_installed_elsewhere(tmp_path):
    write_consumer(tmp_path, ["package_top"], packages_path="vendor/dbt")
    assert load_variables(tmp_path).get("redact_queries") == "package_top"


@pytest.mark.parametrize(
    ("scope", "redacts"),
    [
        ("vars: {vector_runtime: {redact_queries: true}}", True),
        ("vars: {redact_queries: true}", True),
        ("vars: {shop: {redact_queries: true}}", True),
        ("vars: {vector_runtime: {redact_queries: false}}", False),
        ("", True),  # the package's own default is not known
        ("vars: {another_package: {redact_queries: false}}", True),
    ],
)
def test_without_the_package_what_cannot_be_read_is_redacted(tmp_path, caplog, scope, redacts):
    (tmp_path / "dbt_project.yml").write_text(f"name: shop\n{scope}\n", encoding="utf-8")
    assert redaction_is_set(tmp_path) is redacts
    told = "run `dbt deps`" in caplog.text
    assert told is (redacts and "true" not in scope)


def test_without_a_project_questions_are_redacted_unless_the_environment_says_otherwise(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert redaction_is_set()
    assert "no dbt_project.yml" in caplog.text
    assert "VECTOR_REDACT_QUERIES" in caplog.text
    monkeypatch.setenv("VECTOR_REDACT_QUERIES", "false")
    assert not redaction_is_set()


def test_python_searches_read_the_project_that_dbt_would_find(folder, monkeypatch):
    monkeypatch.chdir(folder(OWN))
    assert redaction_is_set()
    monkeypatch.setenv("VECTOR_REDACT_QUERIES", "false")
    assert redaction_is_set(), "either may ask for it"


@pytest.mark.long
def test_dbt_finds_the_same_and_the_search_is_redacted(project):
    project.edit("dbt_project.yml", "  redact_queries: false\n", "  vector_runtime:\n    redact_queries: true\n")
    project.edit("models/state/space_status.sql", "with\n", "-- dbt says {{ var('redact_queries') }}\nwith\n")
    compiled = project.dbt("compile", "--select", "space_status", "--no-populate-cache")
    assert "-- dbt says True" in (compiled.output + compiled.results[0].node.compiled_code)
    assert project.vector("search", "a secret question", "--json").exit_code == 0
    logged = project.query("select query_text from retrieval order by created_utc desc limit 1")
    assert logged == [("[redacted]",)]


def test_vars_of_the_command_line_come_before_the_projects(project):
    count = len(project.query("select * from retrieval"))
    assert project.vector("search", "a secret question", "--vars", "{redact_queries: true}").exit_code == 0
    assert "a secret question" not in str(project.query("select query_text from retrieval"))
    assert len(project.query("select * from retrieval")) == count + 1
    refused = project.vector("search", "a question", "--vars", "{redact_queries: perhaps}")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert len(project.query("select * from retrieval")) == count + 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("vars: [1]\n", "vars in .* is not a set of keys and values"),
        ("vars: {vector_runtime: true}\n", "vector_runtime under vars in .* is not a set"),
        (
            "vars: {vector_runtime: {redact_queries: maybe}}\n",
            "redact_queries in .* is 'maybe'; it must be true or false",
        ),
        ("vars: {vector_runtime: {redact_queries: null}}\n", "redact_queries in .* is None; it must be true or false"),
        # As a variable of the shell that is not set leaves it.
        ("vars: {redact_queries: ''}\n", "redact_queries in .* is ''; it must be true or false"),
        ("vars: {redact_queries: ' '}\n", "redact_queries in .* is ' '; it must be true or false"),
        (
            "vars: {redact_queries: \"{{ env_var('REDACT') }}\"}\n",
            "redact_queries in .* must be true or false",
        ),
        ("vars: {", "is not valid YAML at line"),
    ],
)
def test_what_cannot_be_read_is_told_and_nothing_is_logged(folder, text, told):
    with pytest.raises(ConfigurationError, match=told):
        redaction_is_set(folder(text))


@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_an_empty_variable_of_the_environment_is_as_good_as_none(folder, monkeypatch, value):
    monkeypatch.setenv("VECTOR_REDACT_QUERIES", value)
    assert redaction_is_set(folder(OWN))
    assert not redaction_is_set(folder(TOP))
    with pytest.raises(ConfigurationError, match="redact_queries in .* is ''"):
        redaction_is_set(folder(TOP), {"redact_queries": value.strip()})

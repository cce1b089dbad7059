"""A variable of dbt_project.yml is the same to Python as to dbt."""

import pytest

from vector.errors import ConfigurationError
from vector.project.variables import project_var
from vector.redaction import redaction_is_set

TOP = "vars:\n  redact_queries: false\n"
OWN = "vars:\n  vector_runtime:\n    redact_queries: true\n"
BOTH = "vars:\n  redact_queries: true\n  vector_runtime:\n    redact_queries: false\n"
OTHERS = "vars:\n  dbt_utils:\n    redact_queries: true\n"


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
    assert project_var(folder(text), "redact_queries") is value
    assert redaction_is_set(folder(text)) is bool(value)


def test_dbt_finds_the_same_and_the_search_is_redacted(project):
    project.edit("dbt_project.yml", "  redact_queries: false\n", "  vector_runtime:\n    redact_queries: true\n")
    project.edit("models/vector/space_status.sql", "with\n", "-- dbt says {{ var('redact_queries') }}\nwith\n")
    compiled = project.dbt("compile", "--select", "space_status", "--no-populate-cache")
    assert "-- dbt says True" in (compiled.output + compiled.results[0].node.compiled_code)
    assert project.vector("search", "a secret question", "--json").exit_code == 0
    logged = project.query("select query_text from retrieval order by created_utc desc limit 1")
    assert logged == [("[redacted]",)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("vars: [1]\n", "vars in .* is not a set of keys and values"),
        ("vars: {vector_runtime: true}\n", "vector_runtime under vars in .* is not a set"),
        (
            "vars: {vector_runtime: {redact_queries: maybe}}\n",
            "redact_queries in .* is 'maybe'; it must be true or false",
        ),
        ("vars: {", "is not valid YAML at line"),
    ],
)
def test_what_cannot_be_read_is_told(folder, text, told):
    with pytest.raises(ConfigurationError, match=told):
        redaction_is_set(folder(text))

"""`vector init` in the files of other people's projects, and what `vector doctor` says of them. No dbt runs here."""

import json

import pytest
import yaml
from support import PROJECT_DIR, clean_environment

import vector
from vector.cli import main

FLAG = "require_ref_searches_node_package_before_root"
SHAPES = {
    "bare": "name: mine\nprofile: mine\n",
    "no end of line": "name: mine\nprofile: mine",
    "comments": "name: mine # ours\n\n# models\nmodels: # all\n  # of ours\n  mine:\n    +materialized: table\n",
    "four blanks": "name: mine\nmodels:\n    mine:\n        +materialized: table\nvars:\n    a: 1\nflags:\n    b: 1\n",
    "empty": "name: mine\nvars:\nmodels:\nflags:\n",
    "others' scopes": "name: mine\nvars:\n  other:\n    documents: [x]\n  mine: {a: 1}\n",
}


@pytest.fixture
def project(tmp_path):
    def made(text, packages=None):
        (tmp_path / "dbt_project.yml").write_text(text, encoding="utf-8")
        if packages is not None:
            (tmp_path / "packages.yml").write_text(packages, encoding="utf-8")
        return tmp_path

    with clean_environment():
        yield made


def init(folder, *arguments):
    return main(["init", "--project-dir", str(folder), "--local", "../runtime", *arguments])


def loaded(folder, name="dbt_project.yml"):
    return yaml.safe_load((folder / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_what_was_there_stays_and_what_was_missing_is_added_once(project, text):
    folder = project(text)
    assert init(folder, "--from", "ticket") == 0
    before, after = yaml.safe_load(text), loaded(folder)
    assert after["flags"] == {**(before.get("flags") or {}), FLAG: True}
    assert after["models"] == {**(before.get("models") or {}), "vector_runtime": {"+schema": "vector"}}
    assert after["vars"] == {**(before.get("vars") or {}), "vector_runtime": {"documents": ["vector_ticket"]}}
    written = (folder / "dbt_project.yml").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line not in written.splitlines()] == []
    assert loaded(folder, "packages.yml") == {"packages": [{"local": "../runtime"}]}
    contents = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert init(folder, "--from", "ticket") == 0
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == contents


@pytest.mark.parametrize("text", ["name: mine\nflags: {a: true}\n", "name: mine\nmodels: {mine: {a: 1}}\n"])
def test_a_file_that_cannot_be_extended_is_left_as_it_is_and_the_lines_are_told(project, text, capsys):
    folder = project(text)
    assert init(folder) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be extended here: add `" in line
    key = "flags" if "flags" in text else "models"
    assert yaml.safe_load((folder / "dbt_project.yml").read_text(encoding="utf-8"))[key] == yaml.safe_load(text)[key]


def test_packages_that_are_there_stay(project):
    folder = project("name: mine\n", "packages:\n- package: dbt-labs/dbt_utils\n  version: 1.3.0\n")
    assert main(["init", "--project-dir", str(folder), "--git", "https://example.com/o/vector-runtime"]) == 0
    assert loaded(folder, "packages.yml")["packages"] == [
        {"git": "https://example.com/o/vector-runtime", "revision": f"v{vector.__version__}"},
        {"package": "dbt-labs/dbt_utils", "version": "1.3.0"},
    ]


def test_a_second_document_is_named_by_hand(project, capsys):
    folder = project("name: mine\n")
    assert init(folder, "--from", "ticket") == 0
    assert init(folder, "--from", "shop.Orders", "--id", "order_id", "--text", "note") == 2
    assert "documents: [vector_ticket, vector_orders]" in capsys.readouterr().err
    sql = (folder / "models" / "vector_orders.sql").read_text(encoding="utf-8")
    assert "from {{ source('shop', 'Orders') }}" in sql


@pytest.mark.parametrize("arguments", [["--from", "a.b.c"], ["--from", "a; drop"], ["--from", "a", "--id", "x y"]])
def test_names_that_are_none_are_refused(project, arguments):
    folder = project("name: mine\n")
    assert init(folder, *arguments) == 2
    assert not (folder / "models").exists()


def test_the_runtimes_own_project_needs_none(capsys):
    assert init(PROJECT_DIR) == 2
    assert "is the runtime's own project" in capsys.readouterr().err


def installed(folder, version):
    package = folder / "dbt_packages" / "vector_runtime"
    package.mkdir(parents=True)
    text = f"name: vector_runtime\nversion: {version}\nvars: {{documents: [], redact_queries: false}}\n"
    (package / "dbt_project.yml").write_text(text, encoding="utf-8")


def test_packages_of_different_versions_are_one_clear_line_at_every_command(project, capsys):
    folder = project("name: mine\nprofile: mine\n")
    (folder / "profiles.yml").write_text(
        "mine: {target: dev, outputs: {dev: {type: duckdb, path: x.duckdb, schema: main}}}\n", encoding="utf-8"
    )
    installed(folder, "9.9.9")
    where = ["--project-dir", str(folder), "--profiles-dir", str(folder)]
    for command in (["coverage"], ["search", "a"], ["embed"], ["jobs", "list"], ["refresh"]):
        assert main([*command, *where]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"version 9.9.9, the Python package vector-runtime of {vector.__version__}" in line, command


def test_doctor_names_each_thing_that_is_wrong_and_where_settings_come_from(project, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-shown")
    folder = project("name: mine\nprofile: mine\nvars: {vector_runtime: {redact_queries: true}}\n")
    installed(folder, vector.__version__)
    assert main(["doctor", "--project-dir", str(folder), "--profiles-dir", str(folder), "--json"]) == 2
    out = capsys.readouterr().out
    assert "sk-never-shown" not in out
    told = json.loads(out)
    wrong = {each["subject"]: each["detail"] for each in told["findings"] if not each["ok"]}
    assert set(wrong) == {"flags", "documents", "profile"}
    assert FLAG in wrong["flags"]
    assert told["variables"]["redact_queries"] == {"value": True, "source": "dbt_project.yml"}
    assert told["variables"]["documents"] == {"value": [], "source": "default"}
    assert "OPENAI_API_KEY" in told["environment"]

"""The profile reader: the same target and settings as dbt, and one clear line for each way of being wrong."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import use_home

from vector.errors import ConfigurationError
from vector.project.profile import MissingVariable, env_var, load_target, rendered
from vector.project.templates import render

PROJECT = "name: demo\nversion: '1.0'\nprofile: \"{{ env_var('DEMO_PROFILE', 'demo') }}\"\n"
PROFILES = """
demo:
  target: "{{ env_var('DEMO_TARGET', 'duckdb') }}"
  outputs:
    duckdb:
      type: duckdb
      path: "{{ env_var('DEMO_PATH', 'demo.duckdb') }}"
      schema: vector
      threads: "{{ env_var('DEMO_THREADS', '4') | as_number }}"
      extensions: [json, "{{ 'icu' }}"]
      settings: {memory_limit: "1GB", stamp: 2024-01-02}
      keep_open: "{{ env_var('DEMO_OPEN', 'True') | as_bool }}"
    sqlserver:
      type: sqlserver
      driver: "ODBC Driver 18 for SQL Server"
      server: "{{ env_var('DEMO_HOST') }}"
      port: "{{ env_var('DEMO_PORT', '1433') | as_native }}"
      database: "db_{{ env_var('DEMO_DATABASE', 'demo') }}_x"
      schema: vector
      user: "{{ env_var('DEMO_USER', '007') }}"
      password: "{{ env_var('DBT_ENV_SECRET_DEMO_PASSWORD') }}"
      encrypt: "{{ env_var('DEMO_ENCRYPT', 'true') | lower == 'true' }}"
      trust_cert: "{{ 'True' | as_bool }}"
      retries: 2
      login_timeout: "{{ '15' | as_number }}"
      tenant_id: "{{ '42' | as_text }}"
other:
  outputs:
    default: {type: duckdb, schema: main}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("DBT_", "DEMO_")):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    folder = tmp_path / "project"
    (folder / "scripts").mkdir(parents=True)
    home.mkdir()
    use_home(monkeypatch, home)
    (folder / "dbt_project.yml").write_text(PROJECT)
    (folder / "profiles.yml").write_text(PROFILES)
    monkeypatch.chdir(folder)
    return folder


def refused(message, **arguments):
    with pytest.raises(ConfigurationError, match=message) as raised:
        load_target(**arguments)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def server_environment(project, monkeypatch):
    monkeypatch.setenv("DEMO_HOST", "sql.example.org")
    monkeypatch.setenv("DEMO_USER", "0042")
    monkeypatch.setenv("DBT_ENV_SECRET_DEMO_PASSWORD", "p{w'\"$ 1")


@pytest.mark.parametrize("target", ["duckdb", "sqlserver"])
@pytest.mark.usefixtures("server_environment")
def test_settings_are_those_of_dbt(project, target):
    runtime = pytest.importorskip("dbt.config.runtime")
    from dbt.adapters.factory import load_plugin
    from dbt.config.profile import Profile, read_profile
    from dbt.config.renderer import ProfileRenderer
    from dbt.flags import set_from_args
    from dbt_common.context import set_invocation_context

    set_invocation_context(os.environ)
    set_from_args(Namespace(PROFILES_DIR=str(project), PROJECT_DIR=str(project)), None)
    ours = load_target(target=target)
    # One: what dbt renders. Two: what it makes of it, with the adapter's aliases and checks.
    raw = read_profile(str(project))["demo"]
    name, settings = Profile.render_profile(raw, "demo", target, ProfileRenderer({}))
    assert (name, settings) == (ours.name, ours.settings)
    assert list(map(type, settings.values())) == list(map(type, ours.settings.values()))
    pytest.importorskip(f"dbt.adapters.{target}")
    profile = runtime.load_profile(str(project), {}, target_override=target)
    settings = {key: value for key, value in ours.settings.items() if key not in ("type", "threads")}
    credentials = load_plugin(ours.type)
    expected = credentials.from_dict(credentials.translate_aliases(settings))
    assert profile.credentials == expected
    assert (profile.profile_name, profile.target_name) == (ours.profile, ours.name)
    assert (profile.credentials.type, profile.credentials.schema) == (ours.type, ours.schema)


def test_default_target_needs_nothing_of_the_other(project):
    target = load_target()
    assert (target.profile, target.name, target.type, target.schema) == ("demo", "duckdb", "duckdb", "vector")
    assert target.project_dir == project
    assert target.settings["threads"] == 4
    assert target.settings["keep_open"] is True
    assert target.settings["extensions"] == ["json", "icu"]


@pytest.mark.usefixtures("server_environment")
def test_target_is_chosen_as_by_dbt(monkeypatch):
    monkeypatch.setenv("DEMO_TARGET", "sqlserver")
    assert load_target().name == "sqlserver"
    monkeypatch.setenv("DBT_TARGET", "duckdb")
    assert load_target().name == "duckdb"
    monkeypatch.setenv("DBT_ENGINE_TARGET", "sqlserver")
    assert load_target().name == "sqlserver"
    assert load_target(target="duckdb").name == "duckdb"


@pytest.mark.usefixtures("project")
def test_profile_is_chosen_as_by_dbt(monkeypatch):
    monkeypatch.setenv("DEMO_PROFILE", "other")
    target = load_target()
    assert (target.profile, target.name) == ("other", "default")
    monkeypatch.setenv("DBT_PROFILE", "demo")
    assert load_target().profile == "demo"


def test_project_is_found_from_below_and_from_elsewhere(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project / "scripts")
    assert load_target().project_dir == project
    monkeypatch.chdir(tmp_path)
    assert load_target(project_dir=project).project_dir == project
    monkeypatch.setenv("DBT_PROJECT_DIR", "project")
    assert load_target().project_dir == project


def test_profiles_are_looked_for_in_order(project, tmp_path, monkeypatch):
    def write(folder, schema):
        folder.mkdir(exist_ok=True)
        (folder / "profiles.yml").write_text(f"demo: {{outputs: {{default: {{type: duckdb, schema: {schema}}}}}}}")

    write(project, "of_project")
    write(Path.home() / ".dbt", "of_home")
    assert load_target().schema == "of_project"
    # From below, dbt does not see the project's own file where there is one at home.
    monkeypatch.chdir(project / "scripts")
    assert load_target().schema == "of_home"
    write(project / "scripts", "of_scripts")
    assert load_target().schema == "of_scripts"
    write(tmp_path / "elsewhere", "of_variable")
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path / "elsewhere"))
    assert load_target().schema == "of_variable"
    assert load_target(profiles_dir=project).schema == "of_project"


def test_a_missing_variable_is_named(project, monkeypatch):
    message = refused("environment variable DEMO_HOST is not set", target="sqlserver")
    assert "'server'" in message
    monkeypatch.setenv("DEMO_HOST", "here")
    # Unlike dbt, which would log in with the template as the password.
    refused("DBT_ENV_SECRET_DEMO_PASSWORD is not set", target="sqlserver")
    monkeypatch.setenv("DBT_ENV_PRIVATE_X", "x")
    (project / "profiles.yml").write_text(PROFILES.replace("DEMO_PATH', 'demo.duckdb'", "DBT_ENV_PRIVATE_X'"))
    refused("DBT_ENV_PRIVATE_X is not set")


@pytest.mark.usefixtures("server_environment")
def test_secrets_stay_out_of_sight(monkeypatch):
    assert load_target(target="sqlserver").settings["password"] == "p{w'\"$ 1"
    assert "p{w" not in repr(load_target(target="sqlserver"))
    assert "sql.example.org" not in repr(load_target(target="sqlserver"))
    monkeypatch.setenv("DEMO_THREADS", "s3cret")
    assert "s3cret" not in refused("key 'threads' is not a number")
    monkeypatch.setenv("DEMO_THREADS", "4")
    monkeypatch.setenv("DEMO_OPEN", "s3cret")
    assert "s3cret" not in refused("key 'keep_open' is not a bool")


def test_a_password_may_look_like_a_template(project):
    (project / "profiles.yml").write_text(
        "demo: {outputs: {default: {type: duckdb, schema: s, password: 'a{{b', pass: 'fine'}}}"
    )
    assert load_target().settings["password"] == "a{{b"
    (project / "profiles.yml").write_text("demo: {outputs: {default: {type: duckdb, schema: s, pass: 'a{% s3cret'}}}")
    assert "s3cret" not in refused("key 'pass' cannot be rendered: TemplateSyntaxError")


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        (None, "copy profiles.example.yml to profiles.yml"),
        ("", "is empty"),
        ("- a", "not a set of keys"),
        ("demo: {a: b: c}", "not valid YAML at line 1, column 12: did not find expected ','"),
        ("demo: {password: *s3cret}", "not valid YAML at line 1"),
        ("demo: {password: !s3c'ret x}", "not valid YAML at line 1"),
        ('demo: {password: "\\d s3cret"}', "not valid YAML at line 1"),
        ("mine: {}\nconfig: {}", "no profile 'demo'; it has mine"),
        ("demo:", "'demo' in .* is empty"),
        ("demo: {target: x}", "no outputs"),
        ("demo: {target: [x], outputs: {b: {}}}", "no target"),
        ("demo: {outputs: {b: {}, a: {}}}", "no target 'default'; it has a, b"),
        ("demo: {outputs: {default: 3}}", "not a set of keys"),
        ("demo: {outputs: {default: {schema: s}}}", "no type: add `type: duckdb`"),
        ("demo: {outputs: {default: {type: duckdb}}}", "no schema: add `schema: vector`"),
        ("demo: {outputs: {default: {type: duckdb, schema: '{{ nothing }}'}}}", "'nothing' is undefined"),
        ("demo: {outputs: {default: {type: duckdb, schema: '{{ 1 / 0 }}'}}}", "key 'schema' cannot be rendered"),
    ],
)
def test_each_failure_is_one_clear_line(project, profiles, message):
    if profiles is None:
        (project / "profiles.yml").unlink()
    else:
        (project / "profiles.yml").write_text(profiles)
    assert "s3cret" not in refused(message)


def test_project_failures(project, tmp_path, monkeypatch):
    refused("no target 'nope'; it has duckdb, sqlserver", target="nope")
    refused("no profiles.yml in .*scripts", profiles_dir=project / "scripts")
    refused("no dbt_project.yml in", project_dir=tmp_path)
    (project / "dbt_project.yml").write_text("name: demo")
    refused("names no profile")
    (project / "dbt_project.yml").write_bytes(b"\xff\xfe\xfa")
    refused("not UTF-8")
    monkeypatch.chdir(tmp_path)
    refused("or above")


def test_a_user_without_a_home_has_the_projects_profile(project, monkeypatch):
    """As in containers that run under a number alone: neither HOME nor an entry in passwd."""

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", no_home)
    monkeypatch.chdir(project / "scripts")
    assert load_target(project_dir=project).schema == "vector"


PIECES = st.sampled_from(
    ["{{ env_var('A') }}", '{{env_var("A", "b")}}', "{{ env_var('NONE', '') }}", "{{ env_var('NONE', 'x y') }}", "{{-",
     "{{ env_var('A') -}}", "{{ env_var('A') | upper }}", "{{ env_var('NONE') }}", "{{ env_var('A', 'it\\'s') }}",
     "{# no #}", "{% if true %}y{% endif %}", "{", "}", "}}", "{{", "\n", "\r\n", "\r", " ", "a/b.duckdb", "5432", "'",
     '"', "#", "##", "%", "é"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=5).map("".join))
def test_what_is_read_without_jinja_is_what_jinja_reads(text):
    """The short way gives the same for every text, and leaves to Jinja what is Jinja's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("A", "the {{ value }} of\nA")
        patch.delenv("NONE", raising=False)
        try:
            expected = render(text, env_var)
        except MissingVariable:
            with pytest.raises(ConfigurationError, match="environment variable NONE is not set"):
                rendered(text, "here")
        except Exception:
            with pytest.raises(ConfigurationError, match="here cannot be rendered"):
                rendered(text, "here")
        else:
            assert rendered(text, "here") == expected
            assert type(rendered(text, "here")) is type(expected)

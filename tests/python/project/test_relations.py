"""Python finds the relations where dbt built them, wherever the project, its profile or another's put them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
import yaml
from support import HASH_SPACE, PROJECT_DIR, ScratchProject, clean_copy, clean_environment, use_home

from vector.engines import engine_for_target
from vector.engines.base import checked_relations
from vector.engines.duckdb.engine import DuckDBEngine
from vector.engines.sqlserver.engine import quoted as quoted_by_sqlserver
from vector.errors import ConfigurationError
from vector.project.profile import Target, load_target
from vector.project.relations import FILE, Relation, Relations, find_relations


def target_of(folder: Path, name: str = "dev", schema: str = "vector") -> Target:
    return Target("shop", name, "duckdb", schema, {"type": "duckdb", "schema": schema}, folder)


def node(name: str, schema: str, alias: str | None = None, **others) -> dict:
    return {
        "name": name, "package_name": "vector_runtime", "resource_type": "model", "fqn": ["vector_runtime", "x", name],
        "database": "warehouse", "schema": schema, "alias": alias or name, "config": {}, **others,
    }  # fmt: skip


def write_manifest(folder: Path, nodes: list[dict], target: str = "dev", schema: str = "vector") -> Path:
    """A manifest of dbt with what is read of one."""
    built_for = {"profile": "shop", "target": target, "database": "warehouse", "schema": schema}
    for each in nodes:
        if each["name"] == "embedding":
            each["config"] = {"meta": {"built_for": built_for}}
    content = {
        "metadata": {"project_name": "shop"},
        "nodes": {f"model.{n['package_name']}.{n['name']}": n for n in nodes},
    }
    path = folder / "target" / "manifest.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    os.utime(path, ns=(time.time_ns(), time.time_ns()))
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n", encoding="utf-8")
    return tmp_path


MOVED = [
    node("embedding", "vectors", "the embeddings"),
    node("chunk", "other", database="elsewhere"),
    node("eval_query", "seeds", resource_type="seed"),
    node("run", "shop", package_name="shop"),  # the consumer's own model of that name
    node("page", "raw", resource_type="seed", fqn=["vector_runtime", "demo", "page"]),
]


def test_the_manifest_says_where_a_relation_is(folder):
    write_manifest(folder, MOVED)
    found = find_relations(target_of(folder))
    assert found.of("embedding") == Relation(None, "vectors", "the embeddings")
    assert found.of("chunk") == Relation("elsewhere", "other", "chunk")
    assert found.of("eval_query") == Relation(None, "seeds", "eval_query")
    # What dbt did not build is beside the ledger.
    assert found.of("run") == Relation(None, "vectors", "run")
    assert found.of("embedding_vector_384") == Relation(None, "vectors", "embedding_vector_384")


def test_without_a_manifest_relations_are_where_dbt_puts_them_by_default(folder):
    assert find_relations(target_of(folder)) == Relations("vector")


def test_the_small_file_stands_in_for_the_manifest(folder):
    manifest = write_manifest(folder, MOVED)
    with_manifest = find_relations(target_of(folder))
    manifest.unlink()
    assert find_relations(target_of(folder)) == with_manifest


def test_a_new_manifest_replaces_what_was_kept(folder):
    write_manifest(folder, MOVED)
    find_relations(target_of(folder))
    write_manifest(folder, [node("embedding", "new")])
    assert find_relations(target_of(folder)).home == Relation(None, "new", "embedding")


def test_targets_are_told_apart(folder):
    write_manifest(folder, [node("embedding", "dev_vectors")])
    find_relations(target_of(folder))
    write_manifest(folder, [node("embedding", "prod_vectors")], target="prod")
    assert find_relations(target_of(folder, "prod")).home.schema == "prod_vectors"
    assert find_relations(target_of(folder)).home.schema == "dev_vectors", "as the target was built last"


@pytest.mark.parametrize("other", [{"name": "prod"}, {"schema": "another"}])
def test_of_another_target_nothing_is_guessed(folder, other):
    write_manifest(folder, MOVED)
    with pytest.raises(ConfigurationError, match="says where target 'dev' has its relations.*run `dbt build --target"):
        find_relations(target_of(folder, **other))


def test_a_project_that_keeps_to_the_default_needs_no_manifest_of_the_target(folder):
    write_manifest(folder, [node("embedding", "vector"), node("chunk", "vector"), MOVED[-1]])
    assert find_relations(target_of(folder, "prod", "vector_prod")) == Relations("vector_prod")


@pytest.mark.parametrize("content", [b"", b'{"nodes": {"a": {', b"[]", b'{"nodes": {"a": {}}}', b"\xff\xfe"])
def test_a_manifest_that_is_not_whole_is_told_unless_the_target_is_known(folder, content):
    (folder / "target").mkdir()
    (folder / "target" / "manifest.json").write_bytes(content)
    with pytest.raises(ConfigurationError, match="manifest.json is not whole.*run `dbt parse --target dev`"):
        find_relations(target_of(folder))
    write_manifest(folder, MOVED)
    before = find_relations(target_of(folder))
    (folder / "target" / "manifest.json").write_bytes(content)  # dbt is writing it
    assert find_relations(target_of(folder)) == before


@pytest.mark.parametrize("content", ["", "{}", '{"manifest": null, "targets": [{}]}', '{"manifest": 1, "targets": 2}'])
def test_a_small_file_that_makes_no_sense_is_written_anew(folder, content):
    write_manifest(folder, MOVED)
    (folder / "target" / FILE).write_text(content, encoding="utf-8")
    assert find_relations(target_of(folder)).home.schema == "vectors"
    assert "vectors" in (folder / "target" / FILE).read_text(encoding="utf-8")
    assert os.listdir(folder / "target") == ["manifest.json", FILE] or len(os.listdir(folder / "target")) == 2


def test_a_folder_that_cannot_be_written_to_is_read(folder, monkeypatch):
    write_manifest(folder, MOVED)
    monkeypatch.setattr("vector.project.relations.NamedTemporaryFile", _no_room)
    assert find_relations(target_of(folder)).home.schema == "vectors"


def _no_room(*arguments, **options):
    raise PermissionError("read-only")


@pytest.mark.parametrize("where", ["environment", "project"])
def test_the_target_folder_is_dbts(folder, monkeypatch, where):
    write_manifest(folder, MOVED)
    (folder / "target").rename(folder / "out")
    assert find_relations(target_of(folder)) == Relations("vector")
    if where == "environment":
        monkeypatch.setenv("DBT_TARGET_PATH", "out")
    else:
        (folder / "dbt_project.yml").write_text("name: shop\ntarget-path: \"{{ env_var('NOT_SET', 'out') }}\"\n")
    assert find_relations(target_of(folder)).home.schema == "vectors"


@pytest.mark.parametrize("schema", ["llm", "LLM"])
def test_the_schema_of_another_runtime_is_refused_wherever_it_is_named(schema):
    for relations in (Relations(schema), Relations("vector", {"run": Relation(None, schema, "run")})):
        with pytest.raises(ConfigurationError, match="belongs to another runtime"):
            checked_relations(relations)


@pytest.mark.parametrize("name", ["My-Schema", "RAW", "select", "with blank", 'a "quote"', "été", "1st", "a]b", "a.b"])
def test_any_name_is_quoted(name):
    connection = duckdb.connect()
    database = "data base"
    connection.execute(f"attach ':memory:' as \"{database}\"")
    escaped = name.replace('"', '""')
    connection.execute(
        f'create schema "{database}"."{escaped}"; create table "{database}"."{escaped}"."{escaped}" (i int)'
    )
    relations = Relations("vector", {"run": Relation(database, name, name)})
    engine = DuckDBEngine(connection, relations=relations)
    assert engine.query(f"select * from {engine.table('run')}") == []
    assert engine.missing_relations(["run", "job"]) == ["job"]
    assert quoted_by_sqlserver(name) == f"[{name.replace(']', ']]')}]"


def test_names_compare_as_duckdb_compares_them():
    connection = duckdb.connect()
    connection.execute(
        'create schema raw; create table raw.Run (i int); create schema "Ä"; create table "Ä".job (i int)'
    )
    named = {"run": Relation("MEMORY", "RAW", "run"), "job": Relation(None, "ä", "job")}
    engine = DuckDBEngine(connection, relations=Relations("raw", named))
    assert engine.query(f"select * from {engine.table('run')}") == []
    assert engine.missing_relations(["run", "job"]) == ["job"], "only letters of ASCII are the same in both cases"


# One build of a project that has installed the runtime, and moves all that can be moved.

CONSUMER = {
    "name": "shop", "version": "1.0", "profile": "shop",
    "flags": {"require_ref_searches_node_package_before_root": True},
    "vars": {"vector_runtime": {"redact_queries": True, "demo": True}},
    "models": {"vector_runtime": {"+schema": "My-Schema", "ledgers": {"embedding": {"+alias": "The_Embeddings"}}}},
    "seeds": {"vector_runtime": {"+schema": "Seeds", "demo": {"+schema": "demo"}}},
}  # fmt: skip
NAMING = """\
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ 'RAW_demo' if custom_schema_name == 'demo' else custom_schema_name ~ ' of ' ~ target.name }}
{%- endmacro %}
"""


class Consumer(ScratchProject):
    """A project `shop` beside a copy of the runtime, with an attached database that everything is built into."""

    def __init__(self, folder: Path):
        self.package = ScratchProject(folder / "runtime")
        self.package.write_rows("embedding_space_seed", [HASH_SPACE])
        self.folder, self.environment, self._manifests, self._edited = folder / "shop", {}, {}, {}
        installed = self.folder / "dbt_packages" / "vector_runtime"
        installed.parent.mkdir(parents=True)
        shutil.copytree(folder / "runtime", installed)
        (self.folder / "macros").mkdir()
        (self.folder / "macros" / "generate_schema_name.sql").write_text(NAMING)
        (self.folder / "dbt_project.yml").write_text(yaml.safe_dump(CONSUMER))
        (self.folder / "packages.yml").write_text("packages: [{local: ../runtime}]\n")
        self.write_profile(bearer_token="a-very-secret-token")
        self.database_path = self.folder / "attached here.duckdb"

    def write_profile(self, **secret: str) -> None:
        output = {
            "type": "duckdb", "path": str(self.folder / "main.duckdb"), "schema": "RAW", "database": "Vec",
            "attach": [{"path": str(self.folder / "attached here.duckdb"), "alias": "Vec"}],
            "secrets": [{"type": "http", "name": "web", **secret}], "settings": {"preserve_insertion_order": False},
        }  # fmt: skip
        profile = {"shop": {"target": "dev", "outputs": {"dev": output, "prod": {**output, "schema": "prod"}}}}
        (self.folder / "profiles.yml").write_text(yaml.safe_dump(profile))


@pytest.fixture(autouse=True)
def _nothing_of_the_shell():
    with clean_environment():
        yield


@pytest.fixture(scope="module")
def consumer(tmp_path_factory):
    made = Consumer(tmp_path_factory.mktemp("consumer"))
    where = ["--project-dir", made.folder, "--profiles-dir", made.folder]
    command = [Path(sys.executable).with_name("dbt"), "build", "--exclude-resource-type", "test", "unit_test", *where]
    done = subprocess.run(
        list(map(str, command)), cwd=made.folder, env=clean_copy(os.environ), capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout
    return made


@pytest.mark.long
def test_every_command_works_on_a_consumers_relations(consumer):
    assert "hash" in consumer.embed("--limit", "20")
    for arguments in (
        ["search", "Which moon has geysers?"], ["coverage"], ["verify"], ["jobs", "list"], ["spaces", "list"],
        ["spaces", "history"], ["report", "--out", str(consumer.folder / "report.html")], ["failures"],
        ["embed", "--plan"], 
        ["enqueue", "EMBED_CHUNKS", "--input", '{"space_key": "hash", "limit": 5}'], ["worker", "--once"],
    ):  # fmt: skip
        done = consumer.vector(*arguments)
        assert done.exit_code == 0, (arguments, done)
    with duckdb.connect(str(consumer.database_path)) as connection:
        assert connection.execute('select count(*) from "My-Schema of dev"."The_Embeddings"').fetchall() == [(25,)]
        # Under the package's scope: redact_queries.
        logged = connection.execute('select query_text from "My-Schema of dev".retrieval').fetchall()
        assert logged == [("[redacted]",)]
    with duckdb.connect(str(consumer.folder / "main.duckdb")) as connection:
        assert connection.execute("select count(*) from duckdb_tables()").fetchall() == [(0,)]


@pytest.mark.long
def test_the_connection_is_dbts(consumer):
    engine = engine_for_target(load_target(consumer.folder, consumer.folder))
    try:
        assert engine.location == str(consumer.database_path)
        assert engine.query("select name from duckdb_secrets()") == [("web",)]
        for session in (engine, engine.another()):
            assert session.query("select current_setting('preserve_insertion_order')") == [(False,)]
            assert session.table("embedding") == '"Vec"."My-Schema of dev"."The_Embeddings"'
            assert session.missing_relations(["embedding", "chunk", "eval_query", "chunk_policy", "space_map"]) == []
    finally:
        engine.close()


@pytest.mark.long
def test_another_target_of_the_consumer_is_not_mistaken_for_the_one_that_was_built(consumer):
    done = consumer.vector("coverage", "--target", "prod")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "run `dbt build --target prod`" in done.stderr


@pytest.mark.long
def test_what_fails_at_opening_is_one_line_without_a_secret(consumer):
    consumer.write_profile(bearer_token="a-very-secret-token", no_such_key="another-secret")
    try:
        done = consumer.vector("coverage")
    finally:
        consumer.write_profile(bearer_token="a-very-secret-token")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done
    assert "cannot be opened as dbt-duckdb does" in done.stderr
    assert "secret-token" not in done.stderr
    assert "another-secret" not in done.stderr


@pytest.mark.long
def test_an_attached_file_that_is_not_there_is_not_made(consumer, tmp_path):
    target = load_target(consumer.folder, consumer.folder)
    missing = tmp_path / "missing.duckdb"
    settings = {**target.settings, "attach": [{"path": str(missing), "alias": "Vec"}]}
    with pytest.raises(ConfigurationError, match="no database at .*missing.duckdb; run `dbt build` first"):
        engine_for_target(Target("shop", "dev", "duckdb", "RAW", settings, consumer.folder))
    assert not missing.exists()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"settings": ["threads"]}, "target dev: settings in the profile is not a set of keys and values"),
        ({"config_options": "threads"}, "target dev: config_options in the profile is not a set of keys and values"),
        ({"database": "other"}, "'database' property must be set to 'here' to match the 'path'"),
    ],
)
def test_a_profile_that_dbt_refuses_is_told_in_a_line(folder, wrong, told):
    path = str(folder / "here.duckdb")
    duckdb.connect(path).close()
    target = Target("shop", "dev", "duckdb", "vector", {"type": "duckdb", "path": path, **wrong}, folder)
    with pytest.raises(ConfigurationError, match=told) as raised:
        engine_for_target(target)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("written", ["~/here.duckdb", "file:{}", "file://{}", "file://localhost{}", "duckdb:{}"])
def test_a_path_means_what_it_means_to_duckdb(folder, monkeypatch, written):
    use_home(monkeypatch, folder)
    path, file = written.format(folder / "here.duckdb"), folder / "here.duckdb"
    target = Target("shop", "dev", "duckdb", "vector", {"type": "duckdb", "path": path}, folder)
    with pytest.raises(ConfigurationError, match=f"no database at {file}; run `dbt build` first"):
        engine_for_target(target)
    duckdb.connect(path).close()
    engine = engine_for_target(target)
    assert engine.location == str(file)
    engine.close()


def test_plain_profiles_start_without_dbt():
    """Importing dbt's adapter takes longer than all else that a command does before its work."""
    command = "import sys, vector.cli, vector.engines.duckdb.connection; sys.exit('dbt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], cwd=PROJECT_DIR / "scripts").returncode == 0

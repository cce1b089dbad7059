"""What CI and the demo install is named by version and hash, and is what pyproject.toml asks for."""

import re
import tomllib

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support import PROJECT_DIR

FOLDER = PROJECT_DIR / "requirements"
PROJECT = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = {
    "demo.txt": ["demo"],
    "test.txt": ["demo", "sqlserver", "test"],
}


def pins(name):
    """Package -> the pins of a lock file that are for this Python."""
    entries = re.split(r"\n(?=\S)", (FOLDER / name).read_text(encoding="utf-8"))
    found = {}
    for entry in entries:
        if entry.startswith("#"):
            continue
        pin, *hashes = re.split(r" \\\n\s+--hash=", entry.rstrip())
        assert hashes, f"{name}: {pin} has no hash"
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in hashes), pin
        requirement = Requirement(pin)
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", pin
        if requirement.marker is None or requirement.marker.evaluate():
            found[canonicalize_name(requirement.name)] = specifier.version
    return found


def asked_for(extras):
    """The requirements of pyproject.toml with these extras, and of what builds the project."""
    texts = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]
    waiting, seen = list(extras), set()
    while waiting:
        extra = waiting.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for text in PROJECT["project"]["optional-dependencies"][extra]:
            requirement = Requirement(text)
            if requirement.name == PROJECT["project"]["name"]:
                waiting += requirement.extras
            else:
                texts.append(text)
    requirements = [Requirement(text) for text in texts]
    return [each for each in requirements if each.marker is None or each.marker.evaluate(default_environment())]


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_is_what_the_project_asks_for(name):
    locked = pins(name)
    for requirement in asked_for(LOCKS[name]):
        version = locked.get(canonicalize_name(requirement.name))
        assert version, f"{name} lacks {requirement}; run `make lock`"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}, not {version}: `make lock`"


@pytest.mark.parametrize("name", ["weights", "parser", "dbt-1.10", "spark"])
def test_the_lock_is_what_its_source_asks_for(name):
    lines = (FOLDER / f"{name}.in").read_text(encoding="utf-8").splitlines()
    for requirement in (Requirement(line) for line in lines if not line.startswith("#")):
        locked = pins(f"{name}.txt")[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(locked, prereleases=True), f"{requirement}, not {locked}: `make lock`"


def test_the_oldest_dbt_that_is_tested_is_the_oldest_that_is_allowed():
    oldest, newest = pins("dbt-1.10.txt"), pins("test.txt")
    asked = {each.name: each.specifier for each in asked_for(["demo", "sqlserver"]) if each.name.startswith("dbt-")}
    assert asked.keys() == {"dbt-core", "dbt-duckdb", "dbt-sqlserver"}
    for name, specifier in asked.items():
        assert f">={oldest[name]}" in map(str, specifier), name
        assert specifier.contains(newest[name])
    project = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8"))
    assert oldest["dbt-core"].startswith(project["require-dbt-version"].removeprefix(">=").rpartition(".")[0])


def test_spark_is_what_its_extra_asks_for():
    locked = pins("spark.txt")
    asked = {
        each.name: each.specifier
        for each in asked_for(["spark"])
        if canonicalize_name(each.name) not in pins("test.txt")
    }
    assert asked.keys() == {"dbt-spark", "pyspark", "snowpark-connect-deps-iceberg"}
    assert all(specifier.contains(locked[name]) for name, specifier in asked.items())


def test_the_demo_is_tested_with_the_versions_it_installs():
    demo, test = pins("demo.txt"), pins("test.txt")
    assert {name: test.get(name) for name in demo} == demo


def test_nothing_is_installed_without_a_hash_but_this_project():
    makefile = (PROJECT_DIR / "Makefile").read_text(encoding="utf-8")
    installs = [line for line in makefile.splitlines() if "$(PIP_INSTALL)" in line and ":=" not in line]
    assert len(installs) >= 6
    # uv writes the files, and is in no environment that runs anything of this project.
    loose = [line for line in installs if "$(LOCKED)" not in line and "$(THIS)" not in line and "'uv" not in line]
    assert loose == []


def workflows():
    for path in sorted(PROJECT_DIR.glob(".github/workflows/*.yml")):
        yield path.name, yaml.safe_load(path.read_text(encoding="utf-8"))


# A release is written, and attested; nothing that these jobs run is the project's own code.
MAY_WRITE = {
    "release.yml/github": {"contents": "write", "id-token": "write", "attestations": "write"},
    "release.yml/pypi": {"id-token": "write"},
}


def test_workflows_may_read_only_and_use_what_cannot_move():
    found = dict(workflows())
    assert found
    for name, workflow in found.items():
        assert workflow["permissions"] == {"contents": "read"}, name
        for job_name, job in workflow["jobs"].items():
            assert "latest" not in str(job), name
            more = MAY_WRITE.get(f"{name}/{job_name}", {"contents": "read"})
            assert job.get("permissions", {"contents": "read"}) == more, job_name
            for step in job["steps"]:
                if "uses" in step:
                    assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40}", step["uses"]), (name, step["uses"])
    for path in [*PROJECT_DIR.glob("docs/*.md"), *PROJECT_DIR.glob(".github/workflows/*.yml")]:
        for action, version in re.findall(r"uses: (\S+)@(\S+)", path.read_text(encoding="utf-8")):
            assert re.fullmatch("[0-9a-f]{40}", version), (path.name, action)

"""A tag is released only where it, both packages' versions and the changelog say the same."""

import importlib.util
import re
import shutil

import pytest
import yaml
from support import PROJECT_DIR

from vector import __version__

FILES = ("scripts/vector/__init__.py", "dbt_project.yml", "CHANGELOG.md")
CHANGELOG = """\
# Changelog

## Unreleased

## {version} - 2026-12-01

### Added

- 日本.

## 0.0.1 - 2026-01-01

- Old.
"""


@pytest.fixture(scope="module")
def release():
    spec = importlib.util.spec_from_file_location("release", PROJECT_DIR / ".ci/release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path):
    """A checkout that is ready for the release of its version."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT_DIR / name, tmp_path / name)
    write(tmp_path, "CHANGELOG.md", CHANGELOG.format(version=__version__))
    return tmp_path


def write(root, name, text):
    (root / name).write_text(text, encoding="utf-8")


def edit(root, name, pattern, new):
    text, count = re.subn(pattern, new, (root / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert count == 1
    write(root, name, text)


def test_the_notes_are_those_of_the_version(release, root):
    assert release.notes(f"v{__version__}", root) == "### Added\n\n- 日本."


@pytest.mark.parametrize(
    ("name", "pattern", "new", "told"),
    [
        (FILES[0], "^__version__ = .*", '__version__ = "9.9.9"', "__init__.py says 9.9.9, and the tag is v"),
        (FILES[0], "^__version__ = .*", "", "__init__.py says no version, and the tag is v"),
        (FILES[1], "^version: .*", "version: '9.9.9'", "dbt_project.yml says 9.9.9, and the tag is v"),
        (FILES[2], "^## Unreleased$", "## Unreleased\n\n- Not yet.", "still has lines under Unreleased"),
        (FILES[2], rf"^## {re.escape(__version__)} .*", "## 7.0.0 - x", "has nothing under `## "),
        (FILES[2], r"^### Added\n\n- 日本\.$", "", "has nothing under `## "),
    ],
)
def test_what_is_not_of_one_version_is_refused(release, root, name, pattern, new, told):
    edit(root, name, pattern, new)
    with pytest.raises(SystemExit, match=re.escape(told)) as refused:
        release.notes(f"v{__version__}", root)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("tag", ["", "v", "0.1.0", "v1", "v1.2", "vv0.1.0", "v0.1.0-x", "v0.1.0\n", "latest"])
def test_what_is_no_tag_of_a_release_is_refused(release, root, tag):
    with pytest.raises(SystemExit, match="is no tag of a release"):
        release.notes(tag, root)


def test_the_workflow_tests_before_it_releases():
    workflow = yaml.safe_load((PROJECT_DIR / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    jobs = workflow["jobs"]
    said = [step.get("run", "") for step in jobs["build"]["steps"]]
    order = [
        next(i for i, run in enumerate(said) if words in run) for words in (".ci/release.py", "make test", "clean/bin")
    ]
    assert order == sorted(order)
    assert (jobs["github"]["needs"], jobs["pypi"]["needs"]) == ("build", "github")
    assert jobs["pypi"]["if"] == "vars.PUBLISH_TO_PYPI == 'true'", "nobody publishes by accident"
    assert workflow[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 takes `on` for true

"""Every YAML file can be read by any parser: PyYAML's own takes less than libyaml, which dbt uses where it is there."""

import pytest
import yaml
from support import PROJECT_DIR

FOLDERS = ("models", "seeds", "macros", "tests", ".github", "benchmarks")
FILES = sorted(
    path
    for pattern in ("*.yml", "*.yaml")
    for found in (PROJECT_DIR.glob(pattern), *((PROJECT_DIR / folder).rglob(pattern) for folder in FOLDERS))
    for path in found
)


def test_the_files_are_found():
    assert {path.name for path in FILES} >= {"dbt_project.yml", "retrieval_audit.yml", "eval_query.yml"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_a_yaml_file_is_yaml_to_the_pure_python_parser(path):
    assert list(yaml.load_all(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader))

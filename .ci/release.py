"""The notes of a release, from CHANGELOG.md; refused where the tag and the versions are not one: release.py v1.2.3."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def notes(tag: str, root: Path = ROOT) -> str:
    """The section of the tag's version in CHANGELOG.md. Raises SystemExit, with one line, where the tag is no version,
    is not that of both packages, or the changelog has no such section, an empty one, or lines under Unreleased."""
    version = tag.removeprefix("v")
    if not tag.startswith("v") or not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        raise SystemExit(f"{tag!r} is no tag of a release: v1.2.3, or v1.2.3rc1")
    for name, pattern in (
        ("scripts/vector/__init__.py", r'^__version__ = "(.+)"$'),
        ("dbt_project.yml", r"^version: ['\"]?([^'\"\s]+)"),
    ):
        found = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        if not found or found[1] != version:
            raise SystemExit(f"{name} says {found[1] if found else 'no version'}, and the tag is {tag}")
    sections = _sections((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    if sections.get("Unreleased"):
        raise SystemExit(f"CHANGELOG.md still has lines under Unreleased: move them under `## {version} - <date>`")
    if not sections.get(version):
        raise SystemExit(f"CHANGELOG.md has nothing under `## {version} - <date>`")
    return sections[version]


def _sections(text: str) -> dict[str, str]:
    """Text of each version."""
    heads = list(re.finditer(r"^## \[?([^\]\s]+)\]?.*$", text, re.MULTILINE))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    return {head[1]: text[head.end() : end].strip() for head, end in zip(heads, ends, strict=True)}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("release.py v1.2.3")
    sys.stdout.reconfigure(encoding="utf-8")
    print(notes(sys.argv[1]))

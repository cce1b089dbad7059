"""docs/schema.md names what is there: every ledger with its keys, and what each view reads."""

import re

import pytest
import yaml
from support import LEDGERS, PROJECT_DIR

TEXT = (PROJECT_DIR / "docs/schema.md").read_text(encoding="utf-8")
# Ledger, keys: the primary one, then each `unique` one.
KEYS = {
    name: keys.split("; unique ")
    for name, keys in re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \| [^|]* \| [^|]* \|$", TEXT, re.MULTILINE)
}
# Child, columns of each line of the drawing; a dotted one is a test, and no foreign key.
DRAWN = re.findall(r'^ {4}(\w+) [|o}{]+--[|o}{]+ (\w+) : "?([\w, ]+)"?$', TEXT, re.MULTILINE)
MODELS = {path.stem: path for path in PROJECT_DIR.glob("models/**/*") if path.suffix in (".sql", ".py")}
ROWS = {
    name: set(re.findall(r"`(\w+)`", reads))
    for names, reads in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| [^|]* \| ([^|]*) \|$", TEXT, re.MULTILINE)
    for name in re.findall(r"\w+", names)
    if name in MODELS and name not in LEDGERS
}
# What their row tells in a word or two instead, and variables that name a relation.
IN_WORDS = {
    "stg_page", "stg_entity", "stg_event", "chunk_policies", "embedding_spaces", "eval_queries", "eval_judgments",
    "publish_thresholds",
}  # fmt: skip


def test_every_ledger_is_drawn_and_every_model_is_named():
    assert set(KEYS) == set(LEDGERS) == {name for parent, child, _ in DRAWN for name in (parent, child)} | {
        "source_registry", "evaluation_interval", "erasure", "embedding_sketch"
    }  # fmt: skip
    assert {name for name in MODELS if f"`{name}`" not in TEXT} == set()
    assert len(ROWS) > 25


@pytest.mark.parametrize("ledger", LEDGERS)
def test_a_ledger_has_the_keys_that_are_told(ledger):
    (model,) = yaml.safe_load((PROJECT_DIR / f"models/ledgers/{ledger}.yml").read_text(encoding="utf-8"))["models"]
    declared = {
        kind: sorted(each["columns"] for each in model["constraints"] if each["type"] == kind)
        for kind in ("primary_key", "unique", "foreign_key")
    }
    primary, *unique = [re.findall(r"`(\w+)`", key) for key in KEYS[ledger]]
    assert declared == {
        "primary_key": [primary],
        "unique": sorted(unique),
        "foreign_key": sorted(columns.split(", ") for _, child, columns in DRAWN if child == ledger),
    }


@pytest.mark.parametrize("view", sorted(ROWS))
def test_a_view_reads_what_its_row_says(view):
    sql = MODELS[view].read_text(encoding="utf-8")
    reads = set(re.findall(r"ref\(['\"]vector_runtime['\"], ['\"](\w+)['\"]\)", sql))
    assert ROWS[view] - IN_WORDS == reads - IN_WORDS

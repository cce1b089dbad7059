"""docs/schema.md names what is there: every ledger, its columns and keys, and what each view reads."""

import re

import pytest
import yaml
from support import LEDGERS, PROJECT_DIR

TEXT = (PROJECT_DIR / "docs/schema.md").read_text(encoding="utf-8")
ENTITIES = {
    name: {column: (kind, rest) for kind, column, rest in re.findall(r"^ {8}(\w+) (\w+)(.*)$", body, re.MULTILINE)}
    for name, body in re.findall(r"^ {4}(\w+) \{\n(.*?)^ {4}\}", TEXT, re.DOTALL | re.MULTILINE)
}
# The document says in words which ledgers have them.
TIMES = {"created_utc", "updated_utc", "source_updated_utc", "last_indexed_utc"}
KEYS = {"PK": "primary_key", "FK": "foreign_key", "UK": "unique"}
MODELS = {path.stem: path for path in PROJECT_DIR.glob("models/**/*") if path.suffix in (".sql", ".py")}
ROWS = {
    name: set(re.findall(r"`(\w+)`", reads))
    for names, reads in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| [^|]* \| ([^|]*) \|$", TEXT, re.MULTILINE)
    for name in re.findall(r"\w+", names)
    if name in MODELS and name not in LEDGERS
}
# What their row tells in a word or two instead.
IN_WORDS = {"stg_page", "stg_entity", "stg_event", "eval_query", "eval_judgment"}


def test_every_ledger_is_drawn_and_every_model_is_named():
    assert set(ENTITIES) == set(LEDGERS)
    assert {name for name in MODELS if f"`{name}`" not in TEXT} == set()
    assert len(ROWS) > 25


@pytest.mark.parametrize("ledger", LEDGERS)
def test_a_ledger_has_the_columns_and_keys_that_are_drawn(ledger):
    (model,) = yaml.safe_load((PROJECT_DIR / f"models/ledgers/{ledger}.yml").read_text(encoding="utf-8"))["models"]
    drawn = ENTITIES[ledger]
    assert drawn.keys() | TIMES == {column["name"] for column in model["columns"]} | TIMES
    for sign, kind in KEYS.items():
        keys = {
            column
            for constraint in model["constraints"]
            if constraint["type"] == kind
            for column in constraint["columns"]
        }
        shown = {column for column, (_, rest) in drawn.items() if sign in rest.partition('"')[0]}
        # A unique key that begins with the primary key is drawn at its other columns.
        assert shown == (keys - {"embedding_space_id"} if (ledger, sign) == ("embedding_space", "UK") else keys)


@pytest.mark.parametrize("view", sorted(ROWS))
def test_a_view_reads_what_its_row_says(view):
    reads = set(re.findall(r"ref\(['\"](\w+)['\"]\)", MODELS[view].read_text(encoding="utf-8")))
    assert ROWS[view] - IN_WORDS == reads - IN_WORDS

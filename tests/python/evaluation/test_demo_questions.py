"""The judged questions of the demo, which steer what search does: that they are many, of every kind, and judged rightly
as far as the seeds can tell. No warehouse is needed."""

import unicodedata
from collections import Counter, defaultdict

import pytest
from support import PROJECT_DIR, read_csv

SEEDS = PROJECT_DIR / "seeds"
KINDS = {"fact", "paraphrase", "multi_hop", "number", "misspelt", "other_language", "no_answer"}
# Of each kind: fewer would tell nothing of it.
LEAST = 10


@pytest.fixture(scope="module")
def questions():
    return read_csv(SEEDS / "evaluation" / "eval_query.csv")


@pytest.fixture(scope="module")
def judgments():
    return read_csv(SEEDS / "evaluation" / "eval_judgment.csv")


@pytest.fixture(scope="module")
def grades(judgments):
    """Grade by source, by question."""
    found = defaultdict(dict)
    for row in judgments:
        found[row["query_id"]][row["source_id"]] = int(row["relevance"])
    return found


def test_there_are_enough_of_every_kind(questions):
    kinds = Counter(row["query_kind"] for row in questions)
    assert set(kinds) == KINDS
    assert min(kinds.values()) >= LEAST, kinds
    assert sum(kinds.values()) - kinds["no_answer"] >= 150
    assert {row["query_set"] for row in questions} == {"demo"}


def test_no_two_questions_are_the_same(questions):
    def words(text):
        folded = unicodedata.normalize("NFKC", text).casefold()
        return tuple("".join(c if c.isalnum() else " " for c in folded).split())

    for name in ("query_id", "query_text"):
        twice = [value for value, times in Counter(row[name] for row in questions).items() if times > 1]
        assert not twice, name
    seen = defaultdict(list)
    for row in questions:
        assert row["query_text"] == row["query_text"].strip() != ""
        seen[words(row["query_text"])].append(row["query_id"])
    assert not [ids for ids in seen.values() if len(ids) > 1]


def test_every_judged_source_is_in_the_corpus(judgments):
    corpus = {
        f"{seed}:{row[f'{seed}_id']}"
        for seed in ("page", "entity", "event")
        for row in read_csv(SEEDS / "demo" / f"{seed}.csv")
    }
    assert {row["source_id"] for row in judgments} <= corpus


def test_every_question_is_judged_once(questions, judgments, grades):
    asked = [row["query_id"] for row in questions]
    assert list(dict.fromkeys(row["query_id"] for row in judgments)) == asked, "in one order, so that a change is read"
    assert len(judgments) == sum(map(len, grades.values())), "a pair is judged twice"


def test_only_questions_without_an_answer_have_none(questions, grades):
    """By grades: 3 answers, 2 answers partly, 1 is on the subject, 0 is on the subject and answers nothing."""
    for row in questions:
        found = set(grades[row["query_id"]].values())
        if row["query_kind"] == "no_answer":
            assert found == {0}, row
        else:
            assert found <= {1, 2, 3}, row
            assert max(found) >= 2, row


def test_a_kind_is_what_it_says(questions, grades):
    """As far as it shows: a multi-hop question has several sources that help; another language's is judged to be
    answered by some text, and not all of them are questions in English."""
    of_kind = defaultdict(list)
    for row in questions:
        of_kind[row["query_kind"]].append(row)
    for row in of_kind["multi_hop"]:
        assert len(grades[row["query_id"]]) > 1, row
    foreign = [row for row in of_kind["other_language"] if not row["query_text"].isascii()]
    assert len(foreign) >= LEAST
    scripts = {unicodedata.name(c).split()[0] for row in foreign for c in row["query_text"] if c.isalpha()}
    assert scripts >= {"LATIN", "CYRILLIC", "CJK", "HIRAGANA", "ARABIC", "DEVANAGARI"}
    for row in of_kind["misspelt"]:
        assert row["query_text"].isascii(), row

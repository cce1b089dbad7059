"""`--json` of every command, and `--jsonl` of search."""

import argparse
import json

import pytest

from vector import cli

QUESTION = "Which moon has geysers?"


def leaves(parser):
    """The parsers that run something."""
    nested = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if parser.get_default("run"):
        yield parser
    for action in nested:
        for each in action.choices.values():
            yield from leaves(each)


@pytest.mark.parametrize("parser", list(leaves(cli._parser("vector"))), ids=lambda parser: parser.prog)
def test_every_command_has_it_and_says_what_its_keys_are(parser):
    told = parser.format_help()
    assert "--json " in told
    # What `mcp` says on stdout is the protocol's.
    assert ("With --json" in told) != (parser.prog == "vector mcp")


def test_the_keys_of_coverage_verify_and_jobs_are_those_that_help_names(project):
    project.vector("enqueue", "EMBED_CHUNKS", "--input", '{"space_key": "hash"}')
    (job,) = json.loads(project.vector("jobs", "list", "--status", "NEW", "--json").stdout)["jobs"]
    shown = json.loads(project.vector("jobs", "show", job["job_id"], "--json").stdout)
    rows = json.loads(project.vector("coverage", "--json").stdout)["rows"]
    parsers = {parser.prog: " ".join(parser.format_help().split()) for parser in leaves(cli._parser("vector"))}
    for prog, keys in (
        ("jobs list", job),
        ("jobs show", shown),
        ("coverage", rows[0]),
        ("verify", json.loads(project.vector("verify", "--json").stdout)),
        ("jobs cancel", json.loads(project.vector("jobs", "cancel", job["job_id"], "--json").stdout)),
        ("jobs requeue-dead", json.loads(project.vector("jobs", "requeue-dead", "--json").stdout)),
    ):
        told = parsers[f"vector {prog}"].partition("With --json")[2]
        assert [key for key in keys if key not in told] == [], prog


def test_a_line_a_hit(project):
    options = ("--top-k", "3", "--no-log")
    done = project.vector("search", QUESTION, *options, "--jsonl")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    whole = json.loads(project.vector("search", QUESTION, *options, "--json").stdout)
    assert lines == [{"retrieval_id": None, **hit} for hit in whole["hits"]]
    logged = json.loads(project.vector("search", QUESTION, "--top-k", "1", "--jsonl").stdout)
    assert project.query("select query_text from retrieval where retrieval_id = ?", logged["retrieval_id"])


def test_a_line_a_passage_and_none_where_nothing_is_found(project):
    done = project.vector("search", QUESTION, "--evidence", "--max-tokens", "300", "--jsonl", "--no-log")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines
    assert sum(line["tokens"] for line in lines) <= 300
    done = project.vector("search", QUESTION, "--source-type", "nothing", "--jsonl")
    assert (done.exit_code, done.stdout) == (0, "")


def test_what_fails_is_a_line_too(project):
    done = project.vector("search", "  ", "--jsonl")
    assert (done.exit_code, json.loads(done.stdout)["exit_code"]) == (2, 2)
    done = project.vector("search", QUESTION, "--json", "--jsonl")
    assert "give one of them" in json.loads(done.stdout)["error"]
    with pytest.raises(SystemExit):
        cli.main(["search", QUESTION, "--jsonl", "--no-such-option"])

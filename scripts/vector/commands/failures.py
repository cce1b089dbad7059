"""`failures`: the quarantined texts that still have no vector, and what to do about them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from vector.commands.shared import add_command, open_store, print_result
from vector.contracts.ledgers import utc_of
from vector.errors import ConfigurationError
from vector.store import VectorStore
from vector.store.spaces import space_of_key
from vector.wording import counted, excerpt

HELP = """examples:
  %(prog)s                          in every space, by reason
  %(prog)s --space bge-small --json

With --json, one object: {"failures": [...]}, each with the keys space_key, is_active, source_id, source_type, chunk_id,
chunk_index, reason, meaning, what_to_do, attempt_count, first_failed_utc, last_failed_utc, retry_after_utc (null: not
tried again by itself), is_due, error_message, excerpt. SQL has them as vector.embedding_failure_open.

The exit code is 0, whether there are any or not."""

RELATION = "embedding_failure_open"
COLUMNS = (
    "space_key", "is_active", "source_id", "source_type", "chunk_id", "chunk_index", "reason", "attempt_count",
    "first_failed_utc", "last_failed_utc", "retry_after_utc", "is_due", "error_message", "excerpt",
)  # fmt: skip

_AGAIN = "It is tried again by itself"
# reason -> what it means, what to do
EXPLANATIONS = {
    "too_long": (
        "The text has more tokens than the model takes, and nothing cuts it.",
        "Cut chunks smaller (a chunk policy with a smaller chunk_size), or use a space whose model takes more tokens,"
        " or one that cuts (truncation `end`, provider onnx). Then it is tried anew.",
    ),
    "refused": (
        "The server refuses a request with this text, and embedded another text right after.",
        "Read its message: a content filter, or a proxy or firewall before it, may object to the text. When that is"
        " mended, run `vector embed --retry-failed`.",
    ),
    "not_unicode": (
        "The text holds half a surrogate pair, which has no UTF-8.",
        "Mend the text in its source. Then it is tried anew.",
    ),
    "empty": (
        "The text is blank, so a static model has nothing to average.",
        "Leave such texts out of the source, or let them be: there is nothing to find in them.",
    ),
    "unknown_tokens": (
        "The model's tokenizer does not know most of the text's tokens; its vector would be that of any such text.",
        "Use another model for texts in this script; what is no language, such as base64, leave out of the source.",
    ),
    "zero_vector": (
        "The vectors of the text's tokens cancel out, and zero has no direction.",
        "Change the text, or use another model.",
    ),
    "server_error": (
        "The server failed with this text at every try, and embedded another text right after.",
        f"{_AGAIN}. If it keeps failing, see the server's log, and update the server or change the text.",
    ),
    "timeout": (
        "The server did not answer for this text alone in time, and embedded another text right after.",
        f"{_AGAIN}. If it keeps failing, give the server more time (VECTOR_HTTP_TOTAL, VECTOR_HTTP_READ; seconds).",
    ),
    "connection_lost": (
        "The connection broke with this text at every try, and not with another text right after.",
        f"{_AGAIN}. If it keeps failing, look whether the model's process dies of it, or a proxy or firewall objects.",
    ),
    "unavailable": (
        "The server said that it was not available whenever it was sent this text, and embedded another right after.",
        f"{_AGAIN}. If it keeps failing, see the server's log, or that of the proxy before it.",
    ),
    "bad_reply": (
        "The reply to this text made no sense: it was no JSON, or held another number of vectors than texts.",
        f"{_AGAIN}. If it keeps failing, see the server's log, and whether a proxy answers in its place.",
    ),
    "bad_vector": (
        "The vector of this text was empty, all zeros, or had NaN or infinity in it.",
        f"{_AGAIN}. If it keeps failing, update the model's server, or run the model in a higher precision.",
    ),
}
_UNKNOWN = ("A reason of another version.", "Read the server's message, then run `vector embed --retry-failed`.")


def add_to(commands: Any) -> None:
    """Declares `failures`."""
    failures = add_command(commands, "failures", _failures, "list and explain the quarantined texts", HELP)
    failures.add_argument("--space", metavar="KEY", help="only those of this space")


def _failures(arguments: argparse.Namespace) -> int:
    store = open_store(arguments)
    try:
        failures = open_failures(store, arguments.space)
    finally:
        store.close()
    print_result(arguments, {"failures": failures}, _text(failures))
    return 0


def open_failures(store: VectorStore, space_key: str | None = None) -> list[dict[str, Any]]:
    """The rows of `embedding_failure_open` with their explanation, by reason, space, source and chunk. Raises
    ConfigurationError for a space that there is not, and before dbt has built the view."""
    if store.engine.missing_relations([RELATION]):
        raise ConfigurationError(f"{store.engine.location}: there is no {RELATION} yet; run `dbt build` first")
    where, parameters = "", []
    if space_key is not None:
        where, parameters = " where space_key = ?", [space_of_key(store, space_key).space_key]
    rows = store.engine.query(
        f"select {', '.join(COLUMNS)} from {store.engine.table(RELATION)}{where}"
        " order by reason, space_key, source_id, chunk_index, chunk_id",
        parameters,
    )
    return [_explained(dict(zip(COLUMNS, row, strict=True))) for row in rows]


def _explained(failure: dict[str, Any]) -> dict[str, Any]:
    meaning, what_to_do = EXPLANATIONS.get(failure["reason"], _UNKNOWN)
    return {
        **failure,
        "is_active": bool(failure["is_active"]),
        "is_due": bool(failure["is_due"]),
        "meaning": meaning,
        "what_to_do": what_to_do,
    }


def _text(failures: Sequence[dict[str, Any]]) -> str:
    """The explanation of each reason once, with the texts under it."""
    if not failures:
        return "no text is quarantined"
    lines: list[str] = []
    for reason in dict.fromkeys(failure["reason"] for failure in failures):
        of_reason = [failure for failure in failures if failure["reason"] == reason]
        lines += [
            f"{excerpt(reason)}: {counted(len(of_reason), 'text')}",
            f"  {of_reason[0]['meaning']}",
            f"  {of_reason[0]['what_to_do']}",
        ]
        for failure in of_reason:
            lines += ["", *_failure_lines(failure)]
        lines.append("")
    return "\n".join(lines[:-1])


def _failure_lines(failure: dict[str, Any]) -> list[str]:
    inactive = "" if failure["is_active"] else " (inactive)"
    tries = "once" if failure["attempt_count"] == 1 else f"{failure['attempt_count']} times"
    return [
        f"  {excerpt(failure['space_key'])}{inactive}: {excerpt(failure['source_id'])}, chunk {failure['chunk_index']},"
        f" {excerpt(failure['chunk_id'])}",
        f"    tried {tries}, last {_when(failure['last_failed_utc'])}; {_again(failure)}",
        f"    text: {excerpt(failure['excerpt'], 80)}",
        f"    message: {excerpt(failure['error_message'], 300)}",
    ]


def _again(failure: dict[str, Any]) -> str:
    if failure["retry_after_utc"] is None:
        return "not tried again by itself"
    return "due now" if failure["is_due"] else f"due again {_when(failure['retry_after_utc'])}"


def _when(moment: datetime | str) -> str:
    return f"{utc_of(moment):%Y-%m-%d %H:%M} UTC"

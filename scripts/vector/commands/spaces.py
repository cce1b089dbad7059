"""`spaces`: the spaces that there are, those that a model server could serve, and which one is live."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

from vector.commands import publishing
from vector.commands.output import say
from vector.commands.shared import add_command, named_target, open_store, print_result, table
from vector.contracts.ledgers import EMBEDDING_SPACE
from vector.errors import ProviderError
from vector.project.profile import find_project_dir
from vector.providers import DiscoveredModel, discover_models
from vector.spaces.seed import SpaceSeed
from vector.store import VectorStore
from vector.store.opening import open_to_write, writing
from vector.store.spaces import space_of_key
from vector.wording import counted, excerpt, one_line

_LENGTHS = {column.name: column.length for column in EMBEDDING_SPACE.columns if column.length}

LIST_HELP = """With --json, one object: {"rows": [...]}, each with the keys space_key, provider, model_name, model_tag,
dimensions, distance_metric, is_active, embedding_space_id, status, chunks, current, pending, quarantined,
percent.
Chunks are current ones; `percent` of them have a vector, null where there are none. `vector coverage` has them by
source type. A status is draft, live (what search uses), superseded (another one went live) or retired (by `spaces
retire`)."""

DISCOVER_HELP = """examples:
  %(prog)s --provider ollama        the server that OLLAMA_BASE_URL names, or http://localhost:11434
  %(prog)s --provider openai        the server that OPENAI_BASE_URL names; OpenAI itself charges for a word a model
  %(prog)s --provider onnx          the folders in VECTOR_ONNX_HOME, as downloaded from Hugging Face

Each embedding model embeds one word, which measures its dimensions, and loads it. A folder also tells how its model
pools, how many tokens it reads, and the prefixes that it wants, where it has the files for it. Then come the rows to
append to seeds/embedding_space_seed.csv, in that file's columns, pinned to the model's digest where the server tells
one. A model that the seed has already gets no row. Nothing is written. `dbt build` takes up the rows.

With --json, one object: {"models": [...]}, each with the keys provider, model_name, model_tag, dimensions,
model_digest, context_length, pooling, problem, document_prefix, query_prefix, space_key (of the seed's row, or a new
one), seed_row (null: none is needed, or the model cannot be used).

exit codes: 0 well; 2 usage or configuration; 3 the server, or each of its models, cannot be used."""

NOTE = """Before the first embed, look up the model's card: some models want a text before documents and questions
(document_prefix, query_prefix; nomic-embed-text: "search_document: " and "search_query: "). They are part of a space's
identity, so a change needs a new space."""

SKETCH_HELP = """On DuckDB, for a space of 50,000 vectors and more. `vector embed` makes them by itself; this makes
those that are missing: of vectors that an earlier version wrote, or after rows were deleted by hand. It goes on where
it was interrupted. Searches compare every vector until all is done. Then it asks up to 20 logged questions, and 20 of
the space's own vectors, both ways: `search_recall` has the share of the exact search's ten hits that was found.

With --json, one object with the keys space_key, vectors, sketches, recall: of each kind of question (searches, vectors)
that was asked, the share.

exit codes: 0 well; 2 usage or configuration, or the space has too few vectors."""

_COUNTS = "chunks current pending quarantined".split()
_SPACE = "space_key provider model_name model_tag dimensions distance_metric is_active embedding_space_id".split()


def add_to(commands: Any) -> None:
    """Declares `spaces`, which alone lists, and the commands under it."""
    spaces = add_command(commands, "spaces", _list, "list the embedding spaces, or discover models", LIST_HELP)
    nested = spaces.add_subparsers(metavar="command")
    add_command(nested, "list", _list, "list the embedding spaces and what they cover", LIST_HELP, nested=True)
    discover = add_command(
        nested, "discover", _discover, "list embedding models and the seed rows to add", DISCOVER_HELP, True
    )
    sketch = add_command(
        nested, "sketch", _sketch, "make the sketches that searches of a large space begin with", SKETCH_HELP, True
    )
    sketch.add_argument("key", metavar="KEY")
    sketch.add_argument("--renew", action="store_true", help="take the mean anew, and make all of them anew")
    discover.add_argument("--provider", required=True, metavar="P", help="ollama, openai or onnx")
    publishing.add_to(nested)


def _list(arguments: argparse.Namespace) -> int:
    store = open_store(arguments)
    try:
        rows = covered_spaces(store)
    finally:
        store.close()
    headings = "space status provider model dimensions active chunks current pending quarantined percent".split()
    cells = [
        [
            row["space_key"], row["status"], row["provider"], _model(row), row["dimensions"],
            "yes" if row["is_active"] else "no", *(row[name] for name in _COUNTS), row["percent"],
        ]
        for row in rows
    ]  # fmt: skip
    print_result(arguments, {"rows": rows}, table(headings, cells))
    return 0


def _sketch(arguments: argparse.Namespace) -> int:
    from vector.store.sketch_recall import measure_recall
    from vector.store.sketches import fill_sketches  # brings numpy, which the list does without

    target = named_target(arguments)
    with writing(target), closing(open_to_write(target)) as store:
        space = space_of_key(store, arguments.key)
        counts = fill_sketches(store, space, arguments.renew)
        measured = measure_recall(store.engine, space)
    recall = {each.asked: round(each.found / each.expected, 4) for each in measured}
    value = {"space_key": space.space_key, **asdict(counts), "recall": recall}
    lines = [f"space {space.space_key}: {counts.sketches:,} sketches of {counted(counts.vectors, 'vector')}"]
    lines += [f"recall@10 {recall[each.asked]} ({each.questions} {each.asked})" for each in measured]
    print_result(arguments, value, "\n".join(lines), stored="the sketches are stored")
    return 0


def covered_spaces(store: VectorStore) -> list[dict[str, Any]]:
    """Every space by key, with the counts of `space_coverage` over all source types, and the percent covered."""
    relation = store.engine.table
    rows = store.engine.query(
        f"select {', '.join(f'spaces.{name}' for name in _SPACE)}, statuses.status,"
        f" {', '.join(f'coalesce(coverage.{name}_count, 0)' for name in ['chunk', *_COUNTS[1:]])}"
        f" from {relation('embedding_space')} as spaces"
        f" inner join {relation('space_status')} as statuses"
        " on statuses.embedding_space_id = spaces.embedding_space_id left join"
        " (select embedding_space_id, sum(chunk_count) as chunk_count, sum(current_count) as current_count,"
        " sum(pending_count) as pending_count, sum(quarantined_count) as quarantined_count"
        f" from {relation('space_coverage')} group by embedding_space_id) as coverage"
        " on coverage.embedding_space_id = spaces.embedding_space_id order by spaces.space_key"
    )
    spaces = []
    for row in rows:
        space = dict(zip([*_SPACE, "status"], row, strict=False))
        counts = dict(zip(_COUNTS, map(int, row[len(space) :]), strict=True))
        percent = round(100 * counts["current"] / counts["chunks"], 2) if counts["chunks"] else None
        spaces.append({**space, "is_active": bool(space["is_active"]), **counts, "percent": percent})
    return spaces


def _discover(arguments: argparse.Namespace) -> int:
    seed = SpaceSeed.read(find_project_dir(arguments.project_dir))
    models = [_named_plainly(model) for model in discover_models(arguments.provider)]
    rows = [{**asdict(model), **_seed_row(seed, model)} for model in models]
    error = None
    if not any(model.dimensions for model in models):
        told = "none of its models can be used for embedding" if models else "it has no embedding model"
        where = "VECTOR_ONNX_HOME" if arguments.provider == "onnx" else f"the server of provider {arguments.provider}"
        error = f"{where}: {told}"
    print_result(arguments, {"models": rows}, _discovered_text(rows, seed), error)
    if error:
        say(f"error: {error}")
    return ProviderError.exit_code if error else 0


def _named_plainly(model: DiscoveredModel) -> DiscoveredModel:
    """The model, unusable if its name could pass for more than a name: its row is for the seed."""
    words = {name: getattr(model, name) or "" for name in ("model_name", "model_tag", "model_digest")}
    problem = None
    if not all(one_line(word) == word for word in words.values()):
        problem = "its name has a line break, or a character that cannot be seen"
    elif not model.model_name or any(len(word) > _LENGTHS[name] for name, word in words.items()):
        problem = "its name is empty, or longer than the ledger holds"
    return replace(model, dimensions=None, problem=problem) if problem else model


def _seed_row(seed: SpaceSeed, model: DiscoveredModel) -> dict[str, Any]:
    if not model.dimensions:
        return {"space_key": None, "seed_row": None}
    if known := seed.key_of(model):
        return {"space_key": known, "seed_row": None}
    key, line = seed.propose(model)
    return {"space_key": key, "seed_row": line}


def _discovered_text(models: Sequence[dict[str, Any]], seed: SpaceSeed) -> str:
    if not models:
        return ""
    headings = "model dimensions context pooling digest problem".split()
    cells = [
        [
            _model(model), model["dimensions"], model["context_length"], model["pooling"],
            (model["model_digest"] or "")[:19] or None, model["problem"],
        ]
        for model in models
    ]  # fmt: skip
    parts = [table(headings, cells)]
    parts += [
        f"{_model(model)} is space {model['space_key']} of the seed already"
        for model in models
        if model["dimensions"] and not model["seed_row"]
    ]
    if lines := [model["seed_row"] for model in models if model["seed_row"]]:
        parts += [f"Rows to append to {seed.path}:", "\n".join(lines), NOTE]
    return "\n\n".join(parts)


def _model(row: dict[str, Any]) -> str:
    return excerpt(f"{row['model_name']}:{row['model_tag']}" if row["model_tag"] else row["model_name"])

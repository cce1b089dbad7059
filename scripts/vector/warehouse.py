"""The door for Python: a warehouse that answers questions, as `vector.open()` gives it.

    import vector

    warehouse = vector.open()                       # the dbt project of this folder, or one above
    hits = warehouse.search("Which moon has geysers?", top_k=5)
    hits[0].content, hits.retrieval_id
    hits.to_pandas()

The other doors (`vector mcp`, LangChain, SQL) go through this one. Every question is asked of the warehouse as it is by
then: new chunks, another live space, a changed setting need no new `open`. What takes long to make, a model or an index
of words, is kept from one question to the next.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any, NoReturn

from vector.contracts.models import EmbeddingSpace
from vector.engines import engine_for_connection
from vector.errors import ConfigurationError, VectorError
from vector.project.profile import Target, load_target
from vector.project.versions import refuse_other_version
from vector.providers import EmbeddingProvider, open_provider
from vector.search.evidence import DEFAULT_MAX_TOKENS, Evidence, evidence
from vector.search.policy import HYBRID, SearchPolicy
from vector.search.redaction import redaction_is_set
from vector.search.search import SearchResult, search
from vector.search.sql_function import with_vector_search
from vector.spaces.choosing import searched_space
from vector.store import VectorStore
from vector.store.opening import SearchStore, open_to_search, open_to_write
from vector.wording import UTF_8, one_line

logger = logging.getLogger(__name__)

# One text, or several.
Texts = str | Iterable[str]


class Warehouse:
    """The warehouse of a dbt target. It opens at the first question and, after `close`, at the next one.

    Threads may share it: their questions take turns. `with` closes it at the end.
    """

    def __init__(
        self,
        target: Target | None = None,
        options: Mapping[str, Any] | None = None,
        connection: Any = None,
        schema: str = "vector",
    ) -> None:
        """Over a target, `options` being those that found it (project_dir, profiles_dir, target), or over an open
        connection of the caller's."""
        self._target, self._options = target, dict(options or {})
        self._connection, self._schema = connection, schema
        self._opened: VectorStore | None = None
        self._searched: VectorStore | None = None
        self._given: list[Any] = []  # connections that `connection` gave
        self._models: dict[str, EmbeddingProvider] = {}
        self._told_read_only = False
        self._turn = RLock()

    @property
    def store(self) -> VectorStore:
        """The ledgers, to write to: chunks, embeddings, logged searches. Raises ConfigurationError before `dbt build`,
        DatabaseBusy while another process has the file of DuckDB."""
        with self._turn:
            if self._opened is None:
                if self._target is None:
                    self._opened = VectorStore(engine=engine_for_connection(self._connection, self._schema))
                else:
                    refuse_other_version(self._target.project_dir)
                    self._opened = open_to_write(self._target)
            return self._opened

    @property
    def reader(self) -> VectorStore:
        """The store that the next question is asked of, for reading: on DuckDB over a read copy, which keeps nobody
        from writing (vector.store.opening)."""
        with self._turn:
            if self._target is None or self._opened is not None:  # open for writing, it has the database itself
                return self.store
            if self._searched is None:
                refuse_other_version(self._target.project_dir)
                self._searched = open_to_search(self._target, stays=True)
            return self._searched.latest()

    def search(
        self,
        question: str,
        top_k: int = 10,
        *,
        mode: str | None = None,
        space: str | None = None,
        source_type: Texts = (),
        source_id: Texts = (),
        tags: Mapping[str, str] | None = None,
        updated_from: date | None = None,
        updated_before: date | None = None,
        policy: SearchPolicy = HYBRID,
        log: bool = True,
        redact: bool = False,
    ) -> SearchResult:
        """The `top_k` chunks that answer the question best, best first: a sequence of FoundChunk.

        `mode` is dense (vectors), lexical (words) or hybrid; `policy` has the other settings of the ranking. `space` is
        the key of the space to search, by default the live one. `source_type` and `source_id` are one or several;
        `tags` are all to match. The search is logged unless `log` is false or the database can only be read; with
        `redact`, or where the project says so, by its question's hash.

        Raises as vector.search.search.search does.
        """
        return self._ask(
            search,
            question,
            top_k,
            mode=mode,
            space=space,
            source_type=source_type,
            source_id=source_id,
            tags=tags,
            updated_from=updated_from,
            updated_before=updated_before,
            policy=policy,
            log=log,
            redact=redact,
        )

    def evidence(self, question: str, max_tokens: int = DEFAULT_MAX_TOKENS, top_k: int = 10, **asked: Any) -> Evidence:
        """Passages for a prompt, made of the `top_k` hits, of `max_tokens` tokens together at most: a sequence of
        Passage. `asked` are the other arguments of `search`, and it raises as that does."""
        return self._ask(partial(evidence, max_tokens=max_tokens), question, top_k, **asked)

    def connection(self) -> Any:
        """A connection of DuckDB to the warehouse, with `vector_search(question, top_k)` to be read from, as a table:

            select * from vector_search('Which moon has geysers?', 5)

        Its columns are those of `search(...).to_arrow()`. Each question that a statement asks is logged. It is open
        until it, or the warehouse, is closed. Raises ConfigurationError where the database is no DuckDB.
        """
        with self._turn:
            connection = with_vector_search(self.reader.engine, self.search)
            self._given.append(connection)
            return connection

    def embed(self, *spaces: str, max_seconds: float | None = None, max_cost: float | None = None) -> dict[str, Any]:
        """Embeds what is pending, in these spaces or in every active one: what `vector embed --json` prints, as a
        dictionary, whose `spaces` have a summary each. Raises VectorError when a model cannot be used."""
        options = [word for key in spaces for word in ("--space", key)]
        return self._command("embed", [*options, "--quiet", *_limits(max_seconds, max_cost)])

    def refresh(self, max_seconds: float | None = None, max_cost: float | None = None) -> dict[str, Any]:
        """Builds, embeds and tests: what `vector refresh --json` prints, as a dictionary. Raises VectorError when
        something of it has failed."""
        return self._command("refresh", ["--quiet", *_limits(max_seconds, max_cost)])

    def release(self) -> None:
        """Closes the database, so that others can write to it, until the next question, and keeps the models. Not where
        `connection` gave one, which would be lost, nor where everybody can write anyway."""
        with self._turn:
            if self._opened is not None and self._opened.engine.single_process:
                self._close_written()
            if isinstance(self._searched, SearchStore) or self._given or self._searched is None:
                return
            if self._searched.engine.single_process:
                self._close_searched()

    def close(self) -> None:
        """Closes the database and the connections that `connection` gave, and forgets the models. The next question
        opens them again. The caller's own connection stays open."""
        with self._turn:
            while self._given:
                self._given.pop().close()
            while self._models:
                self._models.popitem()[1].close()
            self._close_written()
            self._close_searched()

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        where = f"target {self._target.name} of {self._target.project_dir}" if self._target else "a given connection"
        return f"<vector.Warehouse: {where}>"

    def _close_written(self) -> None:
        if self._opened is not None and self._target is not None:
            self._opened.close()
        self._opened = None

    def _close_searched(self) -> None:
        if self._searched is not None:
            self._searched.close()
        self._searched = None

    def _ask(
        self,
        ask: Callable[..., Any],
        question: str,
        top_k: int,
        *,
        mode: str | None = None,
        space: str | None = None,
        source_type: Texts = (),
        source_id: Texts = (),
        policy: SearchPolicy = HYBRID,
        log: bool = True,
        redact: bool = False,
        **filters: Any,
    ) -> Any:
        policy = policy if mode is None else replace(policy, mode=mode)
        with self._turn:
            store = self.reader
            searched = searched_space(store, space)
            log = log and not self._only_reads(store)
            return ask(
                store,
                searched,
                self._model(searched) if policy.needs_model else None,
                question,
                top_k=top_k,
                source_types=_several(source_type),
                source_ids=_several(source_id),
                policy=policy,
                log=log,
                redact=redact or (log and redaction_is_set(self._target.project_dir if self._target else None)),
                **{name: value for name, value in filters.items() if value is not None},
            )

    def _model(self, space: EmbeddingSpace) -> EmbeddingProvider:
        known = self._models.get(space.embedding_space_id)
        if known is None:
            known = self._models[space.embedding_space_id] = open_provider(space)
        return known

    def _only_reads(self, store: VectorStore) -> bool:
        """Whether nothing can be logged, which is said once."""
        only = not isinstance(store, SearchStore) and store.engine.read_only  # the former logs beside the database
        if only and not self._told_read_only:
            self._told_read_only = True
            logger.warning("%s is open for reading only: searches are not logged", store.engine.location)
        return only

    def _command(self, name: str, options: list[str]) -> dict[str, Any]:
        """What a command prints with --json, run in a process of its own: with dbt, which needs the database for
        itself, and with models that this process need not hold twice."""
        if self._target is None:
            raise ConfigurationError(f"{name} needs the dbt project: use vector.open() without a connection")
        with self._turn:
            self.close()
            # Absolute where it is a folder: the command's folder is this process's, which may be another one by now.
            where = [f"--{key.replace('_', '-')}={value}" for key, value in self._options.items() if value]
            code = "import sys; from vector.cli import main; sys.exit(main(sys.argv[1:]))"
            done = subprocess.run(
                [sys.executable, "-c", code, name, "--json", *where, *options],
                capture_output=True,
                encoding="utf-8",
                env={**os.environ, **UTF_8},
            )
        result: dict[str, Any] = {}
        with suppress(ValueError):
            result = json.loads(done.stdout)
        if done.returncode > 1 or not result:
            _raise(name, str(result.get("error") or done.stderr.strip() or "it said nothing"), done.returncode)
        for line in done.stderr.splitlines():
            logger.warning("%s", one_line(line))
        return result


def open_warehouse(
    target: str | None = None,
    project_dir: str | Path | None = None,
    profiles_dir: str | Path | None = None,
    connection: Any = None,
    schema: str = "vector",
) -> Warehouse:
    """`vector.open`."""
    given = {"target": target, "project_dir": project_dir, "profiles_dir": profiles_dir}
    if connection is None:
        found = load_target(project_dir, profiles_dir, target)
        options = {"target": found.name, "project_dir": found.project_dir}
        if profiles_dir:
            options["profiles_dir"] = Path(profiles_dir).absolute()
        return Warehouse(found, options)
    if wrong := [name for name, value in given.items() if value]:
        raise ConfigurationError(f"{wrong[0]} and connection name two databases; give one of them")
    return Warehouse(connection=connection, schema=schema)


def _several(texts: Texts) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else tuple(texts)


def _limits(max_seconds: float | None, max_cost: float | None) -> list[str]:
    given = {"--max-seconds": max_seconds, "--max-cost": max_cost}
    return [word for name, value in given.items() if value is not None for word in (name, str(value))]


def _raise(name: str, reason: str, exit_code: int) -> NoReturn:
    """Raises VectorError, with the command's exit code."""
    error = VectorError(f"{name}: {one_line(reason)}")
    error.exit_code = exit_code
    raise error

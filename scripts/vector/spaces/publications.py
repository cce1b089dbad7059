"""Which space is live. Publications are rows that are only added; the latest switch names the live space.

Readers see the old space until the row is committed, and the new one afterwards. Each row has the next number, which is
unique: of two sessions that switch at once the second is refused, because it checked an outdated state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vector.contracts import ledgers
from vector.contracts.models import EmbeddingSpace, PublicationAction, SpacePublication
from vector.errors import ConfigurationError, PublicationRefused
from vector.store import VectorStore, ledger_io
from vector.store.ledger_io import ConstraintRefusal
from vector.store.runs import this_worker


@dataclass(frozen=True)
class History:
    """All publications, by number."""

    publications: Sequence[SpacePublication]

    @classmethod
    def read(cls, store: VectorStore) -> History:
        """The history as it is now."""
        return cls(store.list_space_publications())

    @property
    def next_number(self) -> int:
        """The number of the row to come."""
        return self.publications[-1].publication_number + 1 if self.publications else 1

    @property
    def live_space_id(self) -> str | None:
        """The live space, or None while none was published."""
        chain = self._chain()
        return chain[-1] if chain else None

    @property
    def rollback_space_id(self) -> str | None:
        """The space that a rollback makes live: the last one before the live space that was not retired."""
        chain = self._chain()
        earlier = (each for each in reversed(chain[:-1]) if each != chain[-1] and each not in self.retired)
        return next(earlier, None)

    @property
    def retired(self) -> set[str]:
        """The spaces that were retired by hand and not published since."""
        latest = {each.embedding_space_id: each.action for each in self.publications}
        return {space for space, action in latest.items() if action is PublicationAction.RETIRE}

    def _chain(self) -> list[str]:
        """The published spaces that were not rolled back, in order. A rollback removes the spaces after its own, so the
        next rollback goes back further."""
        chain: list[str] = []
        for each in self.publications:
            if each.action is PublicationAction.PUBLISH:
                chain.append(each.embedding_space_id)
            elif each.action is PublicationAction.ROLLBACK:
                while chain and chain[-1] != each.embedding_space_id:
                    chain.pop()
        return chain


def default_space(store: VectorStore) -> EmbeddingSpace | None:
    """The space that search uses where none is named: the live one, even if it is inactive; as long as none was ever
    published, the only active draft; else None."""
    rows = store.engine.lookup(f"select embedding_space_id, is_default from {store.engine.table('space_status')}")
    found = [space_id for space_id, is_default in rows if is_default]
    if not found:
        return None
    where = {"embedding_space_id": found[0]}
    return next(iter(ledger_io.find(store.engine, ledgers.EMBEDDING_SPACE, where, often=True)), None)


def switch(
    store: VectorStore,
    history: History,
    space: EmbeddingSpace,
    action: PublicationAction,
    evidence: dict[str, Any] | None = None,
    note: str | None = None,
) -> SpacePublication:
    """Makes the space live, in one insert; `history` is what the caller looked at.

    Raises PublicationRefused when another session has written a publication since.
    """
    return _add(store, history, space, action, history.live_space_id, evidence, note)


def retire(store: VectorStore, space: EmbeddingSpace, note: str | None = None) -> SpacePublication | None:
    """Retires a draft or a superseded space: no rollback goes back to it. Its vectors stay, and it can still be
    published. None where it is retired already: then nothing is written.

    Raises PublicationRefused when search uses the space, or another session has written a publication meanwhile.
    """
    history, default = History.read(store), default_space(store)
    if default and default.embedding_space_id == space.embedding_space_id:
        raise PublicationRefused(f"space {space.space_key} is the one that search uses; publish another one first")
    if space.embedding_space_id in history.retired:
        return None
    return _add(store, history, space, PublicationAction.RETIRE, None, None, note)


def status_of(store: VectorStore, space: EmbeddingSpace) -> str:
    """draft, live, superseded or retired."""
    ((status,),) = store.engine.query(
        f"select status from {store.engine.table('space_status')} where embedding_space_id = ?",
        [space.embedding_space_id],
    )
    return status


def known_space(store: VectorStore, space_id: str) -> EmbeddingSpace:
    """The space of an id that a publication names."""
    space = store.get_embedding_space(space_id)
    if space is None:
        raise ConfigurationError(f"embedding space {space_id} is not in the ledger, though a publication names it")
    return space


def _add(
    store: VectorStore,
    history: History,
    space: EmbeddingSpace,
    action: PublicationAction,
    previous_space_id: str | None,
    evidence: dict[str, Any] | None,
    note: str | None,
) -> SpacePublication:
    publication = SpacePublication.create_new(
        history.next_number,
        space.embedding_space_id,
        action,
        this_worker(),
        previous_space_id=previous_space_id,
        evidence=evidence,
        note=note,
    )
    try:
        store.save_space_publication(publication)
    except ConstraintRefusal as refusal:
        later = History.read(store).publications[len(history.publications) :]
        # On DuckDB the number is taken a moment before the other session's row can be seen.
        what = f"{later[0].action.value} by {later[0].published_by}" if later else str(refusal)
        raise PublicationRefused(
            f"another session wrote publication {publication.publication_number} meanwhile ({what});"
            " look at `vector spaces list` and run it again"
        ) from None
    return publication

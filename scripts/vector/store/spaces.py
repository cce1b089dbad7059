"""The embedding space that a person names by its key."""

from __future__ import annotations

from collections.abc import Iterable

from vector.contracts.models import EmbeddingSpace
from vector.errors import UnusableInput
from vector.store.store import VectorStore

SPACE_SEED = "seeds/vector/embedding_space.csv"


def space_of_key(store: VectorStore, space_key: str) -> EmbeddingSpace:
    """The space, active or not. Raises UnusableInput, which lists those there are."""
    spaces = store.list_embedding_spaces(active_only=False)
    for space in spaces:
        if space.space_key == space_key:
            return space
    raise UnusableInput(f"no space is called {space_key!r}; {_listed(spaces)}")


def _listed(spaces: Iterable[EmbeddingSpace]) -> str:
    keys = [f"{space.space_key}{'' if space.is_active else ' (inactive)'}" for space in spaces]
    return f"spaces are {', '.join(keys)}" if keys else f"there is none yet: add a row to {SPACE_SEED}, run `dbt build`"

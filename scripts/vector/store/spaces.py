"""The embedding space that a person names by its key."""

from __future__ import annotations

from vector.contracts.models import EmbeddingSpace
from vector.errors import UnusableInput
from vector.store.store import VectorStore
from vector.wording import SPACES

ACTIVATE = f"set is_active to true in {SPACES} and run `dbt build`"


def space_of_key(store: VectorStore, space_key: str) -> EmbeddingSpace:
    """The space, active or not. Raises UnusableInput, which lists those there are."""
    spaces = store.list_embedding_spaces(active_only=False)
    for space in spaces:
        if space.space_key == space_key:
            return space
    keys = [f"{space.space_key}{'' if space.is_active else ' (inactive)'}" for space in spaces]
    known = f"spaces are {', '.join(keys)}" if keys else f"there is none yet: add a row to {SPACES} and run `dbt build`"
    raise UnusableInput(f"no space is called {space_key!r}; {known}")


def active_space_of_key(store: VectorStore, space_key: str) -> EmbeddingSpace:
    """The space. Raises UnusableInput when there is none, or it is inactive: nothing is pending in it then."""
    space = space_of_key(store, space_key)
    if not space.is_active:
        raise UnusableInput(f"space {space_key} is inactive: {ACTIVATE}")
    return space

"""Which spaces are meant: those that a caller names, or else those that embed fills and that search uses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vector.contracts.models import EmbeddingSpace
from vector.errors import ConfigurationError
from vector.spaces.publications import History, default_space
from vector.store import VectorStore
from vector.store.spaces import ACTIVATE, active_space_of_key
from vector.wording import SPACES


def chosen_spaces(store: VectorStore, keys: Sequence[str] | None) -> list[EmbeddingSpace]:
    """The active spaces of these keys, in their order, or all. Raises ConfigurationError when none is active, or one
    of the keys is unknown or of an inactive space."""
    if keys:
        return [active_space_of_key(store, key) for key in dict.fromkeys(keys)]
    spaces = store.list_embedding_spaces(active_only=False)
    if active := [space for space in spaces if space.is_active]:
        return active
    resting = ", ".join(space.space_key or "" for space in spaces)
    mend = f"{ACTIVATE}, for one of {resting}" if resting else f"add a row to {SPACES} and run `dbt build`"
    raise ConfigurationError(f"no embedding space is active; {mend}")


def searched_space(store: VectorStore, key: str | None) -> EmbeddingSpace:
    """The space to search: the one of this key, else the live one, else the only active one that was not retired. The
    live one may be inactive. Raises ConfigurationError when there is none, or nothing says which."""
    default = default_space(store)
    if default and key in (None, default.space_key):
        return default
    if key:
        return chosen_spaces(store, [key])[0]
    active, retired = chosen_spaces(store, None), History.read(store).retired
    spaces = [space for space in active if space.embedding_space_id not in retired]
    if not spaces:
        raise ConfigurationError(f"every active space is retired ({_keys(active)}): publish one, or name it by --space")
    if len(spaces) > 1:
        raise ConfigurationError(f"several spaces are active; choose one with --space: {_keys(spaces)}")
    return spaces[0]


def _keys(spaces: Iterable[EmbeddingSpace]) -> str:
    return ", ".join(space.space_key or "" for space in spaces)

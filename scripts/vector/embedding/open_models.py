"""Models that a worker keeps open between its jobs: opening one takes longer than a small job."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from vector.contracts.models import EmbeddingSpace
from vector.providers.base import EmbeddingProvider
from vector.spaces.pinning import PinResult


@dataclass(frozen=True)
class OpenModel:
    """A model that is ready, and how it was found to be the space's."""

    provider: EmbeddingProvider
    pin: PinResult


class OpenModels:
    """Models in this process, by space. Those of a server are not kept: it may replace them at any time, so each run
    has to check them anew, while what this process has loaded stays as it was checked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_space: dict[str, OpenModel] = {}

    def get(self, space: EmbeddingSpace) -> OpenModel | None:
        """The space's model, if it is open."""
        return self._by_space.get(space.embedding_space_id)

    def keep(self, space: EmbeddingSpace, model: OpenModel) -> None:
        """Keeps a model, unless it is a server's or there is one already."""
        if model.provider.endpoint_url is None:
            with self._lock:
                self._by_space.setdefault(space.embedding_space_id, model)


# Those of this process's jobs, until it ends.
OPEN_MODELS = OpenModels()

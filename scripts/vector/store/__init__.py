"""What reads and writes the ledgers, on any engine: `VectorStore` is the way in."""

from vector.store.ledger_io import ConstraintRefusal, SaveResult
from vector.store.store import VectorStore

__all__ = ["ConstraintRefusal", "SaveResult", "VectorStore"]

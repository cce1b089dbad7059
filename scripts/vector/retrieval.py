"""Search, for callers of `vector.retrieval`: the module is `vector.search.search`."""

from vector.search.search import SearchResult, search

__all__ = ["SearchResult", "search"]

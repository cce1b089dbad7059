"""Doors of other frameworks, each an extra: what they ask goes through `vector.open()`."""

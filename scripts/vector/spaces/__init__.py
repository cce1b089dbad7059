"""Embedding spaces: the model that is pinned to one, its canaries, its coverage, and which is published."""

"""Forgetting: a source, or what somebody asked, on request. The way is in vector.erasure.erase."""

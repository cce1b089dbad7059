"""The language of lexical search: stems and stop words, and where a warehouse says which.

Stems are those of the Snowball stemmers (Porter 2001, "Snowball: A language for stemming algorithms"), by PyStemmer.
Stop words are the lists of NLTK that the package bm25s carries; a language without one has stems only. Nothing of bm25s
is imported: with scipy, that takes half a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from runpy import run_path
from typing import Any

from vector.engines.base import Engine
from vector.errors import ConfigurationError

# Words as they are: for texts of several languages.
NEUTRAL = "none"
# In a mapping from source types to languages: all other source types.
OTHERS = "*"
# One language for all texts, or a mapping by source type, with one for OTHERS.
Language = str | Mapping[str, str]
# Algorithms of PyStemmer that are older ones of a language.
_SUPERSEDED = {"porter", "dutch_porter"}
# bm25s's shorter list of English is Lucene's, of 33 words; this one is NLTK's, as for the other languages.
_LISTS = {"english": "EN_PLUS"}


def known_languages() -> list[str]:
    """`none`, and what PyStemmer can stem. Raises ConfigurationError when it is not installed."""
    return [NEUTRAL, *sorted(set(_pystemmer().algorithms()) - _SUPERSEDED)]


def search_language(engine: Engine) -> Language:
    """The language that the warehouse sets: the dbt variable `search_language`, as the last `dbt build` had it.

    Raises ConfigurationError when it is none of `known_languages`.
    """
    rows = engine.lookup(f"select source_type, search_language from {engine.table('search_setting')}")
    languages = dict(rows)
    if unknown := sorted(set(languages.values()) - set(known := known_languages())):
        raise ConfigurationError(
            f"search_language in dbt_project.yml is {unknown[0]!r}; make it one of {', '.join(known)}, then `dbt build`"
        )
    return languages[OTHERS] if len(languages) == 1 else languages


def by_source_type(language: Language) -> dict[str, str]:
    """The language of each source type that has one of its own, and of OTHERS."""
    return {OTHERS: language} if isinstance(language, str) else dict(language)


def language_name(language: Language) -> str:
    """A text that tells it from all others."""
    return language if isinstance(language, str) else json.dumps(dict(language), sort_keys=True)


def stemmer(language: str) -> Callable[[str], str] | None:
    """What takes a case-folded word to its stem; None for `none`."""
    return None if language == NEUTRAL else _pystemmer().Stemmer(language).stemWord


def stemmer_version(language: Language) -> str:
    """The version of the stemmer, empty for `none`: another one may have other stems."""
    return "" if set(by_source_type(language).values()) == {NEUTRAL} else _pystemmer().version()


def stop_words(language: str) -> tuple[str, ...]:
    """The stop words of a language; empty where there is no list."""
    if language == NEUTRAL:
        return ()
    return tuple(_all_stop_words().get(f"STOPWORDS_{_LISTS.get(language, language).upper()}", ()))


@cache
def _all_stop_words() -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution("bm25s").locate_file("bm25s/stopwords.py")
    except PackageNotFoundError:
        raise ConfigurationError("lexical search in a language needs the package bm25s: pip install bm25s") from None
    return run_path(str(found))


def _pystemmer() -> Any:
    try:
        import Stemmer
    except ImportError:
        raise ConfigurationError(
            "lexical search in a language needs the package PyStemmer: pip install PyStemmer"
        ) from None
    return Stemmer

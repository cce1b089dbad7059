"""The Spark session of a dbt target: built from its `server_side_parameters`, as dbt-spark's own."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Mapping
from glob import glob
from typing import Any

from vector.engines.spark.engine import SparkEngine
from vector.errors import ConfigurationError
from vector.project.profile import Target
from vector.project.relations import Relations

_HINT = "docs/spark.md has what a Spark target needs"
# Folders and files that the driver needs, by their setting.
_FILES = ("spark.jars", "spark.driver.extraClassPath")


def connect(target: Target, relations: Relations) -> SparkEngine:
    """The engine over the target's session. Raises ConfigurationError, of one line, where pyspark, Java or a jar is
    missing, the method is none that this runtime speaks, or the session cannot be had."""
    settings = session_settings(target)
    _refuse_missing(target, settings)
    # Executors on this machine run this Python; those of a cluster the one that their image has.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("vector")
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
    except Exception as error:
        raise ConfigurationError(f"target {target.name}: no Spark session ({first_line(error)}); {_HINT}") from error
    return SparkEngine(session, target.schema, relations, own=True)


def session_settings(target: Target) -> dict[str, str]:
    """The settings of the target's session. Raises ConfigurationError for a method other than `session`."""
    method = target.settings.get("method")
    if method != "session":
        raise ConfigurationError(
            f"target {target.name} has method {method!r}; the vector runtime works in a Spark session of its own: add a"
            " target with `method: session` whose server_side_parameters name the cluster"
        )
    given: Mapping[str, Any] = target.settings.get("server_side_parameters") or {}
    settings = {str(name): _text(value) for name, value in given.items()}
    # A session keeps what it knows of a table for half a minute, and would not see what another driver has committed.
    catalog = settings.get("spark.sql.defaultCatalog", "spark_catalog")
    settings.setdefault(f"spark.sql.catalog.{catalog}.cache-enabled", "false")
    return settings


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _refuse_missing(target: Target, settings: dict[str, str]) -> None:
    if importlib.util.find_spec("pyspark") is None:
        raise ConfigurationError(
            f"target {target.name} needs pyspark, which is not installed: `pip install 'vector-runtime[spark]'`"
        )
    if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        raise ConfigurationError(f"target {target.name} needs Java 17, which is not on the path: install it; {_HINT}")
    for name in _FILES:
        # Paths are separated by commas, on a class path by colons.
        for path in filter(None, re.split(r",|:(?=/[^/])", settings.get(name, ""))):
            if "://" not in path and not glob(path.strip()):
                raise ConfigurationError(f"target {target.name}: {name} names {path}, which is not there; {_HINT}")


def first_line(error: BaseException) -> str:
    """What an error of Spark says, without the stack of the JVM."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [
        line.removeprefix(": ") for line in lines if not line.startswith(("An error occurred while calling", "at "))
    ]
    return (told or lines or [type(error).__name__])[0][:300]

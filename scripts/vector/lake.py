"""The lake folder: the one folder, named by VECTOR_LAKE_DIR, whose files CHUNK_SOURCE reads."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from vector.errors import ConfigurationError, InvalidRecord, SourceUnreadable
from vector.limits import ExtractionLimits

VARIABLE = "VECTOR_LAKE_DIR"


def checked_lake_path(path: str) -> str:
    """The path in its plain form. Raises InvalidRecord unless it is relative, with `/` between its parts, and stays
    below its folder."""
    plain = PurePosixPath(path)
    if plain.is_absolute() or ".." in plain.parts or "\\" in path or "\0" in path or not plain.parts:
        raise InvalidRecord(
            f"path {path!r}: must be a path below the folder {VARIABLE}, with / between its parts and no .. in it"
        )
    return str(plain)


def find_lake_file(path: str) -> Path:
    """The file of a path relative to the lake folder.

    Raises ConfigurationError when VECTOR_LAKE_DIR is not set or no folder, SourceUnreadable when there is no such
    file, InvalidRecord when the path leads out of the folder, by a symbolic link say.
    """
    lake = os.environ.get(VARIABLE)
    if not lake:
        raise ConfigurationError(f"{VARIABLE} is not set; set it to the folder whose files may be read")
    folder = Path(lake).resolve()
    if not folder.is_dir():
        raise ConfigurationError(f"{VARIABLE} is {lake!r}, which is no folder")
    # Resolved first, so that what is opened is what was checked.
    found = (folder / checked_lake_path(path)).resolve()
    if not found.is_relative_to(folder):
        raise InvalidRecord(f"path {path!r}: leads out of the folder {VARIABLE}; move the file into it")
    if not found.is_file():
        raise SourceUnreadable(f"path {path!r}: no such file in the folder {VARIABLE}; put it back, or name another")
    return found


def read_lake_text(file: Path, path: str, limits: ExtractionLimits) -> str:
    """The file's text, without a byte order mark. Raises SourceUnreadable when it cannot be read or is not UTF-8,
    ExtractionLimit when it is larger than a source may be."""
    try:
        with file.open("rb") as opened:
            # Not what the folder says of its size: it may grow meanwhile.
            content = opened.read(limits.input_bytes + 1)
        if len(content) > limits.input_bytes:
            limits.check_input(max(file.stat().st_size, len(content)), f"path {path!r}")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceUnreadable(
            f"path {path!r}: is not UTF-8 at byte {error.start}; convert the file to UTF-8"
        ) from None
    except OSError as error:
        raise SourceUnreadable(f"path {path!r}: {error.strerror}") from None

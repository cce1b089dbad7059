"""The lake folder: the one folder, named by VECTOR_LAKE_DIR, whose files CHUNK_SOURCE reads."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path, PurePosixPath

from vector.chunking.limits import ExtractionLimits
from vector.errors import ConfigurationError, InvalidRecord, SourceUnreadable, VectorError

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
    file, InvalidRecord when the path leads out of the folder or in a circle, by symbolic links, or is too long.
    """
    lake = os.environ.get(VARIABLE)
    if not lake:
        raise ConfigurationError(f"{VARIABLE} is not set; set it to the folder whose files may be read")
    folder = Path(os.path.realpath(lake))
    if not os.path.isdir(folder):
        raise ConfigurationError(f"{VARIABLE} is {lake!r}, which is no folder")
    below = checked_lake_path(path)
    try:
        # Resolved first, so that what is opened is what was checked.
        found = Path(os.path.realpath(folder / below))
        if not found.is_relative_to(folder):
            raise InvalidRecord(f"path {path!r}: leads out of the folder {VARIABLE}; move the file into it")
        is_file = stat.S_ISREG(os.stat(found).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_file = False
    except OSError as error:  # its own text names the folder on this machine
        raise _unusable(path, error) from None
    except UnicodeError:
        raise InvalidRecord(f"path {path!r}: holds a character that no file's name can have") from None
    if not is_file:
        raise SourceUnreadable(f"path {path!r}: no such file in the folder {VARIABLE}; put it back, or name another")
    return found


def _unusable(path: str, error: OSError) -> VectorError:
    """What every attempt would meet, a loop of links or too long a name, is InvalidRecord; else SourceUnreadable."""
    if error.errno == errno.ELOOP:
        return InvalidRecord(f"path {path!r}: its symbolic links lead in a circle; mend them, or name another file")
    if error.errno == errno.ENAMETOOLONG:
        shown = f"{path[:80]}..." if len(path) > 80 else path
        return InvalidRecord(f"path {shown!r}: is longer than the file system allows; shorten it")
    return SourceUnreadable(f"path {path!r}: {error.strerror}")


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
        raise _unusable(path, error) from None

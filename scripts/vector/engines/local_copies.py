"""What keeps local copies (the index of words, vectors) from outliving an erasure.

Each erasure adds to a number of the warehouse. Beside the copies is a file that says at which number they were made: a
host that finds another one drops all copies, of every warehouse, since their names do not say whose they are. They are
only copies.
"""

from __future__ import annotations

import json
import logging
import shutil
from contextlib import suppress
from pathlib import Path

from vector.engines.base import Engine
from vector.engines.vector_cache import MAPPED, name_of_copy, private_folder
from vector.files import write_whole

logger = logging.getLogger(__name__)

FILE = "erasures.json"


def warehouse_of(engine: Engine) -> str:
    """What tells the warehouses of a host apart."""
    return f"{engine.name}/{engine.location}/{engine.schema}"


def keep_up(folder: Path | None, engine: Engine) -> int:
    """The number of the warehouse, which grows when an erasure or a pruning begins, and when it ends. Drops the copies
    in the folder unless they were made at this number, or nothing was ever erased."""
    number = int(engine.lookup(f"select coalesce(sum(cache_epoch), 0) from {engine.table('erasure')}")[0][0])
    if folder is not None:
        _drop_earlier(folder, warehouse_of(engine), number)
    return number


def _drop_earlier(folder: Path, warehouse: str, number: int) -> None:
    try:
        if not folder.is_dir():
            return
        known = _known(folder)
        name = name_of_copy(warehouse)
        if known.get(name, 0) == number:
            return
        drop_copies(folder)
        if private_folder(folder):
            write_whole(folder / FILE, json.dumps({**known, name: number}).encode())
    except OSError as error:
        logger.warning("%s: copies made before an erasure may be left (%s); delete them", folder, error.strerror)


def drop_copies(folder: Path | None) -> bool:
    """Deletes all copies in the folder; whether there were any. Raises OSError for one that cannot be deleted."""
    if folder is None or not folder.is_dir():
        return False
    folders = [each for each in (folder / "lexical", *folder.glob(f"*{MAPPED}")) if each.is_dir()]
    files = list(folder.glob("*.npz"))
    for each in folders:
        shutil.rmtree(each)
    for each in files:
        each.unlink(missing_ok=True)
    return bool(folders or files)


def _known(folder: Path) -> dict[str, int]:
    with suppress(OSError, ValueError):
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return {str(name): int(number) for name, number in found.items()}
    return {}

"""`report`: the visual report, one HTML page."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vector.commands.output import OutputLost, say
from vector.commands.shared import add_command, open_store, print_result
from vector.errors import ConfigurationError
from vector.files import checked_destination, is_stdout, write_whole
from vector.project.profile import find_project_dir
from vector.report.gather import gather
from vector.report.page import render
from vector.wording import counted

HELP = """examples:
  %(prog)s --out report.html                           all spaces
  %(prog)s --space bge-small --space nomic             these two: coverage, quality, drift between them, their maps
  %(prog)s --docs-url https://git.example.org/vector/docs   where the page's links to the docs lead

A link is followed, and the file behind it replaced as a whole; a new one can be read by its owner only. To what is no
regular file, such as /dev/stdout or a FIFO, the page is written.

The page is one file that loads nothing, and reads well in a browser, on a phone and on paper. It holds texts of chunks
and questions: give it to those who may read these. docs/analysts.md says how to read it.

With --json, one object: out, bytes, spaces (their keys), mapped_chunks.

exit codes: 0 well; 2 usage or configuration."""


def add_to(commands: Any) -> None:
    """Declares the command."""
    parser = add_command(commands, "report", _report, "write the visual report, one HTML page", HELP)
    parser.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html")
    parser.add_argument("--space", action="append", metavar="KEY", help="only this space; may be given several times")
    parser.add_argument(
        "--docs-url", metavar="URL", help="folder of the docs; default: the project's, where it has one"
    )


def _report(arguments: argparse.Namespace) -> int:
    out = arguments.out
    checked_destination(out, "--out")
    docs = _docs(arguments, out)
    store = open_store(arguments)
    try:
        report = gather(store, arguments.space)
    finally:
        store.close()
    page = render(report, docs).encode("utf-8")
    _write(out, page)
    mapped = sum(len(each.points) for each in report.maps)
    value = {"out": str(out), "bytes": len(page), "spaces": report.spaces, "mapped_chunks": mapped}
    about = f"{counted(len(report.spaces), 'space')}, {counted(mapped, 'chunk')} on maps, {len(page) / 1e6:.1f} MB"
    if is_stdout(out):
        say(f"{out}: {about}")  # stdout has the page, and nothing else
    else:
        print_result(arguments, value, f"{out}: {about}")
    return 0


def _write(out: Path, page: bytes) -> None:
    """Raises OutputLost when it cannot be written. Who closed a pipe, `head` say, has enough."""
    try:
        write_whole(out, page)
    except BrokenPipeError:
        pass
    except OSError as error:
        raise OutputLost(f"--out {out}: {error.strerror or error}") from None


def _docs(arguments: argparse.Namespace, out: Path) -> str | None:
    """Where the docs are: the URL that was given, or the path from the page to the project's own."""
    if url := arguments.docs_url:
        if not url.startswith(("https://", "http://")):
            raise ConfigurationError(f"--docs-url {url!r} is no URL; it must begin with https:// or http://")
        return url
    folder = find_project_dir(arguments.project_dir) / "docs"
    if not (folder / "analysts.md").is_file():
        return None
    relative = Path(os.path.relpath(folder.resolve(), out.resolve().parent)).as_posix()
    return quote(f"./{relative}")

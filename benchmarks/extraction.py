"""Extraction and splitting in the process that can be killed, against the same in this process, by format and length.

"ms here" and "ms there" are a source's; the start of the process, which is paid once by a worker, is a row of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from support import best_of, parser, print_header, print_table, text_of

import vector.chunking.extraction_process as extraction_process
from vector.chunking.extraction import extract_text
from vector.chunking.extraction_process import ExtractionProcess
from vector.chunking.limits import ExtractionLimits
from vector.chunking.splitting import SplitterPolicy

LENGTHS = (1_000, 10_000, 100_000)
POLICY = SplitterPolicy(chunk_size=800, overlap=100, max_chunks_per_source=1_000_000)


def main() -> None:
    """Measures and prints the milliseconds of a source."""
    arguments = parser(__doc__, repetitions=3)
    arguments.add_argument("--sources", type=int, default=5, metavar="N", help="a figure")
    given = arguments.parse_args()
    reader = ExtractionProcess(ExtractionLimits.from_environment())
    print_header("Extraction and splitting by a process of its own")
    started = time.perf_counter()
    reader.extract_text("<p>a", "html", None, "text")
    start = time.perf_counter() - started
    rows = []
    for length in LENGTHS:
        for name, (here, there) in _subjects(reader, text_of("ASCII", length, 0)).items():
            best = best_of(given.repetitions, {"here": _repeated(here, given), "there": _repeated(there, given)})
            ms_here, ms_there = (1000 * best[each] / given.sources for each in ("here", "there"))
            rows.append([name, length, ms_here, ms_there, ms_there / ms_here])
    print_table(
        ["what", "bytes of text", "ms here", "ms there", "there / here"], [*rows, ["start", 0, "-", start * 1000, "-"]]
    )
    extraction_process.end_all()


def _subjects(reader: ExtractionProcess, text: str) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """By name, what does a source here and there."""
    paragraphs = [text[i : i + 500] for i in range(0, len(text), 500)]
    html = "".join(f"<p>{each} <b>bold</b></p>" for each in paragraphs)
    wikitext = "\n\n".join(f"{each} '''bold''' [[a|link]]" for each in paragraphs)
    sources = {"html": html, "wikitext": wikitext}
    found: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        name: (
            lambda source=source, name=name: extract_text(source, name),
            lambda source=source, name=name: reader.extract_text(source, name, None, "text"),
        )
        for name, source in sources.items()
    }
    found["sentences"] = (lambda: list(POLICY.windows(text)), lambda: list(reader.windows(POLICY, text)))
    return found


def _repeated(subject: Callable[[], object], given: object) -> Callable[[], None]:
    def run() -> None:
        for _ in range(given.sources):
            subject()

    return run


if __name__ == "__main__":
    main()

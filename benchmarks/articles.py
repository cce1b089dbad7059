"""Which words of a page its text keeps, by the formats `html` and `article`, on the 20 pages of articles/.

The pages were written for this, in the manner of MediaWiki, of news, docs, shops, forums and others. Comments in them
(`<!--keep-->`), which no format sees, say what belongs to the article. Words are compared as multisets: precision is
the share of kept words that belong, recall the share of words that belong and are kept. Figures are means over pages.

--others adds what is installed of resiliparse and readability-lxml, and trafilatura alone.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from support import parser, print_header, print_table

from vector.chunking.extraction import extract_text

PAGES = Path(__file__).parent / "articles"
BASELINE = "html"
# A script without blanks has words of one character here.
WORD = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]|\w+")
KEPT = re.compile("<!--keep-->(.*?)<!--/keep-->", re.DOTALL)
INLINE = re.compile(r"</?(?:a|b|i|em|strong|cite|sup|span|font)\b[^>]*>", re.IGNORECASE)

Reader = Callable[[str], str]


def main() -> None:
    """Prints precision, recall and F1 of each reader, on wiki pages and on others, against the format html."""
    arguments = parser(__doc__, repetitions=1)
    arguments.add_argument("--others", action="store_true", help="other extractors too, as far as they are installed")
    given = arguments.parse_args()
    readers: dict[str, Reader] = {
        name: lambda page, name=name: extract_text(page, name) for name in ("html", "article")
    }
    if given.others:
        readers |= other_readers()
    pages = {path.stem: path.read_text(encoding="utf-8") for path in sorted(PAGES.glob("*.html"))}
    print_header(f"Words of {len(pages)} pages that belong to the article")
    rows = []
    for kind in ("wiki", "other"):
        chosen = [page for name, page in pages.items() if name.startswith("wiki_") == (kind == "wiki")]
        figures = {name: measured(reader, chosen) for name, reader in readers.items()}
        for name, (precision, recall, worst, f1, ms) in figures.items():
            rows.append([kind, len(chosen), name, precision, recall, worst, f1, f1 / figures[BASELINE][3], ms])
    print_table(
        ["pages", "count", "by", "precision", "recall", "lowest recall", "F1", "F1 / F1 of html", "ms a page"], rows
    )


def measured(reader: Reader, pages: list[str]) -> tuple[float, float, float, float, float]:
    """Means of precision and recall, the lowest recall, the mean F1, and milliseconds a page."""
    reader(without_marks(pages[0]))  # imports what it needs
    scores = []
    started = time.perf_counter()
    texts = [reader(without_marks(page)) for page in pages]
    taken = time.perf_counter() - started
    for page, text in zip(pages, texts, strict=True):
        wanted, found = belonging(page), Counter(WORD.findall(text))
        both = (wanted & found).total()
        scores.append((both / max(found.total(), 1), both / wanted.total()))
    f1 = [2 * p * r / (p + r) if p + r else 0.0 for p, r in scores]
    precisions, recalls = zip(*scores, strict=True)
    count = len(scores)
    return sum(precisions) / count, sum(recalls) / count, min(recalls), sum(f1) / count, 1000 * taken / count


def without_marks(page: str) -> str:
    """The page as a reader gets it."""
    return re.sub("<!--/?keep-->", "", page)


def belonging(page: str) -> Counter[str]:
    """The words between the marks."""
    from lxml.html import fromstring

    parts = (re.sub("<[^>]*>", " ", INLINE.sub("", part)) for part in KEPT.findall(page))
    return Counter(WORD.findall(fromstring(f"<p>{' '.join(parts)}</p>").text_content()))


def other_readers() -> dict[str, Reader]:
    """Extractors that were not taken, or not for all pages, by name."""
    found: dict[str, Reader] = {}
    try:
        from trafilatura import extract

        found["trafilatura alone"] = lambda page: extract(page, include_comments=False) or ""
    except ImportError:
        pass
    try:
        from resiliparse.extract.html2text import extract_plain_text

        found["resiliparse"] = lambda page: extract_plain_text(page, main_content=True)
    except ImportError:
        pass
    try:
        from readability import Document

        found["readability-lxml"] = lambda page: extract_text(Document(page).summary(), "html")
    except ImportError:
        pass
    return found


if __name__ == "__main__":
    main()

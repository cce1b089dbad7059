"""The examples of a document: a question in bold, a query, and the header of the table that it gave."""

import re

from support import PROJECT_DIR


def examples(name: str) -> list[tuple[str, str, str]]:
    """Question, SQL and header of each query under `## Examples` of docs/<name>; every query must have both."""
    text = (PROJECT_DIR / "docs" / name).read_text(encoding="utf-8").partition("## Examples")[2]
    found = [
        (question, sql, header)
        for question, passage in re.findall(r"^\*\*(.*?)\*\*(.*?)(?=^\*\*|^## |\Z)", text, re.DOTALL | re.MULTILINE)
        for sql, header in re.findall(r"```sql\n(.*?)```\n\n\| (.*?) \|\n", passage, re.DOTALL)
    ]
    assert len(found) == text.count("```sql") >= 2, f"docs/{name} has a query without a question or a result"
    return found

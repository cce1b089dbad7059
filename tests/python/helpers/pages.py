"""The pages of the demo, as a test changes them."""

import json


def write_pages(project, **texts):
    """Adds pages, or changes the text of those that there are."""
    pages = {row["page_id"]: row for row in project.rows("page")}
    for page_id, text in texts.items():
        payload = {"title": "A page", "lang": "en", "tags": ["test"], "body": {"format": "plain", "text": text}}
        pages[page_id] = {"page_id": page_id, "payload_json": json.dumps(payload), "fetched_utc": "2026-01-01"}
    project.write_rows("page", list(pages.values()))
    project.refresh()


def text_of(project, source_id):
    ((text,),) = project.query("select content from chunk where source_id = ? and retired_utc is null", source_id)
    return text

"""Documents that take much more than their size says, made here: each by its name as the `from` and format of a job."""

import json


def _html(text):
    return {"from": {"text": text}, "format": "html"}


def _article(text):
    return {"from": {"text": text}, "format": "article"}


def _wikitext(text):
    return {"from": {"text": text}, "format": "wikitext"}


def _json(value, json_path, **more):
    text = value if isinstance(value, str) else json.dumps(value)
    return {"from": {"text": text}, "format": "json", "json_path": json_path, **more}


def _nested(levels, inner="x"):
    value = inner
    for _ in range(levels):
        value = [value, value]
    return value


def _split(text, method):
    return {"from": {"text": text}, "format": "text", "policy_version": method}


WIDE = "w" * 80_000

# Each once took gigabytes, or minutes, or for ever.
DOCUMENTS = {
    "html padding": _html('<div style="padding-left:99999em">a<br></div>' * 4000),
    "html margin": _html('<p style="margin-top:99999em;margin-bottom:9e99px">a</p>' * 4000),
    "html wide cell": _html(f"<table><tr><td>{WIDE}</td></tr>{'<tr><td>a' * 9000}</table>"),
    "html high cell": _html(f"<table><tr><td>{WIDE}</td><td>{'a<br>' * 40_000}</td></tr></table>"),
    "html many cells": _html(f"<table><tr>{'<td>' * 20_000}<td>{'a<br>' * 40_000}</td></tr></table>"),
    "html spans": _html('<table><tr><td colspan="999999999" rowspan="999999999">a</td></tr></table>' * 500),
    "html nested tables": _html("<table><tr><td>" * 300 + "a" * 100_000 + "</td></tr></table>" * 300),
    "html nested lists": _html("<ul><li>" * 200 + "<li>a" * 40_000),
    "html deep": _html("<div>" * 300_000 + "a"),
    "html attributes": _html("<p " + " ".join(f"a{n}=1" for n in range(100_000)) + ">a</p>"),
    "html styles": _html(f'<p style="{"display:block;" * 100_000}">a</p>' * 5),
    "html entities": _html("&amp;" * 400_000 + "&#" * 400_000),
    "html inline": _html("<b>a</b>" * 400_000),
    "html comments": _html("<!--" * 400_000),
    "html doctype": _html(
        '<!DOCTYPE a [<!ENTITY a "' + "b" * 9999 + '">' + "<!ENTITY c '&a;&a;&a;'>" * 999 + "]><p>&c;&a;"
    ),
    "article deep": _article("<div>" * 300_000 + "a"),
    "article nested wikis": _article("<div class=mw-parser-output>" * 3000 + "a"),
    "article empty items": _article(json.dumps({"parse": {"text": "<ul><li>" * 200 + "<nav>a</nav>" * 40_000}})),
    "article headings": _article(json.dumps({"parse": {"text": "<h2>a</h2>" * 200_000 + "b"}})),
    "article inline": _article("<p>a <code>b</code></p>" * 100_000),
    "wikitext open links": _wikitext('<a href="' * 20_000),
    "wikitext urls": _wikitext("[http://a " * 20_000),
    "wikitext tables": _wikitext("{|\n|a\n" * 20_000),
    "wikitext references": _wikitext("a<ref>b</ref>" * 20_000),
    "wikitext pictures": _wikitext("a [[File:b.jpg|c]] " * 20_000),
    "wikitext templates": _wikitext("{{a|" * 20_000),
    "wikitext arguments": _wikitext("{{{a|" * 20_000),
    "wikitext braces": _wikitext("{" * 60_000),
    "wikitext brackets": _wikitext("[[" * 40_000 + "a"),
    "wikitext styles": _wikitext("'''''''" * 10_000),
    "wikitext headings": _wikitext("=" * 60_000),
    "wikitext comments": _wikitext("<!--" * 40_000),
    "wikitext nowiki": _wikitext("<nowiki>" * 20_000),
    "json recursion": _json(_nested(14), "$..*..*..*..*..*"),
    "json unions": _json(_nested(10), "$" + "[*,*,*,*]" * 10),
    "json indices": _json(_nested(10), "$" + "[0,0,0,0,0,0,0,0]" * 10),
    "json slices": _json(["x"] * 60_000, "$" + "[::1,::-1,0:9007199254740991]" + "[?@ == @]" * 3),
    "json filters": _json(_nested(12), "$..[?count(@..*) > 1]..[?count(@..*) > 1]..[?count(@..*) > 1]"),
    "json comparisons": _json([_nested(14)] * 40, "$[?@ == $[0]][?@ == $[1]]..*"),
    "json deep": _json("[" * 90_000 + "]" * 90_000, "$..*"),
    "json html": _json(["<div style='padding-left:99999em'>a<br></div>" * 400] * 40, "$[*]", value_format="html"),
    "json wikitext": _json(['<a href="' * 9000] * 4, "$[*]", value_format="wikitext"),
    "sentences without a boundary": _split("a" * 4_000_000, "sentences"),
    "sentences of marks": _split("e" + "\N{COMBINING ACUTE ACCENT}" * 2_000_000, "sentences"),
    "markdown quotes": _split(">" * 600_000, "markdown"),
    "markdown brackets": _split("[" * 600_000, "markdown"),
    "markdown emphasis": _split("*a_" * 400_000, "markdown"),
}
# Refused before they are read.
REFUSED = {
    "json search": _json(["a" * 40 + "!"], "$[?search(@,'(a+)+$')]"),
    "json match": _json({"a": ["a" * 40 + "!"]}, "$..[?match(@,'(a|a)*b')]"),
    "json long path": _json([], "$" + "..*" * 1000),
    "json large real": _json([], "$[?@.a == 1e400]"),
    "json large whole": _json([], f"$[?@.a == {'9' * 900}]"),
    "json nested filter": _json([], "$[?" + "(" * 900 + "@" + ")" * 90 + "]"),
}

"""Where sentences end, in any script: for the cutting of texts, and for showing one."""

from __future__ import annotations

import re

# The insides of character classes; the macros space_ranges, sentence_end_ranges and closer_ranges have the same. Spaces
# are Unicode's White_Space but for those that say not to break. After a wide end, as of Chinese, no space is due.
SPACES = r"\u0009-\u000d\u0020\u0085\u1680\u2000-\u2006\u2008-\u200a\u2028\u2029\u205f\u3000"
WIDE_ENDS = r"\u3002\uff01\uff1f\uff61"
ENDS = r"!.?\u0589\u061f\u06d4\u0964\u0965\u104b\u1362\u2026" + WIDE_ENDS
CLOSERS = r"\"')\u00bb\u2019\u201d\u203a\u300d\u300f\uff09"
# With the character after the sentence, so that a sentence that ends with the text that is looked at is none.
# One class first, as Python searches for that many times faster than for one of two.
SENTENCE_END = re.compile(
    f"[{ENDS}](?:[{CLOSERS}]?[{SPACES}]|(?<=[{WIDE_ENDS}])[{CLOSERS}]?[^{ENDS}{CLOSERS}{SPACES}])"
)

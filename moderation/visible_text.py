r"""Untrusted text -> the same with invisible characters written out; no other module does this.

A file may have any name. What a terminal obeys (control characters), what reverses the order of
characters, and what has no shape is shown as \x1b or \u202e; half a character, which stands for a
byte of a name that is not UTF-8, as \udcff.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

#: Characters that act or have no shape: controls, halves of characters, line separators, formatting
#: marks, those that Unicode calls ignorable or no characters, and blank letters and signs.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160"
    "\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def one_line(text: str) -> str:
    r"""Returns a text on one line, with invisible characters written out, as \n and \x1b.

    A second time it changes nothing more, so anything that prints may call it to be safe.
    """
    return _UNSEEN.sub(
        lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text
    )


def brief(text: str, most: int = 600) -> str:
    """Returns a text on one line, as `one_line` does; of a longer one, the beginning and the end.

    What a message quotes may be megabytes from a stranger. A second time it changes nothing more.
    """
    if len(text) <= most and len(shown := one_line(text)) <= most:
        return shown
    left_out = f" ... (of {len(text):,} characters) ... "
    kept = most - len(left_out)
    beginning, end = one_line(text[:kept]), one_line(text[-kept:])
    return beginning[: kept * 2 // 3] + left_out + end[-(kept // 3) :]


def lines(text: str) -> str:
    """Returns a text of several lines, each as `one_line` returns it; tabs stay too."""
    return re.sub(r"[^\n\t]+", lambda found: one_line(found[0]), text)


def shown_name(name: str) -> str:
    r"""Returns a name on one line, so that no two names look alike: its own backslashes are \\.

    It is for a name that becomes part of a text, not for the text.
    """
    return one_line(name.replace("\\", "\\\\"))


def utf8(text: str) -> str:
    r"""Returns a text that any file or table takes: what is not UTF-8 is written out, as \udcff."""
    return text.encode(errors="backslashreplace").decode()


def json_text(value: Any, indent: int | None = None, *, compact: bool = False) -> str:
    r"""Returns JSON that shows the letters of all languages, and escapes invisible characters.

    A name that is not UTF-8 keeps its bytes: \udcff stands for the byte ff, as in os.fsdecode. A
    time is written as its isoformat(). Compact text has no spaces between values.
    """
    text = json.dumps(
        value,
        indent=indent,
        separators=(",", ":") if compact else None,
        ensure_ascii=False,
        default=datetime.isoformat,
    )
    # json escapes what is below a space in texts, so any line break that is left is its own.
    return _UNSEEN.sub(lambda f: f[0] if f[0] == "\n" else json.dumps(f[0])[1:-1], text)

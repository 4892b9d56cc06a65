r"""Untrusted text -> the same, with what cannot be seen written out; no other module does this.

A file may be called anything. What a terminal obeys (control characters), what turns the order of
characters round, and what has no shape is shown as \x1b or \u202e; half a character, which
stands for a byte of a name that is not UTF-8, as \udcff.
"""

from __future__ import annotations

import json
import re
from typing import Any

#: What acts or has no shape: controls, halves of characters, line separators, all formatting marks,
#: whatever Unicode says may be ignored, and the letters and signs that are blank.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160"
    "\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def one_line(text: str) -> str:
    r"""Returns a text on one line, with what cannot be seen written out, as \n and \x1b.

    Done twice it changes nothing more, so that whatever prints can do it to be safe.
    """
    return _UNSEEN.sub(lambda found: _written_out(found[0]), text)


def brief(text: str, most: int = 600) -> str:
    """Returns a text on one line, as `one_line` has it; of a longer one the beginning and the end.

    What a message quotes may be megabytes of a stranger's; what is done to it twice is done once.
    """
    if len(text) <= most and len(shown := one_line(text)) <= most:
        return shown
    left_out = f" ... (of {len(text):,} characters) ... "
    kept = most - len(left_out)
    beginning, end = one_line(text[:kept]), one_line(text[-kept:])
    return beginning[: kept * 2 // 3] + left_out + end[-(kept // 3) :]


def lines(text: str) -> str:
    """Returns a text of several lines, each as `one_line` has it; tabs stay too."""
    return re.sub(r"[^\n\t]+", lambda found: one_line(found[0]), text)


def shown_name(name: str) -> str:
    r"""Returns a name on one line, so that no two names look alike: its own backslashes are \\.

    For where a name becomes part of a text, and not for the text.
    """
    return one_line(name.replace("\\", "\\\\"))


def utf8(text: str) -> str:
    r"""Returns a text that any file or table takes: what is not UTF-8 written out, as \udcff."""
    return text.encode(errors="backslashreplace").decode()


def json_text(value: Any, indent: int | None = None) -> str:
    r"""Returns JSON that shows letters of all languages, and escapes what cannot be seen.

    A name that is not UTF-8 keeps its bytes: \udcff stands for the byte ff, as in os.fsdecode.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    # json escapes what is below a space in texts; the line breaks that are left are its own.
    return _UNSEEN.sub(lambda f: f[0] if f[0] == "\n" else json.dumps(f[0])[1:-1], text)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")

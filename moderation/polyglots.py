"""What else an image file is: a file can be an image and, for another program, something active.

Imports nothing but Python's own, and takes microseconds.
"""

from __future__ import annotations

import re
import struct

#: Where browsers, PDF readers and the like look for what a file is.
_HEAD = 1024

_MARKS = {
    b"%pdf-": "a PDF",
    b"<?php": "a PHP script",
    b"<script": "an HTML page",
    b"<!doctype": "an HTML page",
    b"<html": "an HTML page",
    b"<svg": "an SVG drawing",
}
#: What follows must end the word, since `<svg` alone is also how other words begin.
_MARK = re.compile(rb"%pdf-|<\?php\b|<(?:script|!doctype|html|svg)(?=[\s/>])", re.IGNORECASE)

#: The end of a ZIP file: its mark, then among other things how long its list of files is, and how
#: long the comment after it. The comment is the longest that there can be.
_ZIP_END, _ZIP_LIST, _ZIP64_END = b"PK\x05\x06", b"PK\x01\x02", b"PK\x06\x07"
_ZIP_END_LENGTH, _LONGEST_COMMENT = 22, 65_535


def second_nature(content: bytes) -> str | None:
    """Returns what a file is besides an image, "a ZIP file" for one; None where it is nothing else.

    It knows ZIP files (and so JAR, APK and office documents) that are appended, as unpackers find
    them; and PDF, HTML, SVG and PHP within the first 1024 bytes. It cannot catch what is made with
    care: a script without such a mark, as GIF that is JavaScript too, or HTML and PHP further in.
    So whoever shows images serves them with their type and `X-Content-Type-Options: nosniff`, and
    from no folder where scripts are run; or shows a copy that was encoded anew.

    Args:
        content: the file, known to be an image.
    """
    found = _MARK.search(content, 0, _HEAD)
    if found:
        return _MARKS[found[0].lower()]
    return "a ZIP file" if _ends_as_zip(content) else None


def _ends_as_zip(content: bytes) -> bool:
    first = max(0, len(content) - _ZIP_END_LENGTH - _LONGEST_COMMENT)
    at = content.rfind(_ZIP_END, first)
    while at >= 0:
        if _lists_files(content, at):
            return True
        at = content.rfind(_ZIP_END, first, at)
    return False


def _lists_files(content: bytes, at: int) -> bool:
    """Whether what looks like the end of a ZIP file is one: its list of files lies before it.

    The mark alone would be found in one of 65,000 photographs.
    """
    if at + _ZIP_END_LENGTH > len(content):
        return False
    [length] = struct.unpack_from("<I", content, at + 12)
    is_listed = length <= at and content.startswith(_ZIP_LIST, at - length)
    return is_listed or (at >= 20 and content.startswith(_ZIP64_END, at - 20))

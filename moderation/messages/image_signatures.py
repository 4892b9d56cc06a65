"""How image files begin, so that one is known by its content and not by its name.

This says what is worth decoding; the decoder says whether it is an image. It imports no Pillow, as
hosts use it too.
"""

from __future__ import annotations

import base64
import re
import string
from itertools import islice

#: How many bytes of a file are enough.
HEAD_BYTES = 32

_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")
_BOXED = {b"avif", b"avis", b"mif1", b"msf1"}
_BOXED |= {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
#: Formats that are known and not read: TIFF, JPEG 2000, JPEG XL, Photoshop, SVG.
_UNREAD = (b"II*\0", b"MM\0*", b"\0\0\0\x0cjP", b"\0\0\0\x0cJXL", b"8BPS", b"<svg")

_BASE64 = string.ascii_letters + string.digits + "+/-_"
_TO_STANDARD = str.maketrans("-_", "+/")
#: How many characters of base64 are looked at, how many there must be, as no image is shorter, and
#: how many folders may stand before them.
_TELLING, _SHORTEST, _FOLDERS = 4 * 10, 32, 40
_DATA_URL = re.compile(r"\s*data:([a-z][a-z0-9.+-]*/[a-z0-9.+-]+)?(;[^,/]*)?,")


def has_image_signature(head: bytes) -> bool:
    """Returns whether a file that begins so is an image of a format that is read, or HEIC."""
    if head.startswith(_STARTS):
        return True
    if head[:2] == b"BM":  # some words begin so too
        return int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    return head[4:8] == b"ftyp" and head[8:12] in _BOXED


def is_encoded_image(text: str) -> bool:
    """Returns whether a text is the content of an image, as base64 or a data: URL.

    It may stand behind folders, since some hosts make any text an absolute path.
    """
    lower = text.lower()
    if lower.startswith(("http://", "https://")):  # its query may hold anything
        text = re.split(r"[?#]", text, maxsplit=1)[0]
        lower = text.lower()
    if _DATA_URL.match(lower) or ";base64," in lower:
        return True
    text = "".join(text.split()).rstrip("=")
    end = text[len(text.rstrip(_BASE64)) :]
    if end == text and _is_signature(text):
        return True
    parts = (match.end() for match in islice(re.finditer("/", end), _FOLDERS))
    # A JPEG is not such a part: it begins with its own slash, so it is an absolute path already.
    return any(_is_signature(end[start:]) and end[start : start + 4] != "/9j/" for start in parts)


def _is_signature(text: str) -> bool:
    """Returns whether base64 begins as an image does."""
    if len(text) < _SHORTEST:
        return False
    first = text[:_TELLING].translate(_TO_STANDARD)
    head = base64.b64decode(first[: len(first) // 4 * 4])
    return has_image_signature(head) or head.startswith(_UNREAD)

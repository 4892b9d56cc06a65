"""The opacity of a WebP, which it can have without saying so.

Browsers then multiply colours by the opacity, and show nothing through them.

Imports only Pillow, and copies what it changes.
"""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

RIFF, _WEBP = b"RIFF", b"WEBP"

#: Of the flags of a file, and of the fifth byte of lossless data: that there is opacity.
_FILE_HAS, _DATA_HAVE = 0x10, 0x10
_ANIMATION = 0x02
#: Bytes of a frame before its chunks.
_FRAME_HEAD = 16
_MOST_CHUNKS = 10_000


def with_opacity(content: bytes) -> bytes:
    """Returns a WebP whose opacity is read, whether or not it says that it has one.

    So it is with lossless data, and with an animation of which frames leave a part uncovered.

    Raises:
        ValueError: it is an animation with frames that have opacity, and says it has none.
    """
    if content[8:12] != _WEBP:
        return content
    flags = _flags(content)
    if flags is not None and flags & _ANIMATION:
        if flags & _FILE_HAS or _frames_cover(content):
            return content
        return content[:20] + bytes([flags | _FILE_HAS]) + content[21:]
    at = _lossless(content)
    if at is None or content[at] & _DATA_HAVE:
        return content
    return content[:at] + bytes([content[at] | _DATA_HAVE]) + content[at + 1 :]


def refuse_hidden_opacity(image: Image.Image, content: bytes) -> None:
    """Refuses a loaded still WebP that has transparent parts and says it has none.

    Raises:
        ValueError: so it is.
    """
    at, flags = _lossless(content), _flags(content)
    if at is None or image.mode != "RGBA" or image.getchannel("A").getextrema() == (255, 255):
        return
    if not (content[at] & _DATA_HAVE if flags is None else flags & _FILE_HAS):
        raise ValueError("opacity that the file says it does not have")


def _flags(content: bytes) -> int | None:
    """Returns the flags of a WebP; None of one that is nothing but a picture."""
    return content[20] if content[12:16] == b"VP8X" and len(content) > 20 else None


def _lossless(content: bytes) -> int | None:
    """Returns where the flag of a still WebP's lossless data is; None if it has no such data."""
    for kind, start, _ in _chunks(content, 12, len(content)):
        if kind == b"VP8L" and start + 4 < len(content):
            return start + 4
        if kind in (b"VP8 ", b"ANMF"):
            return None
    return None


def _frames_cover(content: bytes) -> bool:
    """Whether all frames of an animation are as large as its canvas.

    Raises:
        ValueError: one has opacity.
    """
    canvas, covers = content[24:30], True
    for kind, start, end in _chunks(content, 12, len(content)):
        if kind != b"ANMF":
            continue
        covers = covers and content[start + 6 : start + 12] == canvas
        for inner, at, stop in _chunks(content, start + _FRAME_HEAD, end):
            is_lossless = inner == b"VP8L" and stop > at + 4
            if inner == b"ALPH" or (is_lossless and content[at + 4] & _DATA_HAVE):
                raise ValueError("frames with opacity that the file says it does not have")
    return covers


def _chunks(content: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields the kind of each chunk, and where its data begin and end."""
    for _ in range(_MOST_CHUNKS):
        if at + 8 > end:
            return
        stop = at + 8 + int.from_bytes(content[at + 4 : at + 8], "little")
        yield content[at : at + 4], at + 8, min(stop, end)
        at = stop + stop % 2

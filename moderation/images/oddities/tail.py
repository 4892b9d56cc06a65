"""What stands in a file after its picture ends."""

from __future__ import annotations

_NOTHING = b"\0\r\n\t \xff"


def is_ordinary_tail(rest: bytes) -> bool:
    """Whether the bytes after a picture are padding, or what phones put there.

    That is a film of the moment before, as MP4, and Samsung's own list of notes, which ends in its
    mark.
    """
    rest = rest.strip(_NOTHING)
    return not rest or rest.endswith(b"SEFT") or b"ftyp" in rest[:16]

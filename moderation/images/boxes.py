"""Boxes of an AVIF or HEIC (ISO/IEC 14496-12) -> the properties of the picture that is shown."""

from __future__ import annotations


def coded_colours(content: bytes) -> tuple[int, int] | None:
    """Returns the primaries and transfer by H.273 that a file states; None where it states none."""
    return None

"""Pictures with ICC profiles that browsers find broken, or find, where other readers do not."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from PIL import Image

from benchmarks.colour_profiles import rgb_profile
from tests.support.hostile_files import saved
from tests.support.seen_files import icc_profile, new_table, old_table

_BROKEN = b"junk" + bytes(60)


def profile_files(photograph: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Yields names and files."""
    for name, tags in _other_tags().items():
        profile = _with_tags(tags)
        yield f"profile-{name}.png", saved(photograph, icc_profile=profile)
    yield from _jpeg_parts(photograph)
    profile = rgb_profile("Adobe RGB")
    for lossless in (True, False):
        content = saved(photograph, "WEBP", lossless=lossless, icc_profile=profile)
        flags = content.index(b"VP8X") + 8
        hidden = content[:flags] + bytes([content[flags] & ~0x20]) + content[flags + 1 :]
        yield f"profile-not-announced-{lossless}.webp", hidden
    second = photograph.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    moving = {"save_all": True, "append_images": [second], "duration": 100_000}
    for form, options in {"WEBP": {"lossless": True}, "PNG": {}}.items():
        content = saved(photograph, form, icc_profile=profile, **options, **moving)
        yield f"profile-of-animation.{form.lower()}", content


def profile_with_codes(*codes: int) -> bytes:
    """Returns a profile that states codes of H.273 beside its curves and matrix."""
    return _with_tags({b"cicp": b"cicp\0\0\0\0" + bytes(codes)})


def _with_tags(tags: dict[bytes, bytes]) -> bytes:
    """Returns Adobe RGB with other tags added."""
    adobe = rgb_profile("Adobe RGB")
    found = {}
    [count] = struct.unpack_from(">I", adobe, 128)
    for name, at, length in struct.iter_unpack(">4sII", adobe[132 : 132 + 12 * count]):
        found[name] = adobe[at : at + length]
    return icc_profile(b"RGB ", b"XYZ ", found | tags)


def _other_tags() -> dict[str, dict[bytes, bytes]]:
    old, new = old_table(3, 3, 1), new_table(grid=True, matrix=True)
    back = new.replace(b"mAB ", b"mBA ")
    grey = b"curv\0\0\0\0" + struct.pack(">IH", 1, 800)
    codes = {"codes-12-13": (12, 13, 0, 1), "codes-1-8": (1, 8, 0, 1), "codes-half": (12, 8, 0, 0)}
    return {
        "back-broken": {b"B2A0": _BROKEN},
        "back-broken-second": {b"B2A1": _BROKEN},
        "back-broken-third": {b"B2A2": _BROKEN},
        "back-broken-beside-good": {b"B2A0": old, b"B2A1": _BROKEN},
        "back-broken-before-good": {b"B2A0": _BROKEN, b"B2A1": old},
        "back-old": {b"B2A0": old},
        "back-old-of-2-bytes": {b"B2A0": old_table(3, 3, 2)},
        "back-old-cut": {b"B2A0": old[:-30]},
        "back-new": {b"B2A0": back},
        "back-new-cut": {b"B2A0": back[:60]},
        "back-of-another-way": {b"B2A0": new},
        "back-of-four-channels": {b"B2A0": old_table(4, 2, 1)},
        "table-broken": {b"A2B0": _BROKEN},
        "table-broken-third": {b"A2B2": _BROKEN},
        "curve-of-greys": {b"kTRC": grey},
        "curve-of-greys-broken": {b"kTRC": _BROKEN},
        "codes-broken": {b"cicp": _BROKEN},
        "codes-cut": {b"cicp": b"cicp\0\0\0\0"},
        **{name: {b"cicp": b"cicp\0\0\0\0" + bytes(each)} for name, each in codes.items()},
    }


def _jpeg_parts(photograph: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Yields JPEGs whose profiles are in parts that do not agree, or lie elsewhere."""
    adobe, p3 = rgb_profile("Adobe RGB"), rgb_profile("Display P3")
    head, tail = adobe[:250], adobe[250:]
    plain = saved(photograph, "JPEG", quality=95)
    parts = {
        "twice": ((1, 1, adobe), (1, 1, adobe)),
        "of-two": ((1, 1, adobe), (1, 1, p3)),
        "halves": ((1, 2, head), (2, 2, tail)),
        "halves-exchanged": ((2, 2, tail), (1, 2, head)),
        "half-twice": ((1, 2, head), (1, 2, head), (2, 2, tail)),
        "half": ((1, 2, head),),
        "whole-of-two": ((1, 2, adobe),),
        "counts-disagree": ((1, 2, head), (2, 3, tail)),
        "of-none": ((1, 0, adobe),),
        "number-0": ((0, 1, adobe),),
        "number-too-large": ((2, 1, adobe),),
        "one-and-second-of-two": ((1, 1, p3), (2, 2, adobe)),
        "third-of-two": ((1, 2, head), (2, 2, tail), (3, 2, b"x")),
        "empty-part": ((1, 2, adobe), (2, 2, b"")),
    }
    for name, each in parts.items():
        inserted = b"".join(_part(*part) for part in each)
        yield f"parts-{name}.jpg", plain[:2] + inserted + plain[2:]
    for place, marker in {"pixels": b"\xff\xda", "end": b"\xff\xd9"}.items():
        at = plain.rindex(marker)
        yield f"parts-before-{place}.jpg", plain[:at] + _part(1, 1, adobe) + plain[at:]


def _part(number: int, count: int, data: bytes) -> bytes:
    content = b"ICC_PROFILE\0" + bytes([number, count]) + data
    return b"\xff\xe2" + struct.pack(">H", len(content) + 2) + content

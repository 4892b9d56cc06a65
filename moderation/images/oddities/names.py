"""The names of oddities, and which of them ordinary cameras, phones and editors make."""

from __future__ import annotations

from typing import Literal

#: What viewers read differently by design; docs/oddities.md says what each name means.
Oddity = Literal[
    "bmp-profile",
    "clean-aperture",
    "damaged-chunk",
    "damaged-frame",
    "default-image-apart",
    "extreme-gamma",
    "extreme-primaries",
    "hdr",
    "late-chunk",
    "orientation-conflict",
    "profile-of-other-colours",
    "several-pictures",
    "sizes-disagree",
    "table-profile",
    "trailing-data",
    "two-animation-headers",
    "two-profiles",
    "unequal-densities",
    "unread-orientation",
]

ORDINARY: frozenset[Oddity] = frozenset(
    (
        "bmp-profile",  # ImageMagick keeps the profile
        "hdr",  # cameras write PQ and HLG into HEIC and AVIF
        "profile-of-other-colours",  # editors keep the profile when they make a picture grey
        "several-pictures",  # phones write gain maps, stereo pairs and bursts, with an index
        "unread-orientation",  # converters copy a phone's notes, turn the pixels, or do both
    )
)

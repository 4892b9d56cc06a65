"""What an ICC profile or a code of colours says about a picture."""

from __future__ import annotations

from collections.abc import Iterator

from moderation.images.oddities.names import Oddity

#: Transfer functions of HDR in ITU-T H.273: PQ and HLG.
HDR_TRANSFERS = (16, 18)

_TAGS = 128
_TAG_LENGTH = 12
#: Tags that are looked at; a profile has ten to thirty.
_MOST_TAGS = 100


def profile_oddities(profile: bytes, space: bytes | None) -> Iterator[Oddity]:
    """Yields what is odd about an ICC profile, of which the head and the list of tags suffice.

    Args:
        profile: the profile, or its beginning.
        space: the colours of the picture as ICC names them, if they are known.
    """
    if len(profile) < _TAGS + 4:
        return
    if space is not None and profile[16:20] != space:
        yield "profile-of-other-colours"
    count = min(_MOST_TAGS, int.from_bytes(profile[_TAGS : _TAGS + 4]))
    names = {
        profile[at : at + 4]
        for at in range(_TAGS + 4, _TAGS + 4 + count * _TAG_LENGTH, _TAG_LENGTH)
    }
    if profile[16:20] == b"RGB " and b"A2B0" in names:
        yield "table-profile"

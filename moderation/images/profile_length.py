"""How long an ICC profile may be."""

from __future__ import annotations

from moderation.errors import ImageError

#: In bytes. A camera's takes some kB and a printing press's up to 3 MB.
LONGEST_PROFILE = 4_000_000


def refuse_long_profile(profile: bytes) -> None:
    """Refuses a profile that would cost more than its pixels; browsers use it all the same.

    Raises:
        ImageError: it is longer than `LONGEST_PROFILE`.
    """
    if len(profile) > LONGEST_PROFILE:
        what = f"the image's ICC profile is over the limit of {LONGEST_PROFILE} bytes"
        raise ImageError(what, "image", "Save the image again in sRGB, without a profile")

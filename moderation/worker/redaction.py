"""Text for a log -> the same without secrets of URLs and without images.

The patterns never go back over what they have read (possessive quantifiers), so that no text of a
stranger makes them slow.
"""

from __future__ import annotations

import re

#: What follows a URL's scheme, up to the next space: a password may hold any other character.
_URL = re.compile(r"(?<=://)\S++")
#: What a sentence, a list or a repr puts behind a URL.
_BEHIND = "'\"`),.;:>]}|\\"
_PLACE = re.compile(r"((\[[0-9A-Fa-f:.]++\]|[\w.*-]++)(:[0-9]{0,5}+)?)?")
#: Base64 of an image, as in a message of the queue, or its bytes as Python shows them.
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/=_-]{200,}+")
_BYTES = re.compile(r"""\bb(?:'(?:[^'\\]|\\.){64,}+'?|"(?:[^"\\]|\\.){64,}+"?)""", re.DOTALL)

HIDDEN = "***"


def redacted(text: str, most: int) -> str:
    """Returns a text without what must not be in a log, cut to so many characters.

    Of a URL it keeps scheme, host and path. Where it is not certain what is the host, it keeps the
    scheme alone.
    """
    cut = ""
    if len(text) > most:
        cut = f"... ({len(text)} characters)"
        # The last word goes too: of a URL that is cut, user and password look like a host.
        text = text[:most].rpartition(" ")[0]
    text = _BYTES.sub("b<bytes>", text)
    # URLs first, since what stands for an image has a space, where a URL would seem to end.
    text = _URL.sub(lambda found: _without_secrets(found[0]), text)
    return _BASE64.sub(lambda found: f"<{len(found[0])} characters>", text) + cut


def _without_secrets(rest: str) -> str:
    """Returns what stands behind a URL's :// without user, password, query and fragment."""
    kept = rest.rstrip(_BEHIND)
    behind = rest[len(kept) :]
    end = min((kept.find(mark) for mark in "?#" if mark in kept), default=len(kept))
    head, secret = kept[:end], kept[end:]
    if "@" in secret and "/" not in head:  # a password with ? or # in it
        return HIDDEN + behind
    _, user, shown = head.rpartition("@")
    if not _PLACE.fullmatch(shown.split("/", 1)[0]):  # a password with / in it, or no URL at all
        return HIDDEN + behind
    hidden_user = f"{HIDDEN}@" if user else ""
    hidden_query = f"{secret[0]}{HIDDEN}" if secret else ""
    return f"{hidden_user}{shown}{hidden_query}{behind}"

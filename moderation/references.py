"""An image reference without its secrets, for errors, logs and the decision log.

User, password, query and fragment are left out. A text that two readers could take apart in two
ways is not shown at all, as each would hide something else. Nothing here can fail, and what comes
out is one line that any database takes.
"""

from __future__ import annotations

import re

from moderation.messages import ImageReference
from moderation.visible_text import shown_name

_HIDDEN = "(hidden)"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31})://")
#: scheme://user@host:port/path?query, where each part can be told from the next in one way only.
_LOCATION = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,31})://"
    r"(?P<user>[^/?#\\\s]*@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]*\]|[^/?#\\@:\[\]\s]*)(?P<port>:[0-9]{0,5})?"
    r"(?P<path>/[^?#]*)?(?P<rest>[?#].*)?",
    re.DOTALL,
)
#: The user of an address inside of a path, as proxies of images have it.
_INNER_USER = re.compile(r"//[^/]*(?:@|%40)")


def shown(reference: ImageReference) -> str:
    """Returns a reference without secrets: paths as they are, and nothing for bytes."""
    if reference.path is not None:
        return shown_name(reference.path)
    return shown_location(reference.url or reference.key or "")


def shown_location(text: str) -> str:
    """Returns a URL or fsspec key without user, query and fragment, hidden where that is unsure."""
    match = _LOCATION.fullmatch(text)
    if match is None:
        return _shown_otherwise(text)
    path = match["path"] or ""
    later = path + (match["rest"] or "")
    # "alice:12/34@host" means a password with a slash in it, and reads as a host with a port.
    if (match["port"] or match["user"]) and "@" in later:
        return _hidden(text)
    if _holds_encoded_user(path.lower()):
        return _hidden(text)
    path = _INNER_USER.sub("//", path)
    return shown_name(f"{match['scheme']}://{match['host']}{match['port'] or ''}{path}")


def _shown_otherwise(text: str) -> str:
    """Returns a key without a scheme as it is where it can hold no secret."""
    if not text or any(sign in text for sign in "@:?#\\"):
        return _hidden(text)
    return shown_name(text)


def _holds_encoded_user(path: str) -> bool:
    begin = path.find("%2f%2f")
    return begin >= 0 and ("@" in path[begin:] or "%40" in path[begin:])


def _hidden(text: str) -> str:
    if not text:
        return ""
    match = _SCHEME.match(text)
    return f"{match[1]}://{_HIDDEN}" if match else _HIDDEN

"""Where one image is: the reference in a message, what it may be, and how it is shown.

A text that is an image itself is refused before it is sent or kept: the decision log holds
references to images, but no image. In errors, logs and the decision log, a reference is shown
without user, password, query and fragment.
"""

from __future__ import annotations

import base64
import builtins
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Base64Bytes, Field, model_validator

from moderation.errors import RequestError
from moderation.messages.image_signatures import is_encoded_image
from moderation.messages.message import Message
from moderation.visible_text import shown_name

#: The most bytes of a path, and characters of a name in it, that Linux allows.
MOST_PATH, MOST_NAME = 4096, 255
#: The most characters of a URL or key; the signed URLs of stores have up to 3,000.
MOST_LOCATION = 8192


def _path_reference(text: str) -> str:
    refuse_image_as_reference(text)
    if len(text.encode()) > MOST_PATH:
        raise _bad_reference(f"no path is longer than {MOST_PATH} bytes")
    if "\0" in text or max(map(len, text.split("/"))) > MOST_NAME:
        raise _bad_reference(
            f"no file has a name with a zero byte, or of over {MOST_NAME} characters"
        )
    if not text.startswith("/"):
        raise RequestError("this is not an absolute path", "image", "Send it as the worker sees it")
    return text


def _location_reference(text: str) -> str:
    refuse_image_as_reference(text)
    if len(text) > MOST_LOCATION:
        raise _bad_reference(f"no URL or key is longer than {MOST_LOCATION} characters")
    return text


def refuse_image_as_reference(text: str) -> None:
    """Raises RequestError if a text is an image and no reference, or cannot be sent as text."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        what = "the name is not UTF-8, so no message can hold it"
        remedy = "Send the bytes of the file (--send bytes)"
        raise RequestError(what, "image", remedy) from error
    if is_encoded_image(text):
        raise _bad_reference("this text is the image itself, and not a path, URL or key")


def _bad_reference(what: str) -> RequestError:
    remedy = "Send the file's content as bytes; of a text in base64, base64.b64decode(text)"
    return RequestError(what, "image", remedy)


#: Fields of a message; a text that cannot be right raises RequestError.
PathText = Annotated[str, Field(min_length=1), AfterValidator(_path_reference)]
LocationText = Annotated[str, Field(min_length=1), AfterValidator(_location_reference)]


class ImageReference(Message):
    """Where one image is: exactly one of a path, a URL, an fsspec key, or its bytes."""

    path: PathText | None = Field(None, description="Absolute path as the worker sees it.")
    url: LocationText | None = Field(None, description="http or https URL.")
    key: LocationText | None = Field(None, description="fsspec URL: s3://bucket/name.jpg.")
    # Not in the repr: a reference shows up in error reports, and an image must not.
    bytes: Base64Bytes | None = Field(None, repr=False, description="The file itself, base64.")

    @model_validator(mode="after")
    def _exactly_one_reference(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"one of path, url, key or bytes, not {len(given)}")
        return self

    @classmethod
    def of_bytes(cls, content: builtins.bytes) -> Self:
        """Returns the reference that carries a file's content itself."""
        return cls(bytes=base64.b64encode(content))

    @property
    def kind(self) -> Literal["path", "url", "key", "bytes"]:
        """Which of the four kinds of reference it is."""
        if self.path is not None:
            return "path"
        if self.url is not None:
            return "url"
        return "key" if self.key is not None else "bytes"


_HIDDEN = "(hidden)"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31})://")
#: scheme://user@host:port/path?query, which can be split into its parts in one way only.
_LOCATION = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,31})://"
    r"(?P<user>[^/?#\\\s]*@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]*\]|[^/?#\\@:\[\]\s]*)(?P<port>:[0-9]{0,5})?"
    r"(?P<path>/[^?#]*)?(?P<rest>[?#].*)?",
    re.DOTALL,
)
#: The user of an address inside a path, as image proxies have it.
_INNER_USER = re.compile(r"//[^/]*(?:@|%40)")


def shown_reference(reference: ImageReference) -> str:
    """Returns a reference without secrets: paths as they are, and an empty text for bytes."""
    if reference.path is not None:
        return shown_name(reference.path)
    return shown_location(reference.url or reference.key or "")


def shown_location(text: str) -> str:
    """Returns a reference's URL or key without user, query and fragment; hidden if in doubt."""
    match = _LOCATION.fullmatch(text)
    if match is None:  # a key without a scheme is shown if it cannot hold a secret
        is_plain = not any(sign in text for sign in "@:?#\\")
        return shown_name(text) if is_plain else _hidden_location(text)
    path = match["path"] or ""
    later = path + (match["rest"] or "")
    encoded = path.lower().partition("%2f%2f")[2]
    # "alice:12/34@host" means a password with a slash in it, and reads as a host with a port.
    if ((match["port"] or match["user"]) and "@" in later) or "@" in encoded or "%40" in encoded:
        return _hidden_location(text)
    path = _INNER_USER.sub("//", path)
    return shown_name(f"{match['scheme']}://{match['host']}{match['port'] or ''}{path}")


def _hidden_location(text: str) -> str:
    match = _SCHEME.match(text)
    return f"{match[1]}://{_HIDDEN}" if match else _HIDDEN

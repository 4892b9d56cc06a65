"""What a text must be to stand for an image: a path, URL or key, and never the image itself.

A text that is no such thing is refused before it is sent or kept: the decision log holds references
of images, and no image.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from moderation.errors import RequestError
from moderation.signatures import is_encoded_image

#: Bytes of a path, and characters of a name in it: Linux has no longer ones.
MOST_PATH, MOST_NAME = 4096, 255
#: Characters of a URL or key: signed ones of stores have up to 3,000.
MOST_LOCATION = 8192


def _path(text: str) -> str:
    refuse_image(text)
    if len(text.encode()) > MOST_PATH:
        raise _refused(f"no path is longer than {MOST_PATH} bytes")
    if "\0" in text or max(map(len, text.split("/"))) > MOST_NAME:
        raise _refused(f"no file has a name with a zero byte, or of over {MOST_NAME} characters")
    if not text.startswith("/"):
        raise RequestError("this is no absolute path", "image", "Send it as the worker sees it")
    return text


def _location(text: str) -> str:
    refuse_image(text)
    if len(text) > MOST_LOCATION:
        raise _refused(f"no URL or key is longer than {MOST_LOCATION} characters")
    return text


def refuse_image(text: str) -> None:
    """Raises RequestError where a text is an image itself, or is no text that can be sent."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            what = "the name is not UTF-8, so no message can hold it"
            raise RequestError(
                what, "image", "Send the bytes of the file (--send bytes)"
            ) from error
    if is_encoded_image(text):
        raise _refused("this text is the image itself, and no path, URL or key")


def _refused(what: str) -> RequestError:
    remedy = "Send the file's content as bytes; of a text in base64, base64.b64decode(text)"
    return RequestError(what, "image", remedy)


#: Fields of a message; a text that cannot be right raises RequestError.
PathText = Annotated[str, Field(min_length=1), AfterValidator(_path)]
LocationText = Annotated[str, Field(min_length=1), AfterValidator(_location)]

"""An image in any form that a host has it in -> the reference that a message holds."""

from __future__ import annotations

from pathlib import Path

from moderation.errors import ImageError, RequestError
from moderation.messages import ImageReference, parse_reference
from moderation.messages.reference import refuse_image

Image = ImageReference | Path | str | bytes | bytearray | memoryview


def reference_to(image: Image) -> ImageReference:
    """Returns the reference that an image given in any form stands for.

    Raises:
        ImageError: its bytes are empty. RequestError: it is of a type that stands for no image, or
            a text that is neither path, URL nor key.
    """
    if isinstance(image, ImageReference):
        return image
    if isinstance(image, bytes | bytearray | memoryview):
        if not (content := bytes(image)):
            raise ImageError("the image is empty", "image", "Send a whole image file")
        return ImageReference.of_bytes(content)
    remedy = "Send a path, a URL, a key, or the bytes of an image file"
    if not isinstance(image, str | Path):
        raise RequestError(f"a {type(image).__name__} is no image file", "image", remedy)
    if not image:
        raise RequestError("there is no image", "image", remedy)
    refuse_image(str(image))  # before it is made part of a path
    if isinstance(image, Path):
        return parse_reference({"path": str(image.absolute())})
    if image.lower().startswith(("http://", "https://")):
        return parse_reference({"url": image})
    if "://" in image:
        return parse_reference({"key": image})
    return parse_reference({"path": str(Path(image).absolute())})

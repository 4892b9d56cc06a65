"""An image, in any of the forms that a host may have -> the reference that a message holds."""

from __future__ import annotations

from pathlib import Path

from moderation.errors import ImageError, RequestError
from moderation.messages import ImageReference
from moderation.messages.reference import refuse_image_as_reference

Image = ImageReference | Path | str | bytes | bytearray | memoryview


def reference_to(image: Image) -> ImageReference:
    """Returns the reference to an image in any form.

    Raises:
        ImageError: its bytes are empty. RequestError: its type cannot stand for an image, or it is
            a text that is neither a path, a URL nor a key.
    """
    if isinstance(image, ImageReference):
        return image
    if isinstance(image, bytes | bytearray | memoryview):
        if not (content := bytes(image)):
            raise ImageError("the image is empty", "image", "Send a whole image file")
        return ImageReference.of_bytes(content)
    remedy = "Send a path, a URL, a key, or the bytes of an image file"
    if not isinstance(image, str | Path):
        raise RequestError(f"a {type(image).__name__} is not an image file", "image", remedy)
    if not image:
        raise RequestError("there is no image", "image", remedy)
    refuse_image_as_reference(str(image))  # before it becomes part of a path
    if isinstance(image, Path):
        return ImageReference.read({"path": str(image.absolute())})
    if image.lower().startswith(("http://", "https://")):
        return ImageReference.read({"url": image})
    if "://" in image:
        return ImageReference.read({"key": image})
    return ImageReference.read({"path": str(Path(image).absolute())})

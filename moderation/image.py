"""Untrusted bytes -> an RGB image within limits -> the pixels that an encoder takes.

Imports Pillow and numpy only, so that a process which does nothing but decode stays small.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from moderation.errors import ImageError

#: What is decoded, by content and not by name; nothing that can hold a script.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP")

#: File names that `scan` picks up in a folder.
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".bmp")

#: An image longer than this many times its width is cut to its middle before it is resized.
_LONGEST_RATIO = 20

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Preprocessing:
    """How an RGB image becomes the square of pixels that a model was trained on.

    `resize` is the length of the shorter side, or the exact (height, width). The pixels are then
    scaled by `scale` and normalised: (pixel * scale - mean) / std, per channel.
    """

    resize: int | tuple[int, int]
    crop: tuple[int, int]
    resample: Literal["bilinear", "bicubic", "lanczos"]
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def fingerprint(self) -> str:
        """Hash of every number that shapes the pixels; 16 hex digits."""
        content = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


_RESAMPLE = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def decode(content: bytes, *, max_pixels: int) -> Image.Image:
    """Returns the image in `content` as RGB, upright; the first frame of an animation.

    Transparent parts show white behind them, as on a page; 16-bit greys keep their upper 8 bits.

    Raises:
        ImageError: it is no image of an accepted format, is damaged, or has too many pixels.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _refuse_too_large(image.size, max_pixels)
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise _unreadable(f"this is no image of type {', '.join(FORMATS)}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _unreadable("the image has far too many pixels") from error
    except ImageError:
        raise
    except MemoryError as error:
        raise _unreadable("the image does not fit into memory") from error
    except Exception as error:  # on damaged files Pillow's decoders raise whatever they stumble on
        raise _unreadable(f"the image is damaged ({error})") from error


def _unreadable(what: str) -> ImageError:
    return ImageError(what, "image", "Send a whole JPEG, PNG, WebP, GIF, AVIF or BMP file")


def _refuse_too_large(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            f"{width} x {height} pixels are over the limit of {max_pixels}",
            "image",
            "Send a smaller image, or raise MODERATION_MAX_IMAGE_PIXELS",
        )


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image).astype(np.uint32) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def preprocess(image: Image.Image, how: Preprocessing) -> Pixels:
    """Returns (h, w, 3) uint8 pixels of an RGB image, resized and cropped at the centre.

    Equal to what transformers' image processors without torchvision do before they normalise.
    """
    if isinstance(how.resize, int):
        image = _without_far_ends(image)
    resized = image.resize(_resized_size(image.size, how.resize), _RESAMPLE[how.resample])
    height, width = how.crop
    left, top = (resized.width - width) // 2, (resized.height - height) // 2
    # A copy, since Pillow's own memory is read-only and torch will not take that.
    return np.array(resized.crop((left, top, left + width, top + height)))


def _without_far_ends(image: Image.Image) -> Image.Image:
    """Returns the middle of a very long image, of which the crop would show no more.

    Else a strip of 10 x 300,000 pixels would be enlarged to gigabytes before it is cropped.
    """
    longest = _LONGEST_RATIO * min(image.size)
    if max(image.size) <= longest:
        return image
    width, height = (min(side, longest) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _resized_size(size: tuple[int, int], resize: int | tuple[int, int]) -> tuple[int, int]:
    """Returns (width, height) after resizing; the longer side is cut to a whole pixel."""
    if not isinstance(resize, int):
        return resize[1], resize[0]
    width, height = size
    if width <= height:
        return resize, int(resize * height / width)
    return int(resize * width / height), resize

"""What was judged of a file, as a file of its own: what a host serves in place of the upload.

It has one picture, or the frames that were looked at, in sRGB and upright, on white; and nothing
else: no metadata, no profile, no further frame. Imports only Pillow, as `pixels` does.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from PIL import Image

from moderation.errors import ImageError
from moderation.images.views import Box

if TYPE_CHECKING:  # a process that does nothing but decode reads none
    from moderation.settings import Settings

RenditionFormat = Literal["webp", "jpeg", "png"]

#: What the names of files end with.
_SUFFIXES: dict[str, str] = {"webp": "webp", "jpeg": "jpg", "png": "png"}

#: How files begin, as far as all of a format do.
STARTS: dict[str, bytes] = {"webp": b"RIFF", "jpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n"}

#: All frames of an animation together have at most the pixels of this many of the largest stills.
MOST_STILLS = 4

#: An image that cannot be compressed takes at most this many bytes a pixel in any format.
_BYTES_A_PIXEL, _BYTES_BESIDE = 4, 1_000_000

#: A PNG has no place for a longer time of a frame, in milliseconds.
_LONGEST = 65_535

#: Encoders' effort. With their defaults, 4 and 6, a photograph took 2.5 and 5 times as long, and
#: its file had 4 % and 11 % fewer bytes.
_EFFORT: dict[str, dict[str, int]] = {
    "webp": {"method": 2},
    "jpeg": {},
    "png": {"compress_level": 2},
}

_TEXT = re.compile(r"(webp|jpeg|png):(\d+):(\d+)")


class RenditionForm(NamedTuple):
    """What renditions are like.

    Attributes:
        format: of the file.
        side: the longest one, in pixels; larger pictures are shrunk.
        quality: 1 to 100, of webp and jpeg.
    """

    format: RenditionFormat = "webp"
    side: int = 2000
    quality: int = 85

    @classmethod
    def of(cls, settings: Settings) -> RenditionForm:
        """Returns the form that the settings ask for."""
        return cls(settings.rendition_format, settings.rendition_side, settings.rendition_quality)

    @property
    def text(self) -> str:
        """The same in one word."""
        return f"{self.format}:{self.side}:{self.quality}"

    @classmethod
    def parse(cls, text: str) -> RenditionForm:
        """Returns what `text` says.

        Raises:
            ValueError: it is not the text of a `RenditionForm`.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} does not say what renditions are like")
        return cls(found[1], int(found[2]), int(found[3]))  # type: ignore[arg-type]

    @property
    def most_bytes(self) -> int:
        """The largest file that there can be."""
        return MOST_STILLS * self.side**2 * _BYTES_A_PIXEL + _BYTES_BESIDE


class RenditionFile(NamedTuple):
    """A rendition; `size` is its width and height."""

    content: bytes
    format: RenditionFormat
    size: tuple[int, int]

    @property
    def sha256(self) -> str:
        """Hash of its bytes, which gives it its name."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.sha256}.{_SUFFIXES[self.format]}"


def rendition_size(width: float, height: float, side: float) -> tuple[int, int]:
    """Returns the size of a picture whose sides may have `side` pixels; it is never enlarged."""
    ratio = min(1.0, side / max(width, height))
    return max(1, round(width * ratio)), max(1, round(height * ratio))


def rendition_picture(image: Image.Image, box: Box, form: RenditionForm) -> Image.Image:
    """Returns a picture of an RGB image as a rendition has it, without what its file said of it.

    Args:
        image: RGB in sRGB, and upright; it is not changed.
        box: the part of it that is the picture.
        form: says how large it may be.
    """
    size = rendition_size(box[2] - box[0], box[3] - box[1], form.side)
    picture = image.resize(size, Image.Resampling.BICUBIC, box)
    picture.info = {}
    return picture


def encode_rendition(
    pictures: Sequence[Image.Image], milliseconds: Sequence[int], form: RenditionForm
) -> RenditionFile:
    """Returns pictures as a file; several are an animation that is played again and again.

    Args:
        pictures: in order, all of one size.
        milliseconds: for how long each of them is shown.
        form: of the file; a JPEG shows the first of them.

    Raises:
        ImageError: the format has no place for it, or there is too little memory.
    """
    count = 1 if form.format == "jpeg" else len(pictures)
    shown, times = _without_repetitions(pictures[:count], milliseconds[:count])
    shown = _within_budget(shown, form)
    options: dict[str, Any] = {"quality": form.quality, **_EFFORT[form.format]}
    if len(shown) > 1:
        duration = [min(time, _LONGEST) for time in times]
        options |= {"save_all": True, "append_images": shown[1:], "duration": duration, "loop": 0}
    file = io.BytesIO()
    try:
        shown[0].save(file, form.format, **options)
    except (OSError, ValueError) as error:  # such as libwebp's, where it lacks memory
        remedy = "Send a smaller image, or lower MODERATION_RENDITION_SIDE"
        raise ImageError(f"it cannot be written as {form.format}", "image", remedy) from error
    return RenditionFile(file.getvalue(), form.format, shown[0].size)


def _without_repetitions(
    pictures: Sequence[Image.Image], milliseconds: Sequence[int]
) -> tuple[list[Image.Image], list[int]]:
    """Returns pictures and times without those that show what the one before shows.

    Its time is longer instead. Frames that differ in what is transparent can be equal on white.
    """
    found: list[Image.Image] = []
    times: list[int] = []
    for picture, time in zip(pictures, milliseconds, strict=True):
        if found and found[-1] == picture:
            times[-1] += time
        else:
            found.append(picture)
            times.append(time)
    return found, times


def _within_budget(pictures: list[Image.Image], form: RenditionForm) -> list[Image.Image]:
    """Returns the pictures, smaller where all of them together have too many pixels."""
    width, height = pictures[0].size
    most = MOST_STILLS * form.side**2
    if len(pictures) * width * height <= most:
        return pictures
    ratio = math.sqrt(most / (len(pictures) * width * height))
    size = rendition_size(width, height, ratio * max(width, height))
    return [picture.resize(size, Image.Resampling.BICUBIC) for picture in pictures]

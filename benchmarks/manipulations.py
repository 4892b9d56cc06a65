"""What people do to a photograph so that it gets past a model: each gives the bytes of a file."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

QUALITY, STRONGLY_COMPRESSED = 90, 5
#: The large picture, 4:3, that a small object lies in.
LARGE = (960, 720)
#: The shorter side of long pictures.
SHORT = 300
#: The picture of an animation, and how far its scene moves.
STAGE, PAN = (240, 180), 24
#: Standard deviation of noise, of 255; radius of blur, in pixels of a photograph 300 wide.
NOISE, BLUR = 40, 4

Ground = Literal["plain", "photo"]
Size = tuple[int, int]


@dataclass(frozen=True)
class Original:
    """A photograph that is to be changed.

    Attributes:
        image: RGB.
        others: innocent photographs of other things.
        is_weapon: what noise is to hide; of other photographs it is to make one.
        seed: of all that is drawn at random.
    """

    image: Image.Image
    others: Sequence[Image.Image]
    is_weapon: bool
    seed: tuple[int, ...]

    @property
    def chance(self) -> np.random.Generator:
        """A generator at its beginning."""
        return np.random.default_rng(self.seed)

    @property
    def other(self) -> Image.Image:
        """An innocent photograph."""
        return self.others[int(self.chance.integers(len(self.others)))]


@dataclass(frozen=True)
class Manipulation:
    """One way to change a photograph.

    Attributes:
        group, name: what is done.
        make: gives the file.
        is_long: a quick run leaves it out.
        is_film: it gives many frames; with many views of each, it would be hundreds of looks.
    """

    group: str
    name: str
    make: Callable[[Original], bytes]
    is_long: bool = False
    is_film: bool = False


def manipulations() -> list[Manipulation]:
    """Returns all that need no model, what leaves a photograph as it is first."""
    return [
        Manipulation("as it is", "as it is", lambda original: jpeg(original.image)),
        *_small_objects(),
        *_edges(),
        *_changed_pictures(),
        *_films(),
    ]


def _small_objects() -> list[Manipulation]:
    return [
        Manipulation(
            "small object, 4:3",
            f"1/{part} of the height, {place}, {ground}",
            partial(_small_object, part=part, place=place, ground=ground),
            is_long=ground == "photo",
        )
        for part in (2, 3, 4, 8)
        for place in ("centre", "side")
        for ground in _GROUNDS
    ]


def _edges() -> list[Manipulation]:
    return [
        Manipulation(
            "at the edge of a long picture",
            f"{name}, {ground}",
            partial(_edge, size, ground),
            is_long=ground == "photo",
        )
        for name, size in _LONG.items()
        for ground in _GROUNDS
    ]


def _changed_pictures() -> list[Manipulation]:
    turns = Image.Transpose
    changes: list[tuple[str, str, Callable[[Original], Image.Image]]] = [
        *(("blended", f"at {part:g}", partial(_blended, part=part)) for part in (0.75, 0.5, 0.25)),
        ("turned", "by 90°", lambda original: original.image.transpose(turns.ROTATE_90)),
        ("turned", "by 180°", lambda original: original.image.transpose(turns.ROTATE_180)),
        ("turned", "mirrored", lambda original: ImageOps.mirror(original.image)),
        ("spoilt", f"blur, radius {BLUR}", _blurred),
        ("spoilt", f"noise, sigma {NOISE}", _noisy),
        ("spoilt", "colours inverted", lambda original: ImageOps.invert(original.image)),
        ("spoilt", "grey", lambda original: original.image.convert("L")),
        ("spoilt", "posterised to 2 bits", lambda original: ImageOps.posterize(original.image, 2)),
        ("spoilt", "a line drawing of it", _drawn),
        *(("text on it", f"“{text}”", partial(_written, text=text)) for text in _TEXTS),
    ]
    compressed = partial(_compressed, quality=STRONGLY_COMPRESSED)
    return [
        *(Manipulation(group, name, partial(_saved, change)) for group, name, change in changes),
        Manipulation("spoilt", f"JPEG quality {STRONGLY_COMPRESSED}", compressed),
    ]


def _films() -> list[Manipulation]:
    kinds = {
        **{f"of {count}, a scene that moves": (count, panned) for count in (2, 20, 200)},
        "of 200, all different": (200, _cuts),
    }
    return [
        Manipulation(
            "one frame of an animation",
            name,
            partial(film, count, rest),
            is_long=count > 100,
            is_film=True,
        )
        for name, (count, rest) in kinds.items()
    ]


_GROUNDS: tuple[Ground, ...] = ("plain", "photo")
_LONG: dict[str, Size] = {
    "3:1, left": (3 * SHORT, SHORT),
    "4:1, left": (4 * SHORT, SHORT),
    "16:9, left": (SHORT * 16 // 9, SHORT),
    "9:16, bottom": (SHORT, SHORT * 16 // 9),
    "1:2, bottom": (SHORT, 2 * SHORT),
}
_TEXTS = ("a photo of a flower", "revolver")


def jpeg(image: Image.Image) -> bytes:
    """Returns the file of an image, as it usually comes."""
    return _file(image, "JPEG", quality=QUALITY)


def _file(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png(image: Image.Image) -> bytes:
    """Returns a file that keeps every value."""
    return _file(image, "PNG")


def _saved(change: Callable[[Original], Image.Image], original: Original) -> bytes:
    return jpeg(change(original))


def _compressed(original: Original, quality: int) -> bytes:
    return _file(original.image, "JPEG", quality=quality)


def _scene(original: Original, size: Size, ground: Ground) -> Image.Image:
    if ground == "plain":
        return Image.new("RGB", size, "white")
    return ImageOps.fit(original.other, size)


def _small_object(original: Original, part: int, place: str, ground: Ground) -> bytes:
    """Returns a picture 4:3 with the photograph at 1/part of its height: in the centre, or left."""
    scene, (wide, high) = _scene(original, LARGE, ground), LARGE
    photo = original.image
    small = ImageOps.contain(photo, (wide, high // part), Image.Resampling.LANCZOS)
    left, top = (wide - small.width) // 2, (high - small.height) // 2
    if place == "side":
        left, top = 0, int(original.chance.uniform(0, high - small.height))
    scene.paste(small, (left, top))
    return jpeg(scene)


def _edge(size: Size, ground: Ground, original: Original) -> bytes:
    """Returns a long picture with the photograph in the square at its left or bottom end."""
    scene, square = _scene(original, size, ground), (min(size), min(size))
    photo = ImageOps.contain(original.image, square, Image.Resampling.LANCZOS)
    if size[0] > size[1]:
        scene.paste(photo, (0, (size[1] - photo.height) // 2))
    else:
        scene.paste(photo, ((size[0] - photo.width) // 2, size[1] - photo.height))
    return jpeg(scene)


def _blended(original: Original, part: float) -> Image.Image:
    return Image.blend(ImageOps.fit(original.other, original.image.size), original.image, part)


def _blurred(original: Original) -> Image.Image:
    return original.image.filter(ImageFilter.GaussianBlur(BLUR))


def _noisy(original: Original) -> Image.Image:
    values = np.asarray(original.image, np.float64)
    values = values + original.chance.normal(0, NOISE, values.shape)
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def _drawn(original: Original) -> Image.Image:
    """Returns the edges of the photograph, black on white."""
    soft = original.image.convert("L").filter(ImageFilter.GaussianBlur(1))
    edges = ImageOps.autocontrast(soft.filter(ImageFilter.FIND_EDGES), cutoff=1)
    return ImageOps.invert(edges)


def _written(original: Original, text: str) -> Image.Image:
    """Returns the photograph with a text across its middle, black on a white band."""
    image = original.image.copy()
    draw = ImageDraw.Draw(image)
    unit = draw.textlength(text, ImageFont.load_default(100)) / 100
    font = ImageFont.load_default(min(0.9 * image.width / unit, image.height / 4))
    middle = (image.width / 2, image.height / 2)
    left, top, right, bottom = draw.textbbox(middle, text, font, anchor="mm")
    draw.rectangle((left - 4, top - 4, right + 4, bottom + 4), fill="white")
    draw.text(middle, text, "black", font, anchor="mm")
    return image


def film(
    count: int, rest: Callable[[Original, int], list[Image.Image]], original: Original
) -> bytes:
    """Returns a GIF whose middle frame is the photograph; `rest` gives the others."""
    frames = rest(original, count)
    photo = ImageOps.pad(original.image, STAGE, color="white")
    frames[count // 2] = photo.quantize(256, Image.Quantize.FASTOCTREE)
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=40, loop=0)
    return buffer.getvalue()


def panned(original: Original, count: int) -> list[Image.Image]:
    """Returns frames of one photograph, along which a camera moves."""
    wide = ImageOps.fit(original.other, (STAGE[0] + PAN, STAGE[1]))
    # There and back, so that no frame is like the next: Pillow would make one of two that are.
    steps = [abs(number % (2 * PAN) - PAN) for number in range(count)]
    return [
        wide.crop((step, 0, step + STAGE[0], STAGE[1])).quantize(256, Image.Quantize.FASTOCTREE)
        for step in steps
    ]


def _cuts(original: Original, count: int) -> list[Image.Image]:
    """Returns frames of many photographs, each from another place."""
    chance, frames = original.chance, []
    for number in range(count):
        photo = original.others[number % len(original.others)]
        place = (float(chance.random()), float(chance.random()))
        part = ImageOps.fit(photo, STAGE, bleed=0.1, centering=place)
        frames.append(part.quantize(256, Image.Quantize.FASTOCTREE))
    return frames

"""What is looked at in a file: how much is asked for, and what was found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from moderation.images.colours import BACKGROUNDS, Background
from moderation.images.rendition import RenditionFile
from moderation.images.views import Views, most_views

Pixels = npt.NDArray[np.uint8]

_ASKED = re.compile(r"frames=(\d+) views=(auto|\d+)")


class Looking(NamedTuple):
    """How much of a file is looked at, at most; decisions made under different ones can differ."""

    frames: int = 1
    views: Views = 1

    @property
    def text(self) -> str:
        """The same in words, as the decision log keeps it."""
        return f"frames={self.frames} views={self.views}"

    @classmethod
    def parse(cls, text: str) -> Looking:
        """Returns what `text` says.

        Raises:
            ValueError: it is not the text of a `Looking`.
        """
        found = _ASKED.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} does not say how much of a file was looked at")
        return cls(int(found[1]), "auto" if found[2] == "auto" else int(found[2]))

    @property
    def most_looks(self) -> int:
        """How many looks a file can get."""
        return self.frames * most_views(self.views) * len(BACKGROUNDS)


#: What is looked at where nothing is set.
DEFAULT_LOOKING = Looking(16, "auto")


class Look(NamedTuple):
    """One square that a model sees of a file.

    Attributes:
        frame: of an animation, from 0; 0 for a still image.
        box: (left, top, right, bottom) of what it shows, in pixels of the upright picture.
        background: what is behind the transparent parts of the picture.
    """

    frame: int
    box: tuple[int, int, int, int]
    background: Background = "white"


class Seen(NamedTuple):
    """What a verdict says of how a file was looked at: the look that decided, and of them all.

    Attributes:
        look: the one that decided.
        looks: how many there were.
        is_exhaustive: see `Sight`.
        oddities: see `Sight`.
    """

    look: Look
    looks: int
    is_exhaustive: bool
    oddities: tuple[str, ...]


@dataclass(frozen=True)
class Sight:
    """What one model sees of a file.

    Attributes:
        squares: (v, h, w, 3) pixels, one square for each of v looks.
        looks: (v,) what each of them shows.
        is_exhaustive: whether every frame of an animation that differs from others was looked at.
        oddities: what viewers read differently in the file, by the names of docs/oddities.md.
        rendition: what was looked at as a file of its own, if one was asked for.
    """

    squares: Pixels
    looks: tuple[Look, ...]
    is_exhaustive: bool = True
    oddities: tuple[str, ...] = ()
    rendition: RenditionFile | None = None

    def seen(self, look: int) -> Seen:
        """Returns what a verdict says of it that was decided by the look of that number."""
        return Seen(self.looks[look], len(self.looks), self.is_exhaustive, self.oddities)

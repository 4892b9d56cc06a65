"""What must be equal for two features to be comparable."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from moderation.images.looks import Looking
from moderation.messages import ModelStamp


@dataclass(frozen=True)
class FeatureSpace:
    """What must be equal for two features to be comparable.

    `dtype` is what the model computed in, followed by the runtime where that is not torch: in
    bfloat16, features of two runtimes differ as much as those of two number formats. `looking` is
    how much of a file was looked at, as a text. `model` and `revision` are for people who look into
    a file: the same weights can have two names.
    """

    kind: Literal["images", "texts", "outputs"]
    fingerprint: str
    preprocessing: str
    dtype: str
    looking: str
    model: str = field(default="", compare=False)
    revision: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        words = (self.kind, self.fingerprint, self.preprocessing, self.dtype, self._looking_word)
        if not all(re.fullmatch(r"\w+", word) for word in words):
            raise ValueError(f"{words} cannot be the name of a folder")

    @classmethod
    def of_images(cls, stamp: ModelStamp, looking: Looking) -> FeatureSpace:
        """Returns the space of a model's features of the looks at images."""
        dtype = stamp.dtype if stamp.runtime == "torch" else f"{stamp.dtype}_{stamp.runtime}"
        names = (stamp.fingerprint, stamp.preprocessing, dtype, looking.text)
        return cls("images", *names, stamp.id, stamp.revision)

    @classmethod
    def of_texts(cls, stamp: ModelStamp) -> FeatureSpace:
        """Returns the space of a model's text features: without pixels, and always on torch."""
        names = (stamp.fingerprint, "none", stamp.dtype, "none")
        return cls("texts", *names, stamp.id, stamp.revision)

    @classmethod
    def of_outputs(cls, stamp: ModelStamp, looking: Looking) -> FeatureSpace:
        """Returns the space of what a classifier gives for the looks at images, of any length."""
        names = (stamp.fingerprint, stamp.preprocessing, f"{stamp.dtype}_{stamp.runtime}")
        return cls("outputs", *names, looking.text, stamp.id, stamp.revision)

    @property
    def folder(self) -> Path:
        """Where its files are, under the root of a store."""
        words = (self.fingerprint, self.preprocessing, self.dtype, self._looking_word)
        return Path(self.kind, "-".join(words))

    @property
    def _looking_word(self) -> str:
        return re.sub("[= ]", "_", self.looking)

"""Whether a model behaves like a trained CLIP: a dozen photographs and captions through it.

The photographs come with scikit-image, and show no face. Five of them have the captions that OpenAI
gave them in its notebook "Interacting with CLIP", and so published similarities.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from moderation.commands.doctor.diagnosis import Diagnosis
from moderation.commands.image_paths import read_image
from moderation.commands.samples import sample_photographs
from moderation.encoders.encoder import Encoder
from moderation.encoders.matching import Matching
from moderation.errors import SettingsError
from moderation.images.looks import Pixels
from moderation.images.pixels import decode, preprocess
from moderation.settings import Settings

#: Files of scikit-image, each with a caption of its own. The first five are OpenAI's.
CAPTIONS = {
    "page.png": "a page of text about segmentation",
    "rocket.jpg": "a rocket standing on a launchpad",
    "chelsea.png": "a facial photo of a tabby cat",
    "coffee.png": "a cup of coffee on a saucer",
    "motorcycle_right.png": "a red motorcycle standing in a garage",
    "brick.png": "a photo of a brick wall",
    "coins.png": "a collection of ancient coins",
    "grass.png": "a photo of grass",
    "gravel.png": "a photo of gravel",
    "hubble_deep_field.jpg": "galaxies in deep space",
    "moon.png": "craters on the surface of the moon",
    "retina.jpg": "a medical photo of the retina of an eye",
}

#: The similarities that OpenAI published of this model; rows are the first five photographs.
PUBLISHED_MODEL = "openai/clip-vit-base-patch32"
PUBLISHED = np.array(
    [
        [0.35, 0.17, 0.12, 0.14, 0.14],
        [0.16, 0.30, 0.12, 0.12, 0.16],
        [0.20, 0.18, 0.31, 0.18, 0.15],
        [0.20, 0.14, 0.17, 0.29, 0.13],
        [0.16, 0.16, 0.12, 0.12, 0.32],
    ]
)
#: They have two digits; the rest is for narrow formats and for another resizing.
PUBLISHED_MARGIN = 0.02

#: Weights that know nothing match so well by chance once in 10,000 times.
MOST_P = 1e-4
#: How far the mean logit of SigLIP's own pairs may be from even: transformers' own checks of seven
#: checkpoints have pairs from -3.1 to 0.6.
SIGLIP_LOGITS = 8.0
TIMED_ROUNDS = 3


class ModelKind(NamedTuple):
    """What is usual of a kind of model."""

    name: str
    least_hits: int
    scales: tuple[float, float]
    own: tuple[float, float]


class Speed(NamedTuple):
    """What a model took, in seconds: to load, for all photographs at once, for all captions."""

    load: float
    images: float
    texts: float


@dataclass(frozen=True)
class ModelCheck:
    """What a model made of the photographs and captions."""

    encoder: Encoder
    matching: Matching
    speed: Speed

    @property
    def kind(self) -> ModelKind:
        """What is usual of models of this kind."""
        if self.encoder.stamp.id == "starter":
            return ModelKind("starter", 5, (20.0, 20.0), (0.1, 0.3))
        if (bias := self.encoder.logit_bias) is None:
            return ModelKind("CLIP", 10, (20.0, 101.0), (0.15, 0.4))
        even, reach = -bias / self.encoder.logit_scale, SIGLIP_LOGITS / self.encoder.logit_scale
        return ModelKind("SigLIP", 10, (50.0, 200.0), (even - reach, even + reach))

    @property
    def diagnoses(self) -> list[Diagnosis]:
        """What was looked at, in order: the model's kind, matches, similarities, scale."""
        checks: dict[str, Callable[[], Diagnosis | None]] = {
            "kind": self._kind_diagnosis,
            "matches": self._match_diagnosis,
            "similarities": self._similarity_diagnosis,
            "published": self._published_diagnosis,
            "logit scale": self._scale_diagnosis,
        }
        found = ((name, check()) for name, check in checks.items())
        return [each._replace(name=name) for name, each in found if each]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return all(each.state != "fail" for each in self.diagnoses)

    @property
    def like_clip(self) -> bool:
        """Whether the model behaves like a trained CLIP in all that was looked at."""
        return all(each.state == "ok" for each in self.diagnoses)

    @property
    def conclusion(self) -> str:
        """What all of it means, in a sentence or two."""
        kind = self.kind.name
        unlike = ", ".join(each.name for each in self.diagnoses if each.state != "ok")
        if not self.passed:
            return f"It does not behave like a trained {'CLIP' if kind == 'starter' else kind}."
        if kind == "starter":
            return (
                "It pairs photographs with captions, but it is not CLIP: do not judge CLIP by it."
            )
        if unlike:
            return (
                f"It pairs photographs with captions, but differs from a usual {kind} in: {unlike}."
            )
        return f"It behaves like a trained {kind}."

    def _kind_diagnosis(self) -> Diagnosis:
        if self.kind.name == "starter":
            found = "starter, a small stand-in that is not CLIP: its figures are not CLIP's"
            return Diagnosis("warn", found, "Name a CLIP or SigLIP checkpoint for real use")
        return Diagnosis("ok", self.kind.name)

    def _match_diagnosis(self) -> Diagnosis:
        matching, n = self.matching, len(CAPTIONS)
        found = (
            f"{matching.image_hits} of {n} photographs have their own caption nearest, "
            f"{matching.text_hits} of {n} captions their own photograph; "
            f"p = {matching.p:.2g} that chance does as well"
        )
        if not matching.p <= MOST_P:
            remedy = "Its weights, or how it reads texts or pixels, are not those of a trained one"
            return Diagnosis("fail", found, remedy)
        if min(matching.image_hits, matching.text_hits) < self.kind.least_hits:
            remedy = f"A trained {self.kind.name} has {self.kind.least_hits} or more: see `pairs`"
            return Diagnosis("warn", found, f"{remedy} with --format json")
        return Diagnosis("ok", found)

    def _similarity_diagnosis(self) -> Diagnosis:
        low, high = self.kind.own
        own, others = self.matching.own, self.matching.others
        found = f"{own:.3f} on average with the own caption, {others:.3f} with the others"
        if not low <= own <= high:
            remedy = f"Usual of {self.kind.name}: {low:.2f} to {high:.2f} with the own caption"
            return Diagnosis("warn", found, remedy)
        return Diagnosis("ok", found)

    def _published_diagnosis(self) -> Diagnosis | None:
        if self.encoder.stamp.id != PUBLISHED_MODEL:
            return None
        ours = self.matching.similarities[: len(PUBLISHED), : len(PUBLISHED)]
        off = float(abs(ours - PUBLISHED).max())
        found = f"within {off:.3f} of the {PUBLISHED.size} similarities that OpenAI published"
        if not off <= PUBLISHED_MARGIN:
            remedy = f"They should be within {PUBLISHED_MARGIN}: other weights or other pixels"
            return Diagnosis("warn", found, remedy)
        return Diagnosis("ok", found)

    def _scale_diagnosis(self) -> Diagnosis:
        low, high = self.kind.scales
        bias = self.encoder.logit_bias
        found = f"{self.encoder.logit_scale:.4g}" + (f", bias {bias:.4g}" if bias else "")
        if not low <= self.encoder.logit_scale <= high:
            remedy = f"Usual of a trained {self.kind.name}: {low:g} to {high:g}"
            return Diagnosis("warn", found, remedy)
        return Diagnosis("ok", found)

    @property
    def facts(self) -> list[Diagnosis]:
        """What the model is and what it took, which nothing judges."""
        stamp, speed, n = self.encoder.stamp, self.speed, len(CAPTIONS)
        what = (
            f"{stamp.id} (revision {stamp.revision}, weights {stamp.fingerprint}, "
            f"preprocessing {stamp.preprocessing})"
        )
        took = (
            f"{n / speed.images:.0f} images/s and {n / speed.texts:.0f} texts/s, {n} at once, "
            f"{stamp.dtype} on {stamp.device} by {stamp.runtime}; loaded in {speed.load:.1f} s"
        )
        return [Diagnosis("ok", what, name="stamp"), Diagnosis("ok", took, name="speed")]

    def as_json(self) -> dict[str, Any]:
        """Returns all of it as one JSON object."""
        matching, speed, n = self.matching, self.speed, len(CAPTIONS)
        return {
            "model": self.encoder.stamp.model_dump(),
            "kind": self.kind.name,
            "behaves_like_clip": self.like_clip,
            "conclusion": self.conclusion,
            "checks": [{"name": each.name, **each._asdict()} for each in self.diagnoses],
            "matches": {
                "pairs": n,
                "photographs": matching.image_hits,
                "captions": matching.text_hits,
                "p": matching.p,
            },
            "similarities": {"own": matching.own, "others": matching.others},
            "logit_scale": self.encoder.logit_scale,
            "logit_bias": self.encoder.logit_bias,
            "pairs": list(self._pairs()),
            "speed": {
                "load_seconds": speed.load,
                "images_per_second": n / speed.images,
                "texts_per_second": n / speed.texts,
            },
        }

    def _pairs(self) -> Iterator[dict[str, Any]]:
        captions = list(CAPTIONS.values())
        for i, (file, caption) in enumerate(CAPTIONS.items()):
            nearest = self.matching.nearest_texts[i]
            yield {
                "photograph": file,
                "caption": caption,
                "similarity": float(self.matching.similarities[i, i]),
                "nearest_caption": captions[nearest] if nearest >= 0 else None,
            }


def check_model(load: Callable[[], Encoder], settings: Settings) -> ModelCheck:
    """Returns what a model makes of the photographs and captions, loaded by `load`.

    Raises:
        SettingsError: the photographs are not here.
        ModelError: the model cannot be loaded.
    """
    contents = _captioned_photographs(settings)
    began = time.perf_counter()
    encoder = load()
    loading = time.perf_counter() - began
    images = (decode(content, max_pixels=settings.max_image_pixels) for content in contents)
    pixels: Pixels = np.stack([preprocess(image, encoder.preprocessing) for image in images])
    texts = list(CAPTIONS.values())
    similarities = encoder.image_features(pixels) @ encoder.text_features(texts).T
    speed = Speed(
        loading,
        _median_seconds(lambda: encoder.image_features(pixels)),
        _median_seconds(lambda: encoder.text_features(texts)),
    )
    return ModelCheck(encoder, Matching(similarities), speed)


def _captioned_photographs(settings: Settings) -> list[bytes]:
    found = {path.name: path for path in sample_photographs()}
    if missing := CAPTIONS.keys() - found.keys():
        raise SettingsError(
            f"scikit-image lacks {', '.join(sorted(missing))}",
            "sample photographs",
            "Install the version of scikit-image that constraints.txt names",
        )
    return [read_image(found[name], settings.max_image_bytes) for name in CAPTIONS]


def _median_seconds(run: Callable[[], object]) -> float:
    def seconds() -> float:
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    return median(seconds() for _ in range(TIMED_ROUNDS))

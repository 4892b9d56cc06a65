"""Noise that is computed against the starter: an attacker who has its weights, as everybody does.

Projected gradient descent, each step by the sign of the gradient, through resizing and cropping of
every view that is looked at. It stops as soon as it has got past, with some to spare.

Source: Madry et al. 2018, arXiv 1706.06083.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from benchmarks.manipulations import Original, png
from moderation.encoders.starter import StarterEncoder
from moderation.images.pixels import model_box
from moderation.images.views import View, Views, picture_views
from moderation.scoring.classifier import Classifier

STEPS = 12
#: Scores that are aimed at: below every review threshold, or above that of blocking.
HIDDEN, BLOCKED = 0.25, 0.9


class Adversary:
    """Computes noise against a policy on the starter."""

    def __init__(self, encoder: StarterEncoder, classifier: Classifier) -> None:
        how = encoder.preprocessing
        assert isinstance(how.resize, int)
        self._how, self._side = how, how.resize
        # A white box: it reads the encoder's own parts.
        self._network = encoder._network.requires_grad_(False)
        self._classes = torch.from_numpy(encoder._classes)
        self._mean = torch.from_numpy(encoder._mean)
        self._labels = torch.from_numpy(classifier.features)
        labels = classifier.policy.labels
        self._acts = torch.tensor([label.acts for label in labels])
        self._blocks = torch.tensor([label.action == "block" for label in labels])[self._acts]
        self._scale = classifier.logit_scale

    def attack(self, original: Original, most: int, views: Views) -> bytes:
        """Returns a PNG with noise of at most `most` of 255, made against so many views."""
        # As large as the model resizes it to, so that its own view keeps every value.
        factor = self._side / min(original.image.size)
        size = (round(original.image.width * factor), round(original.image.height * factor))
        picture = np.asarray(original.image.resize(size, Image.Resampling.LANCZOS), np.float32)
        start = torch.from_numpy(picture.transpose(2, 0, 1).copy())[None]
        # It has to hide from every view; to be taken for a weapon, the first one will do.
        against = views if original.is_weapon else 1
        shown = picture_views((0.0, 0.0, float(size[0]), float(size[1])), against)
        noise = torch.zeros_like(start)
        for _ in range(STEPS):
            noise.requires_grad_(True)
            lacking = self._lacking((start + noise).clamp(0, 255), shown, original.is_weapon)
            if lacking.item() == 0:
                break
            [slope] = torch.autograd.grad(lacking, noise)
            step = noise.detach() - slope.sign() * max(1.0, most / 4)
            noise = step.clamp(-most, most)
        noisy = (start + noise.detach()).round().clamp(0, 255)[0].permute(1, 2, 0)
        return png(Image.fromarray(noisy.numpy().astype(np.uint8)))

    def _lacking(self, picture: torch.Tensor, views: tuple[View, ...], hide: bool) -> torch.Tensor:
        """Returns how far a picture is from where it is to be; 0 there."""
        squares = torch.cat([self._square(picture, view) for view in views])
        logits = self._logits(squares)
        if hide:  # no label may fire in any view
            worst = logits.max(dim=1).values
            return functional.relu(worst - np.log(HIDDEN / (1 - HIDDEN))).sum()
        best = logits[:, self._blocks].max()  # one that blocks is enough
        return functional.relu(np.log(BLOCKED / (1 - BLOCKED)) - best)

    def _square(self, picture: torch.Tensor, view: View) -> torch.Tensor:
        """Returns what `pixels` makes of a view, up to rounding."""
        height, width = self._how.crop
        box = view.box if view.is_whole else model_box(view.box, self._how)
        left, top, right, bottom = (round(edge) for edge in box)
        part = picture[:, :, top:bottom, left:right]
        ratio = min(width / part.shape[3], height / part.shape[2])
        size = [max(1, round(side * ratio)) for side in part.shape[2:]]
        if list(part.shape[2:]) != size:
            part = functional.interpolate(
                part, size, mode="bicubic", antialias=True, align_corners=False
            ).clamp(0, 255)
        down, across = (height - size[0]) // 2, (width - size[1]) // 2
        bars = (across, width - size[1] - across, down, height - size[0] - down)
        return functional.pad(part, bars, value=self._how.mean[0] / self._how.scale)

    def _logits(self, squares: torch.Tensor) -> torch.Tensor:
        """Returns (n, acting labels) logits of contrast scores.

        All classes take part, not only the likeliest: the others would have no gradient.
        """
        values = self._network(squares * self._how.scale - self._how.mean[0])
        places = torch.softmax(values, dim=1) @ self._classes - self._mean
        logits = self._scale * functional.normalize(places, dim=1) @ self._labels.T
        rivals = logits[:, ~self._acts].logsumexp(dim=1, keepdim=True)
        return logits[:, self._acts] - rivals

"""The half of a CLIP or SigLIP model that sees images, from pixels to features."""

from __future__ import annotations

from typing import Any

import torch

from moderation.images.pixels import Preprocessing


class PixelValues(torch.nn.Module):
    """What a model is given of pixels: (n, 3, h, w) values, in its number format."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: Any, preprocessing: Preprocessing) -> None:
        super().__init__()
        self._dtype, self._scale = model.dtype, preprocessing.scale
        for name in ("mean", "std"):
            numbers = torch.tensor(getattr(preprocessing, name), device=model.device)
            self.register_buffer(name, numbers.view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Returns the values of (n, h, w, 3) uint8 pixels."""
        values = (pixels.permute(0, 3, 1, 2).float() * self._scale - self.mean) / self.std
        return values.to(self._dtype)


class ImageTower(torch.nn.Module):
    """The half of a model that sees images, starting from pixels: what a runtime runs."""

    def __init__(self, model: Any, preprocessing: Preprocessing) -> None:
        super().__init__()
        self._values, self._vision = PixelValues(model, preprocessing), model.vision_model
        # SigLIP's vision model ends in the common space; the output of CLIP's is projected into it.
        self._project = getattr(model, "visual_projection", torch.nn.Identity())

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Returns (n, d) float32 features, of any length, for (n, h, w, 3) uint8 pixels."""
        states = self._vision(pixel_values=self._values(pixels))
        features: torch.Tensor = self._project(states.pooler_output).float()
        return features

    @property
    def costly_parts(self) -> list[torch.nn.Module]:
        """Where almost all time goes: what makes values of pixels, and the layers, all alike."""
        return [self._values, *self._vision.encoder.layers]

"""A policy's classifier that is loaded only for what the embedding store does not have."""

from __future__ import annotations

from collections.abc import Callable

from moderation.encoders.classifiers.description import classifier_preprocessing, classifier_stamp
from moderation.encoders.encoder import Float32s, ImageModel
from moderation.images.looks import Pixels
from moderation.policy import LabelClassifier


class StoredClassifier:
    """A classifier (`moderation.encoders.encoder.ImageModel`), known by what its policy says of it.

    Its outputs go to the store with whoever asks it.
    """

    def __init__(self, classifier: LabelClassifier, load: Callable[[], ImageModel]) -> None:
        """Loads nothing yet.

        Args:
            classifier: as a policy names it.
            load: returns it loaded; called for each image until it does.
        """
        self.stamp = classifier_stamp(classifier)
        self.preprocessing = classifier_preprocessing(classifier)
        self._load = load
        self._loaded: ImageModel | None = None

    def image_features(self, pixels: Pixels) -> Float32s:
        """Returns (n, c) raw outputs for (n, h, w, 3) pixels."""
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded.image_features(pixels)

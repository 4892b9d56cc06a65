"""Datasets -> what the classifiers of policies give for their images, kept in the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from audit.datasets.image_problems import Track
from audit.embedding.dataset_features import EmbeddedDataset, embed_here, store_features
from audit.errors import DatasetError
from moderation.encoders.classifiers.description import classifier_stamp
from moderation.encoders.classifiers.loading import load_classifiers, named_classifiers
from moderation.encoders.encoder import ImageModel
from moderation.features import EmbeddingStore, FeatureSpace
from moderation.policy import LabelClassifier, Policy
from moderation.scoring.classified import ModelRows


def embed_outputs(
    embedded: EmbeddedDataset,
    policies: Iterable[Policy],
    store: EmbeddingStore,
    folder: Path | None = None,
    *,
    threads: int = 4,
    track: Track | None = None,
) -> EmbeddedDataset:
    """Returns a dataset with what classifiers give for its images, each asked once, ever.

    A classifier is loaded only where the store lacks something of it. Its outputs are float32,
    whatever the features are.

    Args:
        embedded: the images, with their features.
        policies: that name the classifiers; often none does.
        store: where outputs are kept.
        folder: where an operator's own ONNX files lie; None where there are none.
        threads: that decode ahead.
        track: shows progress.

    Raises:
        PolicyError: a classifier cannot be used; with every problem of all policies.
        DatasetError: images have changed since their features were made.
        StoreError: the store is damaged, or cannot be written.
    """
    policies = tuple(policies)
    loaded: Mapping[str, ImageModel] = {}
    outputs = dict(embedded.outputs)
    for key, classifier in named_classifiers(policies).items():
        with store.open(_output_space(classifier, embedded)) as features:
            missing = [i for i, known in enumerate(features.has(embedded.sha256)) if not known]
            if missing:
                store.refuse_unwritable()
                loaded = loaded or load_classifiers(policies, folder)
                embed = embed_here(loaded[key], threads=threads)
                found = embed(embedded.dataset, missing, embedded.sha256, embedded.looking)
                found = track(found, len(missing), f"Asking {classifier.file}") if track else found
                # Each of these images has been decoded before, so one that fails now has changed.
                if problems := list(store_features(features, embedded.sha256, found)):
                    raise DatasetError(problems)
        outputs[key] = ModelRows(*features.get_every(embedded.sha256))
    return replace(embedded, outputs=outputs)


def _output_space(classifier: LabelClassifier, embedded: EmbeddedDataset) -> FeatureSpace:
    return FeatureSpace.of_outputs(classifier_stamp(classifier), embedded.looking)

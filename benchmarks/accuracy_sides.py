"""What policies on models, and openmoderate's presets, say of the images of one dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import NamedTuple

from audit.datasets.dataset import Y_TRUE, Dataset
from audit.embedding.dataset_features import EmbeddedDataset, embed_dataset, embed_here
from audit.metrics.predictions import PolicyPredictions, predict
from audit.metrics.truth import truth_of
from benchmarks.openmoderate_presets import (
    PRESETS,
    EncoderEngine,
    PresetPredictions,
    preset_meaning,
    preset_predictions,
)
from moderation.commands.output import track
from moderation.encoders.options import ModelOptions
from moderation.features import EmbeddingStore, StoredEncoder
from moderation.policy import Policy

#: What must be known of presets without their own models.
EXCHANGED = (
    "open_clip is not installed, so openmoderate's presets run on models of ours, for which they "
    "were not calibrated: this compares their prompts and rules, not what their users get."
)


#: What one side says of n images.
Side = PolicyPredictions | PresetPredictions


@dataclass(frozen=True)
class Asked:
    """What is compared: every policy on every model, and presets of openmoderate's.

    Attributes:
        categories: those that the presets look for; None for all that they have.
    """

    policies: Sequence[Policy]
    models: Sequence[str]
    presets: Sequence[str] = ()
    categories: Sequence[str] | None = None


class Sides(NamedTuple):
    """What each side says of the same images and should say, and what must be known of them."""

    said: list[Side]
    notes: list[str]

    def common_name(self, name: str) -> str:
        """Returns a class of the dataset as presets call it, if any takes part: they know parents.

        So weapons/firearms is weapons, which is a category of theirs and of ours.
        """
        presets = (each for each in self.said if isinstance(each, PresetPredictions))
        return next((preset_meaning(name, each.labels) for each in presets), name)


def installed_presets() -> tuple[str, ...]:
    """Returns openmoderate's presets; () where it is not installed."""
    return PRESETS if find_spec("openmoderate") else ()


def sides_of(dataset: Dataset, asked: Asked, store: EmbeddingStore) -> Sides:
    """Returns what each side says; image features come from the store, or go there.

    Raises:
        DatasetError: images are missing, damaged or many are there twice.
        ModelError: a model cannot be loaded, or openmoderate is not installed.
        PolicyError: a policy does not fit a model.
    """
    sides = Sides([], [])
    has_own_models = bool(find_spec("open_clip"))
    for model in asked.models:
        with StoredEncoder(model, ModelOptions(), store) as encoder:
            sides.notes.append(f"Model: {encoder.stamp.described}.")
            embedded = embed_dataset(
                dataset, encoder.stamp, store, embed_here(encoder), track=track
            )
            sides.said.extend(_said_by_policies(embedded, encoder, asked.policies))
            if not has_own_models:
                engine = EncoderEngine(encoder)
                for said in _said_by_presets(dataset, asked, engine):
                    sides.said.append(replace(said, name=f"{said.name} on {model}"))
    if has_own_models:
        sides.said.extend(_said_by_presets(dataset, asked))
    elif asked.presets:
        sides.notes.append(EXCHANGED)
    return sides._replace(said=[_with_truth(each, dataset, sides) for each in sides.said])


def _with_truth(side: Side, dataset: Dataset, sides: Sides) -> Side:
    known = dataset.table[Y_TRUE]
    meant = known.map(sides.common_name, na_action="ignore")
    table = dataset.table.assign(**{Y_TRUE: meant.astype(object)})
    return replace(side, truth=truth_of(replace(dataset, table=table), side.labels))


def _said_by_presets(
    dataset: Dataset, asked: Asked, engine: EncoderEngine | None = None
) -> Iterator[PresetPredictions]:
    for preset in asked.presets:
        yield preset_predictions(
            preset, dataset.references, engine=engine, categories=asked.categories
        )


def _said_by_policies(
    embedded: EmbeddedDataset, encoder: StoredEncoder, policies: Sequence[Policy]
) -> Iterator[PolicyPredictions]:
    for policy in policies:
        name = f"{policy.id} on {encoder.stamp.id}"
        yield predict(policy, encoder, embedded.features, looks=embedded.looks, name=name)

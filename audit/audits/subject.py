"""Images with their features, the model, the groups: what an audit of policies looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from audit.audits.assessment import Assessed
from audit.audits.audited import Audited, Named
from audit.audits.recorded_prompts import (
    refuse_unasked,
    refuse_unrecorded,
    refuse_unrecorded_searches,
)
from audit.datasets.chosen_groups import MOST_GROUPS, MOST_NAMED_GROUPS, chosen_groups
from audit.datasets.dataset import IMAGE_ID, Dataset
from audit.datasets.groups import Groups
from audit.embedding.dataset_features import EmbeddedDataset
from audit.errors import AuditError
from audit.metrics.near_duplicates import (
    DEFAULT_COSINE,
    MOST_IMAGES,
    Clusters,
    near_duplicates,
)
from audit.metrics.predictions import PolicyPredictions, highest_of_looks, predict
from audit.metrics.rates import FLAG
from audit.metrics.skew import DesiredShare, skew_table
from audit.metrics.truth import truth_of
from audit.recordings.claims import RecordingStatement
from audit.results.results import DatasetRecord, Header, PolicyRecord, RecordingRecord
from audit.results.rows import Skew, records
from moderation.encoders.encoder import Float32s, TextEncoder, widened
from moderation.policy import Policy
from moderation.scoring.classifier import similarities
from moderation.scoring.verdict import first_looks

#: Up to this many sensitive features that are not looked at are named in an error.
_SAID = 5


@dataclass(frozen=True)
class Subject(Audited[Policy]):
    """Images with their features, and the model: what an audit of policies looks at.

    Attributes:
        embedded: the images with their features.
        encoder: the model that made them; only texts go to it.
        groups: the whole dataset first, then each sensitive feature and intersection.
        seed: of every random choice.
        command: what was typed, for the header.
        near_duplicates: the cosine from which two images are; 0 looks for none.
    """

    embedded: EmbeddedDataset
    encoder: TextEncoder
    groups: tuple[Groups, ...]
    seed: int = 0
    command: str = ""
    near_duplicates: float = DEFAULT_COSINE

    @classmethod
    def of(
        cls,
        embedded: EmbeddedDataset,
        encoder: TextEncoder,
        by: Sequence[Sequence[str]] | None = None,
        *,
        seed: int = 0,
        command: str = "",
        near_duplicates: float = DEFAULT_COSINE,
    ) -> Subject:
        """Returns the subject with the sensitive features and intersections named in `by`.

        None takes each sensitive feature and each pair of them; one of too many groups gets a note.

        Raises:
            DatasetError: there is no such sensitive feature, or one that is named has too many
                groups.
        """
        dataset = embedded.dataset
        groups, notes = chosen_groups(dataset, by)
        noted = replace(embedded, dataset=replace(dataset, notes=(*dataset.notes, *notes)))
        return cls(noted, encoder, groups, seed, command, near_duplicates)

    @property
    def dataset(self) -> Dataset:
        """The images without their features."""
        return self.embedded.dataset

    def predict(self, systems: Mapping[str, Policy]) -> list[PolicyPredictions]:
        """Returns what each policy says of the images under its name, and should say.

        To be misclassified is the harm if no label of any policy flags, and all know right labels.

        Raises:
            PolicyError: a policy does not fit the model, a prompt is not recorded, or a classifier
                was not asked about the images.
        """
        embedded = self.embedded
        refuse_unrecorded(systems.values(), self.encoder)
        refuse_unasked(systems.values(), embedded.outputs)
        say = partial(
            predict,
            image_features=embedded.features,
            looks=embedded.looks,
            outputs=embedded.outputs,
        )
        truths = {name: truth_of(self.dataset, each.labels) for name, each in systems.items()}
        said = [
            say(policy, self.encoder, name=name, truth=truths[name])
            for name, policy in systems.items()
        ]
        known = all(truth.classified.any() for truth in truths.values())
        if any(each.flagging for each in said) or not known:
            return said
        return [replace(each, can_flag=False) for each in said]

    @property
    def images_sha256(self) -> str:
        """Hash of all images, whatever their order."""
        return self.embedded.images_sha256

    def system_record(self, name: str, system: Policy, path: str) -> PolicyRecord:
        """Returns a policy as a report has it."""
        return PolicyRecord.of(name, system, path, self.encoder.stamp)

    def header(self, named: Named[Policy], harm: str = FLAG) -> Header:
        """Returns what is needed to make a report on the policies again."""
        recording = _recording_record(self.embedded.recording)
        of_model = {
            "model": self.encoder.stamp,
            "looking": "" if recording else self.embedded.looking.text,
            "recording": recording,
            "logit_scale": self.encoder.logit_scale,
            "logit_bias": self.encoder.logit_bias,
        }
        return super().header(named, harm).model_copy(update=of_model)

    def dataset_record(self) -> DatasetRecord:
        """Returns the dataset as a report has it, and how its images were looked at."""
        embedded = self.embedded
        looked = {"rounded": embedded.rounded, "seen_repeatedly": embedded.seen_repeatedly}
        return super().dataset_record().model_copy(update=looked)

    def assess(self, named: Named[Policy]) -> Assessed:
        """Returns what each policy says of the images, and which of these are near-duplicates.

        Raises:
            PolicyError: a policy does not fit the model.
        """
        asked = bool(self.near_duplicates)
        return super().assess(named)._replace(clusters=self.clusters(), asked=asked)

    def clusters(self) -> Clusters | None:
        """Returns which images show nearly the same; None where they are not looked for.

        Of several looks at an image the first counts: what the model's own preprocessing shows.
        """
        if not self.near_duplicates or len(self.dataset) > MOST_IMAGES:
            return None
        features, looks = self.embedded.features, self.embedded.looks
        if looks is not None:
            features = features[first_looks(looks)]
        return near_duplicates(
            widened(features), self.dataset.table[IMAGE_ID].tolist(), self.near_duplicates
        )

    def resemblance(self, prompt: str) -> Float32s:
        """Returns (n,) cosines of the images to a prompt; an image's most similar look counts."""
        cosines = similarities(self.embedded.features, self.encoder.text_features([prompt]))[:, 0]
        looks = self.embedded.looks
        return cosines if looks is None else highest_of_looks(cosines, looks)

    def refuse_prompts(self, prompts: Sequence[str]) -> None:
        """Refuses prompts that are not recorded, where features are.

        Raises:
            AuditError: with every such prompt, and the nearest recorded.
        """
        refuse_unrecorded_searches(prompts, self.encoder)

    def skews(self, prompt: str, *, k: int, desired: DesiredShare) -> tuple[Skew, ...]:
        """Returns how the images that resemble a prompt most differ from the desired shares.

        Raises:
            AuditError: no sensitive feature that is looked at has two groups.
        """
        cosines = self.resemblance(prompt)
        table = skew_table(cosines, self.without_intersections, min(k, len(cosines)), desired)
        if table.empty:
            raise self._nothing_to_skew()
        return records(Skew, table.assign(prompt=prompt))

    def _nothing_to_skew(self) -> AuditError:
        """Returns the error that no sensitive feature that is looked at has two groups."""
        looked_at = {part.by for part in self.without_intersections}
        features = self.dataset.sensitive_features
        sizes = {name: len(self.dataset.groups([name]).names) for name in features}
        others = [name for name in features if name not in looked_at and sizes[name] > 1]
        others.sort(key=lambda name: sizes[name])
        if not others:
            what, remedy = "no sensitive feature has two groups", "Name a dataset with two or more"
            return AuditError(what, self.dataset.name, remedy)
        named = ", ".join(f"{name} ({sizes[name]:,} groups)" for name in others[:_SAID])
        what = (
            f"no sensitive feature that is looked at has two groups. Not looked at: {named}; one "
            f"is if --by names it alone, or without --by if it has at most {MOST_GROUPS} groups"
        )
        remedy = f"Name one alone, such as --by {others[0]}"
        if sizes[others[0]] > MOST_NAMED_GROUPS:
            remedy = f"Join the values of one to at most {MOST_NAMED_GROUPS}, and name it with --by"
        return AuditError(what, self.dataset.name, remedy)


def _recording_record(stated: RecordingStatement | None) -> RecordingRecord | None:
    """Returns what a recording states of itself as a report has it."""
    if stated is None:
        return None
    names = ("created", "imported_by", "d", "dtype", "unit_length", "texts")
    return RecordingRecord(
        **stated.claims.model_dump(),
        imported_from=tuple(file.model_dump() for file in stated.imported_from),
        **{name: getattr(stated, name) for name in names},
    )

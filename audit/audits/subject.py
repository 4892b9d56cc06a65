"""What an audit looks at: images with their features, the model, the groups; and its header."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import combinations
from typing import NamedTuple

from audit.datasets.dataset import CROSS, Dataset, Groups
from audit.embedding.dataset_features import EmbeddedDataset
from audit.metrics.predictions import Predictions, predict
from audit.metrics.truth import truth_of
from audit.results.results import DatasetRecord, GroupRecord, Header, LabelRecord, PolicyRecord
from audit.statistics.intervals import LEVEL
from audit.statistics.support import support_of
from moderation.encoders.encoder import Encoder
from moderation.policy import Policy

#: Packages whose versions can change a figure.
_PACKAGES = ("evenhand", "numpy", "scipy", "statsmodels", "pandas")


class Named(NamedTuple):
    """The policies of an audit by the names that its report calls them, and their files."""

    policies: Mapping[str, Policy]
    paths: Mapping[str, str]


@dataclass(frozen=True)
class Subject:
    """What an audit looks at.

    Attributes:
        embedded: the images with their features.
        encoder: the model that made them; only texts go to it.
        groups: the whole dataset first, then each sensitive feature and intersection.
        seed: of every random choice.
        command: what was typed, for the header.
    """

    embedded: EmbeddedDataset
    encoder: Encoder
    groups: tuple[Groups, ...]
    seed: int = 0
    command: str = ""

    @classmethod
    def of(
        cls,
        embedded: EmbeddedDataset,
        encoder: Encoder,
        by: Sequence[Sequence[str]] | None = None,
        *,
        seed: int = 0,
        command: str = "",
    ) -> Subject:
        """Returns the subject with the sensitive features and intersections named in `by`.

        None takes each sensitive feature and each pair of them.

        Raises:
            DatasetError: the dataset has no such sensitive feature.
        """
        names = embedded.dataset.sensitive_features
        chosen = [*((name,) for name in names), *combinations(names, 2)] if by is None else by
        groups = tuple(embedded.dataset.partitions(chosen))
        return cls(embedded, encoder, groups, seed, command)

    @property
    def dataset(self) -> Dataset:
        """The images without their features."""
        return self.embedded.dataset

    def predict(self, policies: Mapping[str, Policy]) -> list[Predictions]:
        """Returns what each policy says of the images under its name, and should say.

        Raises:
            PolicyError: a policy does not fit the model.
        """
        dataset, features = self.embedded.dataset, self.embedded.features
        truths = {name: truth_of(dataset, policy) for name, policy in policies.items()}
        return [
            predict(policy, self.encoder, features, name=name, truth=truths[name])
            for name, policy in policies.items()
        ]

    def header(self, named: Named) -> Header:
        """Returns what is needed to make a report on the policies again."""
        packages = {package: version(package) for package in _PACKAGES}
        return Header(
            tool="evenhand",
            version=packages.pop("evenhand"),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=self.command,
            versions={"python": platform.python_version(), **packages},
            model=self.encoder.stamp,
            logit_scale=self.encoder.logit_scale,
            logit_bias=self.encoder.logit_bias,
            policies=tuple(
                policy_record(name, policy, named.paths.get(name, ""))
                for name, policy in named.policies.items()
            ),
            dataset=_dataset_record(self.embedded, self.groups),
            confidence=LEVEL,
            seed=self.seed,
            by=tuple(part.by for part in self.groups[1:]),
        )


def _dataset_record(embedded: EmbeddedDataset, groups: Iterable[Groups]) -> DatasetRecord:
    dataset = embedded.dataset
    return DatasetRecord(
        name=dataset.name,
        adapter=dataset.adapter,
        n=len(dataset),
        sha256=dataset.sha256,
        images_sha256=embedded.images_sha256,
        benign=dataset.benign,
        sensitive_features=dataset.sensitive_features,
        groups=tuple(
            GroupRecord(by=part.by, group=group, n=size, support=support_of(size).item())
            for part in groups
            for group, size in zip(part.names, part.sizes.tolist(), strict=True)
        ),
        left_out=len(dataset.left_out),
        rounded=embedded.rounded,
        notes=dataset.notes,
    )


def without_intersections(groups: Iterable[Groups]) -> list[Groups]:
    """Returns the partitions that are not intersections: the whole and each sensitive feature."""
    return [part for part in groups if CROSS not in part.by]


def policy_names(policies: Sequence[Policy]) -> list[str]:
    """Returns a name for each policy of a report, no two alike.

    Their ids; where two share one, the versions too, or otherwise their hashes, or their numbers.
    """
    spellings = (
        [policy.id for policy in policies],
        [f"{policy.id} v{policy.version}" for policy in policies],
        [f"{policy.id} {policy.sha256[:8]}" for policy in policies],
        [f"{policy.id} #{number}" for number, policy in enumerate(policies, 1)],
    )
    return next(list(names) for names in spellings if len(set(names)) == len(names))


def policy_record(name: str, policy: Policy, path: str) -> PolicyRecord:
    """Returns a policy as reports show it."""
    return PolicyRecord(
        name=name,
        id=policy.id,
        version=policy.version,
        title=policy.title,
        sha256=policy.sha256,
        path=path,
        scoring=policy.scoring,
        decision=policy.decision,
        templates=policy.templates,
        labels=tuple(
            LabelRecord(
                id=label.id,
                category=label.reported_category if label.acts else None,
                action=label.action,
                threshold=label.threshold,
                review_threshold=label.review_threshold,
                prompts=label.prompts,
            )
            for label in policy.labels
        ),
    )

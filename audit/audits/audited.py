"""What every kind of audit needs: annotated images, their groups, what systems say of them."""

from __future__ import annotations

import platform
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import ClassVar, Generic, NamedTuple, TypeVar

from audit.audits.assessment import Assessed
from audit.datasets.dataset import Dataset
from audit.datasets.groups import CROSS, Groups
from audit.metrics.predictions import Predictions
from audit.metrics.rates import FLAG, harm_metric
from audit.metrics.skew import DesiredShare
from audit.results.results import DatasetRecord, GroupRecord, Header, PolicyRecord
from audit.results.rows import Skew
from audit.statistics.intervals import LEVEL
from audit.statistics.support import support_of
from moderation.policy import Policy

#: What decides: a policy, or another system.
S = TypeVar("S")


class Named(NamedTuple, Generic[S]):
    """The policies, or other systems, of an audit by their names in its report; and their files."""

    policies: Mapping[str, S]
    paths: Mapping[str, str]

    @staticmethod
    def of(policies: Sequence[Policy], paths: Iterable[str]) -> Named[Policy]:
        """Returns policies with a name for each in a report, no two alike.

        Their ids; where two share one, the versions too, or otherwise their hashes, or their
        numbers.
        """
        spellings = (
            [policy.id for policy in policies],
            [f"{policy.id} v{policy.version}" for policy in policies],
            [f"{policy.id} {policy.sha256[:8]}" for policy in policies],
            [f"{policy.id} #{number}" for number, policy in enumerate(policies, 1)],
        )
        names = next(names for names in spellings if len(set(names)) == len(names))
        paths_by_name = dict(zip(names, paths, strict=True))
        return Named(dict(zip(names, policies, strict=True)), paths_by_name)


class Audited(ABC, Generic[S]):
    """Annotated images in groups, and what each system says of them.

    Attributes:
        groups: the whole dataset first, then each sensitive feature and intersection.
        seed: of every random choice.
        command: what was typed, for the header.
    """

    groups: tuple[Groups, ...]
    seed: int
    command: str

    #: Packages whose versions can change a figure.
    packages: ClassVar[tuple[str, ...]] = ("evenhand", "numpy", "scipy", "statsmodels", "pandas")

    @property
    @abstractmethod
    def dataset(self) -> Dataset:
        """The images and their annotations."""

    @property
    @abstractmethod
    def images_sha256(self) -> str:
        """Hash of the images, or of whatever stands for them."""

    @abstractmethod
    def predict(self, systems: Mapping[str, S]) -> Sequence[Predictions]:
        """Returns what each system says of the images under its name, and should say."""

    @abstractmethod
    def system_record(self, name: str, system: S, path: str) -> PolicyRecord:
        """Returns a system as a report has it."""

    @property
    def without_intersections(self) -> list[Groups]:
        """The groups that are not intersections: the whole and each sensitive feature."""
        return [part for part in self.groups if CROSS not in part.by]

    def header(self, named: Named[S], harm: str = FLAG) -> Header:
        """Returns what is needed to make a report on systems again; `harm` is what it measures."""
        packages = {package: version(package) for package in self.packages}
        return Header(
            tool="evenhand",
            version=packages.pop("evenhand"),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=self.command,
            versions={"python": platform.python_version(), **packages},
            policies=tuple(
                self.system_record(name, system, named.paths.get(name, ""))
                for name, system in named.policies.items()
            ),
            dataset=self.dataset_record(),
            confidence=LEVEL,
            seed=self.seed,
            by=tuple(part.by for part in self.groups[1:]),
            harm=harm,
        )

    def refuse_prompts(self, prompts: Sequence[str]) -> None:
        """Refuses prompts with which images cannot be searched.

        Raises:
            ValueError: there are prompts, and no image has features.
        """
        if prompts:
            raise ValueError("prompts are compared with images, and this audit has none")

    def skews(self, prompt: str, *, k: int, desired: DesiredShare) -> tuple[Skew, ...]:
        """Returns how the images that resemble a prompt most differ from the desired shares.

        Raises:
            ValueError: no image has features.
        """
        raise ValueError(f"{prompt!r} is compared with images, and this audit has none")

    def dataset_record(self) -> DatasetRecord:
        """Returns the dataset as a report has it."""
        dataset = self.dataset
        return DatasetRecord(
            name=dataset.name,
            adapter=dataset.adapter,
            n=dataset.n,
            sha256=dataset.sha256,
            images_sha256=self.images_sha256,
            benign=dataset.benign,
            sensitive_features=dataset.sensitive_features,
            groups=tuple(record for part in self.groups for record in _group_records(part)),
            left_out=dataset.left_out_images,
            unplaced={part.by: part.unplaced for part in self.groups if part.unplaced},
            notes=dataset.notes,
        )

    def assess(self, named: Named[S]) -> Assessed:
        """Returns what each system says of the images.

        Raises:
            PolicyError: a policy does not fit the model.
        """
        said = self.predict(named.policies)
        return Assessed(self.header(named, harm_metric(said)), said, self.groups)


def _group_records(part: Groups) -> Iterator[GroupRecord]:
    left_out = part.left_out or (0,) * len(part.names)
    for group, n, lost in zip(part.names, part.sizes.tolist(), left_out, strict=True):
        yield GroupRecord(by=part.by, group=group, n=n, support=support_of(n).item(), left_out=lost)

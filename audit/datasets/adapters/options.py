"""What an adapter is, and the options of reading a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from audit.datasets.dataset import Dataset

#: Keys of `LoadOptions.columns` that are not sensitive features.
IMAGE, Y_TRUE, ID, SHA256 = "image", "y_true", "id", "sha256"


@dataclass(frozen=True)
class LoadOptions:
    """How a dataset is read.

    Attributes:
        columns: name in the file of `image`, `y_true`, `id`, `sha256` and of each sensitive
            feature, which reports call by its key.
        images: folder below which image paths lie; that of the annotations by default.
        truth: what a class of y_true means to the policies: a label's id, a category or `allow`.
        benign: whether nothing in any image should be flagged; by default as the adapter has it.
        skip_bad: leaves out rows with something wrong, and says so, in place of an error.
        as_written: sensitive features whose values are taken as they are written: case tells groups
            apart, and NA, None or unknown is a group.
        repair: turns dates that a spreadsheet made of ages back into ages, and says so.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    images: Path | None = None
    truth: Mapping[str, str] = field(default_factory=dict)
    benign: bool | None = None
    skip_bad: bool = False
    repair: bool = False
    as_written: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Adapter:
    """A layout of datasets that can be read.

    Attributes:
        name: what it is called on the command line.
        description: one line on what it reads.
        layout: what the files look like.
        source: where such a dataset comes from.
        licence: the terms of the images, not of this program.
        benign: whether nothing in its images should be flagged, unless the options say otherwise.
        takes: the attributes of `LoadOptions` that it uses, besides `benign` and `skip_bad`.
        matches: whether a path looks like this layout.
        load: reads it; raises DatasetError with everything that is wrong.
    """

    name: str
    description: str
    layout: str
    source: str
    licence: str
    benign: bool
    takes: frozenset[str]
    matches: Callable[[Path], bool]
    load: Callable[[Path, LoadOptions], Dataset]

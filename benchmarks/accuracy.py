"""How right policies are on labelled pictures, beside openmoderate where it is installed.

    python -m benchmarks.accuracy                              # ../shared/data/objects, starter
    python -m benchmarks.accuracy FOLDER -p POLICY --model openai/clip-vit-base-patch32
    python -m benchmarks.accuracy labels.csv --column image=file --column y_true=class
    python -m benchmarks.accuracy faces/labels.csv -p weapons --by race --by gender,race

A folder holds a folder for each class; a table has a row for each image. --truth says what a class
means: a label's id, a category, or `allow` for what must pass. Every policy runs on every model, on
the same files, as a worker runs it. openmoderate's presets run by their own code, on their own
models where open_clip is installed, and otherwise on those given. Figures have 95 % intervals, and
differences between two sides are paired and corrected for all that are claimed. Where a dataset has
groups of people, the widest gaps between them follow. The figures of `starter` are not CLIP's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from audit.datasets.adapters import LoadOptions, load_dataset
from audit.datasets.chosen_groups import chosen_groups
from audit.datasets.dataset import IMAGE_ID, Y_TRUE, Dataset
from audit.errors import AuditError
from audit.evaluation import EvaluatedSystem, Evaluation, LabelledImages, evaluate
from audit.metrics.predictions import PolicyPredictions
from audit.metrics.truth import ALLOW
from audit.results.formatting import images
from benchmarks import program
from benchmarks.accuracy_gaps import gap_rows
from benchmarks.accuracy_sides import Asked, Side, Sides, installed_presets, sides_of
from benchmarks.accuracy_tables import accuracy_table, gaps_table, pairs_table
from benchmarks.openmoderate_presets import PRESETS
from benchmarks.photographs import PHOTOGRAPHS
from moderation.errors import ModerationError
from moderation.features import EmbeddingStore
from moderation.policy import find_policy, load_policy

#: What classes of ../shared/data/objects mean; the others must pass.
WEAPONS = {"revolver": "weapons/firearms", "cannon": "weapons/heavy"}


@dataclass(frozen=True)
class FoundAccuracy:
    """What was found: how right each side is, gaps between groups, and notes."""

    evaluation: Evaluation
    gaps: list[dict[str, Any]]
    notes: list[str]


def measure(
    dataset: Dataset, asked: Asked, store: EmbeddingStore, by: Sequence[str]
) -> FoundAccuracy:
    """Returns how right each side is on a dataset, and the gaps by sensitive features.

    Raises:
        AuditError: the dataset is wrong. ModerationError: a policy or a model is.
    """
    groups = chosen_groups(dataset, [each.split(",") for each in by] or None)
    sides = sides_of(dataset, asked, store)
    shown = _shown(dataset, sides)
    evaluation = evaluate(shown, [_evaluated(each) for each in sides.said])
    gaps = gap_rows(sides.said, groups.partitions)
    notes = [*sides.notes, *groups.notes, *_unclaimed_notes(evaluation)]
    return FoundAccuracy(evaluation, gaps, notes)


def _unclaimed_notes(found: Evaluation) -> Iterator[str]:
    """Yields which classes mean nothing to any side, so that their images count nowhere."""
    for shown in found.names:
        if all(shown.name in system.unclaimed for system in found.systems):
            yield (
                f"{shown.name} ({images(shown.n)}) means nothing to any side and counts "
                f"nowhere: --truth {shown.name}=LABEL, or =allow for what must pass."
            )


def _shown(dataset: Dataset, sides: Sides) -> LabelledImages:
    """Returns what the images show, in names that all sides have, where they have some.

    Where nothing in any image should be flagged, that is what they show.
    """
    known = dataset.table[Y_TRUE]
    if dataset.benign:
        names = [[ALLOW]] * len(known)
    else:
        names = [[] if pd.isna(name) else [sides.common_name(str(name))] for name in known]
    if not all(names):
        remedy = "Give each image a class, or say that all must pass, with --benign"
        raise AuditError(f"{names.count([])} images have no class", str(dataset.source), remedy)
    return LabelledImages.of_names(list(dataset.table[IMAGE_ID]), names)


def _evaluated(side: Side) -> EvaluatedSystem:
    scores = side.scores.astype(np.float32)
    adds = side.added if isinstance(side, PolicyPredictions) else ()
    return EvaluatedSystem(side.name, tuple(side.labels), scores, side.outcomes, adds)


def _parser() -> argparse.ArgumentParser:
    parser = program.new_parser(__doc__)
    add = parser.add_argument
    add("data", nargs="?", type=Path, default=PHOTOGRAPHS, help="folder of classes, or a table")
    add("-p", "--policy", nargs="+", default=["weapons"], help="files, or names of shipped ones")
    add("--model", nargs="+", default=["starter"], help="starter, folders, or hub-id[@revision]")
    add("--openmoderate", nargs="*", choices=PRESETS, help="presets; by default all, if installed")
    add("--categories", nargs="+", help="of openmoderate's, those that are looked for")
    add("--truth", nargs="+", default=[], metavar="CLASS=LABEL", help="what a class means")
    add("--column", nargs="+", default=[], metavar="NAME=COLUMN", help="of a table")
    add("--benign", action="store_true", help="nothing in any image should be flagged")
    add("--by", nargs="+", default=[], help="sensitive features; with a comma an intersection")
    add("--store", type=Path, help="folder where image features are kept for the next run")
    return parser


def _given_dataset(given: argparse.Namespace) -> Dataset:
    """Returns the dataset that the options name; the classes of the default one are known."""
    truth, columns = (dict(_pair(each) for each in part) for part in (given.truth, given.column))
    if given.data == PHOTOGRAPHS and not truth:
        inside = [each.name for each in PHOTOGRAPHS.iterdir() if each.is_dir()]
        truth = {name: WEAPONS.get(name, ALLOW) for name in inside}
    options = LoadOptions(columns=columns, truth=truth, benign=given.benign or None)
    return load_dataset(given.data, options=options)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise AuditError(f"{text} is not NAME=VALUE", "the options", "Write class=label")
    return name, value


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints tables, and writes JSON where asked to."""
    given = _parser().parse_args(arguments)
    if not given.data.exists():
        print(f"{given.data} is not here: name a folder of labelled pictures")
        return 2
    presets = installed_presets() if given.openmoderate is None else given.openmoderate
    with TemporaryDirectory() as scratch:
        store = EmbeddingStore(given.store or Path(scratch))
        try:
            policies = [load_policy(find_policy(name)) for name in given.policy]
            asked = Asked(policies, given.model, presets, given.categories)
            found = measure(_given_dataset(given), asked, store, given.by)
        except ModerationError as error:
            print(f"error: {error}", file=sys.stderr)
            return 3
    _print(found)
    if not presets:
        print("openmoderate is not compared: it is not installed, or no preset is named.")
    everything = {"evaluation": found.evaluation.model_dump(mode="json"), "gaps": found.gaps}
    program.write_json(given.json, everything | {"notes": found.notes})
    return 0


def _print(found: FoundAccuracy) -> None:
    console = program.new_console(200)
    console.print(accuracy_table(found.evaluation))
    if found.evaluation.paired:
        console.print(pairs_table(found.evaluation.paired))
    if found.gaps:
        console.print(gaps_table(found.gaps))
    for text in found.notes:
        console.print(text, markup=False)


if __name__ == "__main__":
    program.run(main)

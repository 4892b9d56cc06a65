"""A row that stands for several images counts as they would, in every table of an audit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import cochrans_q

from audit.audits.audited import Named
from audit.audits.compare import compare_audit
from audit.audits.predicted_subject import PredictedSubject, open_predictions
from audit.audits.run import run_audit
from audit.datasets.chosen_groups import chosen_groups
from audit.predicted.columns import PredictionOptions
from audit.predicted.systems import System
from audit.results.results import Results
from audit.statistics.significance import cochran_p

BY = [("race",), ("gender",), ("race", "gender")]
Audit = Callable[[PredictedSubject, Named[System]], Results]


def write_predictions(file: Path, n: int) -> None:
    """Writes what three systems said of n images of two features; few rows differ."""
    rng = np.random.default_rng(5)
    race, gender = rng.choice(["a", "b", "c"], n), rng.choice(["f", "m"], n)
    table = pd.DataFrame({"race": race, "gender": gender})
    for name, often in (("one", 0.2), ("two", 0.3), ("three", 0.25)):
        likely = often + 0.2 * (race == "a") + 0.1 * (gender == "f")
        other = np.where(gender == "f", "m", "f")
        table[f"label_{name}"] = np.where(rng.random(n) < likely, other, gender)
    table.to_csv(file, index=False)


def in_single_images(subject: PredictedSubject) -> PredictedSubject:
    """Returns the same images, each as a row of its own."""
    rows = np.repeat(np.arange(len(subject.cells)), subject.cells.weights)
    cells = replace(subject.cells.take(rows), weights=np.ones(len(rows), np.int64))
    table = subject.dataset.table.iloc[rows].reset_index(drop=True)
    table["image_id"] = [str(row) for row in range(len(rows))]
    dataset = replace(subject.dataset, table=table, weights=None)
    groups, _ = chosen_groups(dataset, BY)
    return replace(subject, cells=cells, annotated=dataset, groups=groups)


def unlike(one: Any, two: Any, place: str = "") -> Iterator[str]:
    """Yields where two values that hold others are not alike, but for rounding."""
    if isinstance(one, dict | list | tuple) and len(one) == len(two):
        keys = one if isinstance(one, dict) else range(len(one))
        for key in keys:
            yield from unlike(one[key], two[key], f"{place}/{key}")
    elif isinstance(one, float) and isinstance(two, float):
        both_nan = math.isnan(one) and math.isnan(two)
        if not both_nan and not math.isclose(one, two, rel_tol=1e-9, abs_tol=1e-12):
            yield f"{place}: {one}, {two}"
    elif one != two:
        yield f"{place}: {one}, {two}"


def tables(results: Results) -> dict[str, Any]:
    """Returns the tables of results, each in an order of its own."""
    found = results.model_dump(exclude={"header"})
    return {
        name: sorted(map(str, rows)) if name == "flows" else rows for name, rows in found.items()
    }


@pytest.mark.parametrize("audit", [compare_audit, run_audit])
@pytest.mark.parametrize("flags", [(), ("f=block",)])
def test_cells_count_as_the_images_that_they_stand_for(
    audit: Audit, flags: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "said.csv"
    write_predictions(file, 900)
    asked = PredictionOptions(said=["*=label_*"], truth_columns=["gender"], flags=flags)
    subject, named = open_predictions([file], asked, BY)
    assert len(subject.dataset) < subject.dataset.n == 900
    whole, single = audit(subject, named), audit(in_single_images(subject), named)
    assert list(unlike(tables(whole), tables(single))) == []


def test_cochrans_q_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(6)
    marks, weights = rng.random((40, 3)) < [0.3, 0.5, 0.6], rng.integers(1, 9, 40)
    each = np.repeat(marks, weights, axis=0)
    expected = float(cochrans_q(each.astype(int)).pvalue)
    assert cochran_p(marks, weights) == pytest.approx(expected)
    assert cochran_p(each) == pytest.approx(expected)

"""Columns, classes and words that are almost one another are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from audit.audits.predicted_subject import PredictedSubject, open_predictions
from audit.errors import AuditError
from audit.metrics.truth import Truth
from audit.predicted.columns import PredictionOptions
from audit.predicted.systems import SystemPredictions
from tests.support.prediction_files import predicted, write_columns, write_table


def truth_of_first(path: Path, options: PredictionOptions) -> Truth:
    """Returns what the first system of a file should say."""
    _, said = predicted(path, options, "g")
    assert said.truth
    return said.truth


def wrong_images(subject: PredictedSubject, said: SystemPredictions) -> int:
    """Returns how many images have another label than is right."""
    assert said.truth
    return int(subject.cells.weights[~said.truth.correct(said.y_pred)].sum())


@pytest.mark.parametrize(
    ("first", "other"),
    [("1", "-1"), ("<18", ">18"), ("<0.5", ">0.5"), ("लड़का", "लड़की"), ("C", "C++"), ("a b", "a_b")],
)
def test_labels_that_share_their_letters_are_several_classes(
    first: str, other: str, tmp_path: Path
) -> None:
    path = write_columns(
        tmp_path / "p.csv",
        g=["a", "b"] * 4,
        y=[first] * 4 + [other] * 4,
        p=[first, first, first, other, other, other, other, first],
    )
    subject, said = predicted(path, PredictionOptions(said=["p"], truth_columns=["y"]), "g")
    assert wrong_images(subject, said) == 2


def test_a_label_is_the_class_that_differs_from_it_in_case_and_separators(tmp_path: Path) -> None:
    path = write_columns(
        tmp_path / "p.csv", g=["a", "b"] * 2, y=["Big_Dog", "Cat"] * 2, p=["big dog", "cat"] * 2
    )
    subject, said = predicted(path, PredictionOptions(said=["p"], truth_columns=["y"]), "g")
    assert wrong_images(subject, said) == 0


@pytest.mark.parametrize("false", ["-1", "-1.0", "0", "0.0", "false", "F", "n"])
def test_words_for_false_are_not_true(false: str, tmp_path: Path) -> None:
    true = {"F": "T", "n": "y", "false": "true"}.get(false, "1.0" if "." in false else "1")
    path = write_columns(
        tmp_path / "p.csv",
        g=["a", "b"] * 3,
        s=[0.1, 0.9, 0.9, 0.2, 0.3, 0.4],
        y=[false, true, *[false] * 4],
    )
    subject, said = predicted(path, PredictionOptions(scores=["s@0.5"], truth_columns=["y"]), "g")
    assert said.truth
    of = [
        subject.cells.weights[marks].sum() for marks in (said.truth.positive, said.truth.negative)
    ]
    assert of == [1, 5]
    assert said.truth.unmatched == {}


def test_minus_one_is_no_decision_however_it_is_written(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "p.csv", g=["a", "b"], d=["-1.0", "1.0"])
    with pytest.raises(AuditError, match=r"d says '-1\.0', which is not a known decision"):
        predicted(path, PredictionOptions(decisions=["d"]), "g")


def test_minus_one_beside_zero_is_unknown(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "p.csv", g=["a", "b"] * 3, s=[0.1] * 6, y=[-1, 0, 1] * 2)
    truth = truth_of_first(path, PredictionOptions(scores=["s@0.5"], truth_columns=["y"]))
    assert (int(truth.positive.sum()), int(truth.negative.sum())) == (2, 2)
    assert truth.unmatched == {"-1": 2}


@pytest.mark.parametrize("classes", [["F", "M"], ["0", "1", "2"], ["n", "s", "e"]])
def test_letters_and_numbers_beside_others_are_no_words(
    classes: Sequence[str], tmp_path: Path
) -> None:
    rows = len(classes)
    path = write_columns(
        tmp_path / "p.csv", g=["a", "b"] * rows, s=[0.1] * 2 * rows, y=[*classes] * 2
    )
    with pytest.raises(AuditError, match="no class of y_true"):
        predicted(path, PredictionOptions(scores=["woman=s@0.5"], truth_columns=["y"]), "g")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_may_differ_in_case_alone(suffix: str, tmp_path: Path) -> None:
    path = write_table(
        tmp_path / f"p{suffix}",
        {
            "g": ["a", "b"] * 4,
            "G": ["x"] * 6 + ["y"] * 2,
            "d": [1, 0] * 4,
            "D": [0] * 6 + [1, 1],
        },
    )
    options = PredictionOptions(decisions=["d", "D"])
    subject, named = open_predictions([path], options, [("g",), ("G",)])
    counts = [
        [group.count(said.flagged).tolist() for group in subject.groups[1:]]
        for said in subject.predict(named.policies)
    ]
    assert counts == [[[4, 0], [3, 1]], [[1, 1], [0, 2]]]


def test_the_name_of_a_folder_is_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "g=z"
    folder.mkdir()
    table: dict[str, Sequence[object]] = {"g": ["a", "b"] * 2, "d": [1, 0] * 2}
    for path in (write_table(folder / "p.parquet", table), write_table(folder / "p.csv", table)):
        subject, _ = predicted(path, PredictionOptions(decisions=["d"]), "g")
        assert subject.groups[1].names == ("a", "b")


def test_a_path_that_duckdb_cannot_be_told_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "back\\s*.csv"
    path.write_text("g,d\na,1\nb,0\n")
    with pytest.raises(AuditError, match="a backslash beside one of"):
        predicted(path, PredictionOptions(decisions=["d"]), "g")


def test_semicolons_between_cells_are_said(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    pd.DataFrame({"g": ["a", "b"], "d": np.arange(2)}).to_csv(path, sep=";", index=False)
    with pytest.raises(AuditError, match=r"one column alone, g;d\. Save it with commas"):
        predicted(path, PredictionOptions(decisions=["d"]), "g")

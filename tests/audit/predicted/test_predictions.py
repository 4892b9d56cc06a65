"""Files of predictions -> what systems said of how many images, by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from audit.audits.compare import compare_audit
from audit.audits.predicted_subject import open_predictions
from audit.errors import DatasetError
from audit.metrics.confusion import confusion_table
from audit.predicted.columns import PredictionOptions
from audit.predicted.systems import SystemPredictions
from audit.predicted.words import DECISIONS
from tests.support.prediction_files import predicted, write_columns, write_table


def flags(subject_of: Path, options: PredictionOptions) -> dict[str, int]:
    """Returns how many images of each group of g are flagged."""
    subject, said = predicted(subject_of, options, "g")
    groups = subject.groups[1]
    return dict(zip(groups.names, groups.count(said.flagged).tolist(), strict=True))


def shares(said: SystemPredictions, weights: np.ndarray) -> dict[str, int]:
    """Returns how many images each label is said of."""
    labels = [*said.label_ids, "nothing"]
    return {
        name: int(weights[said.y_pred % len(labels) == place].sum())
        for place, name in enumerate(labels)
    }


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("written", "flagged"),
    [
        (["allow", "review", "block", "allow"], 2),
        (["Allow ", "REVIEW", "Blocked", "pass"], 2),
        ([True, False, False, False], 1),
        ([1, 0, 0, 1], 2),
        ([1.0, 0.0, 0.0, 1.0], 2),
        (["yes", "no", "flagged", "not_flagged"], 2),
    ],
)
def test_decisions_are_words_of_many_kinds(
    suffix: str, written: Sequence[object], flagged: int, tmp_path: Path
) -> None:
    path = write_columns(tmp_path / f"p{suffix}", g=["a", "a", "b", "b"], d=written)
    _, said = predicted(path, PredictionOptions(decisions=["d"]), "g")
    assert int(said.flagged.sum()) == flagged
    assert said.can_flag
    assert said.label_ids == ()


def test_the_words_of_decisions_are_different_words() -> None:
    words = [word for each in DECISIONS.values() for word in each]
    assert len(set(words)) == len(words)
    assert all(word == word.casefold() for word in words)


def test_what_is_decided(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "p.csv", g=["a"] * 4, d=["allow", "review", "block", "block"])
    subject, said = predicted(path, PredictionOptions(decisions=["d"]), "g")
    counts = {
        int(action): int(subject.cells.weights[said.actions == action].sum())
        for action in np.unique(said.actions)
    }
    assert counts == {0: 1, 2: 1, 3: 2}


def test_rows_that_are_alike_are_one_cell(tmp_path: Path) -> None:
    path = write_columns(
        tmp_path / "p.csv",
        g=["a", " a", "a", "b"] * 25,
        d=["allow", "pass", "block", "0"] * 25,
        time=range(100),
    )
    subject, _ = predicted(path, PredictionOptions(decisions=["d"]), "g")
    assert subject.cells.weights.tolist() == [50, 25, 25]
    assert (subject.dataset.n, len(subject.dataset)) == (100, 3)
    assert subject.dataset.table["g"].tolist() == ["a", "a", "b"]
    assert flags(path, PredictionOptions(decisions=["d"])) == {"a": 25, "b": 0}
    [note] = [note for note in subject.dataset.notes if "spelt" in note]
    assert note == "g a was spelt in 2 ways, counted as one: ' a' (25), 'a' (50)."


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    rows = pd.DataFrame({"g": list("aabbc") * 8, "d": ["allow", "block"] * 20, "y": [0, 1] * 20})
    rows.to_csv(tmp_path / "p.csv", index=False)
    rows.sample(frac=1, random_state=3).to_csv(tmp_path / "q.csv", index=False)
    options = PredictionOptions(decisions=["d"], truth_columns=["y"])
    one, two = (predicted(tmp_path / name, options, "g")[0] for name in ("p.csv", "q.csv"))
    assert one.dataset.table.equals(two.dataset.table)
    assert one.cells.weights.tolist() == two.cells.weights.tolist()
    assert one.dataset_record().sha256 == two.dataset_record().sha256
    assert one.images_sha256 != two.images_sha256


def test_groups_and_classes_alone_make_the_hash_of_annotations(tmp_path: Path) -> None:
    path = write_columns(
        tmp_path / "p.csv", g=list("abab"), d=[0, 1, 1, 1], other=[1, 1, 0, 0], y=[0, 0, 1, 1]
    )
    one, two, three = (
        predicted(path, PredictionOptions(decisions=[name], truth_columns=truth), "g")[0]
        for name, truth in (("d", ["y"]), ("other", ["y"]), ("d", []))
    )
    assert one.dataset_record().sha256 == two.dataset_record().sha256
    assert one.dataset_record().sha256 != three.dataset_record().sha256


def test_labels_have_any_names_and_flag_where_that_is_said(tmp_path: Path) -> None:
    labels = ["Suspicious Person", "thief", "Woman/Child", "a=b"]
    path = write_columns(tmp_path / "p.csv", g=list("abab"), said=labels)
    options = PredictionOptions(
        said=["said"], flags=["crime/thief", "Suspicious Person=review", "a=b"]
    )
    subject, said = predicted(path, options, "g")
    assert said.label_ids == ("Suspicious Person", "Woman/Child", "a=b", "thief")
    assert [label.action for label in said.labels] == ["review", None, "block", "block"]
    assert [label.reported_category for label in said.labels][3] == "crime"
    assert int(said.flagged.sum()) == 3
    assert set(said.categories) == {"Suspicious Person", "a=b", "crime"}
    assert int(said.categories["crime"].sum()) == 1
    assert len(subject.cells) == 4


def test_one_star_names_labels(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "p.csv", g=list("abab"), said=["old man", "man", "woman", "x"])
    _, said = predicted(path, PredictionOptions(said=["said"], flags=["*man=review"]), "g")
    assert [label.id for label in said.labels if label.acts] == ["old man", "woman"]
    _, said = predicted(path, PredictionOptions(said=["said"], flags=["*"]), "g")
    assert all(label.acts for label in said.labels)


def test_scores_flag_from_their_threshold_on(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "p.csv", g=list("aabb"), s=[0.1, 0.5, 0.79, 0.8])
    _, said = predicted(path, PredictionOptions(scores=["violence=s@0.8,0.5"]), "g")
    assert said.label_ids == ("violence", "none")
    label = said.labels[0]
    assert (label.action, label.threshold, label.review_threshold) == ("block", 0.8, 0.5)
    assert flags(path, PredictionOptions(scores=["s@0.8,0.5"])) == {"a": 1, "b": 2}
    subject, said = predicted(path, PredictionOptions(scores=["s@0.8,0.5"]), "g")
    of = {
        outcome: int(subject.cells.weights[said.actions == outcome].sum()) for outcome in (0, 2, 3)
    }
    assert of == {0: 1, 2: 2, 3: 1}
    _, said = predicted(path, PredictionOptions(scores=["s@0.8"], flags=["s=review"]), "g")
    assert sorted(set(said.actions.tolist())) == [0, 2]


def test_a_score_of_float32_meets_its_threshold(tmp_path: Path) -> None:
    # As float64, float32's 0.35 is 0.3499999940395355.
    table = pd.DataFrame({"g": ["a", "b"], "s": np.array([0.35, 0.34], np.float32)})
    table.to_parquet(tmp_path / "p.parquet")
    assert flags(tmp_path / "p.parquet", PredictionOptions(scores=["s@0.35"])) == {"a": 1, "b": 0}


def test_percentages_and_other_scales(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "p.csv", g=list("ab"), s=[12.5, 99.0], logit=[-2.5, 0.4])
    assert flags(path, PredictionOptions(scores=["s@50"])) == {"a": 0, "b": 1}
    assert flags(path, PredictionOptions(scores=["logit@0.4"], any_scale=True)) == {"a": 0, "b": 1}
    assert flags(path, PredictionOptions(scores=["logit@-1.5"])) == {"a": 0, "b": 1}


def test_a_threshold_that_no_score_reaches_is_noted(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "p.csv", g=list("ab"), s=[0.125, 0.75])
    subject, _ = predicted(path, PredictionOptions(scores=["hate=s@50"]), "g")
    assert subject.dataset.notes[0] == (
        "No score s reaches 50, from which hate is said: the highest is 0.75."
    )


def test_of_several_scores_the_highest_that_is_said_counts(tmp_path: Path) -> None:
    path = write_columns(
        tmp_path / "p.csv",
        g=list("aabb"),
        hate=[0.9, 0.55, 0.4, 0.7],
        violence=[0.2, 0.6, 0.69, 0.7],
    )
    options = PredictionOptions(scores=["vendor/hate=hate@0.5", "vendor/violence=violence@0.7"])
    subject, said = predicted(path, options, "g")
    assert said.label_ids == ("hate", "violence", "none")
    # 0.69 of violence is higher than 0.4, and neither is reached; of two equal ones the first.
    assert shares(said, subject.cells.weights) == {
        "hate": 3,
        "violence": 0,
        "none": 1,
        "nothing": 0,
    }
    assert int(said.fired[:, 1].sum()) == 1
    assert flags(path, options) == {"a": 2, "b": 1}


def test_one_star_takes_all_columns_that_fit(tmp_path: Path) -> None:
    path = write_table(
        tmp_path / "p.csv",
        {
            "g": list("abab"),
            "Smiling": [1, -1, -1, 1],
            "Smiling_score": [0.9, 0.8, 0.1, 0.2],
            "Bald": [-1, -1, 1, 1],
            "Bald_score": [0.4, 0.6, 0.6, 0.7],
        },
    )
    options = PredictionOptions(scores=["*_score@0.5"], truth_columns=["*=*"], flags=["none"])
    subject, named = open_predictions([path], options, [("g",)])
    assert list(named.policies) == ["Smiling", "Bald"]
    wrong = [
        subject.groups[1].count(~said.truth.correct(said.y_pred)).tolist()
        for said in subject.predict(named.policies)
        if said.truth
    ]
    assert wrong == [[0, 2], [0, 1]]


def test_a_class_is_what_a_label_implies(tmp_path: Path) -> None:
    path = write_columns(
        tmp_path / "p.csv",
        g=list("aabbb"),
        said=["old man", "young woman", "man", "Woman", "thief"],
        y=["Male", "Male", "Male", "Female", "Female"],
    )
    options = PredictionOptions(
        said=["said"],
        truth_columns=["y"],
        implies=["old man=Male", "man=Male", "*woman=Female", "Woman=Female"],
    )
    subject, said = predicted(path, options, "g")
    assert said.truth
    assert not said.can_flag
    wrong = subject.groups[1].count(~said.truth.correct(said.y_pred))
    assert wrong.tolist() == [1, 1]
    assert subject.dataset.notes[-1] == (
        "Labels of said that imply no class of y_true, and are wrong wherever y_true is known: "
        "thief."
    )


def test_for_which_label_the_images_of_each_class_were_taken(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "g": list("aabbb") * 4,
            "said": ["man", "woman", "man", "boy", "woman"] * 4,
            "y": ["Male", "Male", "Female", "Male", None] * 4,
        }
    )
    rows.to_csv(tmp_path / "p.csv", index=False)
    options = PredictionOptions(
        said=["said"], truth_columns=["y"], implies=["man=Male", "boy=Male", "woman=Female"]
    )
    subject, said = predicted(tmp_path / "p.csv", options, "g")
    found = confusion_table(said, subject.groups)
    counted = rows.groupby(["g", "y", "said"]).size()
    by_group = found[found["by"] == "g"].set_index(["group", "y_true", "label"])
    assert by_group["count"].to_dict() == counted.to_dict()
    assert found.loc[found["by"] == "overall", "count"].sum() == 16
    right = {label for label, right in zip(found["label"], found["right"], strict=True) if right}
    assert right == {"man", "boy"}


def test_new_labels_have_no_price_where_nothing_is_flagged(tmp_path: Path) -> None:
    path = write_columns(
        tmp_path / "p.csv",
        g=list("ab") * 20,
        old=["man", "woman"] * 20,
        new=["man", "girl"] * 20,
        y=["man", "woman"] * 20,
    )
    options = PredictionOptions(said=["old", "new"], truth_columns=["y"], implies=["girl=woman"])
    found = compare_audit(*open_predictions([path], options, [("g",)]))
    assert (found.header.harm, found.prices) == ("misclassification_rate", ())
    flags = replace(options, flags=["man"])
    flagged = compare_audit(*open_predictions([path], flags, [("g",)]))
    assert flagged.header.harm == "selection_rate"
    assert {(row.label, row.captured) for row in flagged.prices if row.by == "overall"} == {
        ("girl", 20)
    }


def test_a_class_meets_a_label_whatever_its_case(tmp_path: Path) -> None:
    path = write_columns(
        tmp_path / "p.csv",
        g=list("aabb"),
        said=["Black Woman", "white_man", "女", "男"],
        y=["black woman", "White-Man", "女", "女"],
    )
    subject, said = predicted(path, PredictionOptions(said=["said"], truth_columns=["y"]), "g")
    assert said.truth
    assert subject.groups[1].count(said.truth.correct(said.y_pred)).tolist() == [2, 1]


def test_what_should_be_flagged(tmp_path: Path) -> None:
    path = write_columns(
        tmp_path / "p.csv",
        g=list("aabbb"),
        d=["block", "allow", "block", "allow", "allow"],
        y=["weapon", "weapon", "cup", "", "spoon"],
    )
    options = PredictionOptions(
        decisions=["d"], truth_columns=["y"], truth={"weapon": "flag", "cup": "allow"}
    )
    subject, said = predicted(path, options, "g")
    assert said.truth
    count = subject.groups[0].count
    assert [int(count(each)[0]) for each in (said.truth.positive, said.truth.negative)] == [2, 1]
    assert int(count(said.truth.positive & said.flagged)[0]) == 1
    assert dict(said.truth.unmatched) == {"spoon": 1}


def test_nothing_should_be_flagged_of_benign_images(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "p.csv", g=list("ab"), d=["block", "allow"])
    subject, said = predicted(path, PredictionOptions(decisions=["d"], benign=True), "g")
    assert said.truth
    assert said.truth.negative.all()
    assert subject.dataset_record().benign


def test_rows_may_be_counted_already(tmp_path: Path) -> None:
    path = write_columns(
        tmp_path / "p.csv", g=list("aabb"), d=["block", "allow", "allow", "block"], n=[3, 40, 50, 0]
    )
    options = PredictionOptions(decisions=["d"], count="n")
    subject, _ = predicted(path, options, "g")
    assert flags(path, options) == {"a": 3, "b": 0}
    assert subject.dataset.n == 93
    assert "Rows that stand for no image, as their count is 0: 1." in subject.dataset.notes


def test_groups_that_nobody_named(tmp_path: Path) -> None:
    n = 600
    path = write_columns(
        tmp_path / "p.parquet",
        id=[f"r{i}" for i in range(n)],
        time=pd.date_range("2026-10-01", periods=n, freq="min").tolist(),
        gender=["Female", "Male"] * (n // 2),
        age=[20, 30, 40] * (n // 3),
        region=[f"r{i % 60}" for i in range(n)],
        score=[0.25, 0.5] * (n // 2),
        d=[True, False, False] * (n // 3),
    )
    subject, _ = predicted(path, PredictionOptions(decisions=["d"]))
    assert subject.dataset.sensitive_features == ("gender", "age")
    assert [part.by for part in subject.groups] == ["overall", "gender", "age", "gender × age"]
    assert subject.groups[2].names == ("20", "30", "40")
    assert subject.dataset.notes == (
        "The groups of gender, age were looked at, and those of id, time, region, score not; "
        "--by names others.",
    )


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_groups_that_nobody_named_may_be_unknown(suffix: str, tmp_path: Path) -> None:
    path = write_columns(
        tmp_path / f"p{suffix}",
        g=["a", "b", None] * 20,
        one=["x", None, None] * 20,
        d=[0, 1, 0] * 20,
    )
    subject, _ = predicted(path, PredictionOptions(decisions=["d"], skip_bad=True))
    assert subject.dataset.sensitive_features == ("g",)
    assert subject.dataset.missing == {(None,): 20}


def test_a_group_may_have_another_name_than_its_column(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "p.csv", monk=["1", "2"] * 20, d=[0, 1] * 20)
    options = PredictionOptions(decisions=["d"], columns={"skin_tone": "monk", "y_true": "d"})
    subject, said = predicted(path, options)
    assert subject.dataset.sensitive_features == ("skin_tone",)
    assert said.truth
    assert int(said.truth.positive.sum()) == 1


def test_values_as_they_are_written(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "p.csv", g=["NA", "na", "unknown", "x"], d=[0, 1, 0, 1])
    options = PredictionOptions(decisions=["d"], as_written=frozenset({"g"}))
    subject, _ = predicted(path, options, "g")
    assert subject.groups[1].names == ("NA", "na", "unknown", "x")


def test_bad_rows_are_left_out_and_counted_by_group(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(
        "id,g,d,s\n1,a,allow,0.1\n2,a,,0.2\n3,b,block,x\n4,b,block,0.9\n5,,block,0.9\n"
        "6,b,block,0.9\n6,a,allow,0.9\n7,b\n8,b,block,0.95\n"
    )
    options = PredictionOptions(
        decisions=["d"], scores=["s@0.5"], columns={"id": "id"}, skip_bad=True
    )
    subject, _ = predicted(path, options, "g")
    assert subject.dataset.n == 3
    assert subject.dataset.missing == {("a",): 2, ("b",): 2, (None,): 2}
    part = subject.groups[1]
    assert (part.names, part.left_out, part.unplaced) == (("a", "b"), (2, 2), 2)
    left_out = "Images left out on request, since something is wrong with their rows: 6."
    assert left_out in subject.dataset.notes
    assert len(subject.dataset.left_out) == 5


def test_files_are_joined_by_id(tmp_path: Path) -> None:
    people = write_columns(
        tmp_path / "people.csv", file=["é.jpg", "2.jpg", "3.jpg"], g=["a", "b", "b"], y=[1, 0, 0]
    )
    one = write_columns(
        tmp_path / "one.parquet", image=["3.jpg", "e\u0301.jpg", " 2.jpg"], d=[True, True, False]
    )
    two = write_columns(
        tmp_path / "two.csv",
        image=["2.jpg", "3.jpg", "é.jpg"],
        d=["no", "no", "yes"],
        g=["b", "b", "a"],
    )
    options = PredictionOptions(
        decisions=["first=one:d", "second=3:d"],
        truth_columns=["y"],
        columns={"id": "file,image"},
    )
    subject, named = open_predictions([people, ("one", one), two], options, [("g",)])
    flagged = {
        said.name: subject.groups[1].count(said.flagged).tolist()
        for said in subject.predict(named.policies)
    }
    assert flagged == {"first": [1, 1], "second": [1, 0]}
    assert named.paths == {"first": str(one), "second": str(two)}


def test_rows_that_stand_for_several_images_are_left_out_as_so_many(tmp_path: Path) -> None:
    people = write_columns(
        tmp_path / "people.csv", id=[1, 2, 3, 4, 4], g=list("abbab"), n=[3, 4, 0, 5, 6]
    )
    said = write_columns(tmp_path / "said.csv", id=[2, 3, 4, 5], d=[1, 1, 0, 0])
    options = PredictionOptions(decisions=["d"], columns={"id": "id"}, count="n")
    with pytest.raises(DatasetError) as caught:
        open_predictions([people, said], options, [("g",)])
    assert "the count" not in str(caught.value)
    subject, _ = open_predictions([people, said], replace(options, skip_bad=True), [("g",)])
    assert subject.dataset.n == 4
    assert subject.dataset.missing == {("a",): 8, ("b",): 6, (None,): 1}
    assert subject.dataset.notes == (
        "Rows that stand for no image, as their count is 0: 1.",
        "Images left out on request, since something is wrong with their rows: 15.",
    )


def test_ids_that_meet_no_row_are_left_out_of_both(tmp_path: Path) -> None:
    people = write_columns(tmp_path / "people.csv", id=[1, 2, 3, 3], g=["a", "b", "b", "b"])
    said = write_columns(tmp_path / "said.csv", id=[2, 3, 4], d=[1, 1, 0])
    options = PredictionOptions(decisions=["d"], columns={"id": "id"}, skip_bad=True)
    subject, _ = open_predictions([people, said], options, [("g",)])
    assert subject.dataset.n == 1
    assert subject.dataset.missing == {("a",): 1, ("b",): 2, (None,): 1}


def test_a_path_may_hold_signs_that_are_patterns(tmp_path: Path) -> None:
    folder = tmp_path / "it's [1] * 'x'"
    folder.mkdir()
    for name in ("a?.csv", "a?.parquet"):
        path = write_table(folder / name, {'g "x"': ["a", "b"], "d": [1, 0]})
        subject, _ = predicted(path, PredictionOptions(decisions=["d"]), 'g "x"')
        assert subject.dataset.n == 2


def test_names_of_columns_may_hold_signs_of_options(tmp_path: Path) -> None:
    columns: dict[str, Sequence[object]] = {
        "g": list("ab"),
        "a=b": [1, 0],
        "x:y": [0, 1],
        "s@t": [0.1, 0.9],
        "p*": [0.2, 0.3],
    }
    path = write_table(tmp_path / "p.csv", columns)
    options = PredictionOptions(decisions=["a=b", "n=x:y"], scores=["q=s@t@0.5", "p*@0.25"])
    _, named = open_predictions([path], options, [("g",)])
    assert list(named.policies) == ["a=b", "n", "q", "p*"]

"""Audits of what systems have said already: real predictions, counts, scores of attributes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from audit.audits.compare import compare_audit
from audit.audits.gate import gate_audit
from audit.audits.predicted_subject import open_predictions
from audit.audits.run import run_audit
from audit.gate.limits import Limits
from audit.metrics.rates import FLAG, MISCLASSIFIED
from audit.predicted.columns import PredictionOptions
from audit.report import write_report
from audit.results.results import Results
from tests.support.prediction_files import real_predictions, write_columns
from tests.support.reference_counts import reference

#: Three label sets in one file, each with the gender that its labels imply.
LABEL_SETS = PredictionOptions(
    said=["label_*"], implies=["*=@gender_*"], truth_columns=["gender"], columns={"id": "file"}
)


def rates_of(results: Results, metric: str, by: str = "overall") -> dict[tuple[str, str], float]:
    """Returns the rates of a metric by system and group."""
    return {
        (row.policy, row.group): row.rate or 0.0
        for row in results.rates
        if (row.metric, row.by) == (metric, by)
    }


@pytest.mark.parametrize(
    ("place", "accuracies"), [(0, (0.9561, 0.9517, 0.9544)), (1, (0.9641, 0.9632, 0.9665))]
)
def test_accuracies_of_real_predictions(place: int, accuracies: tuple[float, ...]) -> None:
    path = real_predictions()[place]
    results = run_audit(*open_predictions([path], LABEL_SETS, [("race",)]))
    wrong = rates_of(results, MISCLASSIFIED)
    assert tuple(round(1 - rate, 4) for rate in wrong.values()) == accuracies
    assert [policy.kind for policy in results.header.policies] == ["labels"] * 3
    assert results.header.harm == MISCLASSIFIED
    assert results.header.dataset.n == 10_954
    assert results.header.model is None


def test_every_rate_of_real_predictions_is_that_of_the_rows() -> None:
    path, _ = real_predictions()
    results = run_audit(*open_predictions([path], LABEL_SETS, [("race",), ("age", "race")]))
    rows = pd.read_csv(path)
    for name in ("two", "fourteen", "age_race_gender"):
        wrong = rows["gender"] != rows[f"gender_{name}"]
        for by, keys in (
            ("race", rows["race"]),
            ("age × race", rows["age"] + " × " + rows["race"]),
        ):
            counted = wrong.groupby(keys).agg(["sum", "count"])
            found = {
                row.group: (row.count, row.n)
                for row in results.rates
                if (row.policy, row.by, row.metric) == (name, by, MISCLASSIFIED)
            }
            assert found == {group: tuple(pair) for group, pair in counted.T.items()}


def test_two_trainings_of_one_network_are_compared() -> None:
    openai, laion = real_predictions()
    options = PredictionOptions(
        said=["openai=openai:label_two", "laion=laion:label_two"],
        implies=["man=Male", "woman=Female"],
        truth_columns=["gender"],
        columns={"id": "file"},
    )
    files = [("openai", openai), ("laion", laion)]
    subject, named = open_predictions(files, options, [("race",), ("age",)])
    results = compare_audit(subject, named)
    rows = pd.read_csv(openai).merge(pd.read_csv(laion), on="file", suffixes=("", "_laion"))
    before, after = (rows["gender"] != rows[name] for name in ("gender_two", "gender_two_laion"))
    [whole] = [row for row in results.shifts if row.by == "overall" and row.metric == MISCLASSIFIED]
    assert (whole.before_policy, whole.after_policy) == ("openai", "laion")
    assert (whole.entered, whole.left) == (
        int((after & ~before).sum()),
        int((before & ~after).sum()),
    )
    assert whole.n == 10_954


def test_crime_related_labels_of_real_counts(tmp_path: Path) -> None:
    counts = reference("openai_clip_vitl14_336_fairface_21labels.csv").rename(
        columns={"Unnamed: 0": "who"}
    )
    rows = counts.melt(id_vars="who", var_name="label", value_name="count")
    rows[["race", "gender"]] = rows.pop("who").str.rsplit("_", n=1, expand=True)
    rows.to_csv(tmp_path / "counts.csv", index=False)
    options = PredictionOptions(
        said=["clip=label"],
        count="count",
        flags=["crime-related/thief", "crime-related/criminal", "crime-related/suspicious person"],
    )
    subject, named = open_predictions([tmp_path / "counts.csv"], options, [("race",)])
    results = run_audit(subject, named)
    flags = {
        row.group: (row.count, row.n)
        for row in results.rates
        if (row.by, row.metric) == ("race", "category:crime-related")
    }
    assert flags["White"] == (767, 2_085)
    assert flags["Black"] == (92, 1_556)
    assert subject.dataset.n == 10_954
    assert results.headline.claimed


def forty_attributes(path: Path) -> list[str]:
    """Writes scores of 39 attributes on 1,000 faces, each with its own truth, as in CelebA."""
    draw, n = np.random.default_rng(5), 1000
    male = draw.random(n) < 0.42
    columns = {"image_id": [f"{i:06}.jpg" for i in range(n)], "Male": np.where(male, 1, -1)}
    names = [f"Attribute_{i}" for i in range(38)] + ["Smiling"]
    for name in names:
        true = draw.random(n) < 0.4
        missed = true & male & (draw.random(n) < (0.5 if name == "Smiling" else 0.05))
        columns[name] = np.where(true, 1, -1)
        columns[f"{name}_score"] = np.where(true & ~missed, 0.9, 0.1) + draw.random(n) / 20
    pd.DataFrame(columns).to_csv(path, index=False)
    return names


def test_scores_of_39_attributes(tmp_path: Path) -> None:
    names = forty_attributes(tmp_path / "celeba.csv")
    options = PredictionOptions(
        scores=["*_score@0.5"], truth_columns=["*=*"], flags=["none"], columns={"id": "image_id"}
    )
    results = run_audit(*open_predictions([tmp_path / "celeba.csv"], options, [("Male",)]))
    rows = pd.read_csv(tmp_path / "celeba.csv")
    for name in names:
        wrong = (rows[f"{name}_score"] >= 0.5) != (rows[name] == 1)
        [whole] = [
            row
            for row in results.rates
            if (row.policy, row.by, row.metric) == (name, "overall", MISCLASSIFIED)
        ]
        assert (whole.count, whole.n) == (int(wrong.sum()), 1000)
    assert results.headline.policies == ("Smiling",)
    assert (results.headline.by, results.headline.group) == ("Male", "1")
    sentences = [results.headline.finding, *results.summary, *results.not_known]
    assert len(sentences) < 10
    assert any("Of 39 systems, the fewest images are misclassified" in text for text in sentences)
    written = write_report(results, tmp_path / "report")
    page = (tmp_path / "report" / "report.md").read_text()
    assert "# Audit of 39 systems on predictions:celeba" in page
    assert len(written) > 5


def test_decisions_are_gated(tmp_path: Path) -> None:
    n = 4_000
    path = write_columns(
        tmp_path / "p.csv",
        g=["a", "b"] * (n // 2),
        old=[int(i % 50 == 0) for i in range(n)],
        new=[int(i % 50 == 0 or i % 10 == 1) for i in range(n)],
    )
    subject, named = open_predictions([path], PredictionOptions(decisions=["new", "old"]), [("g",)])
    limits = Limits(schema_version=1, sensitive_features=("g",), gap=0.05, regression=0.02)
    report = gate_audit(subject, named, limits)
    answers = {(each.limit, each.by): each.status for each in report.checks}
    assert answers[("gap", "g")] == "fail"
    assert report.exit_code == 1
    assert "policy" not in report.to_markdown()


def test_a_report_on_decisions_speaks_of_no_policy_and_no_image(tmp_path: Path) -> None:
    path = write_columns(
        tmp_path / "log.parquet",
        gender=["Female", "Male"] * 1000,
        action=[("block", "allow", "review", "allow")[i % 4] for i in range(2000)],
    )
    results = run_audit(*open_predictions([path], PredictionOptions(decisions=["action"])))
    assert rates_of(results, FLAG)["action", "overall"] == 0.5
    write_report(results, tmp_path / "report")
    page = (tmp_path / "report" / "report.md").read_text()
    before_method, _, _ = page.partition("Method and definitions")
    for word in ("policy", "policies", "prompt", "template", "resembl", "audit ablate", "CLIP"):
        assert word not in before_method, word
    [practice] = results.headline.practice
    assert practice.startswith(
        "Of 10,000 images such as those of predictions:log, action blocks 2,500 ["
    )
    assert "sends 2,500" in practice
    assert any("areas under curves" in text for text in results.limits)

"""The throughput benchmark itself: its arithmetic, and one tiny run of all sides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.label_set import ACTING, PROMPTS, LabelSet
from benchmarks.photographs import PHOTOGRAPHS
from benchmarks.throughput import FULL, QUICK, Extent, measure, results, setup
from benchmarks.throughput_figures import Latency, compared, print_results
from benchmarks.throughput_sides import limit
from moderation.commands.doctor.plan import read_measured
from moderation.embedded_servers import EmbeddedRedis
from moderation.policy import load_policy
from moderation.settings import load_settings
from tests.support.toy_clip import save_toy_clip


def _answer(*scores: float) -> dict[str, float]:
    return dict.fromkeys(PROMPTS, 0.0) | dict(zip(ACTING, scores, strict=False))


def test_the_limit_is_that_of_cores_that_do_both_steps() -> None:
    assert limit(100.0, 100.0) == 50.0
    assert limit(40.0, 1e9) == pytest.approx(40.0)


def test_half_of_the_images_reach_a_calibrated_threshold() -> None:
    answers = [_answer(i / 10) for i in range(5)]
    labels = LabelSet().calibrated(answers)
    assert [labels.decide(answer)[ACTING[0]] for answer in answers] == [False] * 2 + [True] * 3


def test_decisions_are_compared_near_and_far_from_the_threshold() -> None:
    labels = LabelSet().calibrated([_answer(0.5)])
    found = compared(labels, [_answer(0.495), _answer(0.9)], [_answer(0.505), _answer(0.4)])
    assert (found["changed"], found["changed_far_from_threshold"]) == (2, 1)
    assert found["decisions"] == 2 * len(ACTING)
    assert found["largest_score_difference"] == pytest.approx(0.5)


def test_the_policy_holds_the_labels_and_thresholds_of_the_other_sides(tmp_path: Path) -> None:
    labels = LabelSet().calibrated([_answer(*[0.25] * len(ACTING))])
    policy = load_policy(labels.save(tmp_path / "policy.yaml"))
    assert [label.prompts for label in policy.labels] == [(prompt,) for prompt in PROMPTS]
    assert [label.threshold for label in policy.labels if label.acts] == [0.25] * len(ACTING)


def test_long_and_short_runs_measure_every_side() -> None:
    for extent in (FULL, QUICK):
        assert set(extent.latency_of) <= set(extent.images)
        assert all(count >= 8 for count in extent.images.values())
    assert FULL.runs >= 5


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="../shared/data is not here")
def test_a_tiny_run_measures_all_sides_and_they_decide_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("pipeline", "pipeline_tuned", "competent", "ours")
    extent = Extent(8, 1, dict.fromkeys(names, 8), 0.1, ("ours",))
    with EmbeddedRedis() as redis:
        settings = load_settings(broker_url=redis.url, runtime="torch")
        found, labels = measure(extent, settings, tmp_path, save_toy_clip)
    everything = {"setup": setup(found.model, extent), **results(found, labels)}
    assert set(everything["ratios"]) >= {"ours_to_pipeline", "ours_to_competent", "ours_to_limit"}
    assert all(ratio > 0 for ratio in everything["ratios"].values())
    assert everything["results"]["ours"]["idle_seconds"]["n"] >= 8
    assert everything["results"]["ours"]["memory_mb"] > 0
    for row in everything["decisions"].values():
        assert row["changed_far_from_threshold"] == 0
        assert row["largest_score_difference"] < 0.05
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(everything))
    assert read_measured(path).images_per_second > 0
    print_results(everything)
    assert "(c) ours" in capsys.readouterr().out


def test_percentiles_are_those_of_the_requests() -> None:
    latency = Latency.of([i / 100 for i in range(1, 102)])
    assert latency.n == 101
    assert latency.p50 == pytest.approx(0.51)
    assert latency.p99 == pytest.approx(1.0)

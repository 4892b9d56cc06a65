"""The throughput benchmark itself: its arithmetic, and one tiny run of all sides."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.core_times import CoreTimes
from benchmarks.hosts import Hosts
from benchmarks.label_set import ACTING, PROMPTS, LabelSet
from benchmarks.photographs import PHOTOGRAPHS
from benchmarks.thread_names import kind_of_thread
from benchmarks.throughput import FULL, QUICK, Extent, measure, results, setup
from benchmarks.throughput_figures import Latency, compared, print_results
from benchmarks.throughput_no_model import (
    NoModelExtent,
    SmallImages,
    measure_no_model,
    print_no_model,
    reached,
)
from benchmarks.throughput_runs import new_database
from benchmarks.throughput_sides import limit, started_echo
from moderation.commands.doctor.plan import read_measured
from moderation.embedded_servers import EmbeddedRedis
from moderation.policy import load_policy
from moderation.settings import load_settings
from tests.support.database_servers import find_programs
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
    everything = {"setup": setup(found.model, extent, settings), **results(found, labels)}
    assert set(everything["ratios"]) >= {"ours_to_pipeline", "ours_to_competent", "ours_to_limit"}
    assert all(ratio > 0 for ratio in everything["ratios"].values())
    assert everything["results"]["ours"]["idle_seconds"]["n"] >= 8
    assert everything["results"]["ours"]["memory_mb"] > 0
    _assert_steps_add_up(everything["results"]["ours"]["core_milliseconds"])
    for row in everything["decisions"].values():
        assert row["changed_far_from_threshold"] == 0
        assert row["largest_score_difference"] < 0.05
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(everything))
    assert read_measured(path).images_per_second > 0
    print_results(everything)
    printed = capsys.readouterr().out
    assert "(c) ours" in printed
    assert "encoder" in printed.partition("ms of a core")[2]


def _assert_steps_add_up(steps: dict[str, float]) -> None:
    """Each part of our worker has used its cores, and its threads no more than their process."""
    threads = [value for name, value in steps.items() if name.startswith("worker: ")]
    assert steps["worker: encoder"] > 0
    assert min(steps["worker"], steps["decoders"], steps["redis"], steps["hosts"]) > 0
    # The system counts a process in steps of 10 ms; here they are of 8 images or more.
    assert sum(threads) == pytest.approx(steps["worker"], abs=10)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_tiny_run_without_a_model_measures_ours_and_a_plain_task(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if database == "postgresql" and find_programs() is None:
        pytest.skip("PostgreSQL is not installed here")
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedRedis() as redis,
        new_database(database, Path(folder)) as url,
    ):
        settings = load_settings(broker_url=redis.url, database_url=url, runtime="torch")
        found = measure_no_model(NoModelExtent(1, 16, 0.1), settings, Path(folder))
    ours, echo = found["no_model"]["ours"], found["no_model"]["echo"]
    assert min(ours["images_per_second"], echo["images_per_second"]) > 0
    assert min(ours["idle_seconds"]["n"], echo["idle_seconds"]["n"]) >= 8
    _assert_steps_add_up(ours["core_milliseconds"])
    assert (ours["core_milliseconds"]["database"] > 0) == (database == "postgresql")
    assert echo["core_milliseconds"]["worker"] > 0
    assert reached(found).keys() == found["goals"].keys()
    print_no_model(found)
    assert "plain Celery echo task" in capsys.readouterr().out


def test_small_images_all_differ(tmp_path: Path) -> None:
    images = SmallImages(tmp_path / "small")
    with images.some(20) as first, images.some(20) as second:
        assert len({path.read_bytes() for path in [*first, *second]}) == 40
        with Image.open(first[0]) as image:
            assert (image.size, image.format) == ((64, 64), "JPEG")
    assert list((tmp_path / "small").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("MainThread", "MainThread"),
        ("encoder", "encoder"),
        ("fetch-12", "fetch"),
        ("ThreadPoolExecutor-1_7", "ThreadPoolExecu"),
        ("Thread-3 (watch_queue)", "watch_queue"),
        ("7", "7"),
    ],
)
def test_threads_of_one_kind_have_one_name(name: str, shown: str) -> None:
    assert kind_of_thread(name) == shown


def test_what_a_part_used_is_what_it_used_since() -> None:
    before = CoreTimes(2.0, {"encoder": 1.5, "gone": 0.4}, 4.0, 2.0, 1.0, 0.5, 0.0)
    now = CoreTimes(3.0, {"encoder": 2.0, "new": 0.25}, 4.5, 2.25, 1.5, 0.75, 0.0)
    assert now.since(before).milliseconds_each(10) == {
        "worker": 100,
        "worker: encoder": 50,
        "worker: new": 25,
        "worker: (ended)": 25,
        "lines": 50,
        "encoder": 25,
        "decoders": 50,
        "redis": 25,
        "database": 0,
    }


def test_a_side_whose_worker_has_ended_is_not_waited_for() -> None:
    ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    with (
        EmbeddedRedis() as redis,
        Hosts.started("echo", redis.url, ended) as hosts,
        pytest.raises(RuntimeError, match="the worker of echo ended with 3"),
    ):
        hosts.at_once([Path("image.jpg")])


def test_hosts_answer_in_the_order_of_the_photographs_and_count_from_when_each_was_due(
    tmp_path: Path,
) -> None:
    paths = [Path(f"{number}.jpg") for number in range(30)]
    with (
        EmbeddedRedis() as redis,
        started_echo(load_settings(broker_url=redis.url)) as echo,
    ):
        at_once = echo.hosts.at_once(paths)
        due = [time.monotonic() + 0.3 + number / 100 for number in range(30)]
        timed = echo.hosts.when_due(paths, due)
    assert at_once.scores == timed.scores == [{str(path): 1.0} for path in paths]
    assert len(timed.latencies) == 30
    assert timed.seconds >= 0.29
    assert min(timed.latencies) > 0


def test_percentiles_are_those_of_the_requests() -> None:
    latency = Latency.of([i / 100 for i in range(1, 102)])
    assert latency.n == 101
    assert latency.p50 == pytest.approx(0.51)
    assert latency.p99 == pytest.approx(1.0)

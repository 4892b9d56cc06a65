"""The calculator: figures by hand, properties, and the command that prints them."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.commands.doctor.plan import (
    MEASURED_REDIS,
    MEASURED_WORKERS,
    SIMULATED_WORKERS,
    Load,
    RedisCost,
    WorkerKind,
    parse_rate,
    plan,
    read_measured,
)
from moderation.errors import RequestError
from moderation.queue.depth import BrokerState, QueueState
from moderation.worker.metrics_server import queue_metrics_text
from tests.conftest import ROOT
from tests.support.command_line import moderation, unframed
from tests.support.pages import read_sections, table

PAGE = ROOT / "docs" / "scaling.md"

KIND = WorkerKind("hand", "computed by hand", images_per_second=40.0, memory_mb=1100.0)
COST = RedisCost("by hand", 20.0, 0.0005, 1400.0, 6000.0)

loads = st.builds(
    Load,
    images_per_second=st.floats(1e-3, 1e6),
    peak_factor=st.floats(1, 50),
    utilisation=st.floats(0.01, 1),
    concurrency=st.integers(1, 1024),
    result_seconds=st.integers(1, 10**6),
)
kinds = st.builds(
    WorkerKind,
    name=st.just("-"),
    setup=st.just("-"),
    images_per_second=st.floats(1e-2, 1e5),
    memory_mb=st.floats(1, 1e5),
)


def test_a_plan_by_hand() -> None:
    """84 images/s at the peak and 28 a worker: three, of which 120 - 28 = 92/s work off 302,400."""
    made = plan(Load(28.0, peak_factor=3.0, utilisation=0.7), (KIND,), COST)
    [row] = made.workers
    assert made.load.peak == 84
    assert (row.workers, row.memory_mb, row.requests_in_hand) == (3, 3300, 192)
    assert row.drain_seconds == pytest.approx(302_400 / 92)
    assert made.redis.commands_per_second == pytest.approx(1680)
    assert made.redis.busy_cores == pytest.approx(0.042)
    assert made.redis.result_mb == pytest.approx(84 * 3600 * 6000 / 1e6)
    assert made.redis.backlog_mb == pytest.approx(84 * 3600 * 1400 / 1e6)


def test_a_little_more_than_three_workers_carry_needs_a_fourth() -> None:
    assert plan(Load(28.001), (KIND,), COST).workers[0].workers == 4
    assert plan(Load(0.001), (KIND,), COST).workers[0].workers == 1


def test_the_operators_settings_change_what_they_bear_on() -> None:
    made = plan(Load(28.0, concurrency=16, result_seconds=60), (KIND,), COST)
    assert made.workers[0].requests_in_hand == 48
    assert made.redis.result_mb == pytest.approx(84 * 60 * 6000 / 1e6)
    assert made.redis.backlog_mb == pytest.approx(84 * 3600 * 1400 / 1e6)


def test_a_backlog_that_no_spare_speed_works_off_is_never_worked_off() -> None:
    made = plan(Load(40.0, peak_factor=1.0, utilisation=1.0), (KIND,), COST)
    assert (made.workers[0].workers, made.workers[0].drain_seconds) == (1, None)


def test_each_kind_of_worker_has_its_own_row() -> None:
    twice = KIND._replace(name="twice", images_per_second=80.0)
    assert [row.workers for row in plan(Load(28.0), (KIND, twice), COST).workers] == [3, 2]


@given(loads, kinds)
def test_the_workers_carry_the_peak_and_one_fewer_would_not(load: Load, kind: WorkerKind) -> None:
    [row] = plan(load, (kind,), COST).workers
    carries = kind.images_per_second * load.utilisation
    assert row.workers * carries >= load.peak * (1 - 1e-9)
    assert row.workers == 1 or (row.workers - 1) * carries < load.peak


@given(loads, kinds, st.floats(1, 100))
def test_more_load_never_needs_fewer_workers_or_less_of_redis(
    load: Load, kind: WorkerKind, factor: float
) -> None:
    more = load._replace(images_per_second=load.images_per_second * factor)
    small, large = plan(load, (kind,), COST), plan(more, (kind,), COST)
    assert large.workers[0].workers >= small.workers[0].workers
    assert large.workers[0].memory_mb >= small.workers[0].memory_mb
    for ours, theirs in zip(small.redis[1:], large.redis[1:], strict=True):
        assert theirs >= ours


@given(loads, kinds)
def test_a_backlog_is_worked_off_in_the_time_given(load: Load, kind: WorkerKind) -> None:
    [row] = plan(load, (kind,), COST).workers
    spare = row.workers * kind.images_per_second - load.images_per_second
    if row.drain_seconds is None:
        assert spare <= 0
    else:
        assert math.isclose(row.drain_seconds * spare, load.peak * 3600, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10e6/day", 1e7 / 86_400),
        ("1.5M/day", 1.5e6 / 86_400),
        ("3000/min", 50),
        ("3k/min", 50),
        ("7200/hour", 2),
        ("250/s", 250),
        (" 250 / s ", 250),
        ("0.5/s", 0.5),
    ],
)
def test_rates_are_read_as_they_are_written(text: str, rate: float) -> None:
    assert parse_rate(text) == pytest.approx(rate)


NO_RATES = ["", "10", "10/", "/day", "10/year", "-1/s", "0/s", "nan/s", "inf/s", "1e400/s", "10/S"]
NO_RATES += ["10 m/s", "1,000/day", "1e6/day/s", "٣/s", "10Mk/s"]


@pytest.mark.parametrize("text", NO_RATES)
def test_what_is_not_a_rate_is_refused_with_examples(text: str) -> None:
    with pytest.raises(RequestError, match=r"is not a rate of images\. Write 10e6/day, 1\.5M/day"):
        parse_rate(text)


@given(st.floats(1e-3, 1e12), st.sampled_from(["s", "min", "hour", "day"]))
def test_every_plain_number_is_a_rate(number: float, unit: str) -> None:
    seconds = {"s": 1, "min": 60, "hour": 3600, "day": 86_400}[unit]
    assert parse_rate(f"{number:f}/{unit}") == pytest.approx(number / seconds, abs=1e-6)


def _benchmark(tmp_path: Path, **changes: Any) -> Path:
    """Returns a file as benchmarks/throughput.py writes it, with some of its parts replaced."""
    document = {
        "results": {"ours": {"images_per_second": 51.5, "memory_mb": 900.0, "more": 1}},
        "setup": {"cpu": "a processor", "cores": 4, "model": "a model"},
        **changes,
    }
    file = tmp_path / "throughput.json"
    file.write_text(json.dumps(document))
    return file


def test_a_measured_worker_is_read_from_the_benchmark(tmp_path: Path) -> None:
    kind = read_measured(_benchmark(tmp_path))
    assert (kind.images_per_second, kind.memory_mb) == (51.5, 900)
    assert kind.setup == "a model on 4 cores of a processor"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"results": {}}, "it has no 'ours'"),
        ({"results": {"ours": {"memory_mb": 1}}}, "it has no 'images_per_second'"),
        ({"setup": {}}, "it has no 'model'"),
        ({"setup": None}, "it has another shape"),
        ({"results": {"ours": {"images_per_second": "x", "memory_mb": 1}}}, "another shape"),
        ({"results": {"ours": {"images_per_second": 0, "memory_mb": 1}}}, "0 images/s in 1 MB"),
        ({"results": {"ours": {"images_per_second": math.nan, "memory_mb": 1}}}, "nan images/s"),
    ],
)
def test_a_file_without_the_figures_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="--json FILE") as caught:
        read_measured(_benchmark(tmp_path, **changes))
    assert message in caught.value.what


def test_a_file_that_is_missing_or_not_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="No such file"):
        read_measured(tmp_path / "none.json")
    (tmp_path / "text.json").write_bytes(b"\xff\x00")
    with pytest.raises(RequestError, match="another shape"):
        read_measured(tmp_path / "text.json")


def test_every_measured_figure_is_positive_and_has_its_set_up() -> None:
    workers = MEASURED_WORKERS + SIMULATED_WORKERS
    assert all(row.images_per_second > 0 and row.memory_mb > 0 for row in workers)
    assert all(figure > 0 for figure in MEASURED_REDIS[1:])
    assert all(row.setup for row in (*workers, MEASURED_REDIS))
    assert len({row.name for row in workers}) == len(workers)


def test_what_was_simulated_says_so_and_what_was_measured_was_not() -> None:
    assert all(row.name.endswith(" (simulated)") for row in SIMULATED_WORKERS)
    assert all(row.setup.startswith("not measured: simulated") for row in SIMULATED_WORKERS)
    assert not any("simulated" in row.name + row.setup for row in MEASURED_WORKERS)
    shown = run("--plan", "1/s")
    for row in SIMULATED_WORKERS:
        assert row.name in shown.stdout
        assert f"{row.name}: {row.setup}" in unframed(shown.stderr)


def test_each_line_process_of_a_worker_has_its_own_requests_in_hand() -> None:
    four = KIND._replace(line_processes=4)
    [row] = plan(Load(28.0, concurrency=16), (four,), COST).workers
    assert (row.workers, row.requests_in_hand) == (3, 3 * 4 * 16)


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Returns the finished `moderation doctor WORDS`; no Redis is there."""
    away = {"MODERATION_BROKER_URL": "redis://127.0.0.1:9/0", "COLUMNS": "140"}
    return moderation("doctor", *words, env=away | variables)


def test_the_command_prints_the_plan_that_the_function_makes() -> None:
    done = run("--plan", "28/s", "--images-per-second", "40", "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    [row] = found["workers"]
    assert (row["workers"], row["kind"]["name"]) == (3, "your own")
    assert found["load"]["peak_images_per_second"] == 84
    made = plan(Load(28.0))
    assert found["redis"]["result_mb"] == pytest.approx(made.redis.result_mb)
    table = run("--plan", "28/s", "--images-per-second", "40")
    [line] = [line for line in table.stdout.splitlines() if line.startswith("your own")]
    shown = f"{KIND.images_per_second:g}", "3", f"{row['memory_mb'] / 1000:.1f}", "GB", "192"
    assert tuple(line.split()[2:7]) == shown
    assert "3 times the average: --peak" in table.stdout
    assert MEASURED_REDIS.setup in table.stderr


def test_options_and_settings_reach_the_plan(tmp_path: Path) -> None:
    options = ("--peak", "1", "--utilisation", "0.5", "--measured", str(_benchmark(tmp_path)))
    env = {"MODERATION_CONCURRENCY": "10", "MODERATION_RESULT_EXPIRES_SECONDS": "60"}
    found = json.loads(run("--plan", "103/s", *options, "--format", "json", **env).stdout)
    [row] = found["workers"]
    assert (row["workers"], row["requests_in_hand"], row["kind"]["memory_mb"]) == (4, 40, 900)
    assert found["load"] == {
        "images_per_second": 103,
        "peak_factor": 1,
        "utilisation": 0.5,
        "concurrency": 10,
        "result_seconds": 60,
        "peak_images_per_second": 103,
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--plan", "lots"), "--plan: 'lots' is not a rate of images. Write 10e6/day"),
        (("--plan", "1/s", "--measured", "none.json"), "none.json: it cannot be read"),
        (("--plan", "1/s", "--measured", "x", "--images-per-second", "1"), "two figures for one"),
        (("--peak", "2"), "--peak needs --plan"),
        (("--images-per-second", "2"), "--images-per-second needs --plan"),
        (
            ("--plan", "1/s", "--images-per-second", "nan"),
            "Invalid value for '--images-per-second'",
        ),
        (("--plan", "1/s", "--peak", "0.5"), "Invalid value for '--peak'"),
        (("--plan", "1/s", "--utilisation", "1.1"), "Invalid value for '--utilisation'"),
    ],
)
def test_wrong_use_of_the_calculator_is_reported(words: tuple[str, ...], message: str) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert message in unframed(done.stderr)


def _first_table_with(column: str) -> list[dict[str, str]]:
    """Returns the table of docs/scaling.md that has the column."""
    [prose] = [part.prose for part in read_sections(PAGE) if f"| {column} |" in part.prose]
    return table(prose[prose.index(f"| {column} |") :])


def _row_by_hand(images_a_day: float) -> dict[str, str]:
    made = plan(Load(images_a_day / 86_400))
    [workers, *_] = made.workers
    return {
        "images a day": f"{images_a_day:,.0f}",
        "average, images/s": f"{made.load.images_per_second:,.1f}",
        "peak, images/s": f"{made.load.peak:,.1f}",
        "workers": f"{workers.workers:,}",
        "their memory, GB": f"{workers.memory_mb / 1000:,.1f}",
        "results in Redis, GB": f"{made.redis.result_mb / 1000:,.2f}",
        "Redis, share of its core": f"{made.redis.busy_cores:.1%}",
    }


def test_the_table_of_loads_is_what_the_calculator_says() -> None:
    shown = _first_table_with("images a day")
    assert shown == [_row_by_hand(float(row["images a day"].replace(",", ""))) for row in shown]
    assert len(shown) >= 5


def test_the_table_of_workers_is_that_of_the_calculator() -> None:
    assert _first_table_with("worker") == [
        {
            "worker": kind.name,
            "measured on": kind.setup,
            "images/s": f"{kind.images_per_second:g}",
            "memory, MB": f"{kind.memory_mb:,.0f}",
        }
        for kind in MEASURED_WORKERS
    ]
    assert _first_table_with("simulated worker") == [
        {
            "simulated worker": kind.name.removesuffix(" (simulated)"),
            "line processes": str(kind.line_processes),
            "images/s": f"{kind.images_per_second:g}",
            "memory, MB": f"{kind.memory_mb:,.0f}",
        }
        for kind in SIMULATED_WORKERS
    ]


def test_the_plan_on_the_page_is_what_the_command_prints() -> None:
    shown = [block for part in read_sections(PAGE) for block in part.blocks]
    [block] = [block.text for block in shown if block.text.startswith("load  ")]
    printed = run("--plan", "10e6/day").stdout
    assert [line.rstrip() for line in printed.splitlines()] == block.splitlines()


def test_the_figures_of_redis_on_the_page_are_those_of_the_calculator() -> None:
    rows = {row["one request"]: row[""] for row in _first_table_with("one request")}
    assert rows["commands"].startswith(f"{MEASURED_REDIS.commands:.1f}: ")
    assert rows["time of the server's core"].endswith(f" {MEASURED_REDIS.core_seconds * 1e3:g} ms")
    assert rows["memory while it waits"].startswith(f"{MEASURED_REDIS.waiting_bytes:,.0f} bytes")
    assert rows["memory of its result"].startswith(f"{MEASURED_REDIS.result_bytes:,.0f} bytes")


def test_the_page_names_every_metric_and_no_other() -> None:
    text = PAGE.read_text(encoding="utf-8")
    state = BrokerState((QueueState("bulk", 0, 0.0),), 0)
    given_names = set(re.findall(r"^(evenhand_\w+)", queue_metrics_text(state), re.MULTILINE))
    assert set(re.findall(r"\bevenhand_\w+", text)) == given_names


def test_the_choice_of_a_redis_on_the_page_runs_and_is_the_same_each_time() -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(textwrap.dedent(code), names)
    chosen = {tenant: names["client_of"](tenant) for tenant in map(str, range(20))}
    assert set(chosen.values()) == set(names["clients"])
    assert all(names["client_of"](tenant) is client for tenant, client in chosen.items())


def test_the_cost_of_redis_is_measured_by_the_program(tmp_path: Path) -> None:
    file = tmp_path / "cost.json"
    command = [sys.executable, "benchmarks/redis_cost.py", "--quick", "--json", str(file)]
    allowed = pytest.approx(MEASURED_REDIS.commands, abs=4)
    # It is chance how many are taken and settled together, and they are fewer, which takes more
    # commands, while other programs compute: so it may be measured again.
    for _ in range(3):
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        found = json.loads(file.read_text())["results"]
        if found["commands"] == allowed:
            break
    assert found["commands"] == allowed
    assert found["waiting_bytes"] == pytest.approx(MEASURED_REDIS.waiting_bytes, rel=0.25)
    assert found["result_bytes"] == pytest.approx(MEASURED_REDIS.result_bytes, rel=0.1)
    assert 0 < found["core_seconds"] < 0.01

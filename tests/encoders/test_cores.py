"""Usable cores, from control groups written into a folder as the kernel writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from moderation.encoders import cores
from tests.support.command_line import python

MANY = 16


@pytest.fixture(autouse=True)
def _a_host_with_many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(MANY)), raising=False)


def _write(root: Path, files: dict[str, str]) -> tuple[Path, Path]:
    """Returns where the control groups and the list of the process's own are written."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root / "cgroup", root / "own"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, MANY, id="no groups at all"),
        pytest.param({"own": "0::/", "cgroup/cpu.max": "200000 100000"}, 2, id="a container"),
        pytest.param({"own": "0::/", "cgroup/cpu.max": "max 100000"}, MANY, id="no quota"),
        pytest.param({"own": "0::/", "cgroup/cpu.max": "150000 100000"}, 2, id="a core and a half"),
        pytest.param({"own": "0::/", "cgroup/cpu.max": "10000 100000"}, 1, id="a tenth of a core"),
        pytest.param({"own": "0::/", "cgroup/cpu.max": "9900000 100000"}, MANY, id="too many"),
        pytest.param(
            {"own": "0::/system.slice/w.service", "cgroup/system.slice/w.service/cpu.max": "3 1"},
            3,
            id="a systemd service",
        ),
        pytest.param(
            {"own": "0::/pod/one", "cgroup/pod/cpu.max": "4 1", "cgroup/pod/one/cpu.max": "6 1"},
            4,
            id="a group above grants less",
        ),
        pytest.param({"own": "0::/elsewhere", "cgroup/pod/cpu.max": "2 1"}, MANY, id="not ours"),
        pytest.param(
            {
                "own": "4:memory:/m\n3:cpu,cpuacct:/docker/1234",
                "cgroup/cpu,cpuacct/cpu.cfs_quota_us": "500000",
                "cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            5,
            id="version 1, a path of the host's",
        ),
        pytest.param(
            {
                "own": "1:cpu:/",
                "cgroup/cpu/cpu.cfs_quota_us": "-1",
                "cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            MANY,
            id="version 1 without a quota",
        ),
    ],
)
def test_the_quota_of_control_groups_cuts_the_cores(
    files: dict[str, str], expected: int, tmp_path: Path
) -> None:
    assert cores.usable(*_write(tmp_path, files)) == expected


def test_fewer_cores_by_affinity_than_by_quota_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    written = _write(tmp_path, {"own": "0::/", "cgroup/cpu.max": "4 1"})
    assert cores.usable(*written) == 1


def test_where_there_is_no_affinity_all_cores_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert cores.usable(*_write(tmp_path, {})) == 7


def test_on_this_machine_it_is_at_least_one_and_at_most_what_there_is() -> None:
    assert 1 <= cores.usable() <= MANY


def _printed(code: str) -> str:
    """Returns what a program prints that starts with no variable about threads."""
    env = {name: value for name, value in os.environ.items() if "THREADS" not in name}
    return python(code, env=env).stdout


def test_libraries_start_no_more_threads_than_there_are_cores() -> None:
    code = (
        "from moderation.encoders.cores import bound_threads\n"
        "bound_threads(1)\n"
        "import numpy, psutil, scipy.linalg\n"
        "print(psutil.Process().num_threads())"
    )
    assert _printed(code).strip() == "1"


@pytest.mark.parametrize("package", ["moderation", "audit"])
def test_a_command_bounds_threads_before_it_loads_anything(package: str) -> None:
    code = (
        "import os, sys\n"
        "from moderation.encoders.cores import usable\n"
        f"from {package}.__main__ import main\n"
        "assert 'numpy' not in sys.modules\n"
        f"sys.argv = ['{package}', '--version']\n"
        "try: main()\n"
        "except SystemExit: print(usable(), os.environ['OMP_NUM_THREADS'])"
    )
    expected, given = _printed(code).splitlines()[-1].split()
    assert given == expected


def test_what_an_operator_says_of_threads_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    cores.bound_threads(3)
    assert os.environ["OMP_NUM_THREADS"] == "7"

"""How many CPU cores this process may use. A container often gets fewer than its host has.

A library that starts a thread for each core of the host, where it has a share of two, spends its
time waiting for its own threads. Imports the standard library alone. joblib's count reads the top
group only, so it misses the quota of a systemd service.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def usable(cgroups: Path = CGROUPS, own_groups: Path = OWN_GROUPS) -> int:
    """Returns how many cores this process can keep busy: its affinity, limited by its CPU quota.

    Args:
        cgroups: where control groups are mounted.
        own_groups: the file that names this process's groups.
    """
    quotas = [_core_quota(folder) for folder in _core_groups(cgroups, own_groups)]
    return max(1, math.ceil(min([_affine_cores(), *quotas])))


def bound_threads(cores: int) -> None:
    """Makes libraries that are loaded later start `cores` threads, unless an operator set a number.

    OpenBLAS starts its threads when numpy loads it, and again for scipy, and counts the host's
    cores. OpenBLAS, MKL, pyarrow and numexpr all read this variable where their own is not set.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(cores))


def _affine_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows


def _core_groups(cgroups: Path, own_groups: Path) -> set[Path]:
    """Returns the folders of this process's groups and of those above, each of which may limit it.

    A line of the file is `number:controllers:/path`, without controllers in version 2. In a
    container the path can be the host's, which is not there; the limit is then at the top.
    """
    found = {cgroups}
    try:
        lines = own_groups.read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "cpu" in controllers.split(","):
            top = cgroups / controllers
            own = top / path.lstrip("/")
            found |= {at for at in (own, *own.parents) if at.is_relative_to(top)}
    return found


def _core_quota(group: Path) -> float:
    """Returns the cores that a group may use: 2 for `200000 100000`; infinite without a limit."""
    files = (group / "cpu.max",), (group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us")
    for version in files:
        try:
            limit, period = " ".join(path.read_text() for path in version).split()
            # For no limit, version 1 writes -1 and version 2 `max`, which is not a number.
            return int(limit) / int(period) if int(limit) > 0 else math.inf
        except (OSError, ValueError):
            continue
    return math.inf

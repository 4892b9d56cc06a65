"""What each part of a worker costs: seconds of a core, as the system counts them.

The threads of one Python process take turns, so what one of them waits for another is in no figure.
What they spend on asking for their turn is, with the thread that asks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

import psutil
import psycopg
from redis import Redis

#: What threads used that have ended meanwhile.
ENDED = "(ended)"


class CoreTimes(NamedTuple):
    """Seconds of a core that were used since the processes began.

    Attributes:
        worker: of the worker's own process, with all of its threads.
        threads: of the worker's threads that still run, by name; empty on other systems than Linux.
        decoders: of the worker's other processes.
        redis: of the server.
        database: of the processes of PostgreSQL that serve the decision log; 0 with SQLite, which
            runs in the worker's threads.
    """

    worker: float
    threads: Mapping[str, float]
    decoders: float
    redis: float
    database: float

    @classmethod
    def now(cls, pid: int, connection: Redis, database_url: str = "") -> Self:
        """Returns what a worker, its decoders, Redis and the database have used so far."""
        worker = psutil.Process(pid)
        server = connection.info("cpu")
        return cls(
            _seconds(worker),
            _threads(pid),
            sum(map(_seconds_of_threads, worker.children(recursive=True))),
            server["used_cpu_sys"] + server["used_cpu_user"],
            sum(map(_seconds_of_threads, _database_processes(database_url))),
        )

    def since(self, before: CoreTimes) -> CoreTimes:
        """Returns what was used between the two."""
        threads = {
            name: seconds - before.threads.get(name, 0.0) for name, seconds in self.threads.items()
        }
        worker = self.worker - before.worker
        if threads:
            # The system counts a process in steps of 10 ms, and threads to the nanosecond.
            threads[ENDED] = max(0.0, worker - sum(threads.values()))
        return CoreTimes(
            worker,
            threads,
            self.decoders - before.decoders,
            self.redis - before.redis,
            self.database - before.database,
        )

    def milliseconds_each(self, count: int) -> dict[str, float]:
        """Returns the milliseconds of a core that one of so many images took, by step."""
        steps = {
            "worker": self.worker,
            **{f"worker: {name}": seconds for name, seconds in self.threads.items()},
            "decoders": self.decoders,
            "redis": self.redis,
            "database": self.database,
        }
        return {name: 1000 * seconds / count for name, seconds in steps.items()}


def _seconds(process: psutil.Process) -> float:
    """Returns what a process has used, with threads that have ended; in steps of 10 ms."""
    with suppress(psutil.Error):  # it has ended
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _seconds_of_threads(process: psutil.Process) -> float:
    """Returns what a process whose threads do not end has used, to the nanosecond on Linux."""
    return sum(_threads(process.pid).values()) or _seconds(process)


def _threads(pid: int) -> dict[str, float]:
    """Returns the seconds of a process's threads, summed by name."""
    found: dict[str, float] = defaultdict(float)
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):  # it has ended, or this is not Linux
            nanoseconds = int((task / "schedstat").read_text().split()[0])
            main = task.name == str(pid)
            found["MainThread" if main else (task / "comm").read_text().strip()] += (
                nanoseconds / 1e9
            )
    return dict(found)


def _database_processes(url: str) -> Sequence[psutil.Process]:
    """Returns the processes of a PostgreSQL on this machine that serve one database."""
    if not url.startswith("postgresql"):
        return []
    asked = (
        "SELECT pid FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    found = []
    with psycopg.connect(url) as connection:
        for (pid,) in connection.execute(asked).fetchall():
            with suppress(psutil.Error):  # it has ended, or runs on another machine
                process = psutil.Process(pid)
                if "postgres" in process.name():
                    found.append(process)
    return found

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
from redis import Redis

#: What threads used that have ended meanwhile.
ENDED = "(ended)"
_DECODER = "moderation.images.decode.child"
#: What a worker's processes do, as attributes of `CoreTimes`.
_PARTS = ("lines", "encoder", "decoders")
#: What used a core for an image, in words.
WHO = {
    "worker": "supervisor, or the only process",
    "lines": "line processes",
    "encoder": "encoder process",
    "decoders": "decoders",
    "redis": "Redis",
    "database": "PostgreSQL",
    "hosts": "hosts",
}


class CoreTimes(NamedTuple):
    """Seconds of a core that were used since the processes began.

    Attributes:
        worker: of the process that was started, with all of its threads; where it has line
            processes, it is their supervisor.
        threads: of its threads that still run, by name; empty on other systems than Linux.
        lines: of its line processes, if it has several.
        encoder: of its encoder process, if it has line processes.
        decoders: of the processes that decode.
        redis: of the server.
        database: of the processes of PostgreSQL that serve the decision log; 0 with SQLite, which
            runs in the worker's threads.
    """

    worker: float
    threads: Mapping[str, float]
    lines: float
    encoder: float
    decoders: float
    redis: float
    database: float

    @classmethod
    def now(cls, pid: int, connection: Redis, database_url: str = "") -> Self:
        """Returns what a worker, its decoders, Redis and the database have used so far."""
        worker = psutil.Process(pid)
        server = connection.info("cpu")
        parts = _processes_by_part(worker)
        return cls(
            _seconds(worker),
            _threads(pid),
            redis=server["used_cpu_sys"] + server["used_cpu_user"],
            database=sum(map(_seconds_of_threads, _database_processes(database_url))),
            **{part: sum(map(_most_seconds, parts[part])) for part in _PARTS},
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
            self.lines - before.lines,
            self.encoder - before.encoder,
            self.decoders - before.decoders,
            self.redis - before.redis,
            self.database - before.database,
        )

    def milliseconds_each(self, count: int) -> dict[str, float]:
        """Returns the milliseconds of a core that one of so many images took, by step."""
        steps = {
            "worker": self.worker,
            **{f"worker: {name}": seconds for name, seconds in self.threads.items()},
            "lines": self.lines,
            "encoder": self.encoder,
            "decoders": self.decoders,
            "redis": self.redis,
            "database": self.database,
        }
        return {name: 1000 * seconds / count for name, seconds in steps.items()}


def _processes_by_part(worker: psutil.Process) -> Mapping[str, Sequence[psutil.Process]]:
    """Returns the processes that a worker has started: a line process is one that has decoders."""
    found: dict[str, list[psutil.Process]] = {part: [] for part in _PARTS}
    for process in worker.children(recursive=True):
        with suppress(psutil.Error):  # it has ended
            if _decodes(process):
                part = "decoders"
            else:
                part = "lines" if any(map(_decodes, process.children())) else "encoder"
            found[part].append(process)
    return found


def _decodes(process: psutil.Process) -> bool:
    with suppress(psutil.Error):  # it has ended
        return _DECODER in process.cmdline()
    return False


def _seconds(process: psutil.Process) -> float:
    """Returns what a process has used, with threads that have ended; in steps of 10 ms."""
    with suppress(psutil.Error):  # it has ended
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _seconds_of_threads(process: psutil.Process) -> float:
    """Returns what a process whose threads do not end has used, to the nanosecond on Linux."""
    return sum(_threads(process.pid).values()) or _seconds(process)


def _most_seconds(process: psutil.Process) -> float:
    """Returns what a process has used: to 10 ms with threads that have ended, finer without."""
    return max(_seconds(process), _seconds_of_threads(process))


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
    import psycopg  # which a machine without PostgreSQL does not need

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

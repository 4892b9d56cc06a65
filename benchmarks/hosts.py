"""The hosts of one side of the throughput benchmark: processes that submit and collect.

They are processes of their own, so that neither this program nor another side's host takes turns
with them. There are more of them where there are more cores.
"""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

from benchmarks import program
from moderation.encoders.cores import usable

Scores = dict[str, float]

#: One host submits some 1,000 requests a second.
_MOST_HOSTS, _CORES_A_HOST = 4, 4
_LOOK_SECONDS = 1.0


class Answered(NamedTuple):
    """What became of some requests, which all had an answer.

    Attributes:
        seconds: from the first `submit` to the last answer.
        latencies: seconds of each request.
        core_seconds: what the hosts used.
        scores: of each answer, in the order of the photographs; none of requests in turn.
    """

    seconds: float
    latencies: list[float]
    core_seconds: float
    scores: list[Scores]


class Hosts:
    """Processes of `host_process` for one side."""

    def __init__(
        self,
        side: str,
        processes: Sequence[subprocess.Popen[bytes]],
        worker: subprocess.Popen[bytes],
    ) -> None:
        self._side, self._processes, self._worker = side, processes, worker

    @classmethod
    @contextmanager
    def started(cls, side: str, broker_url: str, worker: subprocess.Popen[bytes]) -> Iterator[Self]:
        """Yields hosts of a side, which end with the block.

        Args:
            side: ours, echo, or one of `rivals.NAMES`.
            broker_url: where its Redis is.
            worker: who answers; once it has ended, nobody waits any longer.
        """
        count = max(1, min(_MOST_HOSTS, usable() // _CORES_A_HOST))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with ExitStack() as stack:
            words = ("-m", "benchmarks.host_process", side)
            processes = [stack.enter_context(program.child(*words, **pipes)) for _ in range(count)]
            for process in processes:
                assert process.stdin is not None
                assert process.stdout is not None
                stack.enter_context(process.stdout)
                stack.enter_context(process.stdin)
                _write(process, broker_url)
            yield cls(side, processes, worker)

    def at_once(self, photographs: Sequence[Path]) -> Answered:
        """Submits all as fast as it goes; returns what they were answered."""
        return self._submit(photographs, None)

    def when_due(self, photographs: Sequence[Path], due: Sequence[float]) -> Answered:
        """Submits each at its time of the monotonic clock, from which its latency counts."""
        return self._submit(photographs, due)

    def in_turn(self, photographs: Sequence[Path], folder: Path, seconds: float) -> Answered:
        """Submits new copies one after the other, for about so long; `folder` is for the copies."""
        order = {"photographs": _paths(photographs), "folder": str(folder), "seconds": seconds}
        _write(self._processes[0], order)
        return _answered([self._read(self._processes[0])])

    def _submit(self, photographs: Sequence[Path], due: Sequence[float] | None) -> Answered:
        busy = self._processes[: len(photographs)]
        for place, process in enumerate(busy):
            its = slice(place, None, len(busy))
            _write(process, {"photographs": _paths(photographs[its]), "due": due and due[its]})
        parts = [self._read(process) for process in busy]
        found = _answered(parts)
        scores: list[Scores] = [{}] * len(photographs)
        for place, part in enumerate(parts):
            scores[place :: len(busy)] = part["scores"]
        return found._replace(scores=scores)

    def _read(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        assert process.stdout is not None
        while not select.select([process.stdout], [], [], _LOOK_SECONDS)[0]:
            if (code := self._worker.poll()) is not None:
                raise RuntimeError(f"the worker of {self._side} ended with {code}")
        line = process.stdout.readline()
        done: dict[str, Any] = json.loads(line) if line else {"error": "its host ended"}
        if "error" in done:
            raise RuntimeError(f"{self._side}: {done['error']}")
        return done


def _write(process: subprocess.Popen[bytes], order: object) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(order).encode() + b"\n")
    process.stdin.flush()


def _paths(photographs: Sequence[Path]) -> list[str]:
    return [str(photograph) for photograph in photographs]


def _answered(parts: Sequence[dict[str, Any]]) -> Answered:
    seconds = max(part["last"] for part in parts) - min(part["first"] for part in parts)
    latencies = [latency for part in parts for latency in part["latencies"]]
    return Answered(seconds, latencies, sum(part["core_seconds"] for part in parts), [])

"""How many answers a second the decision log takes from one process, from two and from three.

    python benchmarks/log_writers.py [--pause SECONDS] [--database URL]

Each process records batches of new answers for some seconds, without a model, and pauses before
each batch if it is told to. The log is a new SQLite file, or an empty PostgreSQL database.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from moderation.decision_log.log import DecisionLog, open_log
from moderation.decision_log.records import Verdicts
from moderation.settings import load_settings
from tests.support.decision_samples import basis, submission, verdict


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line for each number of processes, or is one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--writer", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.writer:
        with open_log(load_settings(database_url=asked.database)) as log:
            print(json.dumps(write(log, asked)))
        return
    for round_ in range(asked.rounds):
        for number in (1, 2, 3):
            with tempfile.TemporaryDirectory() as folder:
                url = asked.database or f"sqlite:///{folder}/decisions.db"
                print_writers(url, [f"{round_}-{number}-{one}" for one in range(number)])


def write(log: DecisionLog, asked: argparse.Namespace) -> dict[str, float]:
    """Returns answers a second, CPU microseconds an answer, and the longest wait in ms."""
    on = basis()
    one, request = verdict(on), submission()

    def batch(number: int) -> list[Verdicts]:
        names = [f"{asked.writer}-{number}-{place}" for place in range(asked.batch)]
        hashes = [hashlib.sha256(name.encode()).hexdigest() for name in names]
        return [
            Verdicts(
                replace(request, request_id=name),
                [on],
                [one.model_copy(update={"image_sha256": image})],
            )
            for name, image in zip(names, hashes, strict=True)
        ]

    log.record(batch(-1))
    print("ready", flush=True)
    sys.stdin.readline()
    waits, cpu, end = [0.0], 0.0, time.monotonic() + asked.seconds
    while time.monotonic() < end:
        made = batch(len(waits))
        time.sleep(asked.pause)
        begun, worked = time.monotonic(), time.process_time()
        log.record(made)
        waits.append(time.monotonic() - begun)
        cpu += time.process_time() - worked
    answers = asked.batch * (len(waits) - 1)
    return {
        "rate": answers / asked.seconds,
        "cpu": 1e6 * cpu / max(answers, 1),
        "wait": 1e3 * max(waits),
    }


def print_writers(url: str, names: Sequence[str]) -> None:
    """Lets so many processes write at once and prints what they did."""
    command = [sys.executable, __file__, *sys.argv[1:], "--database", url, "--writer"]
    pipe = subprocess.PIPE
    running: list[Any] = [
        subprocess.Popen([*command, name], stdin=pipe, stdout=pipe, text=True) for name in names
    ]
    for process in running:
        process.stdout.readline()
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    found = [json.loads(process.communicate()[0]) for process in running]
    rate = sum(one["rate"] for one in found)
    wait, cpu = max(one["wait"] for one in found), found[0]["cpu"]
    print(
        f"{len(names)} processes: {rate:5.0f} answers/s, {cpu:4.0f} us of CPU an answer, "
        f"longest wait {wait:4.0f} ms",
        flush=True,
    )


if __name__ == "__main__":
    main()

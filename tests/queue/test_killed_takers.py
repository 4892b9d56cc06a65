"""Worker processes that are killed with messages in hand: nothing is lost, nothing is had twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from moderation.embedded_servers import EmbeddedRedis
from moderation.settings import Settings, load_settings
from tests.conftest import ROOT
from tests.support.command_line import leading_to
from tests.support.queued_messages import RESULT, put
from tests.support.taker import END, WRONG
from tests.support.waiting import PATIENCE_SECONDS, until

MESSAGES = 600
#: Long enough that nobody here is slower; 4 signs of life are missing after 4 s.
VISIBILITY_SECONDS = 8


@pytest.fixture
def settings(server: EmbeddedRedis) -> Settings:
    return load_settings(broker_url=server.url, visibility_timeout_seconds=VISIBILITY_SECONDS)


class Takers:
    """Processes by their names."""

    def __init__(self, settings: Settings) -> None:
        seconds = {"MODERATION_VISIBILITY_TIMEOUT_SECONDS": str(VISIBILITY_SECONDS)}
        self.environment = {**os.environ, **leading_to(settings), **seconds}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.count = 0

    def start(self) -> None:
        self.count += 1
        command = [sys.executable, "-m", "tests.support.taker", f"t{self.count}"]
        self.running[f"t{self.count}"] = subprocess.Popen(command, env=self.environment, cwd=ROOT)

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait()


@pytest.fixture
def takers(settings: Settings) -> Iterator[Takers]:
    made = Takers(settings)
    yield made
    for name in [*made.running]:
        made.kill(name)


def test_whoever_is_killed_whenever_no_message_is_lost_or_had_by_two(
    takers: Takers, connection: Any
) -> None:
    def in_hand() -> list[str]:
        return [tag.decode() for tag in connection.hkeys("evenhand.hand")]

    chance = random.Random(7)
    names = [f"r{n}" for n in range(MESSAGES)]
    put(connection, names[::2], size=1000)
    put(connection, names[1::2], "bulk")
    for _ in range(3):
        takers.start()
    struck: set[str] = set()
    for _ in range(6):
        time.sleep(chance.random() / 5)
        holders = until(lambda: {tag.split(":")[0] for tag in in_hand()} & {*takers.running})
        victim = chance.choice(sorted(holders))
        takers.kill(victim)
        struck |= {tag for tag in in_hand() if tag.startswith(f"{victim}:")}
        takers.start()
    until(lambda: len(connection.keys(f"{RESULT}*")) == MESSAGES, seconds=PATIENCE_SECONDS)
    until(lambda: not connection.exists("evenhand.hand"))
    connection.set(END, 1)
    assert [process.wait(PATIENCE_SECONDS) for process in takers.running.values()] == [0, 0, 0]
    assert connection.lrange(WRONG, 0, -1) == []
    assert {*connection.keys(f"{RESULT}*")} == {f"{RESULT}{name}".encode() for name in names}
    strikes = [int(connection.get(RESULT + name)) for name in names]
    assert sum(strikes) == 3 * len(struck)
    assert len(struck) > 0
    left = {key for key in connection.keys("evenhand.*") if not key.startswith(b"evenhand.worker.")}
    assert left <= {b"evenhand.swept"}

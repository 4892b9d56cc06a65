"""`moderation demo`: what it shows, and that it leaves nothing behind, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis

from moderation.embedded_servers import EmbeddedRedis
from tests.support.waiting import until


def _left_by(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Returns the processes below it that run; an empty list once it has ended."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def _demo(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "moderation", "demo", *words],
        env={**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_demo_shows_verdicts_and_leaves_nothing_behind(tmp_path: Path) -> None:
    process = _demo(tmp_path)
    seen: set[psutil.Process] = set()
    while process.poll() is None:
        seen |= set(_left_by(process))
        time.sleep(0.2)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert len(out.splitlines()) > 20
    [page] = [line for line in out.splitlines() if line.startswith("page.png")]
    assert "review" in page
    assert "page-of-text 0." in page
    assert "Model: starter (float32)." in err
    assert "its figures are not CLIP's" in err
    assert len(seen) >= 2
    until(lambda: not any(child.is_running() for child in seen))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("children", [1, 2])
def test_a_demo_that_is_stopped_leaves_nothing_behind(
    number: signal.Signals, children: int, tmp_path: Path
) -> None:
    """Stopped as soon as it has started Redis, or the worker too: the moments that are hardest."""
    process = _demo(tmp_path)

    def started() -> list[psutil.Process]:
        assert process.poll() is None
        found = _left_by(process)
        return found if len(found) >= children else []

    left = until(started)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == 130
    until(lambda: not any(child.is_running() for child in left))
    assert not list(tmp_path.iterdir())


def test_the_demo_takes_a_folder_of_ones_own(photographs: list[Path], tmp_path: Path) -> None:
    images, temporary = tmp_path / "images", tmp_path / "temporary"
    images.mkdir()
    temporary.mkdir()
    (images / "mine.png").write_bytes(photographs[0].read_bytes())
    process = _demo(temporary, "--images", str(images), "--format", "jsonl")
    out, err = process.communicate()
    assert process.returncode == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    assert {row["image"] for row in rows} == {"mine.png"}
    assert len(rows) == 3


def test_the_embedded_redis_asks_for_its_password() -> None:
    with (
        EmbeddedRedis() as server,
        redis.Redis(port=server.port) as connection,
        pytest.raises(redis.AuthenticationError),
    ):
        connection.ping()

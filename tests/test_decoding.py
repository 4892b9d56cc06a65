"""The pool of decoder processes: real processes, real photographs, real kills."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from moderation.decoder import Limits
from moderation.decoding import DecoderPool
from moderation.errors import ImageError
from moderation.image import Preprocessing, read_squares

LIMITS = Limits(max_pixels=10_000_000, frames=1, seconds=10.0)
SMALL = Preprocessing(
    resize=32, crop=(32, 32), resample="bicubic", scale=1 / 255, mean=(0.5,) * 3, std=(0.5,) * 3
)
WIDE = Preprocessing(
    resize=(48, 64), crop=(48, 64), resample="bilinear", scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3
)


@pytest.fixture
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(2, LIMITS) as pool_:
        yield pool_


def _children() -> list[psutil.Process]:
    me = psutil.Process()
    return [child for child in me.children() if "moderation.decoder" in " ".join(child.cmdline())]


def test_pixels_are_those_of_this_process_for_each_way(
    pool: DecoderPool, photographs: list[Path]
) -> None:
    for path in photographs[:5]:
        content = path.read_bytes()
        here = read_squares(content, [SMALL, WIDE], max_pixels=LIMITS.max_pixels)
        there = pool.squares(content, [SMALL, WIDE])
        assert [square.shape for square in there] == [(1, 32, 32, 3), (1, 48, 64, 3)]
        for mine, its in zip(here, there, strict=True):
            np.testing.assert_array_equal(mine, its)


def test_many_threads_each_get_their_own_image(pool: DecoderPool, photographs: list[Path]) -> None:
    contents = [path.read_bytes() for path in photographs[:8]] * 5
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda content: pool.squares(content, [SMALL])[0], contents))
    for content, square in zip(contents, found, strict=True):
        [mine] = read_squares(content, [SMALL], max_pixels=LIMITS.max_pixels)
        np.testing.assert_array_equal(mine, square)
    assert len(_children()) == 2


def test_a_refused_image_is_the_error_that_decoding_here_gives(pool: DecoderPool) -> None:
    with pytest.raises(ImageError) as here:
        read_squares(b"no image", [SMALL], max_pixels=10)
    with pytest.raises(ImageError) as there:
        pool.squares(b"no image", [SMALL])
    assert there.value.args == here.value.args


def test_the_limit_of_pixels_holds_in_the_process() -> None:
    few = LIMITS._replace(max_pixels=100)
    with DecoderPool(1, few) as pool, pytest.raises(ImageError, match="over the limit of 100"):
        pool.squares(_noise(20), [SMALL])


def _noise(side: int) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_an_image_that_takes_too_long_is_refused_and_the_next_is_read() -> None:
    with DecoderPool(1, LIMITS._replace(seconds=0.02)) as pool:
        started = time.monotonic()
        with pytest.raises(ImageError, match=r"longer than 0\.02 s"):
            pool.squares(_noise(3000), [SMALL])
        assert time.monotonic() - started < 5
        assert pool.squares(_noise(10), [SMALL])[0].shape == (1, 32, 32, 3)


def test_a_decoder_that_is_killed_costs_no_image_its_answer(
    pool: DecoderPool, photographs: list[Path]
) -> None:
    content = photographs[0].read_bytes()
    pool.start()
    before = {child.pid for child in _children()}
    done = threading.Event()

    def kill() -> None:
        while not done.wait(0.3):
            for child in _children()[:1]:
                child.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with ThreadPoolExecutor(4) as threads:
            shapes = list(
                threads.map(lambda _: pool.squares(content, [SMALL])[0].shape, range(200))
            )
    finally:
        done.set()
        killer.join()
    assert shapes == [(1, 32, 32, 3)] * 200
    assert {child.pid for child in _children()} != before


def test_a_decoder_that_stops_answering_is_killed(photographs: list[Path]) -> None:
    content = photographs[0].read_bytes()
    with DecoderPool(1, LIMITS._replace(seconds=0.5)) as pool:
        pool.squares(content, [SMALL])
        [child] = _children()
        os.kill(child.pid, signal.SIGSTOP)  # its own alarm cannot end it now
        with pytest.raises(ImageError, match="longer than"):
            pool.squares(content, [SMALL])
        assert not child.is_running()
        assert pool.squares(content, [SMALL])


def test_closing_leaves_no_process() -> None:
    with DecoderPool(3, LIMITS) as pool:
        pool.start()
        assert len(_children()) == 3
    assert _children() == []


def test_a_decoder_ends_with_the_process_that_started_it() -> None:
    program = (
        "import os\n"
        "from moderation.decoder import Limits\n"
        "from moderation.decoding import DecoderPool\n"
        "pool = DecoderPool(1, Limits(1000, 1, 5.0))\n"
        "pool.start()\n"
        "print(pool._decoders[0]._process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    pid = int(ended.stdout)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not psutil.pid_exists(pid)


def test_a_decoder_imports_neither_torch_nor_the_queue() -> None:
    program = "import moderation.decoder, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    ).stdout.split()
    assert "PIL.Image" in loaded
    assert not {"torch", "transformers", "celery", "redis", "pydantic", "httpx"} & set(loaded)

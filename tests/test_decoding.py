"""The pool of decoder processes: real processes, real photographs, real kills."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from moderation.decoder import Limits, receive, receive_length, send
from moderation.decoder_process import DecoderDied, DecoderProcess, DecoderTooSlow
from moderation.decoding import DecoderPool
from moderation.errors import ImageError, TransientError
from moderation.image import Preprocessing, read_squares
from tests.conftest import ROOT

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
        decoder, asked = pool._decoders[0], 0
        while not done.wait(0.05):
            # One image is not killed twice: others were asked for since.
            process, number = decoder._process, decoder._number
            if decoder._is_ready and process is not None and number > asked + 5:
                asked = number
                process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with ThreadPoolExecutor(4) as threads:
            shapes = list(
                threads.map(lambda _: pool.squares(content, [SMALL])[0].shape, range(400))
            )
    finally:
        done.set()
        killer.join()
    assert shapes == [(1, 32, 32, 3)] * 400
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


@pytest.mark.parametrize("is_decoding", [False, True])
def test_a_decoder_ends_when_the_process_that_started_it_is_killed(is_decoding: bool) -> None:
    # A file that takes longer than the alarm gives it: nobody but the alarm can end the decoder.
    program = (
        "import os, threading\n"
        "from moderation.decoder import Limits\n"
        "from moderation.decoding import DecoderPool\n"
        "from tests.test_decoding import SMALL, _noise\n"
        "pool = DecoderPool(1, Limits(10**8, 1, 2.0))\n"
        "pool.start()\n"
        "pool.wait_until_ready()\n"
        f"if {is_decoding}:\n"
        "    content = _noise(4000)\n"
        "    threading.Thread(target=pool.squares, args=(content, [SMALL] * 5000)).start()\n"
        "    threading.Event().wait(0.5)\n"
        "print(pool._decoders[0]._process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, cwd=ROOT
    )
    pid = int(ended.stdout)
    assert psutil.pid_exists(pid) or not is_decoding
    assert _gone(pid, within=10)


def _gone(pid: int, *, within: float) -> bool:
    deadline = time.monotonic() + within
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not psutil.pid_exists(pid)


def test_refusing_images_costs_no_process(pool: DecoderPool) -> None:
    pool.start()
    before = {child.pid for child in _children()}
    for _ in range(10):
        with pytest.raises(ImageError):
            pool.squares(b"no image", [SMALL])
    assert {child.pid for child in _children()} == before


def test_deaths_leave_no_process_and_no_file_open(photographs: list[Path]) -> None:
    content = photographs[0].read_bytes()
    with DecoderPool(1, LIMITS) as pool:
        pool.squares(content, [SMALL])
        before = psutil.Process().num_fds()
        for _ in range(5):
            _children()[0].kill()
            pool.squares(content, [SMALL])
        assert len(_children()) == 1
        assert psutil.Process().num_fds() == before


def test_a_decoder_runs_no_code_of_the_current_folder_and_sees_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photographs: list[Path]
) -> None:
    for name in ("json", "numpy", "PIL", "moderation"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('run from the current folder')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODERATION_BROKER_URL", "redis://:secret@localhost/0")
    with DecoderPool(1, LIMITS) as pool:
        assert pool.squares(photographs[0].read_bytes(), [SMALL])
        assert not [name for name in _children()[0].environ() if "MODERATION" in name]


def test_a_decoder_that_does_not_start_is_no_fault_of_the_image(
    monkeypatch: pytest.MonkeyPatch, photographs: list[Path]
) -> None:
    content = photographs[0].read_bytes()
    for executable in ("/bin/false", "/no/such/python"):
        monkeypatch.setattr(sys, "executable", executable)
        with DecoderPool(1, LIMITS) as pool:
            with pytest.raises(TransientError, match="does not start"):
                pool.squares(content, [SMALL])
            with pytest.raises(TransientError, match="does not start"):
                _start_all(pool)


def _start_all(pool: DecoderPool) -> None:
    pool.start()
    pool.wait_until_ready()


def test_closing_finishes_what_is_asked_for_and_refuses_what_comes_later(
    photographs: list[Path],
) -> None:
    content = photographs[0].read_bytes()
    pool = DecoderPool(2, LIMITS)
    pool.start()
    refused, answered = [], []

    def ask() -> None:
        for _ in range(50):
            try:
                answered.append(pool.squares(content, [SMALL])[0].shape)
            except TransientError as error:
                refused.append(error.what)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    pool.close()
    for thread in threads:
        thread.join(10)
    assert set(answered) == {(1, 32, 32, 3)}
    assert set(refused) == {"the worker is stopping"}
    assert _children() == []


def test_closing_leaves_each_image_its_time_though_some_take_all_of_it(
    photographs: list[Path],
) -> None:
    content = photographs[0].read_bytes()
    pool = DecoderPool(2, LIMITS._replace(seconds=1.0))
    pool.start()
    pool.wait_until_ready()
    for child in _children():
        os.kill(child.pid, signal.SIGSTOP)  # each is ended a second after its second
    with ThreadPoolExecutor(3) as threads:
        answers = [threads.submit(pool.squares, content, [SMALL]) for _ in range(3)]
        while len(pool._waiting) < 1:
            time.sleep(0.01)
        pool.close()
        errors = [answer.exception() for answer in answers]
    assert sorted(map(str, filter(None, errors))) == 2 * [
        "image: decoding it took longer than 1 s. Send a smaller image, or raise "
        "MODERATION_DECODE_TIMEOUT_SECONDS"
    ]
    assert _children() == []


class Interrupted(Exception):
    """What Ctrl-C raises in the thread that waits."""


def test_who_gives_up_waiting_keeps_no_decoder(photographs: list[Path]) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    main = threading.get_ident()
    try:
        with DecoderPool(1, LIMITS) as pool:
            lent = threading.Event()
            given_up = threading.Event()

            def keep() -> None:
                with pool._lent("interactive"):
                    lent.set()
                    while not pool._waiting:
                        time.sleep(0.01)
                    signal.pthread_kill(main, signal.SIGUSR1)
                    given_up.wait(60)

            keeper = threading.Thread(target=keep)
            keeper.start()
            lent.wait(60)
            with pytest.raises(Interrupted):
                pool.squares(photographs[0].read_bytes(), [SMALL])
            given_up.set()
            keeper.join(60)
            assert pool.squares(photographs[0].read_bytes(), [SMALL])
    finally:
        signal.signal(signal.SIGUSR1, before)


HOSTILE = {
    "no JSON": [b"\xff"],
    "deep JSON": [b"[" * 60_000],
    "another number": [b'{"number": 7, "frames": 1}', bytes(3072)],
    "no number": [b'{"frames": 1}', bytes(3072)],
    "no frame": [b'{"number": 1, "frames": 0}', b""],
    "too many frames": [b'{"number": 1, "frames": 2}', bytes(6144)],
    "half a frame": [b'{"number": 1, "frames": 0.5}', bytes(1536)],
    "too few pixels": [b'{"number": 1, "frames": 1}', bytes(3071)],
    "too many pixels": [b'{"number": 1, "frames": 1}', bytes(3073)],
    "a huge header": [bytes(70_000)],
    "an error of another shape": [b'{"number": 1, "error": "no"}'],
    "a list": [b"[1]"],
}


@pytest.mark.parametrize("messages", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_a_decoder_says_is_not_believed(messages: list[bytes]) -> None:
    process, theirs = _with_a_peer()

    def answer() -> None:
        for _ in range(2):
            receive(theirs, receive_length(theirs))
        with suppress(OSError):
            for message in messages:
                send(theirs, message)

    peer = threading.Thread(target=answer)
    peer.start()
    with theirs, pytest.raises(DecoderDied):
        process.squares(b"file", [SMALL], 1)
    peer.join(10)


@pytest.mark.parametrize("banner", [b"", b"redy", b"READY"])
def test_what_does_not_say_that_it_is_ready_does_not_start(banner: bytes) -> None:
    process, theirs = _with_a_peer()
    process._is_ready = False
    send(theirs, banner)
    with theirs, pytest.raises(TransientError, match="does not start"):
        process.wait_until_ready()
    assert _children() == []


def test_a_decoder_that_drips_is_cut_off_in_time() -> None:
    process, theirs = _with_a_peer()

    def drip() -> None:
        with suppress(OSError):
            for _ in range(100):
                theirs.sendall(b"\0")
                time.sleep(0.3)

    peer = threading.Thread(target=drip)
    peer.start()
    started = time.monotonic()
    with pytest.raises(DecoderTooSlow):
        process.squares(b"file", [SMALL], 1)
    assert time.monotonic() - started < 4
    theirs.close()
    peer.join(10)


def test_the_text_of_an_error_is_cut() -> None:
    process, theirs = _with_a_peer()
    send(theirs, b'{"number": 1, "error": ["%s", "image", ""]}' % (b"x" * 60_000))
    with theirs, pytest.raises(ImageError) as caught:
        process.squares(b"file", [SMALL], 1)
    assert len(caught.value.what) == 500
    process.end()


def _with_a_peer() -> tuple[DecoderProcess, socket.socket]:
    """Returns a decoder process whose socket leads to this test instead; the process is real."""
    process = DecoderProcess(LIMITS._replace(seconds=1.0))
    process.start()
    process.wait_until_ready()
    assert process._socket is not None
    process._socket.close()
    process._socket, theirs = socket.socketpair()
    return process, theirs


def test_a_decoder_imports_neither_torch_nor_the_queue() -> None:
    program = "import moderation.decoder, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    ).stdout.split()
    assert "PIL.Image" in loaded
    assert not {"torch", "transformers", "celery", "redis", "pydantic", "httpx"} & set(loaded)


def test_a_decoder_whose_owner_is_gone_before_it_is_ready_ends_without_a_word() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        arguments = [str(theirs.fileno()), *map(str, LIMITS)]
        done = subprocess.run(
            [sys.executable, "-P", "-m", "moderation.decoder", *arguments],
            pass_fds=[theirs.fileno()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

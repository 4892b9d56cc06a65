"""The pool of decoder processes: real processes, real photographs, real kills."""

from __future__ import annotations

import os
import signal
import socket
import struct
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

from moderation.errors import ImageError, TransientError
from moderation.images.decode.channel import receive, send
from moderation.images.decode.child import READY, DecodeLimits, pack_request
from moderation.images.decode.pool import DecoderPool
from moderation.images.decode.process import DecoderDied, DecoderProcess, DecoderTooSlow
from moderation.images.pixels import Preprocessing, read_sights
from moderation.images.rendition import RenditionForm
from tests.support.command_line import python
from tests.support.hostile_files import saved
from tests.support.waiting import PATIENCE_SECONDS, until

LIMITS = DecodeLimits(max_pixels=20_000_000, frames=1, seconds=PATIENCE_SECONDS)
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


@pytest.fixture(scope="module")
def content(photographs: list[Path]) -> bytes:
    """The file of a photograph."""
    return photographs[0].read_bytes()


def _children() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if "moderation.images.decode.child" in child.cmdline():
                found.append(child)
    return found


def _allow(pool: DecoderPool, limits: DecodeLimits) -> None:
    """Gives the processes that start from now on other limits."""
    for decoder in pool._decoders:
        decoder._limits = limits


def test_pixels_are_those_of_this_process_for_each_way(
    pool: DecoderPool, photographs: list[Path]
) -> None:
    for path in photographs[:5]:
        content = path.read_bytes()
        here = read_sights(content, [SMALL, WIDE], max_pixels=LIMITS.max_pixels)
        there = [sight.squares for sight in pool.sights(content, [SMALL, WIDE])]
        assert [square.shape for square in there] == [(1, 32, 32, 3), (1, 48, 64, 3)]
        for mine, its in zip(here, there, strict=True):
            np.testing.assert_array_equal(mine.squares, its)


def test_many_threads_each_get_their_own_image(pool: DecoderPool, photographs: list[Path]) -> None:
    contents = [path.read_bytes() for path in photographs[:8]] * 5
    with ThreadPoolExecutor(16) as threads:
        found = list(
            threads.map(lambda content: pool.sights(content, [SMALL])[0].squares, contents)
        )
    for content, square in zip(contents, found, strict=True):
        [mine] = read_sights(content, [SMALL], max_pixels=LIMITS.max_pixels)
        np.testing.assert_array_equal(mine.squares, square)
    assert len(_children()) == 2


def test_a_refused_image_is_the_error_that_decoding_here_gives(pool: DecoderPool) -> None:
    with pytest.raises(ImageError) as here:
        read_sights(b"no image", [SMALL], max_pixels=10)
    with pytest.raises(ImageError) as there:
        pool.sights(b"no image", [SMALL])
    assert there.value.args == here.value.args


def test_a_decoder_that_is_killed_costs_no_image_its_answer(
    pool: DecoderPool, content: bytes
) -> None:
    done = threading.Event()

    def ask() -> set[tuple[int, ...]]:
        shapes = set()
        while not done.is_set():
            shapes.add(pool.sights(content, [SMALL])[0].squares.shape)
        return shapes

    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(ask) for _ in range(4)]
        try:
            killed = {_kill_at_work(pool._decoders[0]) for _ in range(5)}
        finally:
            done.set()
    assert [asked.result() for asked in asking] == [{(1, 32, 32, 3)}] * 4
    assert len(killed) == 5


def _kill_at_work(decoder: DecoderProcess) -> int:
    """Kills the process after a few more images: no image meets two kills. Returns its id."""
    number = decoder._number
    until(lambda: decoder._number >= number + 5)
    assert decoder._process is not None
    decoder._process.kill()
    return decoder._process.pid


def test_a_decoder_that_stops_answering_is_killed(content: bytes) -> None:
    with DecoderPool(1, LIMITS._replace(seconds=0.05)) as pool:
        _start(pool)
        [child] = _children()
        os.kill(child.pid, signal.SIGSTOP)  # its own alarm cannot end it now
        with pytest.raises(ImageError, match="longer than"):
            pool.sights(content, [SMALL])
        assert not child.is_running()
        _allow(pool, LIMITS)
        assert pool.sights(content, [SMALL])


def test_a_decoder_ends_when_the_process_that_started_it_is_killed() -> None:
    program = (
        "import os\n"
        "from moderation.images.decode.pool import DecoderPool\n"
        "from tests.images.decode.test_pool import LIMITS\n"
        "pool = DecoderPool(1, LIMITS)\n"
        "pool.start()\n"
        "pool.wait_until_ready()\n"
        "print(pool._decoders[0]._process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    pid = int(python(program, check=False).stdout)
    until(lambda: not psutil.pid_exists(pid))


def test_a_decoder_whose_owner_is_gone_while_it_decodes_is_ended_by_its_alarm() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = _decoder(theirs, LIMITS._replace(seconds=0.2))
    with ours:
        assert receive(ours).header == READY
        large = saved(Image.new("RGB", (4000, 4000)), compress_level=1)
        send(ours, 1, pack_request((SMALL,) * 5000), large)
    process.communicate()
    assert process.returncode == -signal.SIGALRM


def _decoder(channel: socket.socket, limits: DecodeLimits) -> subprocess.Popen[str]:
    """Starts a decoder that serves that socket."""
    arguments = [str(channel.fileno()), *map(str, limits)]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "moderation.images.decode.child", *arguments],
        pass_fds=[channel.fileno()],
        env={"OPENBLAS_NUM_THREADS": "1"},  # as a worker starts it; nothing there measures it
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_deaths_leave_no_process_and_no_file_open(content: bytes) -> None:
    with DecoderPool(1, LIMITS) as pool:
        pool.sights(content, [SMALL])
        before = psutil.Process().num_fds()
        for _ in range(5):
            _children()[0].kill()
            pool.sights(content, [SMALL])
        assert len(_children()) == 1
        assert psutil.Process().num_fds() == before


def test_a_decoder_runs_no_code_of_the_current_folder_and_sees_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    for name in ("json", "numpy", "PIL", "moderation"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('run from the current folder')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODERATION_BROKER_URL", "redis://:secret@localhost/0")
    with DecoderPool(1, LIMITS) as pool:
        assert pool.sights(content, [SMALL])
        assert not [name for name in _children()[0].environ() if "MODERATION" in name]


def test_a_decoder_that_does_not_start_is_not_the_images_fault(
    monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    for executable in ("/bin/false", "/no/such/python"):
        monkeypatch.setattr(sys, "executable", executable)
        with DecoderPool(1, LIMITS) as pool:
            with pytest.raises(TransientError, match="does not start"):
                pool.sights(content, [SMALL])
            with pytest.raises(TransientError, match="does not start"):
                _start(pool)


def _start(pool: DecoderPool) -> None:
    pool.start()
    pool.wait_until_ready()


def test_closing_finishes_what_is_asked_for_and_refuses_what_comes_later(content: bytes) -> None:
    pool = DecoderPool(2, LIMITS)
    _start(pool)
    decoders = _children()
    for decoder in decoders:
        decoder.suspend()
    with ThreadPoolExecutor(9) as threads:
        asked = [threads.submit(pool.sights, content, [SMALL]) for _ in range(8)]
        until(lambda: len(pool._waiting) == 6)
        closing = threads.submit(pool.close)
        until(lambda: pool._closed)
        with pytest.raises(TransientError, match="the worker is stopping"):
            pool.sights(content, [SMALL])
        for decoder in decoders:
            decoder.resume()
        assert [answer.result()[0].squares.shape for answer in asked] == [(1, 32, 32, 3)] * 8
        closing.result()
    assert _children() == []


def test_closing_leaves_each_image_its_time_though_some_take_all_of_it(content: bytes) -> None:
    pool = DecoderPool(2, LIMITS._replace(seconds=1.0))
    _start(pool)
    for child in _children():
        os.kill(child.pid, signal.SIGSTOP)  # each is killed a second after its second
    with ThreadPoolExecutor(3) as threads:
        answers = [threads.submit(pool.sights, content, [SMALL]) for _ in range(3)]
        until(lambda: len(pool._waiting) == 1 and all(map(_is_timed, pool._decoders)))
        _allow(pool, LIMITS)  # for the third
        pool.close()
        errors = [answer.exception() for answer in answers]
    assert sorted(map(str, filter(None, errors))) == 2 * [
        "image: decoding it took longer than 1 s. Send a smaller image, or raise "
        "MODERATION_DECODE_TIMEOUT_SECONDS"
    ]
    assert _children() == []


def _is_timed(decoder: DecoderProcess) -> bool:
    """Whether it has been asked, so that its image's second and the second after it are running."""
    return decoder._socket is not None and 0 < (decoder._socket.gettimeout() or 0) <= 2


class CtrlC(Exception):
    """Raised in the thread that waits, as Ctrl-C is."""


def test_who_gives_up_waiting_keeps_no_decoder(content: bytes) -> None:
    def interrupt(*_: object) -> None:
        raise CtrlC

    before = signal.signal(signal.SIGUSR1, interrupt)
    main = threading.get_ident()
    try:
        with DecoderPool(1, LIMITS) as pool:
            lent = threading.Event()
            given_up = threading.Event()

            def keep() -> None:
                with pool._lent("interactive"):
                    lent.set()
                    until(lambda: len(pool._waiting))
                    signal.pthread_kill(main, signal.SIGUSR1)
                    given_up.wait()

            keeper = threading.Thread(target=keep)
            keeper.start()
            lent.wait()
            with pytest.raises(CtrlC):
                pool.sights(content, [SMALL])
            given_up.set()
            keeper.join()
            assert pool.sights(content, [SMALL])
    finally:
        signal.signal(signal.SIGUSR1, before)


#: What a decoder says of its only look.
LOOK = b'[0, [0, 0, 9, 9], "white"]'

HEAD = b'{"is_exhaustive": true, "oddities": [], "looks": %s}'

#: What a decoder says to its first image: a number, a header, and pixels.
HOSTILE: dict[str, tuple[int, bytes, bytes]] = {
    "no JSON": (1, b"\xff", b""),
    "no text": (1, b"", bytes(3072)),
    "deep JSON": (1, b"[" * 60_000, b""),
    "another number": (7, HEAD % (b"[[%s]]" % LOOK), bytes(3072)),
    "looks of no way": (1, HEAD % b"[]", b""),
    "looks of too many ways": (1, HEAD % (b"[[%s], [%s]]" % (LOOK, LOOK)), bytes(6144)),
    "no look": (1, HEAD % b"[[]]", b""),
    "too many looks": (1, HEAD % (b"[[%s, %s, %s]]" % (LOOK, LOOK, LOOK)), bytes(9216)),
    "half a frame": (1, HEAD % b'[[[0.5, [0, 0, 9, 9], "dark"]]]', bytes(3072)),
    "a frame before the first": (1, HEAD % b'[[[-1, [0, 0, 9, 9], "dark"]]]', bytes(3072)),
    "a frame that is a truth": (1, HEAD % b'[[[true, [0, 0, 9, 9], "dark"]]]', bytes(3072)),
    "a box of three sides": (1, HEAD % b'[[[0, [0, 0, 9], "dark"]]]', bytes(3072)),
    "a box of words": (1, HEAD % b'[[[0, ["a", 0, 9, 9], "dark"]]]', bytes(3072)),
    "a background of its own": (1, HEAD % b'[[[0, [0, 0, 9, 9], "red"]]]', bytes(3072)),
    "an oddity of its own": (
        1,
        b'{"is_exhaustive": true, "oddities": ["odd"], "looks": [[%s]]}' % LOOK,
        bytes(3072),
    ),
    "an oddity that is a list": (
        1,
        b'{"is_exhaustive": true, "oddities": [[]], "looks": [[%s]]}' % LOOK,
        bytes(3072),
    ),
    "too few pixels": (1, HEAD % (b"[[%s]]" % LOOK), bytes(3071)),
    "too many pixels": (1, HEAD % (b"[[%s]]" % LOOK), bytes(3073)),
    "more pixels than any file has": (1, HEAD % (b"[[%s]]" % LOOK), bytes(6145)),
    "a huge header": (1, bytes(1_000_001), b""),
    "an error of another shape": (1, b'{"error": "no"}', b""),
    "a list": (1, b"[1]", b""),
}


@pytest.mark.parametrize("said", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_a_decoder_says_is_not_believed(said: tuple[int, bytes, bytes]) -> None:
    process, theirs = _with_a_peer()
    peer = _peer(theirs, *said)
    with theirs, pytest.raises(DecoderDied):
        process.sights(b"file", (SMALL,))
    peer.join()


def _peer(theirs: socket.socket, number: int, header: bytes, body: bytes) -> threading.Thread:
    """Starts a decoder that says this to its first image, whatever that is."""

    def answer() -> None:
        receive(theirs)
        with suppress(OSError):
            send(theirs, number, header, body)

    peer = threading.Thread(target=answer)
    peer.start()
    return peer


#: What a decoder says of a rendition.
RENDITION = b'{"is_exhaustive": true, "oddities": [], "looks": [[%s]], "rendition": %s}'


@pytest.mark.parametrize(
    ("size", "file"),
    [
        (b"null", b""),
        (b"[9]", b"RIFF"),
        (b"[9, 9.5]", b"RIFF"),
        (b"[true, 9]", b"RIFF"),
        (b"[0, 9]", b"RIFF"),
        (b"[65, 9]", b"RIFF"),
        (b'["9", 9]', b"RIFF"),
        (b"[9, 9]", b""),
        (b"[9, 9]", b"<html>"),
        (b"[9, 9]", b"RIFF" + bytes(RenditionForm("webp", 64).most_bytes - 3)),
    ],
)
def test_a_rendition_that_cannot_be_one_is_not_taken(size: bytes, file: bytes) -> None:
    process, theirs = _with_a_peer()
    peer = _peer(theirs, 1, RENDITION % (LOOK, size), bytes(3072) + file)
    with theirs, pytest.raises(DecoderDied):
        process.sights(b"file", (SMALL,), RenditionForm("webp", 64))
    peer.join()


def test_the_largest_rendition_is_taken_with_the_pixels_before_it() -> None:
    process, theirs = _with_a_peer()
    file = b"RIFF" + bytes(RenditionForm("webp", 64).most_bytes - 4)
    peer = _peer(theirs, 1, RENDITION % (LOOK, b"[9, 8]"), bytes([7]) * 3072 + file)
    with theirs:
        [sight] = process.sights(b"file", (SMALL,), RenditionForm("webp", 64))
    peer.join()
    process.end()
    assert (sight.squares == 7).all()
    assert sight.rendition is not None
    assert (sight.rendition.content, sight.rendition.size) == (file, (9, 8))


@pytest.mark.parametrize("banner", [b"", b"redy", b"READY"])
def test_what_does_not_say_that_it_is_ready_does_not_start(banner: bytes) -> None:
    process, theirs = _with_a_peer()
    process._is_ready = False
    send(theirs, 0, banner)
    with theirs, pytest.raises(TransientError, match="does not start"):
        process.wait_until_ready()
    assert _children() == []


def test_a_decoder_that_drips_is_cut_off_in_time() -> None:
    process, theirs = _with_a_peer(seconds=0.05)

    def drip() -> None:
        # Then a byte at a time, for as long as anyone listens.
        theirs.sendall(struct.pack("!QQQ", 1, 60_000, 0))
        with suppress(OSError):
            while True:
                theirs.sendall(b" ")
                time.sleep(0.02)

    peer = threading.Thread(target=drip)
    peer.start()
    with pytest.raises(DecoderTooSlow):
        process.sights(b"file", (SMALL,))
    peer.join()
    theirs.close()


def test_the_text_of_an_error_is_cut() -> None:
    process, theirs = _with_a_peer()
    send(theirs, 1, b'{"error": ["%s", "image", ""]}' % (b"x" * 60_000))
    with theirs, pytest.raises(ImageError) as caught:
        process.sights(b"file", (SMALL,))
    assert len(caught.value.what) == 500
    process.end()


def _with_a_peer(seconds: float = LIMITS.seconds) -> tuple[DecoderProcess, socket.socket]:
    """Returns a decoder process whose socket leads to this test instead; the process is real."""
    process = DecoderProcess(LIMITS._replace(seconds=seconds))
    process.start()
    process.wait_until_ready()
    assert process._socket is not None
    process._socket.close()
    process._socket, theirs = socket.socketpair()
    return process, theirs


def test_a_decoder_imports_no_more_than_pillow_and_numpy() -> None:
    program = "import sys; before = set(sys.modules); import moderation.images.decode.child; "
    program += "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    loaded = set(python(program).stdout.split()) - set(sys.stdlib_module_names)
    assert (
        {"numpy", "PIL"} < loaded <= {"moderation", "PIL", "numpy", "pillow_heif", "_pillow_heif"}
    )


def test_a_decoder_whose_owner_is_gone_before_it_is_ready_ends_without_a_word() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        process = _decoder(theirs, LIMITS)
    assert process.communicate() == ("", "")
    assert process.returncode == 0

"""One decoder process, as seen by its owner, which trusts nothing that it says."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple, get_args

from moderation.errors import ImageError, TransientError
from moderation.images.colours import BACKGROUNDS
from moderation.images.decode.channel import receive, send
from moderation.images.decode.child import READY, DecodeLimits, pack_request
from moderation.images.looks import Look, Looking, Pixels, Sight
from moderation.images.oddities.names import Oddity
from moderation.images.pixels import Preprocessing
from moderation.images.rendition import STARTS, RenditionFile, RenditionForm

#: The decoder's own alarm rings first; if it is still there so much later, it is killed.
_GRACE_SECONDS = 1.0
#: Long enough for a slow disk and a busy machine.
_START_SECONDS = 60.0
_HEADER_BYTES, _TEXT_LENGTH = 1_000_000, 500
_ODDITIES = frozenset(get_args(Oddity))

#: What Python and its libraries need to start. Passwords and keys stay out of the process in which
#: strangers' files are decoded.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")

#: It computes on one core; numpy's library would start threads for matrices. And glibc would give
#: the memory of each picture back to the system and get it again, at a fifth of the time.
_FOR_DECODING = {
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "134217728",
}


class DecoderDied(Exception):
    """The decoder is gone, or said something senseless and was ended."""


class DecoderTooSlow(Exception):
    """The decoder took longer than an image may, and was ended."""


class _DecoderQuestion(NamedTuple):
    """What a decoder is asked of a file, and how much it may answer."""

    header: bytes
    most_looks: int
    most_bytes: int


@lru_cache(maxsize=64)  # the same is asked of one file after another
def _question(
    ways: tuple[Preprocessing, ...], form: RenditionForm | None, looking: Looking
) -> _DecoderQuestion:
    most_looks = looking.most_looks
    most = most_looks * sum(_square_bytes(way) for way in ways) + (form.most_bytes if form else 0)
    return _DecoderQuestion(pack_request(ways, form), most_looks, most)


class DecoderProcess:
    """A process and the socket to it, for one thread at a time; started again after it ends."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._is_ready = False
        self._number = 0

    def start(self) -> None:
        """Starts the process, unless it runs.

        Raises:
            TransientError: the machine has no process or descriptor left.
        """
        if self._socket is not None:
            return
        try:
            self._socket, theirs = socket.socketpair()
            with theirs:
                self._process = self._spawn(theirs.fileno())
        except OSError as error:
            self.end()
            raise _process_does_not_start(str(error)) from error
        except BaseException:  # such as MemoryError: a socket alone would look like a process
            self.end()
            raise

    @property
    def longest_seconds(self) -> float:
        """How long one image may keep it busy, including its start."""
        return _START_SECONDS + self._limits.seconds + 2 * _GRACE_SECONDS

    def _spawn(self, descriptor: int) -> subprocess.Popen[bytes]:
        arguments = [str(descriptor), *map(str, self._limits)]
        kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        return subprocess.Popen(
            # -P: without it a json.py in the current folder, such as an upload, would be run.
            [sys.executable, "-P", "-m", "moderation.images.decode.child", *arguments],
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            env={**kept, **_FOR_DECODING},
            start_new_session=True,  # Ctrl-C in the terminal is for the owner
        )

    def wait_until_ready(self) -> None:
        """Returns when the process, if it was started, can decode.

        Raises:
            TransientError: it does not start.
        """
        if self._is_ready or self._socket is None:
            return
        try:
            deadline = time.monotonic() + _START_SECONDS
            first = receive(self._socket, deadline, most_header=len(READY), most_body=0)
        except (OSError, EOFError, ValueError) as error:
            self.end()
            raise _process_does_not_start("it ended, or said nothing") from error
        if first.header != READY:
            self.end()
            raise _process_does_not_start("it does not say first that it is ready")
        self._is_ready = True

    def sights(
        self,
        content: bytes,
        ways: tuple[Preprocessing, ...],
        form: RenditionForm | None = None,
    ) -> list[Sight]:
        """Returns what is seen of a file in each way to preprocess, with a rendition of that form.

        Raises:
            ImageError: the decoder refuses the image. TransientError: it does not start.
            DecoderDied, DecoderTooSlow: it had to be ended.
        """
        self.start()
        self.wait_until_ready()
        assert self._socket is not None
        try:
            return self._ask(self._socket, content, ways, form)
        except ImageError:
            raise
        except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError) as error:
            timed_out = isinstance(error, TimeoutError) or self._alarm_rang()
            self.end()
            raise (DecoderTooSlow() if timed_out else DecoderDied()) from error
        except BaseException:
            self.end()
            raise

    def _ask(
        self,
        channel: socket.socket,
        content: bytes,
        ways: tuple[Preprocessing, ...],
        form: RenditionForm | None,
    ) -> list[Sight]:
        self._number += 1
        question, seconds = _question(ways, form, self._limits.looking), self._limits.seconds
        deadline = time.monotonic() + seconds + _GRACE_SECONDS
        channel.settimeout(seconds + _GRACE_SECONDS)
        send(channel, self._number, question.header, content)
        most = question.most_bytes
        said = receive(channel, deadline, most_header=_HEADER_BYTES, most_body=most)
        if said.number != self._number:
            raise ValueError("this belongs to another request")
        header = json.loads(said.header)
        if "error" in header:
            what, where, remedy = (str(text)[:_TEXT_LENGTH] for text in header["error"])
            raise ImageError(what, where, remedy)
        return _process_sights(header, said.body, ways, form, question.most_looks)

    def _alarm_rang(self) -> bool:
        """Whether its own alarm ended the process, whose socket is closed."""
        assert self._process is not None
        try:
            return self._process.wait(_GRACE_SECONDS) == -signal.SIGALRM
        except subprocess.TimeoutExpired:
            return False

    def kill(self) -> None:
        """Ends the process from another thread; the socket stays with the thread that has it."""
        if (process := self._process) is not None:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)

    def end(self) -> None:
        """Kills the process, if there is one, and closes the socket."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._socket = self._process = None
        self._is_ready = False


def _process_does_not_start(why: str) -> TransientError:
    return TransientError(
        f"a decoder does not start: {why}",
        "decoders",
        "See the worker's log; free memory and files",
    )


def _square_bytes(way: Preprocessing) -> int:
    """Returns how long one square of a decoder's is, as it sends it."""
    return 3 * math.prod(way.crop)


def _process_sights(
    header: dict[str, Any],
    body: Pixels,
    ways: tuple[Preprocessing, ...],
    form: RenditionForm | None,
    most_looks: int,
) -> list[Sight]:
    """Returns what a decoder says that is seen of a file; raises ValueError where it cannot be."""
    each = [_process_looks(looks, most_looks) for looks in header["looks"]]
    is_exhaustive, oddities = header["is_exhaustive"] is True, _process_oddities(header)
    squares, start = [], 0
    for way, looks in zip(ways, each, strict=True):
        end = start + len(looks) * _square_bytes(way)
        squares.append(body[start:end].reshape(len(looks), *way.crop, 3))
        start = end
    rendition = _process_rendition(header, body[start:], form) if ways and form else None
    if rendition is None and start < len(body):
        raise ValueError("more than the pixels of its looks")
    return [
        Sight(pixels, looks, is_exhaustive, oddities, rendition)
        for pixels, looks in zip(squares, each, strict=True)
    ]


def _process_looks(given: object, most: int) -> tuple[Look, ...]:
    """Returns the looks that a decoder says that it had; raises ValueError where it cannot."""
    if not isinstance(given, list) or not 1 <= len(given) <= most:
        raise ValueError(f"the decoder gave no list of at most {most} looks")
    looks = []
    for frame, box, background in given:
        left, top, right, bottom = box
        numbers = (frame, left, top, right, bottom)
        if {*map(type, numbers)} != {int} or min(numbers) < 0:
            raise ValueError("a look is not made of whole numbers")
        if background not in BACKGROUNDS:
            raise ValueError("a look is on no background that there is")
        looks.append(Look(frame, (left, top, right, bottom), background))
    return tuple(looks)


def _process_oddities(header: dict[str, Any]) -> tuple[str, ...]:
    """Returns the oddities that a decoder found; raises ValueError where it names others."""
    found = tuple(header["oddities"])
    if not _ODDITIES.issuperset(found):
        raise ValueError("the decoder found oddities that have no name")
    return found


def _process_rendition(header: dict[str, Any], body: Pixels, form: RenditionForm) -> RenditionFile:
    """Returns the rendition that a decoder made; raises ValueError where it cannot be one."""
    width, height = header["rendition"]
    if any(type(side) is not int or not 1 <= side <= form.side for side in (width, height)):
        raise ValueError("a rendition of a size that was not asked for")
    content = body.tobytes()
    if len(content) > form.most_bytes or not content.startswith(STARTS[form.format]):
        raise ValueError("a rendition of another format than was asked for")
    return RenditionFile(content, form.format, (width, height))

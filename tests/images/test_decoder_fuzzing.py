"""Mutated real files against a real decoder: pixels or an ImageError, and the decoder lives on.

The same files at every run. For a longer search set two variables of the environment:
`FUZZ_EXAMPLES`, how many files a kind (default 60), and `FUZZ_RANDOM=1` for other files each time:

    FUZZ_EXAMPLES=5000 FUZZ_RANDOM=1 pytest tests/images/test_decoder_fuzzing.py

A file that fails is printed by hypothesis as the list of its mutations.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.errors import DecodingFailed, ImageError
from moderation.images.decode.child import Limits
from moderation.images.decode.pool import DecoderPool
from moderation.images.pixels import Pixels, Preprocessing, read_squares
from tests.support.hostile_files import seeds
from tests.support.waiting import PATIENCE_SECONDS

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
IS_RANDOM = os.environ.get("FUZZ_RANDOM") == "1"
LIMITS = Limits(max_pixels=4_000_000, frames=3, seconds=PATIENCE_SECONDS)
#: Of the processor, for one example: that says how dear a file is on a busy machine too.
_MOST_SECONDS = 10.0
HOW = Preprocessing(32, (32, 32), "bicubic", 1 / 255, (0.5,) * 3, (0.5,) * 3)

#: Numbers that parsers stumble on, at each width that a format writes them with.
_EDGES = (0, 1, 2, 127, 128, 255, 256, 32_767, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1)


class Mutation(NamedTuple):
    """One change of a file, at a place from 0 to 1 of it."""

    act: str
    at: float
    length: float
    number: int


MUTATIONS = st.builds(
    Mutation,
    st.sampled_from(["flip", "number", "repeat", "cut out", "cut off", "swap", "splice"]),
    st.floats(0, 1) | st.floats(0, 0.05),  # headers are where lies are told
    st.floats(0, 0.2),
    st.sampled_from(_EDGES) | st.integers(0, 2**32 - 1),
)


def mutated(content: bytes, mutation: Mutation, other: bytes) -> bytes:
    """Returns the file with one change; `splice` puts in a part of another."""
    act, place, part, number = mutation
    at = int(place * (len(content) - 1))
    end = at + 1 + int(part * len(content))
    piece = content[at:end]
    width = (1, 2, 4)[number % 3]
    changes: dict[str, Callable[[], bytes]] = {
        "flip": lambda: bytes([piece[0] ^ 1 << number % 8]) + piece[1:],
        "number": lambda: _number(number, width) + piece[width:],
        "repeat": lambda: piece * (2 + number % 50),
        "swap": lambda: piece[::-1],
        "splice": lambda: other[at:end],
        "cut out": bytes,
        "cut off": bytes,
    }
    rest = b"" if act == "cut off" else content[end:]
    file = content[:at] + changes[act]() + rest
    return file or b"\0"


def _number(number: int, width: int) -> bytes:
    order: Literal["big", "little"] = "big" if number % 2 else "little"
    return (number % (1 << 8 * width)).to_bytes(width, order)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(1, LIMITS) as pool_:
        pool_.start()
        pool_.wait_until_ready()
        yield pool_


@pytest.fixture(scope="module")
def good() -> Pixels:
    """Pixels of the file that must be read after each other one."""
    [pixels] = read_squares(seeds()["PNG"], [HOW], max_pixels=LIMITS.max_pixels)
    return pixels


@pytest.mark.parametrize("kind", seeds())
def test_a_mutated_file_is_read_or_refused_and_the_decoder_lives_on(
    kind: str, pool: DecoderPool, good: Pixels
) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=not IS_RANDOM,
        database=None,
    )
    @given(
        changes=st.lists(MUTATIONS, min_size=1, max_size=6), other=st.sampled_from(sorted(seeds()))
    )
    def look(changes: list[Mutation], other: str) -> None:
        content = seeds()[kind]
        for change in changes:
            content = mutated(content, change, seeds()[other])[:2_000_000]
        before = _busy(pool)
        _hold(pool, content)
        assert _busy(pool) - before < _MOST_SECONDS
        np.testing.assert_array_equal(pool.squares(seeds()["PNG"], [HOW])[0], good)

    process = pool._decoders[0]._process
    look()
    assert pool._decoders[0]._process is process, "it was started anew"


def _busy(pool: DecoderPool) -> float:
    """Returns how many seconds of a processor the decoder has had."""
    process = pool._decoders[0]._process
    assert process is not None
    times = psutil.Process(process.pid).cpu_times()
    return times.user + times.system


def _hold(pool: DecoderPool, content: bytes) -> None:
    """Holds what becomes of a file to what may become of any."""
    try:
        [squares] = pool.squares(content, [HOW])
    except DecodingFailed as error:
        raise AssertionError(f"the decoder did not live through it: {error}") from error
    except ImageError as error:
        _hold_error(error)
        return
    assert squares.dtype == np.uint8
    assert 1 <= len(squares) <= LIMITS.frames
    assert squares.shape[1:] == (32, 32, 3)


def _hold_error(error: ImageError) -> None:
    """Holds an error to what a stranger may be told."""
    assert error.where == "image"
    assert error.remedy
    assert not re.search(r"/|\\|0x|object at|Traceback|Errno", error.what)

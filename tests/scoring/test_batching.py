"""Concurrent requests in batches: each gets its own answer, soon, and no other's failure."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.encoders.encoder import Float32s
from moderation.errors import EncoderFailed, ModelError, TransientError
from moderation.images.looks import Pixels
from moderation.messages.queues import QueueName
from moderation.scoring.batching import Batcher, Encode, best_batch
from tests.support.stub_encoder import StubEncoder
from tests.support.waiting import until


def _square(*numbers: int) -> Pixels:
    """Returns (f, 2, 2, 3) pixels: frames of one number each."""
    return np.stack([np.full((2, 2, 3), number, np.uint8) for number in numbers])


def _mean(pixels: Pixels) -> Float32s:
    means: Float32s = pixels.reshape(len(pixels), -1).mean(axis=1, keepdims=True).astype(np.float32)
    return means


class _Recorder:
    """An encoder that waits for a gate, and records the size of its batches."""

    def __init__(self) -> None:
        self.busy = threading.Event()
        self.gate = threading.Event()
        self.sizes: list[int] = []

    def __call__(self, pixels: Pixels) -> Float32s:
        self.busy.set()
        self.gate.wait()
        self.sizes.append(len(pixels))
        return _mean(pixels)


_Request = tuple[QueueName, list[int]]
_REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(("interactive", "bulk")),
        st.lists(st.integers(0, 255), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=30)
@given(_REQUESTS, st.integers(1, 9), st.integers(1, 12), st.integers())
def test_every_request_gets_its_own_answer_whatever_the_interleaving(
    requests: list[_Request], batch_size: int, threads: int, seed: int
) -> None:
    random = Random(seed)

    def encode(pixels: Pixels) -> Float32s:
        time.sleep(random.random() / 1000)
        return _mean(pixels)

    def ask(request: _Request) -> list[float]:
        queue, numbers = request
        time.sleep(random.random() / 1000)
        return [float(row[0]) for row in batcher.features(_square(*numbers), queue)]

    with Batcher(encode, batch_size=batch_size) as batcher, ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(ask, requests))
    assert answers == [[float(number) for number in numbers] for _, numbers in requests]


def test_an_interactive_image_goes_before_a_backlog_of_bulk() -> None:
    encode = _Recorder()
    served: list[int] = []

    def recording(pixels: Pixels) -> Float32s:
        served.extend(int(number) for number in pixels[:, 0, 0, 0])
        return encode(pixels)

    with Batcher(recording, batch_size=4) as batcher, ThreadPoolExecutor(30) as pool:
        pool.submit(batcher.features, _square(0), "bulk")
        encode.busy.wait()
        for i in range(1, 21):
            pool.submit(batcher.features, _square(i), "bulk")
        until(lambda: batcher.waiting == 20)
        pool.submit(batcher.features, _square(99))
        until(lambda: batcher.waiting == 21)
        encode.gate.set()
    assert served.index(99) == 1
    assert sorted(served) == [*range(21), 99]


def test_a_lone_image_goes_at_once_and_what_gathers_meanwhile_in_full_batches() -> None:
    encode = _Recorder()
    with Batcher(encode, batch_size=8) as batcher, ThreadPoolExecutor(25) as pool:
        futures = [pool.submit(batcher.features, _square(0))]
        encode.busy.wait()
        futures += [pool.submit(batcher.features, _square(i)) for i in range(1, 25)]
        until(lambda: batcher.waiting == 24)
        encode.gate.set()
        assert [float(future.result()[0, 0]) for future in futures] == [float(i) for i in range(25)]
    assert encode.sizes == [1, 8, 8, 8]


def test_an_encoder_that_loses_a_row_fails_its_batch_and_blocks_no_request() -> None:
    def encode(pixels: Pixels) -> Float32s:
        return _mean(pixels)[:0]

    with Batcher(encode, batch_size=4) as batcher, pytest.raises(ModelError, match="0 rows for 1"):
        batcher.features(_square(1))


def _raising(pixels: Pixels) -> Float32s:
    if (pixels == 13).any():
        raise RuntimeError("thirteen")
    return _mean(pixels)


def _not_finite(pixels: Pixels) -> Float32s:
    means = _mean(pixels)
    means[means == 13] = np.nan
    return means


@pytest.mark.parametrize(
    ("encode", "error", "message"),
    [
        (_raising, EncoderFailed, "the encoder failed: thirteen"),
        (_not_finite, ModelError, "not finite"),
    ],
)
def test_an_image_that_fails_costs_no_other_image_its_answer(
    encode: Encode, error: type[Exception], message: str
) -> None:
    with Batcher(encode, batch_size=16) as batcher, ThreadPoolExecutor(16) as pool:
        futures = {i: pool.submit(batcher.features, _square(i)) for i in range(16)}
        with pytest.raises(error, match=message):
            futures.pop(13).result()
        assert all(float(future.result()[0, 0]) == i for i, future in futures.items())


def test_a_gpu_gets_larger_batches_than_a_cpu() -> None:
    stamp = StubEncoder().stamp
    assert best_batch(stamp) < best_batch(stamp.model_copy(update={"device": "cuda:1"}))


def test_closing_answers_all_that_wait_and_then_refuses_more() -> None:
    encode = _Recorder()
    batcher = Batcher(encode, batch_size=2)
    with ThreadPoolExecutor(10) as pool:
        futures = [pool.submit(batcher.features, _square(0))]
        encode.busy.wait()
        futures += [pool.submit(batcher.features, _square(i)) for i in range(1, 10)]
        until(lambda: batcher.waiting == 9)
        closing = pool.submit(batcher.close)
        encode.gate.set()
        closing.result()
        assert [float(future.result()[0, 0]) for future in futures] == [float(i) for i in range(10)]
    with pytest.raises(TransientError, match="stopping"):
        batcher.features(_square(1))

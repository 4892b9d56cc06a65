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


def _square(*numbers: int) -> Pixels:
    """Returns (v, 2, 2, 3) pixels: looks of one number each."""
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
        return [float(row[0]) for row in batcher.put(_square(*numbers), queue).result()]

    with Batcher(encode, batch_size=batch_size) as batcher, ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(ask, requests))
    assert answers == [[float(number) for number in numbers] for _, numbers in requests]


def test_an_interactive_image_goes_before_a_backlog_of_bulk() -> None:
    encode = _Recorder()
    served: list[int] = []

    def recording(pixels: Pixels) -> Float32s:
        served.extend(int(number) for number in pixels[:, 0, 0, 0])
        return encode(pixels)

    with Batcher(recording, batch_size=4) as batcher:
        batcher.put(_square(0), "bulk")
        encode.busy.wait()
        for i in range(1, 21):
            batcher.put(_square(i), "bulk")
        batcher.put(_square(99))
        encode.gate.set()
    assert served.index(99) == 1
    assert sorted(served) == [*range(21), 99]


def test_a_lone_image_goes_at_once_and_what_gathers_meanwhile_in_full_batches() -> None:
    encode = _Recorder()
    with Batcher(encode, batch_size=8) as batcher:
        futures = [batcher.put(_square(0))]
        encode.busy.wait()
        futures += [batcher.put(_square(i)) for i in range(1, 25)]
        assert batcher.waiting == 24
        encode.gate.set()
        assert [float(future.result()[0, 0]) for future in futures] == [float(i) for i in range(25)]
    assert encode.sizes == [1, 8, 8, 8]


def test_an_encoder_that_loses_a_row_fails_its_batch_and_blocks_no_request() -> None:
    def encode(pixels: Pixels) -> Float32s:
        return _mean(pixels)[:0]

    with Batcher(encode, batch_size=4) as batcher, pytest.raises(ModelError, match="0 rows for 1"):
        batcher.put(_square(1)).result()


def test_an_encoder_that_gives_no_rows_of_numbers_fails_and_blocks_no_request() -> None:
    with Batcher(lambda pixels: np.ones(len(pixels), np.float32), batch_size=4) as batcher:
        for _ in range(2):
            with pytest.raises(EncoderFailed):
                batcher.put(_square(1)).result()


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
    with Batcher(encode, batch_size=16) as batcher:
        futures = {i: batcher.put(_square(i)) for i in range(16)}
        with pytest.raises(error, match=message):
            futures.pop(13).result()
        assert all(float(future.result()[0, 0]) == i for i, future in futures.items())


@pytest.mark.parametrize("encode", [_raising, _not_finite])
def test_an_image_of_which_one_look_fails_has_failed_and_its_other_looks_cost_nothing(
    encode: Encode,
) -> None:
    started, gate, counts = threading.Event(), threading.Event(), []

    def waiting(pixels: Pixels) -> Float32s:
        started.set()
        gate.wait()
        counts.append(len(pixels))
        return encode(pixels)

    with Batcher(waiting, batch_size=2) as batcher:
        first = batcher.put(_square(7))
        started.wait()
        failing, other = batcher.put(_square(13, *range(50))), batcher.put(_square(5, 6))
        gate.set()
        assert failing.exception() is not None
        assert [float(row[0]) for row in other.result()] == [5, 6]
    assert [float(row[0]) for row in first.result()] == [7]
    assert sum(counts) <= 9


def test_an_interactive_image_goes_before_the_looks_of_a_large_one() -> None:
    encode = _Recorder()
    with Batcher(encode, batch_size=4) as batcher:
        large = batcher.put(_square(*range(200)), "bulk")
        encode.busy.wait()
        small = batcher.put(_square(201))
        small.add_done_callback(lambda _: after.append(large.done()))
        after: list[bool] = []
        encode.gate.set()
        assert [float(row[0]) for row in large.result()] == list(range(200))
    assert after == [False]
    assert encode.sizes == [4] * 50 + [1]


def test_what_waits_for_an_image_cannot_take_it_back_or_end_the_encoder() -> None:
    def fail(_: object) -> None:
        raise RuntimeError("a mistake of whoever waits")

    encode = _Recorder()
    with Batcher(encode, batch_size=4) as batcher:
        taken = batcher.put(_square(1))
        taken.add_done_callback(fail)
        assert not taken.cancel()
        encode.gate.set()
        assert float(taken.result()[0, 0]) == 1
        assert float(batcher.put(_square(2)).result()[0, 0]) == 2


def test_a_gpu_gets_larger_batches_than_a_cpu() -> None:
    stamp = StubEncoder().stamp
    assert best_batch(stamp) < best_batch(stamp.model_copy(update={"device": "cuda:1"}))


def test_closing_answers_all_that_wait_and_then_refuses_more() -> None:
    encode = _Recorder()
    batcher = Batcher(encode, batch_size=2)
    with ThreadPoolExecutor(1) as pool:
        futures = [batcher.put(_square(0))]
        encode.busy.wait()
        futures += [batcher.put(_square(i)) for i in range(1, 10)]
        closing = pool.submit(batcher.close)
        encode.gate.set()
        closing.result()
        assert [float(future.result()[0, 0]) for future in futures] == [float(i) for i in range(10)]
    with pytest.raises(TransientError, match="stopping"):
        batcher.put(_square(1))

"""Batches in chunks of fixed sizes, and what is done where memory does not suffice; on the CPU."""

from __future__ import annotations

import logging
import weakref
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np
import pytest
import torch

from moderation.encoders.batch_limit import BatchLimit
from moderation.encoders.encoder import Float32s
from moderation.encoders.transfer import SIZES, Chunk, Transfer, chunks_of
from moderation.errors import EncoderFailed
from moderation.images.looks import Pixels

SQUARE = (4, 6)


class Sums(torch.nn.Module):
    """A tower that sums colours, with memory for a number of images."""

    def __init__(self, memory: int = 1000) -> None:
        super().__init__()
        self.memory, self.message = memory, "CUDA out of memory. Tried to allocate 2.00 GiB.\nMore"
        self.sizes: list[int] = []

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(pixels))
        if len(pixels) > self.memory:
            raise torch.OutOfMemoryError(self.message)
        return pixels.float().sum(dim=(1, 2))


class Passage:
    """A tower behind a transfer and a limit, put together as on a GPU."""

    def __init__(self, tower: Sums, limit: int = 128) -> None:
        self.tower, self.released = tower, 0
        self._transfer = Transfer(torch.device("cpu"), limit, SQUARE)
        self.limit, self._lock = BatchLimit(limit, self._release), Lock()

    def _release(self) -> None:
        self.released += 1

    def _forward(self, size: int) -> torch.Tensor:
        rows: torch.Tensor = self.tower(self._transfer.pixels[:size])
        return rows

    def __call__(self, pixels: Pixels) -> Float32s:
        with self._lock, torch.inference_mode():
            return self.limit.within(
                lambda limit: self._transfer.features(pixels, limit, self._forward)
            )


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return np.random.default_rng(3).integers(0, 256, (300, *SQUARE, 3), dtype=np.uint8)


def _sums(pixels: Pixels) -> Float32s:
    sums: Float32s = pixels.sum(axis=(1, 2)).astype(np.float32)
    return sums


@pytest.mark.parametrize(
    ("images", "limit", "expected"),
    [
        (1, 128, [(0, 1, 1)]),
        (3, 128, [(0, 3, 4)]),
        (33, 128, [(0, 33, 48)]),
        (65, 128, [(0, 65, 96)]),
        (256, 128, [(0, 128, 128), (128, 128, 128)]),
        (259, 128, [(0, 128, 128), (128, 128, 128), (256, 3, 4)]),
        (40, 16, [(0, 16, 16), (16, 16, 16), (32, 8, 8)]),
        (3, 1, [(0, 1, 1), (1, 1, 1), (2, 1, 1)]),
    ],
)
def test_a_batch_is_cut_and_its_rest_padded_to_the_next_size(
    images: int, limit: int, expected: list[tuple[int, int, int]]
) -> None:
    assert chunks_of(images, limit) == [Chunk(*chunk) for chunk in expected]


def test_every_limit_that_halving_leads_to_is_a_size() -> None:
    assert {SIZES[-1] >> halvings for halvings in range(8)} <= set(SIZES)
    assert list(SIZES) == sorted(SIZES)


def test_buffers_made_in_inference_mode_are_as_good(pixels: Pixels) -> None:
    with torch.inference_mode():  # as a model is loaded on a GPU
        passage = Passage(Sums())
    assert np.array_equal(passage(pixels[:5]), _sums(pixels[:5]))


@pytest.mark.parametrize("limit", [128, 16, 1])
def test_every_number_of_images_has_its_rows(limit: int, pixels: Pixels) -> None:
    passage = Passage(Sums(), limit)
    for count in (1, 2, 3, 127, 128, 129, 300, 5):
        assert np.array_equal(passage(pixels[:count]), _sums(pixels[:count]))
    assert set(passage.tower.sizes) <= set(SIZES)


def test_pixels_that_are_not_contiguous_or_writable_are_read_alike(pixels: Pixels) -> None:
    mirrored = pixels[::2, :, ::-1]
    mirrored.flags.writeable = False
    assert np.array_equal(Passage(Sums())(mirrored), _sums(mirrored))


def test_rows_are_not_overwritten_by_the_next_batch(pixels: Pixels) -> None:
    passage = Passage(Sums())
    first = passage(pixels[:4])
    passage(pixels[4:8])
    assert np.array_equal(first, _sums(pixels[:4]))
    assert first.flags.owndata


def test_threads_that_ask_at_the_same_time_get_their_own_rows(pixels: Pixels) -> None:
    passage = Passage(Sums(), 8)
    parts = [pixels[i : i + 20] for i in range(0, 280, 5)]
    with ThreadPoolExecutor(8) as pool:
        for part, rows in zip(parts, pool.map(passage, parts), strict=True):
            assert np.array_equal(rows, _sums(part))


def test_a_batch_that_does_not_fit_goes_on_in_halves_and_the_limit_stays(
    pixels: Pixels, caplog: pytest.LogCaptureFixture
) -> None:
    passage = Passage(Sums())
    passage(pixels[:2])
    passage.tower.memory = 40  # another program takes the rest
    passage.tower.sizes.clear()
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(passage(pixels), _sums(pixels))
    assert passage.tower.sizes == [128, 64, *[32] * 9, 16]
    assert (passage.limit.images, passage.released) == (32, 2)
    assert caplog.messages == [
        "the device has no memory for 128 images at once (CUDA out of memory. Tried to allocate "
        "2.00 GiB); 32 fit, so the encoder goes on with these until it is started again"
    ]
    passage.tower.sizes.clear()
    passage(pixels[:64])
    assert passage.tower.sizes == [32, 32]


def test_memory_that_runs_out_after_some_chunks_gives_every_row_once(pixels: Pixels) -> None:
    passage = Passage(Sums())
    calls = iter(range(1000))

    def forward(size: int) -> torch.Tensor:
        passage.tower.memory = 64 if next(calls) >= 1 else 128
        return passage._forward(size)

    with torch.inference_mode():
        rows = passage.limit.within(
            lambda limit: passage._transfer.features(pixels, limit, forward)
        )
    assert np.array_equal(rows, _sums(pixels))
    assert passage.tower.sizes == [128, 128, 64, 64, 64, 64, 48]


def test_an_image_that_does_not_fit_alone_fails_with_what_to_do_and_the_next_may_fit(
    pixels: Pixels,
) -> None:
    passage = Passage(Sums(memory=0))
    with pytest.raises(EncoderFailed, match="no memory for a single image: CUDA out") as caught:
        passage(pixels[:5])
    assert "MODERATION_DEVICE=cpu" in caught.value.remedy
    passage.tower.memory = 1
    assert np.array_equal(passage(pixels[:5]), _sums(pixels[:5]))


class HeldMemory:
    """Something that an attempt holds, as it would hold memory of a device."""


def test_what_an_attempt_had_allocated_is_gone_when_memory_is_given_back() -> None:
    blocks: list[weakref.ref[HeldMemory]] = []
    alive: list[bool] = []

    def attempt(limit: int) -> int:
        block = HeldMemory()
        blocks.append(weakref.ref(block))
        if limit > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return limit

    assert BatchLimit(4, lambda: alive.append(blocks[-1]() is not None)).within(attempt) == 1
    assert alive == [False, False]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_libraries_below_torch_say_it_otherwise(error: RuntimeError) -> None:
    def attempt(limit: int) -> int:
        if limit > 2:
            raise error
        return limit

    assert BatchLimit(8, lambda: None).within(attempt) == 2


def test_an_error_on_the_way_out_does_not_hide_that_memory_ran_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def attempt(limit: int) -> int:
        try:
            if limit > 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
        finally:
            if limit > 2:  # as ending a recording does
                raise RuntimeError("operation failed due to a previous error during capture")
        return limit

    with caplog.at_level(logging.WARNING):
        assert BatchLimit(8, lambda: None).within(attempt) == 2
    assert "no memory for 8 images at once (CUDA out of memory); 2 fit" in caplog.text


def test_any_other_failure_is_passed_on_at_once() -> None:
    limit = BatchLimit(8, lambda: None)

    def attempt(limit: int) -> int:
        raise RuntimeError("device-side assert triggered")

    with pytest.raises(RuntimeError, match="device-side assert"):
        limit.within(attempt)
    assert limit.images == 8

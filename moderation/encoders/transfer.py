"""Pixels to a device and features back, so that copying and computing go on at the same time.

A batch goes as chunks. While the device computes a chunk, the host copies the next one into pinned
memory, and the device fetches it from there. For chunk k, in this order:

    host     pixels -> pinned[k % 2]      once chunk k - 2 has left it
    copies   pinned[k % 2] -> landing     once chunk k - 1 has left it
    compute  landing -> pixels, forward -> features of the host

A forward always reads `pixels`, since a CUDA graph needs a fixed address. That costs one copy
within the device, of 19 MB for 128 images of 224 x 224.

On the CPU the streams and events of `torch.cpu` do nothing, and everything runs in this order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from moderation.encoders.encoder import Float32s
from moderation.images.looks import Pixels

#: How many images a forward takes. A GPU that has 128 at once is busy, and a batch of 256 in two
#: halves copies one while it computes the other. 48 and 96 save padding where it costs most.
SIZES = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128)

Forward = Callable[[int], torch.Tensor]


class Chunk(NamedTuple):
    """A part of a batch: where it starts, its images, and the size of the forward that takes it."""

    start: int
    images: int
    size: int


def chunks_of(images: int, limit: int) -> list[Chunk]:
    """Returns how a batch is cut into chunks of up to `limit`, the last padded up to the next size.

    Args:
        images: in the batch.
        limit: one of `SIZES`.
    """
    starts = range(0, images, limit)
    counts = [min(limit, images - start) for start in starts]
    fitting = [next(size for size in SIZES if size >= count) for count in counts]
    return [Chunk(*found) for found in zip(starts, counts, fitting, strict=True)]


class Transfer:
    """The buffers between host and device; one thread at a time."""

    def __init__(self, device: torch.device, images: int, square: tuple[int, int]) -> None:
        """Takes the memory for chunks of up to `images` of (h, w)."""
        shape = (images, *square, 3)
        self._runtime = torch.get_device_module(device)
        self._is_pinned = device.type != "cpu"
        #: (n, h, w, 3) uint8 on the device, where each forward reads its first images.
        self.pixels = torch.zeros(shape, dtype=torch.uint8, device=device)
        self._landing = torch.empty_like(self.pixels)
        self._pinned = [self._host_memory(shape, torch.uint8) for _ in range(2)]
        self._features = self._host_memory((0, 0), torch.float32)
        #: Where forwards run, and are to be captured.
        self.compute = self._runtime.Stream()
        self._copies = self._runtime.Stream()
        self._sent = [self._event() for _ in range(2)]
        self._landed, self._done = self._event(), self._event()

    def features(self, batch: Pixels, limit: int, forward: Forward) -> Float32s:
        """Returns (n, d) features of (n, h, w, 3) pixels, in memory of their own.

        Args:
            batch: any array of that shape, contiguous or not.
            limit: the largest chunk, one of `SIZES`.
            forward: a size -> the (size, d) float32 features of the first of `pixels`.
        """
        for number, chunk in enumerate(chunks_of(len(batch), limit)):
            images = slice(chunk.start, chunk.start + chunk.images)
            self._send(batch[images], number % 2)
            with self._runtime.stream(self.compute):
                self.compute.wait_event(self._sent[number % 2])
                self.pixels[: chunk.images].copy_(self._landing[: chunk.images])
                self._landed.record(self.compute)
                rows = forward(chunk.size)[: chunk.images]
                self._room_for(len(batch), rows)[images].copy_(rows, non_blocking=True)
        self._done.record(self.compute)
        self._done.synchronize()
        return self._features[: len(batch)].numpy().copy()

    def _send(self, pixels: Pixels, slot: int) -> None:
        """Puts a chunk on its way to the device; returns when the host's part of that is done."""
        pinned, count = self._pinned[slot], len(pixels)
        self._sent[slot].synchronize()
        np.copyto(pinned.numpy()[:count], pixels)
        with self._runtime.stream(self._copies):
            self._copies.wait_event(self._landed)
            self._landing[:count].copy_(pinned[:count], non_blocking=True)
            self._sent[slot].record(self._copies)

    def _room_for(self, images: int, rows: torch.Tensor) -> torch.Tensor:
        """Returns the host's memory for the features of a batch; larger than before, if need be."""
        if len(self._features) < images or self._features.shape[1] != rows.shape[1]:
            self._features = self._host_memory((images, rows.shape[1]), torch.float32)
        return self._features

    def _host_memory(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, pin_memory=self._is_pinned)

    def _event(self) -> Any:
        # Who waits for a blocking event sleeps; otherwise a core would spin that decoders need.
        return self._runtime.Event(blocking=True) if self._is_pinned else self._runtime.Event()

"""An image tower on a CUDA device: in batches of fixed sizes, each recorded as a CUDA graph.

A forward of ViT-B/32 is some two hundred kernels, and to launch them one by one takes longer than a
GPU takes for a hundred images. A graph is launched as one. It needs a size and addresses that never
change; so a batch is cut into chunks and padded (`transfer.py`), and the sizes are recorded at the
start.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from typing import Any, NamedTuple

import numpy as np
import torch

from moderation.encoders.batch_limit import BatchLimit, out_of_memory
from moderation.encoders.compiled import compiled_by_torch
from moderation.encoders.encoder import Float32s
from moderation.encoders.hardware import Hardware
from moderation.encoders.image_tower import ImageTower
from moderation.encoders.options import ModelOptions
from moderation.encoders.transfer import SIZES, Transfer
from moderation.errors import EncoderFailed, ModelError
from moderation.images.looks import Pixels

#: Forwards before one is recorded, as torch's documentation has it: libraries set themselves up.
WARM_UPS = 3

log = logging.getLogger(__name__)


class _Recorded(NamedTuple):
    """A forward as a graph, and where its features lie after each replay."""

    graph: Any
    rows: torch.Tensor


class CudaTower:
    """What an image tower computes on a CUDA device: from (n, h, w, 3) pixels to (n, d) features.

    Everything is compiled, recorded and warm once it is made. Threads that call it take turns.
    """

    def __init__(
        self,
        tower: ImageTower,
        square: tuple[int, int],
        hardware: Hardware,
        options: ModelOptions,
    ) -> None:
        """Prepares all sizes that fit the device's memory.

        Args:
            tower: on the device.
            square: (h, w) of what it sees.
            hardware: says the device and the number format.
            options: say whether forwards are recorded, and whether the tower is compiled.

        Raises:
            ModelError: not even a single image fits, or the model does not run there.
        """
        self._device, self._square = hardware.device, square
        # Of a feature of unit length: what the number format rounds, twice, since both sides round;
        # in float32 what a sum in another order moves. Memory that is read wrongly moves far more.
        self._tolerance = max(1e-5, 2 * torch.finfo(hardware.dtype).eps)
        self._tower, self._wants_graphs = tower, options.graphs
        self._recorded: dict[int, _Recorded] = {}
        self._limit = BatchLimit(SIZES[-1], self._release)
        self._lock = threading.Lock()
        #: What a model's stamp says of it.
        self.runtime = "torch"
        start = time.perf_counter()
        try:
            with torch.cuda.device(self._device), torch.inference_mode():
                if not (options.compile and self._warmed_compiled()):
                    self._tower, self.runtime = tower, "torch"
                    self._warm()
        except EncoderFailed as error:
            raise ModelError(error.what, "encoder", error.remedy) from error
        except RuntimeError as error:
            raise ModelError(
                f"the model does not run: {_first_line(error)}",
                f"device {self._device}",
                "Set MODERATION_DEVICE=cpu",
            ) from error
        log.info(
            "image tower ready on %s in %.1f s: up to %s images at once, %s sizes as CUDA graphs",
            *(self._device, time.perf_counter() - start, self._limit.images, len(self._recorded)),
        )

    def __call__(self, pixels: Pixels) -> Float32s:
        """Returns (n, d) float32 features, of any length.

        Raises:
            EncoderFailed: not even a single image fits the device's memory.
        """
        with self._lock, torch.cuda.device(self._device), torch.inference_mode():
            return self._limit.within(
                lambda limit: self._transfer.features(pixels, limit, self._forward)
            )

    def _forward(self, size: int) -> torch.Tensor:
        """Returns the features of the first `size` pixels that were transferred."""
        if (recorded := self._recorded.get(size)) is None:
            rows: torch.Tensor = self._tower(self._transfer.pixels[:size])
            return rows
        recorded.graph.replay()
        return recorded.rows

    def _release(self) -> None:
        """Gives back the memory of what is gone; what failed can hold some in cycles."""
        gc.collect()
        torch.cuda.synchronize(self._device)
        torch.cuda.empty_cache()

    def _warm(self) -> None:
        """Prepares each size, and runs a whole batch: then the host's buffers are there too."""
        self._transfer = self._limit.within(self._prepare)
        self(np.zeros((2 * SIZES[-1], *self._square, 3), np.uint8))

    def _warmed_compiled(self) -> bool:
        """Whether the tower is compiled and warm; sizes compile one by one, and each may fail."""
        if not self._compile():
            return False
        self.runtime = "torch_compile"
        try:
            self._warm()
        except RuntimeError as error:
            log.warning("the image tower goes uncompiled, as torch fails: %s", _first_line(error))
            return False
        return True

    def _prepare(self, limit: int) -> Transfer:
        """Returns buffers for chunks of up to `limit` images; each size has then run on them."""
        transfer = Transfer(self._device, limit, self._square)
        # Weights and buffers must be there for every stream. And garbage that holds graphs or
        # events of the device would spoil a recording if it were collected in the middle of it.
        self._release()
        recorded: dict[int, _Recorded] = {}
        problems: dict[str, list[int]] = {}
        pool = torch.cuda.graph_pool_handle() if self._wants_graphs else None
        with torch.cuda.stream(transfer.compute):
            # From the largest: the smaller ones then find room in the memory of its graph.
            for size in [size for size in reversed(SIZES) if size <= limit]:
                pixels = transfer.pixels[:size].zero_()
                for _ in range(WARM_UPS):
                    self._tower(pixels)
                if pool is None:
                    continue
                if isinstance(found := self._record(pixels, pool, transfer.compute), str):
                    problems.setdefault(found, []).append(size)
                else:
                    recorded[size] = found
        for problem, sizes in problems.items():
            log.warning("no CUDA graph for batches of %s: %s", ", ".join(map(str, sizes)), problem)
        self._recorded = recorded
        self._release()
        return transfer

    def _record(self, pixels: torch.Tensor, pool: Any, stream: Any) -> _Recorded | str:
        """Returns the graph of a forward; or why not, if it cannot be had or computes otherwise."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=pool, stream=stream):
                rows = self._tower(pixels)
            graph.replay()
            of_black = rows.clone()
            pixels.random_(0, 256)  # nothing like the black that was recorded
            graph.replay()
            difference = _difference(rows, self._tower(pixels))
            is_stuck = torch.equal(rows, of_black)
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            return f"it cannot be recorded ({_first_line(error)})"
        if is_stuck:
            return "it computes what was recorded, whatever the pixels are"
        if difference <= self._tolerance:  # false where it is not a number
            return _Recorded(graph, rows)
        return f"features would differ by {difference:.2g}, more than {self._tolerance:.2g}"

    def _compile(self) -> bool:
        """Puts a compiled tower in place of the plain one, if it can be had and computes alike."""
        start = time.perf_counter()
        shape = (2, *self._square, 3)
        try:
            pixels = torch.randint(0, 256, shape, dtype=torch.uint8, device=self._device)
            twin = compiled_by_torch(self._tower)
            differences = [
                _difference(twin(batch), self._tower(batch)) for batch in (pixels, pixels[:1])
            ]
        except Exception as error:  # of torch's compiler, Triton or the C compiler that it calls
            log.warning("the image tower goes uncompiled, as torch fails: %s", _first_line(error))
            return False
        if not all(difference <= self._tolerance for difference in differences):
            log.warning(
                "the image tower goes uncompiled, since its features would differ by %s",
                differences,
            )
            return False
        log.info("torch compiled the image tower in %.1f s", time.perf_counter() - start)
        self._tower = twin
        return True


def _first_line(error: Exception) -> str:
    """Returns what an error says first; torch's go on with advice for its developers."""
    return str(error).partition("\n")[0]


def _difference(rows: torch.Tensor, others: torch.Tensor) -> float:
    """Returns the largest difference of an entry between features, scaled to unit length."""
    unit = torch.nn.functional.normalize
    return float((unit(rows) - unit(others)).abs().max())

"""How many images go through a device at once: half as many whenever its memory does not suffice.

Only a GPU needs it. On a CPU the kernel promises memory that it does not have and then ends the
process, so torch seldom gets to say that there is none, and batches are small.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from moderation.errors import EncoderFailed

T = TypeVar("T")

#: What libraries below torch say that ask the driver for memory themselves.
_SIGNS = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED")

log = logging.getLogger(__name__)


class BatchLimit:
    """The most images that a device is given at once; it only ever falls.

    What took the memory may be gone later, but the next batch must not fail to find that out.
    """

    def __init__(self, images: int, release: Callable[[], None]) -> None:
        """Begins with a limit, a power of two.

        Args:
            images: the first limit.
            release: gives back the memory that an attempt leaves behind.
        """
        self.images = images
        self._release = release

    def within(self, attempt: Callable[[int], T]) -> T:
        """Returns what `attempt` returns, called with the limit; again with half of it, if need be.

        Raises:
            EncoderFailed: not even a single image fits.
        """
        wanted = self.images
        while True:
            try:
                result = attempt(self.images)
            except RuntimeError as error:
                if not (said := out_of_memory(error)):
                    raise
            else:
                break
            # Not where the error is handled: its traceback holds what the attempt has allocated.
            self._release()
            self._halve(said)
        if self.images < wanted:
            log.warning(
                "the device has no memory for %s images at once (%s); %s fit, so the encoder goes "
                "on with these until it is started again",
                *(wanted, said, self.images),
            )
        return result

    def _halve(self, said: str) -> None:
        if self.images == 1:
            raise EncoderFailed(
                f"the device has no memory for a single image: {said}",
                "encoder",
                "Free memory on the device, take a smaller model, or set MODERATION_DEVICE=cpu",
            )
        self.images //= 2


def out_of_memory(error: BaseException | None) -> str:
    """Returns what was said of a device's memory that ran out; nothing if something else failed.

    An error on the way out can hide it.
    """
    while error is not None:
        said = str(error).partition("\n")[0].rstrip(".")
        if isinstance(error, torch.OutOfMemoryError):
            return said or "out of memory"
        if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS):
            return said
        error = error.__context__
    return ""

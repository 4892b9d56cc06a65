"""Decoding alone: what all cores decode if they do only that, each in a process of its own.

    python -m benchmarks.decoding_alone FILE...

It is one of these processes. It decodes every file once, writes a line, and waits for one: a number
of seconds. For about so long it decodes all files over and over, then writes how many a second.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from benchmarks import program
from moderation.encoders.cores import usable
from moderation.images.looks import DEFAULT_LOOKING
from moderation.images.pixels import Preprocessing, read_sights

SIDE = 224
#: CLIP's own.
PREPROCESSING = Preprocessing(
    resize=SIDE,
    crop=(SIDE, SIDE),
    resample="bicubic",
    scale=1 / 255,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
_MOST_PIXELS = 50_000_000


def decoding_alone(paths: Sequence[Path], seconds: float) -> float:
    """Returns images a second on all cores, of all files equally often."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    words = ("-m", "benchmarks.decoding_alone", *map(str, paths))
    with ExitStack() as stack:
        running = [stack.enter_context(program.child(*words, **pipes)) for _ in range(usable())]
        outputs = [stack.enter_context(_pipe(process.stdout)) for process in running]
        inputs = [stack.enter_context(_pipe(process.stdin)) for process in running]
        for output in outputs:
            output.readline()
        for each in inputs:
            each.write(f"{seconds}\n".encode())
            each.flush()
        return sum(float(output.readline()) for output in outputs)


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    assert end is not None
    return end


def main() -> None:
    """Decodes as it is told."""
    files = [Path(name).read_bytes() for name in sys.argv[1:]]

    def decode_all() -> None:
        for content in files:
            read_sights(content, [PREPROCESSING], DEFAULT_LOOKING, max_pixels=_MOST_PIXELS)

    decode_all()
    print("ready", flush=True)
    seconds, rounds = float(sys.stdin.readline()), 0
    start = time.monotonic()
    while time.monotonic() < start + seconds:
        decode_all()
        rounds += 1
    print(rounds * len(files) / (time.monotonic() - start), flush=True)


if __name__ == "__main__":
    main()

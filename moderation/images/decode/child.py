"""The process that decodes: `python -m moderation.images.decode.child N` answers on socket N.

It imports only Pillow and numpy, so it starts in a fifth of a second and stays small. What it
reads is untrusted, so what it says is taken as data: JSON and raw pixels, never pickle.

It says `READY` once. Then for each image it gets a number, a header and the file, and answers with
the same number, a header, and the pixels for each way to preprocess, followed by the rendition if
one is wanted. If the image is refused, its header holds the error.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import warnings
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from moderation.errors import ImageError
from moderation.images.confinement import confine, too_large_for_memory
from moderation.images.decode.channel import receive, send
from moderation.images.formats import load_format_plugins
from moderation.images.looks import Looking, Sight
from moderation.images.pixels import Preprocessing, read_sights
from moderation.images.rendition import RenditionForm
from moderation.images.views import Views

READY = "ready"


class DecodeLimits(NamedTuple):
    """What decoding one image may cost the child that decodes.

    Attributes:
        max_pixels: width times height, at most.
        frames: how many frames of an animation are looked at, at most.
        seconds: how long it may take before the process ends.
        memory: address space of the process, in bytes; an image that needs more is refused.
        views: how many parts of a picture are looked at.
    """

    max_pixels: int
    frames: int
    seconds: float
    memory: int = 2_000_000_000
    views: Views = 1

    @property
    def looking(self) -> Looking:
        """How much of a file is looked at."""
        return Looking(self.frames, self.views)


def pack_request(ways: tuple[Preprocessing, ...], form: RenditionForm | None = None) -> bytes:
    """Returns the header of a request to the child that decodes."""
    return json.dumps({"ways": [asdict(way) for way in ways], "rendition": form}).encode()


def serve(channel: socket.socket, limits: DecodeLimits) -> None:
    """Answers as the child that decodes, until the other side closes the socket."""
    send(channel, 0, READY.encode())
    with suppress(EOFError):
        while True:
            _serve_image(channel, limits)


def _serve_image(channel: socket.socket, limits: DecodeLimits) -> None:
    """Answers about one image, of which nothing is held when the next one comes."""
    number, request, body = receive(channel)
    # The alarm ends the process even while a C decoder hangs, and even if nobody is left to
    # kill it.
    signal.setitimer(signal.ITIMER_REAL, limits.seconds)
    header, sights = _read_in_child(json.loads(request), body.tobytes(), limits)
    signal.setitimer(signal.ITIMER_REAL, 0)
    pictures: list[Any] = [sight.squares for sight in sights]
    if sights and (rendition := sights[0].rendition):
        pictures.append(rendition.content)
    send(channel, number, json.dumps(header).encode(), b"".join(pictures))


def _read_in_child(
    request: dict[str, Any], content: bytes, limits: DecodeLimits
) -> tuple[dict[str, Any], list[Sight]]:
    # JSON makes lists of tuples, which serve as well here.
    ways = [Preprocessing(**way) for way in request["ways"]]
    try:
        form = RenditionForm(*request["rendition"]) if request["rendition"] else None
        sights = read_sights(content, ways, limits.looking, max_pixels=limits.max_pixels, form=form)
    except ImageError as error:
        return {"error": list(error.args)}, []
    except MemoryError:  # outside Pillow, such as when the pixels are put together
        return {"error": list(too_large_for_memory().args)}, []
    header = {
        "looks": [sight.looks for sight in sights],
        "is_exhaustive": all(sight.is_exhaustive for sight in sights),
        "oddities": sights[0].oddities if sights else (),
        "rendition": sights[0].rendition.size if sights and sights[0].rendition else None,
    }
    return header, sights


def main() -> None:
    """Serves the socket whose number is the first argument, within the limits that follow."""
    descriptor, max_pixels, frames, seconds, memory, views = sys.argv[1:]
    limits = DecodeLimits(
        *(int(max_pixels), int(frames), float(seconds), int(memory)),
        views="auto" if views == "auto" else int(views),
    )
    # Python would keep the text of each warning, and a file can choose what Pillow says.
    warnings.simplefilter("ignore")
    with suppress(OSError):  # not on Linux
        # Where memory runs out, the kernel ends this process, and not its owner.
        Path("/proc/self/oom_score_adj").write_text("1000")
    load_format_plugins()
    with socket.socket(fileno=int(descriptor)) as channel:
        confine(limits.memory)
        with suppress(ConnectionError):  # its owner is gone
            serve(channel, limits)


if __name__ == "__main__":
    main()

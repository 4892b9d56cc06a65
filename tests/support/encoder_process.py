"""An encoder process with a tiny encoder, which black pixels end; run as a program, it is that."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

from moderation.encoders.encoder import Float32s
from moderation.images.looks import Pixels
from moderation.worker.processes.encoder_server import serve_encoders
from tests.support.stub_encoder import StubEncoder


class Deadly(StubEncoder):
    """An encoder that a black image ends, with its process."""

    def image_features(self, pixels: Pixels) -> Float32s:
        if any(not square.any() for square in pixels):
            os._exit(9)
        return super().image_features(pixels)


class EncoderProcesses:
    """A context manager; inside it, whenever an encoder process ends, another is started."""

    def __init__(self, folder: Path, *, scale: float = 10.0) -> None:
        """Prepares the first.

        Args:
            folder: of the socket.
            scale: the logit scale of the model; may be changed for the next process.
        """
        self.address, self.scale = folder / "encoders", scale
        self.started = 0
        self._ended = False

    def __enter__(self) -> Self:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.address))
        self._listening.listen()
        self._process = self._next()
        self._watch = threading.Thread(target=self._run)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self.end()
        self._watch.join()
        self._listening.close()

    def stop(self) -> None:
        """Makes the process that runs hang."""
        self._process.send_signal(signal.SIGSTOP)

    def end(self) -> None:
        """Returns once the process that runs has been killed."""
        process = self._process
        process.kill()
        process.wait()

    def _next(self) -> subprocess.Popen[bytes]:
        number = self._listening.fileno()
        self.started += 1
        command = [sys.executable, "-m", __name__, str(number), str(self.scale)]
        return subprocess.Popen(command, pass_fds=[number])

    def _run(self) -> None:
        while True:
            self._process.wait()
            if self._ended:
                return
            self._process = self._next()


if __name__ == "__main__":
    at = socket.socket(fileno=int(sys.argv[1]))
    with serve_encoders(at, {"stub": Deadly(float(sys.argv[2]))}):
        threading.Event().wait()

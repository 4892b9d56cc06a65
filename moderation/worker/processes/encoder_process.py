"""The encoder process: loads the models, and encodes for all lines of a worker."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time

from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.worker.metrics import Metrics
from moderation.worker.processes.encoder_server import serve_encoders
from moderation.worker.processes.orders import EncoderOrder, report_ready, watch

#: How long it may take to end, in seconds.
_END_SECONDS = 10.0


def run_encoder_process(order: EncoderOrder, channel: socket.socket) -> int:
    """Encodes until the last line is gone, and the supervisor; returns the exit code.

    It ignores signals: lines that were told to stop need it for what they have in hand.
    """
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    serving, over = threading.Event(), threading.Event()

    def end() -> None:
        if serving.is_set():
            over.set()
            time.sleep(_END_SECONDS)
        os._exit(0)  # it is still loading, or does not come to its end

    watch("lines", lambda: os.read(order.lines, 1), end)
    options, metrics = ModelOptions.of(order.settings), Metrics()
    encoders = {reference: load_encoder(reference, options) for reference in order.models}
    stamps = [encoder.stamp for encoder in encoders.values()]
    metrics.serves({}, stamps)
    with socket.socket(fileno=order.listening) as listening:
        size = order.settings.batch_size
        with serve_encoders(listening, encoders, batch_size=size, observe=metrics.batch):
            serving.set()
            report_ready(channel, "; ".join(stamp.described for stamp in stamps))
            over.wait()
    if _is_orphan(channel):
        shutil.rmtree(order.address.parent, ignore_errors=True)
    return 0


def _is_orphan(channel: socket.socket) -> bool:
    """Whether the supervisor is gone, so that this process is the last one of the worker."""
    channel.settimeout(0)
    try:
        return channel.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:  # killed before it had read a report
        return True

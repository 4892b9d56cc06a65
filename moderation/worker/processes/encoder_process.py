"""The encoder process: loads the models, and encodes for all lines of a worker."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Sequence

from moderation.encoders.classifiers.loading import load_classifiers
from moderation.encoders.encoder import ImageModel
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.messages import ModelStamp
from moderation.policy import parse_policy
from moderation.worker.metrics import Metrics
from moderation.worker.processes.encoder_server import serve_encoders
from moderation.worker.processes.orders import EncoderOrder, report_ready, watch

log = logging.getLogger(__name__)

#: Exit code of a process whose GPU failed.
_DEVICE_LOST = 70
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
    settings = order.settings
    options, metrics = ModelOptions.of(settings), Metrics()
    # First, since they are soon loaded, and more is said of what is wrong with them.
    policies = [parse_policy(file.text.encode(), file.path) for file in order.policies]
    classifiers = load_classifiers(policies, settings.classifiers, settings.threads)
    encoders = {reference: load_encoder(reference, options) for reference in order.models}
    models: list[ImageModel] = [*encoders.values(), *classifiers.values()]
    stamps = [model.stamp for model in models]
    metrics.serves({}, stamps)
    with (
        socket.socket(fileno=order.listening) as listening,
        serve_encoders(
            listening,
            encoders,
            classifiers=classifiers,
            batch_size=settings.batch_size,
            observe=metrics.batch,
            on_failure=lambda: _end_without_device(stamps),
        ),
    ):
        serving.set()
        report_ready(channel, "; ".join(stamp.described for stamp in stamps))
        over.wait()
    if _is_orphan(channel):
        shutil.rmtree(order.address.parent, ignore_errors=True)
    return 0


def _end_without_device(stamps: Sequence[ModelStamp]) -> None:
    """Ends this process if a GPU of it failed in earnest: the next process may have it again."""
    from moderation.encoders.hardware import still_computes

    for device in {stamp.device for stamp in stamps}:
        if device.startswith("cuda") and not still_computes(device):
            log.error("%s does not compute any more in this process, which ends", device)
            logging.shutdown()
            os._exit(_DEVICE_LOST)


def _is_orphan(channel: socket.socket) -> bool:
    """Whether the supervisor is gone, so that this process is the last one of the worker."""
    channel.settimeout(0)
    try:
        return channel.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:  # killed before it had read a report
        return True

"""`python -m moderation.worker.processes.member N`: a process of the supervisor that owns socket N.

It learns there what it is: the encoder process or one of the lines.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from prometheus_client import values

from moderation.encoders.encoder import Encoder
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.encoders.remote import RemoteEncoder
from moderation.images.rendition import RenditionForm
from moderation.images.rendition_folder import open_renditions
from moderation.scoring.pipeline_loading import load_pipeline
from moderation.worker.assembly import run_worker
from moderation.worker.celery_worker import is_stopping
from moderation.worker.log_lines import configure_logging
from moderation.worker.metrics import Metrics
from moderation.worker.processes.encoder_server import serve_encoders
from moderation.worker.processes.orders import (
    EncoderOrder,
    LineOrder,
    receive_order,
    report_failure,
    report_ready,
)

log = logging.getLogger(__name__)

#: Exit codes of a process that failed, and reports it, and of one that is to end at once.
_FAILED, _INTERRUPTED = 1, 130
#: How long the encoder process may take to end, in seconds.
_END_SECONDS = 10.0


def main() -> None:
    """Receives the order, and does as it says."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    try:
        order = receive_order(channel)
    except EOFError:
        sys.exit(0)
    multiprocessing.current_process().name = order.name  # as lines of the log show it
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        _count_as(order.number)
    configure_logging(order.settings)
    try:
        code = (
            _run_line(order, channel)
            if isinstance(order, LineOrder)
            else _run_encoder(order, channel)
        )
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except Exception as error:
        report_failure(channel, error)
        code = _FAILED
    sys.exit(code)


def _count_as(number: int) -> None:
    """Makes this process go on with the metrics of the one before it that had this number."""
    values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]


def _run_line(order: LineOrder, channel: socket.socket) -> int:
    """Serves the queues until the supervisor says so or is gone; returns the exit code."""
    _watch("lifeline", lambda: channel.recv(1), _stop_line)
    settings = order.settings
    renditions = open_renditions(settings)
    metrics = Metrics()
    with ExitStack() as stack:

        def connect(reference: str) -> Encoder:
            encoder = RemoteEncoder(order.address, reference, on_change=_leave_old_model)
            stack.callback(encoder.close)
            return encoder

        pipeline = load_pipeline(
            settings,
            order.policies,
            override_model=order.override_model,
            on_decoder_end=metrics.decoder_restarted,
            form=RenditionForm.of(settings) if renditions else None,
            load=connect,
        )
        return run_worker(
            settings,
            pipeline,
            metrics,
            queues=order.queues,
            name=order.name,
            renditions=renditions,
            on_ready=lambda: report_ready(channel),
        )


def _stop_line() -> None:
    """Ends this line as SIGTERM does; one that has taken nothing yet ends at once."""
    os.kill(os.getpid(), signal.SIGTERM)


def _leave_old_model() -> None:
    if not is_stopping():
        log.warning("the encoder process has another model now; this line begins again with it")
        _stop_line()


def _run_encoder(order: EncoderOrder, channel: socket.socket) -> int:
    """Encodes for the lines until the last one is gone, and the supervisor; returns the exit code.

    It ignores signals: lines that were told to stop need it for what they have in hand.
    """
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    over = threading.Event()
    serving = threading.Event()

    def end() -> None:
        if serving.is_set():
            over.set()
            time.sleep(_END_SECONDS)
        os._exit(0)  # it is still loading, or does not come to its end

    _watch("lines", lambda: os.read(order.lines, 1), end)
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


def _watch(name: str, wait: Callable[[], object], then: Callable[[], None]) -> None:
    """Calls `then` in a thread of its own once `wait` has returned."""

    def watch() -> None:
        wait()
        then()

    threading.Thread(target=watch, name=name, daemon=True).start()


if __name__ == "__main__":
    main()

"""A line process: a whole worker, only that another process has the model."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TypeVar

from moderation.encoders.classifiers.loading import named_classifiers
from moderation.encoders.remote import RemoteEncoder, RemoteModel
from moderation.images.rendition import RenditionForm
from moderation.images.rendition_folder import open_renditions
from moderation.policy import parse_policy
from moderation.scoring.pipeline_loading import load_pipeline
from moderation.worker.assembly import run_worker
from moderation.worker.celery_worker import is_stopping
from moderation.worker.metrics import Metrics
from moderation.worker.processes.orders import LineOrder, report_hang, report_ready, watch

#: How long the encoder process may take for a batch, in seconds: longer than any takes.
ANSWER_SECONDS = 300.0

log = logging.getLogger(__name__)

_Remote = TypeVar("_Remote", bound=RemoteModel)


def run_line_process(order: LineOrder, channel: socket.socket) -> int:
    """Serves the queues until the supervisor says so or is gone; returns the exit code."""
    watch("lifeline", lambda: channel.recv(1), _stop_line)
    settings = order.settings
    # As the command that starts a worker does; it sets how long prompts may be.
    model = order.override_model or settings.model
    policies = [parse_policy(file.text.encode(), file.path, model=model) for file in order.policies]
    renditions = open_renditions(settings)
    metrics = Metrics()
    with ExitStack() as stack:

        def connect(kind: Callable[..., _Remote], reference: str) -> _Remote:
            model = kind(
                order.address,
                reference,
                on_change=_leave_old_model,
                on_hang=lambda: report_hang(channel, ANSWER_SECONDS),
                longest_seconds=ANSWER_SECONDS,
            )
            stack.callback(model.close)
            return model

        pipeline = load_pipeline(
            settings,
            {policy.id: policy for policy in policies},
            override_model=order.override_model,
            on_decoder_end=metrics.decoder_restarted,
            form=RenditionForm.of(settings) if renditions else None,
            load=partial(connect, RemoteEncoder),
            classifiers={key: connect(RemoteModel, key) for key in named_classifiers(policies)},
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

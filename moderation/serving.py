"""Runs Celery's worker until it is told to stop, and anew where Redis was lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from celery import Celery
from celery.worker import state

from moderation.broker import QUEUES, node_name
from moderation.fetch import Fetcher
from moderation.pipeline import Pipeline
from moderation.settings import Settings
from moderation.worker import create_worker_app

log = logging.getLogger(__name__)

#: Pause before Celery's worker is started anew.
_RESTART_SECONDS = 2.0


def run_worker(settings: Settings, pipeline: Pipeline, *, queues: Iterable[str], name: str) -> int:
    """Serves the queues until told to stop; returns the exit code.

    SIGTERM and the first Ctrl-C let it answer what it has in hand; requests that it has not taken
    stay in the queue. What a killed worker had goes to another after the visibility timeout.
    """
    # httpx logs whole URLs, and theirs may carry passwords and signatures.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with pipeline, Fetcher(settings) as fetcher:
        app = create_worker_app(settings, pipeline, fetcher)
        return _serve(app, settings, [QUEUES[name] for name in queues], node_name(name))


def _serve(app: Celery, settings: Settings, queues: list[str], hostname: str) -> int:
    """Runs Celery's worker until it is told to stop; returns the exit code.

    A Redis that restarts or fills up ends Celery's worker. The model stays loaded, and a new one
    takes over: what the old one had in hand comes back after the visibility timeout.
    """
    while True:
        state.reset_state()
        worker = app.Worker(
            pool_cls="threads",
            concurrency=settings.concurrency,
            queues=queues,
            loglevel=settings.log_level.upper(),
            # Workers do not need to know each other; on Redis that talk costs more than it gives.
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=True,
            hostname=hostname,
            quiet=True,
        )
        worker.start()
        if state.should_terminate is not None:
            return int(worker.exitcode or 0)
        if state.should_stop is not None:  # told to stop, and all in hand is answered
            return 0
        log.error("the worker lost Redis; it starts anew in %s s", _RESTART_SECONDS)
        time.sleep(_RESTART_SECONDS)

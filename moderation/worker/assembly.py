"""Puts a worker together: model, decision log, queues and what runs beside them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial

from moderation.decision_log.ledger import count_open
from moderation.decision_log.log import open_log
from moderation.images.fetch.fetcher import Fetcher
from moderation.images.rendition_folder import RenditionFolder
from moderation.messages import QUEUES, QueueName
from moderation.queue.celery_app import connect, node_name
from moderation.queue.recovery import Recovery
from moderation.queue.registry import Registry
from moderation.scoring.pipeline import Pipeline
from moderation.settings import Settings
from moderation.worker.answering import Answerer
from moderation.worker.callbacks.dispatcher import make_dispatcher
from moderation.worker.callbacks.receivers import receiver_host
from moderation.worker.celery_worker import is_stopping, run_celery_worker
from moderation.worker.metrics import Metrics
from moderation.worker.metrics_server import serve_metrics
from moderation.worker.periodic_threads import PeriodicThread, periodic_purge
from moderation.worker.quarantine import quarantine_poison
from moderation.worker.tasks import create_app_with_tasks


def run_worker(
    settings: Settings,
    pipeline: Pipeline,
    metrics: Metrics,
    *,
    queues: Iterable[QueueName],
    name: str,
    renditions: RenditionFolder | None = None,
) -> int:
    """Assembles a worker, and serves the queues until told to stop; returns the exit code.

    SIGTERM, SIGHUP and the first Ctrl-C let it answer what it has in hand; requests that it has not
    taken stay in the queue. What a killed worker had goes to another after the visibility timeout.

    Raises:
        SettingsError, LogError, LogUnavailable: the decision log cannot be opened.
    """
    with ExitStack() as stack:
        stack.enter_context(pipeline)
        decisions = stack.enter_context(open_log(settings))
        fetcher = stack.enter_context(Fetcher(settings))
        connection = stack.enter_context(connect(settings))
        hosts = {receiver_host(url) for url in settings.callback_urls}
        metrics.serves(pipeline.policies, pipeline.stamps, sorted(hosts))
        registry, worker = Registry(connection), secrets.token_hex(8)
        answerer = Answerer(
            settings,
            pipeline,
            fetcher,
            decisions,
            registry,
            metrics,
            worker=worker,
            stopping=is_stopping,
            renditions=renditions,
        )
        app = create_app_with_tasks(settings, pipeline, fetcher, answerer, metrics)
        stack.enter_context(
            serve_metrics(metrics, settings, lambda: count_open(decisions.database))
        )
        stack.enter_context(make_dispatcher(settings, decisions.database, metrics.webhooks))
        recovery = Recovery(connection, settings, worker=worker)
        look, pause = recovery.beat_and_recover, lambda: recovery.pause
        stack.enter_context(PeriodicThread("recovery", look, pause, at_once=True))
        stack.enter_context(periodic_purge(decisions.database, settings.retention_days))
        names = [QUEUES[queue] for queue in queues]
        poison = partial(quarantine_poison, decisions, registry, app)
        leave = partial(registry.retire, worker)
        return run_celery_worker(app, settings, names, node_name(name), poison, leave)

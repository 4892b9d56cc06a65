"""Puts a worker together: model, decision log, queues and what runs beside them."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing, suppress

import redis

from moderation.decision_log.ledger import count_open
from moderation.decision_log.log import open_log
from moderation.images.fetch.fetcher import Fetcher
from moderation.images.rendition_folder import RenditionFolder
from moderation.messages import QueueName
from moderation.queue.celery_app import connect, create_app, node_name
from moderation.queue.former_keys import FormerKeys
from moderation.queue.hand import Hand
from moderation.queue.kept_requests import KeptRequests
from moderation.scoring.pipeline import Pipeline
from moderation.settings import Settings
from moderation.worker.answering import Answerer
from moderation.worker.callbacks.dispatcher import make_dispatcher
from moderation.worker.callbacks.receivers import receiver_host
from moderation.worker.celery_worker import is_stopping, obey_signals, run_celery_worker
from moderation.worker.line import Line
from moderation.worker.metrics import Metrics
from moderation.worker.metrics_server import serve_metrics
from moderation.worker.periodic_threads import PeriodicThread, periodic_purge
from moderation.worker.results import TaskResults

log = logging.getLogger(__name__)


def run_worker(
    settings: Settings,
    pipeline: Pipeline,
    metrics: Metrics,
    *,
    queues: Iterable[QueueName],
    name: str,
    renditions: RenditionFolder | None = None,
    on_ready: Callable[[], None] | None = None,
) -> int:
    """Assembles a worker, and serves the queues until told to stop; returns the exit code.

    SIGTERM, SIGHUP and the first Ctrl-C let it answer what it has in hand; requests that it has not
    taken stay in the queue. What a killed worker had goes to another after the visibility timeout.

    Args:
        settings: of this process.
        pipeline: decides; closed at the end.
        metrics: of this process.
        queues: what it serves.
        name: of this process, in Celery and Redis.
        renditions: where they are written; None if they are not.
        on_ready: called once it takes requests. Whoever asks for that also says when it stops.

    Raises:
        SettingsError, LogError, LogUnavailable: the decision log cannot be opened.
    """
    with ExitStack() as stack:
        stack.enter_context(pipeline)
        for text in pipeline.unfitted:
            log.warning("%s", text)
        decisions = stack.enter_context(open_log(settings))
        fetcher = stack.enter_context(Fetcher(settings))
        connection = stack.enter_context(connect(settings))
        app = create_app(settings)
        hosts = {receiver_host(url) for url in settings.callback_urls}
        metrics.serves(pipeline.policies, pipeline.stamps, sorted(hosts))
        answerer = Answerer(
            settings,
            pipeline,
            fetcher,
            decisions,
            KeptRequests(connection),
            metrics,
            stopping=is_stopping,
            renditions=renditions,
        )
        # Whoever looks into Redis sees who has what in hand.
        name_in_redis = f"{name.replace(':', '-')}-{secrets.token_hex(8)}"
        hand = stack.enter_context(
            closing(Hand(connection, settings, worker=name_in_redis, queues=list(queues)))
        )
        stack.enter_context(
            serve_metrics(metrics.registry, settings, lambda: count_open(decisions.database))
        )
        stack.enter_context(make_dispatcher(settings, decisions.database, metrics.webhooks))
        stack.enter_context(_signs_of_life(hand))
        # In a thread of its own, since another app's notes may be many.
        former = FormerKeys(connection, settings).take_over
        stack.enter_context(PeriodicThread("former", former, lambda: hand.pause, at_once=True))
        stack.enter_context(periodic_purge(decisions.database, settings.retention_days))
        obey_signals(says=on_ready is None)
        line = stack.enter_context(Line(settings, answerer, TaskResults(app), hand, metrics))
        if on_ready is not None:
            on_ready()
        return run_celery_worker(app, settings, node_name(name), line)


def _signs_of_life(hand: Hand) -> PeriodicThread:
    """Returns the thread in which a worker says that it lives, and puts back what others left."""

    def beat_and_sweep() -> None:
        hand.beat()
        hand.sweep()

    with suppress(redis.RedisError):  # before it takes anything; the thread tries again
        hand.beat()
    return PeriodicThread("beat", beat_and_sweep, lambda: hand.pause, at_once=True)

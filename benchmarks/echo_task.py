"""A plain Celery task that returns what it is given, as users write it: what Celery itself costs.

    python -m benchmarks.echo_task BROKER_URL

32 threads, results kept, everything else as Celery has it.
"""

from __future__ import annotations

import sys

from celery import Celery

ECHO, ECHO_TASK, ECHO_QUEUE = "echo", "benchmark.echo", "benchmark-echo"
_THREADS = 32


def create_echo_app(broker_url: str) -> Celery:
    """Returns the Celery app of a worker and of its host."""
    # See `rivals`: only how a host waits is ours.
    backend = f"moderation.queue.celery_app:PolledRedisBackend+{broker_url}"
    app = Celery(ECHO, broker=broker_url, backend=backend, set_as_current=False)
    app.conf.update(
        task_default_queue=ECHO_QUEUE,
        result_expires=600,
        broker_connection_retry_on_startup=True,
    )
    app.task(_echo, name=ECHO_TASK, shared=False)
    return app


def _echo(path: str) -> dict[str, float]:
    return {path: 1.0}


if __name__ == "__main__":
    options = ["--pool=threads", f"--concurrency={_THREADS}", "--loglevel=WARNING"]
    create_echo_app(sys.argv[1]).worker_main(["worker", *options, "--hostname=echo@%h"])

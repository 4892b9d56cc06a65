"""A Celery app of somebody else, with all that Celery does by itself; as a program, its worker."""

from __future__ import annotations

import subprocess
import sys

from celery import Celery


def create_plain_app(url: str) -> Celery:
    """Returns the app on a Redis."""
    app = Celery("reminders", broker=url, backend=url, set_as_current=False)
    app.conf.broker_connection_retry_on_startup = True
    app.task(_remind, name="remind", shared=False)
    return app


def start_plain_worker(url: str) -> subprocess.Popen[bytes]:
    """Returns a worker of the app, as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.plain_celery", url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _remind(of: str) -> str:
    return of


if __name__ == "__main__":
    create_plain_app(sys.argv[1]).worker_main(
        ["worker", "--pool", "threads", "--concurrency", "1", "--hostname", "plain@%h"]
    )

"""The Celery app that host and worker share: queues, serialisers, results. No torch.

The settings avoid known traps of Celery on Redis; docs/architecture.md names each with its source.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from celery import Celery
from celery.backends.redis import RedisBackend
from kombu import Queue
from kombu.exceptions import OperationalError
from pydantic import SecretStr

from moderation.errors import BrokerUnavailable, SettingsError
from moderation.messages import QUEUES
from moderation.settings import Settings

#: The name of the channel of commands to workers, so that those to other apps do not reach ours.
CONTROL = "evenhand"

_CONNECT_SECONDS = 3.0
_ANSWER_SECONDS = 10.0


class PolledRedisBackend(RedisBackend):  # type: ignore[misc]
    """Keeps results in Redis, and does not subscribe to each on sending.

    `collect` polls. With a subscription for each request, they would pile up in a web app that
    never collects, and the one connection that they share is not safe between threads.
    """

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Does nothing on sending."""


def create_app(settings: Settings) -> Celery:
    """Returns the Celery app of a host or worker; never the current app of its process."""
    app = Celery("moderation", set_as_current=False)
    results = settings.result_backend_url.get_secret_value()
    app.conf.update(
        broker_url=settings.broker_url.get_secret_value(),
        # By name, so that kombu's Redis is imported only when somebody connects.
        broker_transport="moderation.queue.control_transport:ControlTransport",
        broker_use_ssl=_broker_tls(settings, settings.broker_url) or None,
        result_backend=f"{__name__}:{PolledRedisBackend.__name__}+{results}",
        redis_backend_use_ssl=_broker_tls(settings, settings.result_backend_url) or None,
        # JSON only: a message can never run code.
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        task_queues=[Queue(name) for name in QUEUES.values()],
        task_default_queue=QUEUES["interactive"],
        task_create_missing_queues=False,
        result_expires=settings.result_expires_seconds,
        worker_send_task_events=False,
        control_exchange=CONTROL,
        worker_hijack_root_logger=True,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=_CONNECT_SECONDS,
        broker_transport_options={
            "socket_connect_timeout": _CONNECT_SECONDS,
            "socket_timeout": _ANSWER_SECONDS,
        },
        redis_socket_connect_timeout=_CONNECT_SECONDS,
        redis_socket_timeout=_ANSWER_SECONDS,
    )
    return app


def _broker_tls(settings: Settings, url: SecretStr) -> dict[str, Any]:
    """Returns how the Celery app, kombu and redis check the server of a rediss:// URL.

    All three get it, since what they check by default ranges from everything to nothing.
    """
    if not url.get_secret_value().startswith("rediss://"):
        return {}
    files = {
        "ssl_ca_certs": settings.redis_ca_file,
        "ssl_certfile": settings.redis_cert_file,
        "ssl_keyfile": settings.redis_key_file,
    }
    given = {name: str(path) for name, path in files.items() if path is not None}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True, **given}


@contextmanager
def broker_errors(settings: Settings) -> Iterator[None]:
    """Maps what Celery, kombu and redis raise inside the block to our own errors.

    Raises:
        SettingsError: Redis refuses the password. BrokerUnavailable: it does not answer.
    """
    where = shown_url(settings)
    try:
        yield
    except (OperationalError, redis.RedisError) as error:
        # kombu wraps what redis raised; only the cause distinguishes a wrong password.
        if isinstance(error.__cause__ or error, redis.AuthenticationError):
            remedy = "Put user and password into MODERATION_BROKER_URL"
            raise SettingsError(f"Redis refuses to let us in ({error})", where, remedy) from error
        if isinstance(error.__cause__ or error, redis.ResponseError):
            remedy = "Look at its memory and its log: `moderation doctor`"
            raise BrokerUnavailable(f"Redis refuses ({error})", where, remedy) from error
        remedy = "Start it, or set MODERATION_BROKER_URL to where it is"
        raise BrokerUnavailable(f"Redis does not answer ({error})", where, remedy) from error


def shown_url(settings: Settings) -> str:
    """Returns the URL of the Celery app's broker without user and password."""
    scheme, _, rest = settings.broker_url.get_secret_value().partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def node_name(name: str) -> str:
    """Returns the Celery app's name for the worker of that name on this machine."""
    return f"{name}@{socket.gethostname()}"


def connect(settings: Settings, **options: Any) -> redis.Redis:
    """Returns a connection to the Redis that is the broker of the Celery app."""
    return _connect_to(settings, settings.broker_url, "MODERATION_BROKER_URL", options)


def connect_results(settings: Settings) -> redis.Redis | None:
    """Returns a connection to the Redis of the results; None if the Celery app has one for both."""
    url = settings.result_url
    if url is None or url == settings.broker_url:
        return None
    return _connect_to(settings, url, "MODERATION_RESULT_URL", {})


def _connect_to(
    settings: Settings, url: SecretStr, name: str, options: dict[str, Any]
) -> redis.Redis:
    try:
        return redis.Redis.from_url(
            url.get_secret_value(),
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_ANSWER_SECONDS,
            **_broker_tls(settings, url),
            **options,
        )
    except ValueError as error:
        raise SettingsError(str(error), name, "Write redis://host:6379/0") from error


def ping(settings: Settings) -> None:
    """Raises BrokerUnavailable or SettingsError unless the broker of the Celery app answers."""
    with broker_errors(settings):
        connect(settings).ping()

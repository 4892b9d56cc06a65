"""What `moderation doctor` finds out about a Redis: who gets in, what it loses, how it is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import redis

from moderation.commands.doctor.check import Check, failure
from moderation.errors import ModerationError
from moderation.listen_address import is_loopback
from moderation.queue.celery_app import broker_errors, connect, create_app, shown_url
from moderation.queue.depth import look
from moderation.settings import Settings

#: How far the clock of Redis may be from ours, in seconds.
_CLOCK_SECONDS = 2.0

#: What to do about what this user may not ask.
_ASK = "Ask who runs it what docs/operations.md says of Redis: neither INFO nor CONFIG is allowed"


def check_redis(name: str, settings: Settings) -> Iterator[Check]:
    """Yields what is found of the server, and what hangs on it only if it answers.

    Each check stands alone: what one cannot see, or trips over, costs no other.
    """
    with broker_errors(settings), connect(settings) as connection:
        connection.ping()
        yield Check(name, "ok", f"{shown_url(settings)}, {_server(connection)}")
        for part, check in _PARTS.items():
            try:
                with broker_errors(settings):
                    yield from check(part, connection, settings)
            except ModerationError as error:
                yield failure(part, error)


def _server(connection: redis.Redis) -> str:
    """Returns which server it is: Valkey tells the version of the Redis that it is like, too."""
    told = _told(connection, "server")
    if "valkey_version" in told:
        return f"Valkey {told['valkey_version']}"
    return f"Redis {told.get('redis_version', 'of unknown version')}"


def _access(name: str, connection: redis.Redis, settings: Settings) -> Iterator[Check]:
    """Tries the door without a key, and looks whose door it is."""
    if not _lets_strangers_in(connection):
        yield Check(name, "ok", "it asks for a password")
        return
    remedy = "Set requirepass or ACLs: who can write here decides what workers do"
    if not is_loopback(_host(settings.broker_url.get_secret_value())):
        yield Check(name, "warn", "it lets everybody in who reaches it: no password", remedy)
        return
    bound = _configured(connection, "bind")
    protected = _configured(connection, "protected-mode")
    inside = bound and all(is_loopback(address.lstrip("-")) for address in bound.split())
    if bound is None or protected is None:
        found = "it asks for no password; unknown whether other machines reach it"
        yield Check(name, "warn", found, remedy)
    elif inside or protected == "yes":
        yield Check(name, "ok", "no password, and it answers this machine alone")
    else:
        yield Check(name, "warn", "it lets everybody in: no password, and not protected", remedy)


def _lets_strangers_in(connection: redis.Redis) -> bool:
    pool: Any = connection.connection_pool
    given = {**pool.connection_kwargs, "username": None, "password": None}
    stranger = redis.ConnectionPool(connection_class=pool.connection_class, **given)
    try:
        with redis.Redis(connection_pool=stranger) as without:
            return bool(without.ping())
    except redis.RedisError:
        return False
    finally:
        stranger.disconnect()


def _told(connection: redis.Redis, section: str) -> dict[str, Any]:
    """Returns a section of INFO; nothing where this user may not ask, as on a managed Redis."""
    try:
        found: dict[str, Any] = connection.info(section)
    except redis.ResponseError:
        return {}
    return found


def _configured(connection: redis.Redis, option: str) -> str | None:
    """Returns a setting of the server; None where it does not tell."""
    try:
        found: Any = connection.config_get(option)
    except redis.ResponseError:
        return None
    value = found.get(option, found.get(option.encode()))
    return value.decode() if isinstance(value, bytes) else value


def transport(name: str, settings: Settings) -> Check:
    """Returns whether requests, results and passwords can be read on the way."""
    urls = (settings.broker_url, settings.result_backend_url)
    plain = {
        host
        for url in urls
        if url.get_secret_value().startswith("redis://")
        and not is_loopback(host := _host(url.get_secret_value()))
    }
    if not plain:
        return Check(name, "ok", "TLS, or this machine")
    remedy = "Write rediss://, and set MODERATION_REDIS_CA_FILE where the authority is your own"
    found = f"images and passwords go to {', '.join(sorted(plain))} for all to read: no TLS"
    return Check(name, "warn", found, remedy)


def _eviction(name: str, connection: redis.Redis, _: Settings) -> Iterator[Check]:
    policy = _told(connection, "memory").get("maxmemory_policy")
    policy = policy or _configured(connection, "maxmemory-policy")
    if policy is None:
        yield Check(name, "warn", "unknown whether it drops requests when it is full", _ASK)
    elif policy == "noeviction":
        yield Check(name, "ok", f"maxmemory-policy {policy}")
    else:
        remedy = "Set maxmemory-policy noeviction: else Redis may drop requests when it is full"
        yield Check(name, "warn", f"maxmemory-policy {policy}", remedy)


def _memory(name: str, connection: redis.Redis, _: Settings) -> Iterator[Check]:
    most = _told(connection, "memory").get("maxmemory", _configured(connection, "maxmemory"))
    if most is None:
        yield Check(name, "warn", "unknown how much it may take", _ASK)
    elif int(most):
        yield Check(name, "ok", f"maxmemory {int(most):,} bytes")
    else:
        remedy = "Set maxmemory: without it a full machine ends Redis, with it `submit` is told"
        yield Check(name, "warn", "no maxmemory", remedy)


def _persistence(name: str, connection: redis.Redis, _: Settings) -> Iterator[Check]:
    appending = _told(connection, "persistence").get("aof_enabled")
    if appending is None:
        appending = {"yes": 1, "no": 0}.get(_configured(connection, "appendonly") or "")
    snapshots = _configured(connection, "save")
    remedy = "Set appendonly yes"
    if appending:
        yield Check(name, "ok", "an append-only file")
    elif appending is None:
        yield Check(name, "warn", "unknown whether requests outlive a restart", _ASK)
    elif snapshots:
        found = f"a restart loses what came after the last snapshot (save {snapshots})"
        yield Check(name, "warn", found, remedy)
    elif snapshots is None:
        found = "no append-only file; unknown whether there are snapshots"
        yield Check(name, "warn", found, remedy)
    else:
        found = "accepted requests do not outlive a restart: no append-only file, no snapshots"
        yield Check(name, "warn", found, remedy)


def _clock(name: str, connection: redis.Redis, _: Settings) -> Iterator[Check]:
    seconds, microseconds = connection.time()
    yield clock(name, seconds + microseconds / 1e6, time.time())


def clock(name: str, theirs: float, ours: float) -> Check:
    """Returns what is to say of the clock of Redis beside our own; both are Unix times."""
    apart = theirs - ours
    if abs(apart) <= _CLOCK_SECONDS:
        return Check(name, "ok", f"within {_CLOCK_SECONDS:g} s of Redis'")
    found = f"Redis' clock is {abs(apart):,.0f} s {'ahead of' if apart > 0 else 'behind'} ours"
    return Check(name, "warn", found, "Set both by NTP: waiting times are wrong by as much")


def _results(name: str, _: redis.Redis, settings: Settings) -> Iterator[Check]:
    if settings.result_url is None:
        return
    results = settings.model_copy(update={"broker_url": settings.result_url, "result_url": None})
    try:
        with broker_errors(results), connect(results) as connection:
            connection.ping()
    except ModerationError as error:
        yield failure(name, error)
    else:
        yield Check(name, "ok", shown_url(results))


def _queues(name: str, connection: redis.Redis, _: Settings) -> Iterator[Check]:
    yield Check(name, "ok", look(connection).described)


def _workers(name: str, _: redis.Redis, settings: Settings) -> Iterator[Check]:
    with create_app(settings) as app:
        answers = app.control.ping(timeout=1.0)
    if answers:
        yield Check(name, "ok", f"{len(answers)} answering")
    else:
        yield Check(name, "warn", "no worker answers", "Run `moderation worker`")


def _transport(name: str, _: redis.Redis, settings: Settings) -> Iterator[Check]:
    yield transport(name, settings)


def _host(url: str) -> str:
    return urlsplit(url).hostname or "localhost"


_PARTS: dict[str, Callable[[str, redis.Redis, Settings], Iterator[Check]]] = {
    "redis access": _access,
    "redis transport": _transport,
    "redis eviction": _eviction,
    "redis memory": _memory,
    "redis persistence": _persistence,
    "clock": _clock,
    "redis results": _results,
    "queues": _queues,
    "workers": _workers,
}

"""What `moderation doctor` finds out about a Redis: who can use it, what it can lose, its clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import redis

from moderation.commands.doctor.diagnosis import Diagnosis, failure, named
from moderation.errors import ModerationError
from moderation.listen_address import is_loopback
from moderation.queue.celery_app import broker_errors, connect, create_app, shown_url
from moderation.queue.depth import look_at_depths
from moderation.settings import Settings

_RedisCheck = Callable[[redis.Redis, Settings], Iterator[Diagnosis]]

#: Seconds by which the clock of Redis may differ from ours.
_CLOCK_SECONDS = 2.0

#: What to do where this user may not ask the server.
_ASK = "Ask who runs it what docs/operations.md says of Redis: neither INFO nor CONFIG is allowed"


def check_redis(settings: Settings) -> Iterator[Diagnosis]:
    """Yields what is found of the server, and what depends on it only if it answers.

    Each check stands alone: one that sees nothing, or fails, stops no other.
    """
    with broker_errors(settings), connect(settings) as connection:
        connection.ping()
        yield Diagnosis("ok", f"{shown_url(settings)}, {_redis_server(connection)}")
        for name, check in _PARTS.items():
            yield from named(name, _ask_redis(check, connection, settings))


def _ask_redis(
    check: _RedisCheck, connection: redis.Redis, settings: Settings
) -> Iterator[Diagnosis]:
    with broker_errors(settings):
        yield from check(connection, settings)


def _redis_server(connection: redis.Redis) -> str:
    """Returns which server it is: Valkey also gives the version of the Redis that it resembles."""
    info = _redis_info(connection, "server")
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', 'of unknown version')}"


def _check_redis_access(connection: redis.Redis, settings: Settings) -> Iterator[Diagnosis]:
    """Tries to get in without a password, and looks who else could."""
    if not _redis_lets_strangers_in(connection):
        yield Diagnosis("ok", "it asks for a password")
        return
    remedy = "Set requirepass or ACLs: whoever can write here decides what workers do"
    if not is_loopback(_redis_host(settings.broker_url.get_secret_value())):
        yield Diagnosis("warn", "it lets in everybody who reaches it: no password", remedy)
        return
    bound = _redis_option(connection, "bind")
    protected = _redis_option(connection, "protected-mode")
    inside = bound and all(is_loopback(address.lstrip("-")) for address in bound.split())
    if bound is None or protected is None:
        found = "it asks for no password; unknown whether other machines reach it"
        yield Diagnosis("warn", found, remedy)
    elif inside or protected == "yes":
        yield Diagnosis("ok", "no password, but it answers this machine alone")
    else:
        yield Diagnosis("warn", "it lets everybody in: no password, and not protected", remedy)


def _redis_lets_strangers_in(connection: redis.Redis) -> bool:
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


def _redis_info(connection: redis.Redis, section: str) -> dict[str, Any]:
    """Returns a section of INFO; empty where this user may not ask, as on a managed Redis."""
    try:
        found: dict[str, Any] = connection.info(section)
    except redis.ResponseError:
        return {}
    return found


def _redis_option(connection: redis.Redis, option: str) -> str | None:
    """Returns a setting of the server; None where this user may not ask."""
    try:
        found: Any = connection.config_get(option)
    except redis.ResponseError:
        return None
    value = found.get(option, found.get(option.encode()))
    return value.decode() if isinstance(value, bytes) else value


def check_redis_transport(settings: Settings) -> Iterator[Diagnosis]:
    """Yields whether others can read requests, results and passwords on the way."""
    urls = (settings.broker_url, settings.result_backend_url)
    plain = {
        host
        for url in urls
        if url.get_secret_value().startswith("redis://")
        and not is_loopback(host := _redis_host(url.get_secret_value()))
    }
    if not plain:
        yield Diagnosis("ok", "TLS, or this machine")
        return
    remedy = "Write rediss://, and set MODERATION_REDIS_CA_FILE where the authority is your own"
    found = f"images and passwords go to {', '.join(sorted(plain))} for all to read: no TLS"
    yield Diagnosis("warn", found, remedy)


def _check_redis_eviction(connection: redis.Redis, _: Settings) -> Iterator[Diagnosis]:
    policy = _redis_info(connection, "memory").get("maxmemory_policy")
    policy = policy or _redis_option(connection, "maxmemory-policy")
    if policy is None:
        yield Diagnosis("warn", "unknown whether it drops requests when it is full", _ASK)
    elif policy == "noeviction":
        yield Diagnosis("ok", f"maxmemory-policy {policy}")
    else:
        remedy = "Set maxmemory-policy noeviction: a full Redis may drop requests otherwise"
        yield Diagnosis("warn", f"maxmemory-policy {policy}", remedy)


def _check_redis_memory(connection: redis.Redis, _: Settings) -> Iterator[Diagnosis]:
    memory = _redis_info(connection, "memory")
    most = memory.get("maxmemory", _redis_option(connection, "maxmemory"))
    if most is None:
        yield Diagnosis("warn", "unknown how much it may use", _ASK)
    elif int(most):
        yield Diagnosis("ok", f"maxmemory {int(most):,} bytes")
    else:
        remedy = "Set maxmemory: a full machine ends Redis; a full Redis only refuses requests"
        yield Diagnosis("warn", "no maxmemory", remedy)


def _check_redis_persistence(connection: redis.Redis, _: Settings) -> Iterator[Diagnosis]:
    appending = _redis_info(connection, "persistence").get("aof_enabled")
    if appending is None:
        appending = {"yes": 1, "no": 0}.get(_redis_option(connection, "appendonly") or "")
    snapshots = _redis_option(connection, "save")
    remedy = "Set appendonly yes"
    if appending:
        yield Diagnosis("ok", "an append-only file")
    elif appending is None:
        yield Diagnosis("warn", "unknown whether requests outlive a restart", _ASK)
    elif snapshots:
        found = f"a restart loses what came after the last snapshot (save {snapshots})"
        yield Diagnosis("warn", found, remedy)
    elif snapshots is None:
        found = "no append-only file; unknown whether there are snapshots"
        yield Diagnosis("warn", found, remedy)
    else:
        found = "accepted requests do not outlive a restart: no append-only file, no snapshots"
        yield Diagnosis("warn", found, remedy)


def _check_redis_clock(connection: redis.Redis, _: Settings) -> Iterator[Diagnosis]:
    seconds, microseconds = connection.time()
    yield compare_redis_clock(seconds + microseconds / 1e6, time.time())


def compare_redis_clock(theirs: float, ours: float) -> Diagnosis:
    """Returns how the clock of Redis compares with ours; both are Unix times."""
    apart = theirs - ours
    if abs(apart) <= _CLOCK_SECONDS:
        return Diagnosis("ok", f"within {_CLOCK_SECONDS:g} s of Redis'")
    found = f"Redis' clock is {abs(apart):,.0f} s {'ahead of' if apart > 0 else 'behind'} ours"
    return Diagnosis("warn", found, "Set both by NTP: waiting times are wrong by as much")


def _check_redis_results(_: redis.Redis, settings: Settings) -> Iterator[Diagnosis]:
    if settings.result_url is None:
        return
    results = settings.model_copy(update={"broker_url": settings.result_url, "result_url": None})
    try:
        with broker_errors(results), connect(results) as connection:
            connection.ping()
    except ModerationError as error:
        yield failure(error)
    else:
        yield Diagnosis("ok", shown_url(results))


def _check_redis_workers(_: redis.Redis, settings: Settings) -> Iterator[Diagnosis]:
    with create_app(settings) as app:
        answers = app.control.ping(timeout=1.0)
    if answers:
        yield Diagnosis("ok", f"{len(answers)} answering")
    else:
        yield Diagnosis("warn", "no worker answers", "Run `moderation worker`")


def _redis_host(url: str) -> str:
    return urlsplit(url).hostname or "localhost"


_PARTS: dict[str, _RedisCheck] = {
    "redis access": _check_redis_access,
    "redis transport": lambda _, settings: check_redis_transport(settings),
    "redis eviction": _check_redis_eviction,
    "redis memory": _check_redis_memory,
    "redis persistence": _check_redis_persistence,
    "clock": _check_redis_clock,
    "redis results": _check_redis_results,
    "queues": lambda connection, _: iter([Diagnosis("ok", look_at_depths(connection).described)]),
    "workers": _check_redis_workers,
}

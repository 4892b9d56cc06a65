"""What `moderation doctor` finds out about a Redis: who gets in, what it loses, how it is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import redis

from moderation.broker import broker_errors, connect, create_app, shown_url
from moderation.commands.check import Check
from moderation.commands.loopback import is_loopback
from moderation.queues import look
from moderation.settings import Settings

#: How far the clock of Redis may be from ours, in seconds.
_CLOCK_SECONDS = 2.0


def check_redis(name: str, settings: Settings) -> Iterator[Check]:
    """Yields what is found of the server, and what hangs on it only if it answers."""
    with broker_errors(settings), connect(settings) as connection:
        version = connection.info("server")["redis_version"]
        yield Check(name, "ok", f"{shown_url(settings)}, version {version}")
        yield _access(connection, settings)
        yield transport(settings)
        memory = connection.info("memory")
        yield _eviction(memory.get("maxmemory_policy", "unknown"))
        yield _memory(memory.get("maxmemory"))
        yield _persistence(connection)
        yield clock(_time_of(connection), time.time())
        if settings.result_url is not None:
            yield _results(settings)
        yield Check("queues", "ok", look(connection).described)
        with create_app(settings) as app:
            answers = app.control.ping(timeout=1.0)
        if answers:
            yield Check("workers", "ok", f"{len(answers)} answering")
        else:
            yield Check("workers", "warn", "no worker answers", "Run `moderation worker`")


def _access(connection: redis.Redis, settings: Settings) -> Check:
    """Tries the door without a key, and looks whose door it is."""
    name = "redis access"
    if not _lets_strangers_in(connection):
        return Check(name, "ok", "it asks for a password")
    remedy = "Set requirepass or ACLs: who can write here decides what workers do"
    if not is_loopback(_host(settings.broker_url.get_secret_value())):
        return Check(name, "warn", "it lets everybody in who reaches it: no password", remedy)
    bound = _configured(connection, "bind")
    protected = _configured(connection, "protected-mode")
    if bound is None or protected is None:
        found = "it asks for no password; unknown whether other machines reach it"
        return Check(name, "warn", found, remedy)
    inside = all(is_loopback(address.lstrip("-")) for address in bound.split()) and bound
    if inside or protected == "yes":
        return Check(name, "ok", "no password, and it answers this machine alone")
    return Check(name, "warn", "it lets everybody in: no password, and not protected", remedy)


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


def _configured(connection: redis.Redis, option: str) -> str | None:
    """Returns a setting of the server; None where it does not tell."""
    try:
        found: Any = connection.config_get(option)
    except redis.ResponseError:
        return None
    value = found.get(option, found.get(option.encode()))
    return value.decode() if isinstance(value, bytes) else value


def transport(settings: Settings) -> Check:
    """Returns whether requests, results and passwords can be read on the way."""
    urls = (settings.broker_url, settings.result_backend_url)
    plain = {
        host
        for url in urls
        if url.get_secret_value().startswith("redis://")
        and not is_loopback(host := _host(url.get_secret_value()))
    }
    if not plain:
        return Check("redis transport", "ok", "TLS, or this machine")
    remedy = "Write rediss://, and set MODERATION_REDIS_CA_FILE where the authority is your own"
    found = f"images and passwords go to {', '.join(sorted(plain))} for all to read: no TLS"
    return Check("redis transport", "warn", found, remedy)


def _eviction(policy: str) -> Check:
    found = f"maxmemory-policy {policy}"
    if policy == "noeviction":
        return Check("redis eviction", "ok", found)
    remedy = "Set maxmemory-policy noeviction: else Redis may drop requests when it is full"
    return Check("redis eviction", "warn", found, remedy)


def _memory(most: int | None) -> Check:
    if most is None:
        return Check(
            "redis memory", "warn", "unknown how much it may take", "See docs/operations.md"
        )
    if most:
        return Check("redis memory", "ok", f"maxmemory {most:,} bytes")
    remedy = "Set maxmemory: without it a full machine ends Redis, with it `submit` is told"
    return Check("redis memory", "warn", "no maxmemory", remedy)


def _persistence(connection: redis.Redis) -> Check:
    name = "redis persistence"
    if connection.info("persistence").get("aof_enabled"):
        return Check(name, "ok", "an append-only file")
    snapshots = _configured(connection, "save")
    remedy = "Set appendonly yes"
    if snapshots:
        found = f"a restart loses what came after the last snapshot (save {snapshots})"
    elif snapshots is None:
        found = "no append-only file; unknown whether there are snapshots"
    else:
        found = "accepted requests do not outlive a restart: no append-only file, no snapshots"
    return Check(name, "warn", found, remedy)


def _time_of(connection: redis.Redis) -> float:
    seconds, microseconds = connection.time()
    return float(seconds + microseconds / 1e6)


def clock(theirs: float, ours: float) -> Check:
    """Returns what is to say of the clock of Redis beside our own; both are Unix times."""
    apart = theirs - ours
    if abs(apart) <= _CLOCK_SECONDS:
        return Check("clock", "ok", f"within {_CLOCK_SECONDS:g} s of Redis'")
    found = f"Redis' clock is {abs(apart):,.0f} s {'ahead of' if apart > 0 else 'behind'} ours"
    return Check("clock", "warn", found, "Set both by NTP: waiting times are wrong by as much")


def _results(settings: Settings) -> Check:
    results = settings.model_copy(update={"broker_url": settings.result_url, "result_url": None})
    with broker_errors(results), connect(results) as connection:
        connection.ping()
    return Check("redis results", "ok", shown_url(results))


def _host(url: str) -> str:
    return urlsplit(url).hostname or "localhost"

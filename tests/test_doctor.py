"""What `doctor` says of real Redis servers, of a decision log and of settings."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from moderation.commands.check import Check
from moderation.commands.doctor_redis import check_redis, clock, transport
from moderation.commands.doctor_worker import check_callbacks, check_decision_log, check_doors
from moderation.embedded import EmbeddedRedis
from moderation.errors import BrokerUnavailable
from moderation.settings import Settings, load_settings
from tests.redis_kinds import Certificates, ConfiguredRedis, TlsFront


class OpenRedis(ConfiguredRedis):
    """One that asks for no password."""

    is_open = False

    def start(self) -> None:
        super().start()
        with redis.Redis.from_url(self.url) as connection:
            connection.execute_command("ACL", "SETUSER", "default", "nopass")
        self.is_open = True

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0" if self.is_open else super().url


def found(settings: Settings) -> dict[str, Check]:
    return {check.name: check for check in check_redis("redis", settings)}


def of(server: EmbeddedRedis, **more: Any) -> dict[str, Check]:
    return found(load_settings(broker_url=server.url, **more))


@pytest.fixture(scope="module")
def careless() -> Iterator[OpenRedis]:
    with OpenRedis("--save", "", "--maxmemory-policy", "allkeys-lru") as running:
        yield running


def test_a_redis_that_is_set_up_well_gets_no_warning(tmp_path: Path) -> None:
    options = ("--appendonly", "yes", "--dir", str(tmp_path), "--maxmemory", "100mb")
    with ConfiguredRedis(*options) as server:
        checks = of(server)
        states = {name: check.state for name, check in checks.items()}
        assert states.pop("workers") == "warn"
        assert set(states.values()) == {"ok"}
        assert checks["redis access"].found == "it asks for a password"
        assert checks["redis memory"].found == "maxmemory 104,857,600 bytes"
        assert checks["redis persistence"].found == "an append-only file"
        password = server.url.partition("://:")[2].partition("@")[0]
        assert password not in str(checks)


def test_an_open_redis_on_loopback_is_no_danger_and_the_rest_is_said(careless: OpenRedis) -> None:
    checks = of(careless)
    assert checks["redis access"].state == "ok"
    assert "this machine alone" in checks["redis access"].found
    assert checks["redis eviction"].state == "warn"
    assert checks["redis memory"] == Check(
        "redis memory",
        "warn",
        "no maxmemory",
        "Set maxmemory: without it a full machine ends Redis, with it `submit` is told",
    )
    assert "do not outlive a restart" in checks["redis persistence"].found


def test_a_redis_that_is_open_to_others_is_a_warning() -> None:
    with OpenRedis("--bind", "0.0.0.0", "--protected-mode", "no") as server:
        check = of(server)["redis access"]
    assert check.state == "warn"
    assert "lets everybody in" in check.found


def test_a_protected_redis_answers_this_machine_alone() -> None:
    with OpenRedis("--bind", "0.0.0.0", "--protected-mode", "yes") as server:
        assert of(server)["redis access"].state == "ok"


def test_what_a_redis_does_not_tell_is_said_to_be_unknown() -> None:
    with OpenRedis("--rename-command", "CONFIG", "") as server:
        checks = of(server)
    assert checks["redis access"].state == "warn"
    assert "unknown whether other machines" in checks["redis access"].found
    assert "unknown whether there are snapshots" in checks["redis persistence"].found


def test_snapshots_alone_lose_what_came_after(tmp_path: Path) -> None:
    with ConfiguredRedis("--dir", str(tmp_path)) as server:
        with redis.Redis.from_url(server.url) as connection:
            connection.config_set("save", "900 1")
        check = of(server)["redis persistence"]
    assert check.state == "warn"
    assert "last snapshot (save 900 1)" in check.found


@pytest.mark.parametrize("name", ["broker_url", "result_url"])
def test_a_way_without_tls_to_another_machine_is_a_warning(name: str) -> None:
    check = transport(load_settings(**{name: "redis://:password@queue.internal:6379/0"}))
    assert check.state == "warn"
    assert "go to queue.internal for all to read" in check.found
    assert transport(load_settings(**{name: "rediss://queue.internal:6379/0"})).state == "ok"


def test_a_way_with_tls_is_none(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, "localhost")
    with TlsFront(certificates, redis_server.port) as front:
        password = redis_server.url.partition("://")[2].partition("@")[0]
        url = f"rediss://{password}@localhost:{front.port}/0"
        checks = found(load_settings(broker_url=url, redis_ca_file=certificates.authority))
    assert checks["redis transport"].state == "ok"
    assert checks["redis access"].found == "it asks for a password"


def test_results_of_their_own_are_looked_at_too(redis_server: EmbeddedRedis) -> None:
    with EmbeddedRedis() as results:
        assert of(redis_server, result_url=results.url)["redis results"].state == "ok"
        settings = load_settings(broker_url=redis_server.url, result_url=results.url)
    with pytest.raises(BrokerUnavailable):
        found(settings)


def test_the_clock_of_redis_is_held_against_ours(redis_server: EmbeddedRedis) -> None:
    assert of(redis_server)["clock"].state == "ok"
    assert clock(1_000.0, 998.5).state == "ok"
    assert clock(1_000.0, 990.0).found == "Redis' clock is 10 s ahead of ours"
    assert clock(1_000.0, 4_600.0) == Check(
        "clock",
        "warn",
        "Redis' clock is 3,600 s behind ours",
        "Set both by NTP: waiting times are wrong by as much",
    )


def test_the_decision_log_is_looked_at_and_not_changed(tmp_path: Path) -> None:
    from moderation.decision_log.opening import open_log

    file = tmp_path / "decisions.db"
    settings = load_settings(database_url=f"sqlite:///{file}")
    [check] = check_decision_log("decision log", settings)
    assert check.state == "ok"
    assert "not there yet; the first worker makes it" in check.found
    assert not file.exists()
    file.touch()
    [check] = check_decision_log("decision log", settings)
    assert "the first worker makes its tables" in check.found
    assert file.stat().st_size == 0
    open_log(settings).close()
    [check] = check_decision_log("decision log", settings)
    assert check == Check("decision log", "ok", f"sqlite:///{file}")


def test_a_decision_log_of_a_newer_version_fails(tmp_path: Path) -> None:
    from moderation.decision_log.opening import open_log

    file = tmp_path / "decisions.db"
    settings = load_settings(database_url=f"sqlite:///{file}")
    open_log(settings).close()
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE decision_log_version SET version_num = 'of the future'")
    [check] = check_decision_log("decision log", settings)
    assert check.state == "fail"
    assert "newer version (of the future)" in check.found


@pytest.mark.parametrize(
    ("settings", "state", "words"),
    [
        ({}, "ok", "no webhooks"),
        ({"callback_urls": ("https://a.example/hook",)}, "warn", "without a secret"),
        (
            {"callback_urls": ("http://a.example/",), "callback_secrets": "whsec_" + "a" * 32},
            "warn",
            "over http",
        ),
        (
            {"callback_urls": ("https://a.example/",), "callback_secrets": "whsec_" + "a" * 32},
            "ok",
            "1 receivers, signed",
        ),
    ],
)
def test_webhooks_are_to_be_signed_and_secret(
    settings: dict[str, Any], state: str, words: str
) -> None:
    [check] = check_callbacks("callbacks", load_settings(**settings))
    assert check.state == state
    assert words in check.found


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, []),
        ({"allowed_schemes": ("https", "http")}, [("warn", "images over http")]),
        ({"allowed_networks": ("10.2.0.0/16",)}, [("warn", "URLs may lead to 10.2.0.0/16")]),
        ({"metrics_address": "9100"}, []),
        ({"metrics_address": "localhost:9100"}, []),
        ({"metrics_address": "[::1]:9100"}, []),
        ({"metrics_address": "0.0.0.0:9100"}, [("ok", "others than this machine reach")]),
        ({"metrics_address": "metrics.internal:9100"}, [("ok", "others than this machine")]),
    ],
)
def test_doors_that_stand_open_are_named(
    settings: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    checks = list(check_doors("doors", load_settings(**settings)))
    assert len(checks) == len(expected)
    for check, (state, words) in zip(checks, expected, strict=True):
        assert check.state == state
        assert check.found.startswith(words)


def test_the_command_says_it_all(careless: OpenRedis, tmp_path: Path) -> None:
    environment = {
        "MODERATION_BROKER_URL": careless.url,
        "MODERATION_DATABASE_URL": f"sqlite:///{tmp_path}/decisions.db",
        "MODERATION_CALLBACK_URLS": "https://a.example/",
        "PATH": "/usr/bin:/bin",
    }
    command = [sys.executable, "-m", "moderation", "doctor", "--format", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    names = [check["name"] for check in json.loads(done.stdout)]
    assert {"redis access", "redis persistence", "clock", "decision log", "callbacks"} <= set(names)
    assert "password" not in done.stderr

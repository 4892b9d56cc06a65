"""What `doctor` says of real Redis servers, of a decision log and of settings."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from moderation.commands.doctor.decision_log import check_decision_log, check_log_rights
from moderation.commands.doctor.diagnosis import Diagnosis, named
from moderation.commands.doctor.redis import (
    check_redis,
    check_redis_transport,
    compare_redis_clock,
)
from moderation.commands.doctor.setup import Setup
from moderation.commands.doctor.worker import (
    check_callbacks,
    check_doors,
    check_models,
    check_renditions,
)
from moderation.decision_log.log import open_log
from moderation.embedded_servers import EmbeddedRedis, EmbeddedWorker, find_redis_server
from moderation.errors import LogUnavailable, SettingsError
from moderation.policy import starter_policies
from moderation.settings import Settings, load_settings
from tests.conftest import POLICIES
from tests.support.command_line import moderation
from tests.support.onnx_files import classified_policy, described, mean_colours, write_onnx
from tests.support.redis_kinds import Certificates, ConfiguredRedis, TlsFront
from tests.support.waiting import until


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


def found(settings: Settings) -> dict[str, Diagnosis]:
    return {check.name: check for check in named("redis", check_redis(settings))}


def of(server: EmbeddedRedis, **more: Any) -> dict[str, Diagnosis]:
    return found(load_settings(broker_url=server.url, **more))


@pytest.fixture(scope="module")
def careless() -> Iterator[OpenRedis]:
    with OpenRedis("--save", "", "--maxmemory-policy", "allkeys-lru") as running:
        yield running


def test_a_redis_that_is_set_up_well_gets_no_warning(tmp_path: Path) -> None:
    options = ("--appendonly", "yes", "--dir", str(tmp_path), "--maxmemory", "100mb")
    with ConfiguredRedis(*options) as server:
        checks = of(server)
        states = {name: check.state for name, check in checks.items() if name != "clock"}
        assert states.pop("workers") == "warn"
        assert set(states.values()) == {"ok"}
        assert checks["redis access"].found == "it asks for a password"
        assert checks["redis memory"].found == "maxmemory 104,857,600 bytes"
        assert checks["redis persistence"].found == "an append-only file"
        password = server.url.partition("://:")[2].partition("@")[0]
        assert password not in str(checks)


def test_an_open_redis_on_loopback_is_harmless_and_the_rest_is_reported(
    careless: OpenRedis,
) -> None:
    checks = of(careless)
    assert checks["redis access"].state == "ok"
    assert "this machine alone" in checks["redis access"].found
    assert checks["redis eviction"].state == "warn"
    assert (checks["redis memory"].state, checks["redis memory"].found) == ("warn", "no maxmemory")
    assert checks["redis memory"].remedy.startswith("Set maxmemory: ")
    assert "do not outlive a restart" in checks["redis persistence"].found


@pytest.mark.parametrize(
    ("protected", "state", "words"),
    [("no", "warn", "lets everybody in"), ("yes", "ok", "this machine alone")],
)
def test_a_redis_that_is_open_to_others_is_a_warning(
    protected: str, state: str, words: str
) -> None:
    with OpenRedis("--bind", "0.0.0.0", "--protected-mode", protected) as server:
        check = of(server)["redis access"]
    assert check.state == state
    assert words in check.found


def test_what_a_redis_keeps_secret_is_reported_as_unknown() -> None:
    with OpenRedis("--rename-command", "CONFIG", "") as server:
        checks = of(server)
    assert checks["redis access"].state == "warn"
    assert "unknown whether other machines" in checks["redis access"].found
    assert "unknown whether there are snapshots" in checks["redis persistence"].found


def test_the_server_is_called_by_its_own_name(careless: OpenRedis) -> None:
    program = Path(find_redis_server())
    [version] = re.findall(
        r"v=(\S+)", subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    )
    name = "Valkey" if program.name.startswith("valkey") else "Redis"
    assert of(careless)["redis"].found.endswith(f", {name} {version}")


def url_of_user(server: OpenRedis, name: str, *withheld: str) -> str:
    """Returns the URL of a new user, who may do all but what is withheld."""
    with redis.Redis.from_url(server.url) as connection:
        rights = ["on", ">sesame", "~*", "&*", "+@all", *withheld]
        connection.execute_command("ACL", "SETUSER", name, *rights)
    return f"redis://{name}:sesame@127.0.0.1:{server.port}/0"


@pytest.fixture(scope="module")
def secretive(careless: OpenRedis) -> str:
    """URL of a user who may do what hosts and workers do, and ask nothing of the server."""
    questions = ["-info", "-config", "-client", "-acl", "-command", "-@dangerous"]
    return url_of_user(careless, "managed", *questions)


def test_each_check_stands_alone_where_redis_answers_no_questions(
    careless: OpenRedis, secretive: str
) -> None:
    checks = found(load_settings(broker_url=secretive))
    assert [*checks] == [*of(careless)]
    assert checks["redis"].found.endswith("Redis of unknown version")
    assert {name for name, check in checks.items() if check.found.startswith("unknown")} == {
        "redis eviction",
        "redis memory",
        "redis persistence",
    }
    assert "unknown whether other machines" in checks["redis access"].found
    assert "neither INFO nor CONFIG is allowed" in checks["redis memory"].remedy
    assert not [check for check in checks.values() if check.state == "fail"]


@pytest.mark.parametrize("question", ["info", "config"])
def test_where_one_question_is_refused_the_other_is_asked(question: str) -> None:
    with ConfiguredRedis("--rename-command", question, "", "--maxmemory", "100mb") as server:
        checks = of(server)
    assert checks["redis eviction"].found == "maxmemory-policy noeviction"
    assert checks["redis memory"].found == "maxmemory 104,857,600 bytes"
    assert checks["redis persistence"].found.partition(":")[0] in (
        "accepted requests do not outlive a restart",
        "no append-only file; unknown whether there are snapshots",
    )


def test_what_a_worker_cannot_do_without_fails_alone(careless: OpenRedis) -> None:
    url = url_of_user(careless, "timeless", "-time")
    checks = found(load_settings(broker_url=url))
    assert [*checks] == [*of(careless)]
    assert {"clock", "queues"} <= {name for name, c in checks.items() if c.state == "fail"}
    assert checks["redis eviction"].found == "maxmemory-policy allkeys-lru"


def test_snapshots_alone_lose_what_came_after(tmp_path: Path) -> None:
    with ConfiguredRedis("--dir", str(tmp_path)) as server:
        with redis.Redis.from_url(server.url) as connection:
            connection.config_set("save", "900 1")
        check = of(server)["redis persistence"]
    assert check.state == "warn"
    assert "last snapshot (save 900 1)" in check.found


@pytest.mark.parametrize("name", ["broker_url", "result_url"])
def test_a_way_without_tls_to_another_machine_is_a_warning(name: str) -> None:
    [check] = check_redis_transport(
        load_settings(**{name: "redis://:password@queue.internal:6379/0"})
    )
    assert check.state == "warn"
    assert "go to queue.internal for all to read" in check.found
    [check] = check_redis_transport(load_settings(**{name: "rediss://queue.internal:6379/0"}))
    assert check.state == "ok"


def test_a_way_with_tls_is_not_a_warning(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    with TlsFront(certificates, redis_server) as front:
        checks = found(load_settings(broker_url=front.url, redis_ca_file=certificates.authority))
    assert checks["redis transport"].state == "ok"
    assert checks["redis access"].found == "it asks for a password"


def test_results_of_their_own_are_looked_at_too(redis_server: EmbeddedRedis) -> None:
    with EmbeddedRedis() as results:
        assert of(redis_server, result_url=results.url)["redis results"].state == "ok"
        settings = load_settings(broker_url=redis_server.url, result_url=results.url)
    checks = found(settings)
    assert checks["redis results"].state == "fail"
    assert checks["redis results"].found.startswith(f"redis://127.0.0.1:{results.port}/0: Redis")
    assert checks["workers"].state in ("ok", "warn")  # what comes after it is looked at too


def test_the_clock_of_redis_is_held_against_ours(redis_server: EmbeddedRedis) -> None:
    # A pause of this process between the two clocks is taken for a difference, and rare.
    until(lambda: of(redis_server)["clock"].state == "ok")
    assert compare_redis_clock(1_000.0, 998.5).state == "ok"
    assert compare_redis_clock(1_000.0, 990.0).found == "Redis' clock is 10 s ahead of ours"
    assert compare_redis_clock(1_000.0, 4_600.0) == Diagnosis(
        "warn",
        "Redis' clock is 3,600 s behind ours",
        "Set both by NTP: waiting times are wrong by as much",
    )


def test_the_decision_log_is_looked_at_and_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "decisions.db"
    settings = load_settings(database_url=f"sqlite:///{file}")
    [check] = check_decision_log(settings)
    assert check.state == "ok"
    assert "not there yet; the first worker makes it" in check.found
    assert not list(check_log_rights(settings))
    assert not file.exists()
    file.touch(mode=0o600)
    [check] = check_decision_log(settings)
    assert "the first worker makes its tables" in check.found
    assert file.stat().st_size == 0
    open_log(settings).close()
    [check] = check_decision_log(settings)
    assert check == Diagnosis("ok", f"sqlite:///{file}")
    [rights] = check_log_rights(settings)
    assert rights == Diagnosis("ok", "no others on this machine have any")


@pytest.fixture
def log_settings(tmp_path: Path) -> Settings:
    """Settings of a new decision log."""
    settings = load_settings(database_url=f"sqlite:///{tmp_path}/decisions.db")
    open_log(settings).close()
    return settings


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o666])
def test_a_decision_log_that_all_may_use_is_named(
    log_settings: Settings, tmp_path: Path, mode: int
) -> None:
    file = tmp_path / "decisions.db"
    file.chmod(mode)
    [check] = check_log_rights(log_settings)
    assert check.state == "warn"
    assert check.found == f"all users of this machine may use {file} ({mode:04o})"
    assert check.remedy.startswith(f"Run chmod o-rwx {file}, or")


def test_a_folder_that_all_may_remove_the_decision_log_from_is_named(
    log_settings: Settings, tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    [check] = check_log_rights(log_settings)
    assert check.found == f"all users of this machine may use {tmp_path} (0777)"
    for harmless in (0o755, 0o1777):  # as /srv and /tmp are
        tmp_path.chmod(harmless)
        [check] = check_log_rights(log_settings)
        assert check.state == "ok"


def test_the_last_answers_of_a_log_that_is_missing_are_a_failure(tmp_path: Path) -> None:
    (tmp_path / "decisions.db-wal").write_bytes(b"answers")
    settings = load_settings(database_url=f"sqlite:///{tmp_path}/decisions.db")
    with pytest.raises(LogUnavailable, match="last answers of a log that is not"):
        list(check_decision_log(settings))


def test_a_decision_log_of_a_newer_version_fails(log_settings: Settings, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "decisions.db")) as database, database:
        database.execute("UPDATE decision_log_version SET version_num = 'of the future'")
    [check] = check_decision_log(log_settings)
    assert check.state == "fail"
    assert "newer version (of the future)" in check.found


#: A secret that webhooks can be signed with.
SECRET = "whsec_" + "a" * 32


@pytest.mark.parametrize(
    ("urls", "state", "words"),
    [
        ((), "ok", "no webhooks"),
        (("http://a.example/",), "warn", "anyone on the way can read those to a.example"),
        (("http://127.0.0.1:1/",), "ok", "1 receiver, signed"),
        (("https://a.example/",), "ok", "1 receiver, signed"),
    ],
)
def test_webhooks_are_to_be_signed_and_secret(
    urls: tuple[str, ...], state: str, words: str
) -> None:
    settings = load_settings(callback_urls=urls, callback_secrets=SECRET)
    [check] = check_callbacks(settings)
    assert check.state == state
    assert words in check.found


@pytest.mark.parametrize(
    ("url", "secrets", "words"),
    [
        ("https://a.example/hook", None, "no secret to sign"),
        ("a.example", SECRET, "not an https URL"),
        ("https://a.example/", "hunter2", "begin with"),
    ],
)
def test_webhooks_that_would_stop_a_worker_at_its_start_are_a_failure(
    url: str, secrets: str | None, words: str
) -> None:
    settings = load_settings(callback_urls=(url,), callback_secrets=secrets)
    with pytest.raises(SettingsError, match=words):
        list(check_callbacks(settings))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, []),
        ({"allowed_schemes": ("https", "http")}, [("warn", "images over http")]),
        ({"allowed_networks": ("10.2.0.0/16",)}, [("warn", "URLs may lead to 10.2.0.0/16")]),
        ({"metrics_address": "9100"}, []),
        ({"metrics_address": "localhost:9100"}, []),
        ({"metrics_address": "[::1]:9100"}, []),
        ({"metrics_address": "0.0.0.0:9100"}, [("warn", "0.0.0.0:9100 listens on every network")]),
        ({"metrics_address": "[::]:9100"}, [("warn", "[::]:9100 listens on every network")]),
        ({"metrics_address": "10.2.0.7:9100"}, [("ok", "other machines reach 10.2.0.7:9100")]),
        ({"metrics_address": "metrics.internal:9100"}, [("ok", "other machines reach")]),
    ],
)
def test_doors_that_stand_open_are_named(
    settings: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    checks = list(check_doors(load_settings(**settings)))
    assert len(checks) == len(expected)
    for check, (state, words) in zip(checks, expected, strict=True):
        assert check.state == state
        assert check.found.startswith(words)


def test_the_folder_of_renditions_takes_files_or_is_a_failure(tmp_path: Path) -> None:
    [none] = check_renditions(load_settings())
    assert (none.state, "uploads" in none.found) == ("ok", True)
    settings = load_settings(renditions=str(tmp_path), rendition_format="png")
    [ready] = check_renditions(settings)
    assert (ready.state, ready.found) == ("ok", f"{tmp_path} takes files (png:2000:85)")
    assert list(tmp_path.iterdir()) == []
    missing = settings.model_copy(update={"renditions": f"{tmp_path}/none"})
    [failed] = named("renditions", check_renditions(missing))
    assert (failed.state, failed.name) == ("fail", "renditions")
    assert f"{tmp_path}/none" in failed.found
    assert "MODERATION_RENDITIONS" in failed.remedy


def doctor(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Returns the finished command, run in a folder with no other variables of ours."""
    environment = {
        "MODERATION_BROKER_URL": "redis://127.0.0.1:1/0",
        "MODERATION_DATABASE_URL": f"sqlite:///{folder}/decisions.db",
        **{f"MODERATION_{name}": value for name, value in variables.items()},
    }
    return moderation("doctor", "--format", "json", env=environment, cwd=folder)


def said(folder: Path, **variables: str) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(doctor(folder, **variables).stdout)}


def test_the_command_says_it_all(secretive: str, tmp_path: Path) -> None:
    secrets = {"CALLBACK_URLS": "https://a.example/", "CALLBACK_SECRETS": SECRET}
    done = doctor(tmp_path, BROKER_URL=secretive, POLICIES="weapons", MODEL="starter", **secrets)
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert {"redis access", "redis persistence", "clock", "decision log", "callbacks"} <= {*checks}
    assert "sesame" not in done.stdout + done.stderr
    # What could not be seen is not a failure.
    assert (done.returncode, {check["state"] for check in checks.values()}) == (0, {"ok", "warn"})


def test_a_wrong_address_for_metrics_is_named(tmp_path: Path) -> None:
    done = doctor(tmp_path, METRICS_ADDRESS="0.0.0.0:http")
    assert done.returncode == 2
    assert "METRICS_ADDRESS: Value error, '0.0.0.0:http' is not an address" in done.stderr
    assert "write HOST:PORT or PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_variables_of_all_options_are_known_and_no_others(tmp_path: Path) -> None:
    known = {
        "DECISIONS_LIST_LIMIT": "3",
        "DECISIONS_EXPORT_AS": "csv",
        "QUARANTINE_RETRY_ALL": "true",
        "CALLBACKS_RETRY_ALL_FAILED": "true",
        "POLICY_LINT_MODEL": "starter",
        "WORKER_CONCURRENCY": "3",
    }
    assert said(tmp_path, **known)["environment"]["state"] == "ok"
    misspelt = {"WORKER_POLICIES": "weapons", "CALLBACKS_LIST_LIMITS": "3", "VERSION": "3"}
    environment = said(tmp_path, **known, **misspelt)["environment"]
    assert environment["found"] == "not settings: " + ", ".join(
        sorted(f"MODERATION_{name}" for name in misspelt)
    )


def test_what_is_looked_at_is_what_a_worker_would_serve(tmp_path: Path) -> None:
    other = (POLICIES / "weapons.yaml").read_text().replace("id: weapons", "id: ours")
    (tmp_path / "ours.yaml").write_text(f"{other}\nmodel: ./nowhere\n")
    checks = said(tmp_path, POLICIES="document-privacy", WORKER_POLICY="ours.yaml weapons")
    found = "a worker without --policy serves ours, weapons (ours.yaml, weapons)"
    assert checks["policies"]["found"] == found
    there = doctor(tmp_path, WORKER_POLICY="ours.yaml weapons").stdout
    assert "model ./nowhere" in there  # of one of them; the other's is looked at too
    assert "model openai/clip-vit-base-patch32" in there
    checks = said(tmp_path, WORKER_POLICY="ours.yaml", WORKER_MODEL="starter")
    assert checks["model"]["found"] == "starter, which is for trying out"
    assert "requests are done twice" not in checks["timeouts"]["remedy"]
    checks = said(tmp_path, WORKER_CONCURRENCY="1024", DECODERS="1")
    assert checks["timeouts"]["state"] == "fail"
    refused = doctor(tmp_path, WORKER_CONCURRENCY="many")
    assert refused.returncode == 2
    assert "--concurrency" in refused.stderr


def test_the_classifiers_that_policies_name_are_tried(tmp_path: Path) -> None:
    sha256 = write_onnx(mean_colours(), tmp_path / "colours.onnx")
    (tmp_path / "mixed.yaml").write_bytes(classified_policy(described(sha256)))

    def checked(folder: Path | None) -> list[Diagnosis]:
        settings = load_settings(policies=(tmp_path / "mixed.yaml",), classifiers=folder)
        return [*check_models(Setup(settings, "starter", frozenset()))][1:]

    assert checked(tmp_path) == [Diagnosis("ok", "classifiers: colours.onnx")]
    [missing] = checked(None)
    assert missing.state == "fail"
    assert "mixed.yaml:20:11: colours.onnx needs a folder" in missing.found
    assert missing.remedy == "Set MODERATION_CLASSIFIERS to that folder"


def test_in_an_empty_folder_there_is_nothing_to_serve(tmp_path: Path) -> None:
    checks = said(tmp_path)
    assert checks["policies"]["state"] == "fail"
    assert checks["policies"]["found"].startswith("policies: cannot be read: No such file")
    assert checks["model"]["found"] == "unknown without the policies that name it"


def test_no_option_is_advised_that_the_command_lacks(tmp_path: Path) -> None:
    model = str(tmp_path / "nowhere")
    for found in said(tmp_path, POLICIES="weapons", MODEL=model).values():
        advised = set(re.findall(r"(?<!\w)--[a-z-]+", found["found"] + found["remedy"]))
        assert advised <= {"--policy"}  # of `moderation worker`, and said to be


def test_doctor_finds_what_is_there_and_what_is_missing(
    settings: Settings, worker: EmbeddedWorker, tmp_path: Path
) -> None:
    variables = {
        "BROKER_URL": settings.broker_url.get_secret_value(),
        "POLICIES": os.pathsep.join(map(str, starter_policies())),
        "MODEL": "starter",
        "MODLE": "starter",
        "VISIBILITY_TIMEOUT_SECONDS": "60",
        "FETCH_TIMEOUT_SECONDS": "40",
        "CONCURRENCY": "2",
        "DECODE_TIMEOUT_SECONDS": "1",
    }

    def in_time() -> dict[str, dict[str, str]]:
        """Returns what it finds; nothing if the machine was too busy for its two questions."""
        done = doctor(tmp_path, **variables)
        assert done.returncode == 1
        checks = {check["name"]: check for check in json.loads(done.stdout)}
        there = {checks[name]["state"] for name in ("workers", "clock")} == {"ok"}
        return checks if there else {}

    checks = until(in_time)
    assert {name: check["state"] for name, check in checks.items()} == {
        "environment": "warn",
        "image access": "warn",
        "renditions": "ok",
        "policies": "ok",
        "model": "warn",
        "redis": "ok",
        "redis access": "ok",
        "redis transport": "ok",
        "redis eviction": "ok",
        "redis memory": "warn",
        "redis persistence": "warn",
        "clock": "ok",
        "queues": "ok",
        "workers": "ok",
        "timeouts": "fail",
        "decision log": "ok",
        "callbacks": "ok",
    }
    assert "MODERATION_MODLE" in checks["environment"]["found"]
    del variables["FETCH_TIMEOUT_SECONDS"]
    assert doctor(tmp_path, **variables).returncode == 0
    # A request may have to wait for the slow decoding of all others in hand.
    variables["CONCURRENCY"] = "1000"
    assert doctor(tmp_path, **variables).returncode == 1

"""Out of quarantine: sent again, dropped, and the commands; on a real Redis and a real database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from celery import Celery

from moderation.client.client import Client
from moderation.decision_log.log import DecisionLog, open_log
from moderation.decision_log.quarantine import (
    QuarantinedRequest,
    find_quarantined,
    list_quarantined,
)
from moderation.decision_log.records import Submission
from moderation.embedded_servers import EmbeddedRedis
from moderation.errors import (
    BrokerUnavailable,
    ImageUnavailable,
    QueueFull,
    RequestError,
    VerdictTimeout,
)
from moderation.messages import QUEUES
from moderation.queue.celery_app import create_app
from moderation.queue.hand import Hand
from moderation.queue.kept_requests import KeptRequest, KeptRequests
from moderation.queue.keys import LATER
from moderation.settings import Settings, load_settings
from moderation.worker.release import release_quarantined
from tests.support.command_line import leading_to, moderation
from tests.support.decision_samples import record_refusal
from tests.support.queued_messages import MOST_BYTES, opened

#: Celery's own way to write a result.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

REQUEST = {"image": {"path": "/srv/a.jpg"}, "policies": ["weapons"]}


class ReleaseParts(NamedTuple):
    """What a worker and its operator have of quarantine."""

    settings: Settings
    connection: Any
    kept: KeptRequests
    log: DecisionLog
    app: Celery

    def quarantine(self, name: str, request: dict[str, Any] | None = None) -> QuarantinedRequest:
        """Does what a worker does with a request whose image it never got."""
        kept = KeptRequest(request or {**REQUEST, "request_id": name}, "bulk", 1.0)
        self.kept.keep(name, kept, most_bytes=10_000)
        submission = Submission(name, "0" * 64, "path", "/srv/a.jpg", ("weapons",), "bulk", 1.0)
        record_refusal(self.log, submission, "unavailable", ImageUnavailable("the store failed"))
        return self.entries()[0]

    def entries(self) -> list[QuarantinedRequest]:
        return list_quarantined(self.log.engine)

    def release(self, entry: QuarantinedRequest) -> None:
        release_quarantined(entry, self.log, self.kept, self.app, self.settings)

    def taken(self) -> list[Any]:
        """Returns the envelopes of what a worker takes now."""
        hand = Hand(self.connection, self.settings, worker="w", queues=["bulk"])
        found = [opened(each.raw) for each in hand.take(9, MOST_BYTES)]
        hand.close()
        return found


@pytest.fixture
def settings(server: EmbeddedRedis, tmp_path: Path) -> Settings:
    url = f"sqlite:///{tmp_path}/log.db"
    return load_settings(broker_url=server.url, database_url=url, max_queue_length=3)


@pytest.fixture
def parts(settings: Settings, connection: redis.Redis) -> Iterator[ReleaseParts]:
    with open_log(settings) as log:
        yield ReleaseParts(
            settings, connection, KeptRequests(connection), log, create_app(settings)
        )


@pytest.mark.parametrize("request_", [REQUEST, {**REQUEST, "request_id": "a\0b"}, {"odd": None}])
def test_a_released_request_is_sent_as_it_was_under_the_id_that_it_had(
    request_: dict[str, Any], parts: ReleaseParts
) -> None:
    entry = parts.quarantine("a", request_)
    parts.app.backend.mark_as_failure("a", ImageUnavailable("the store failed"))
    parts.release(entry)
    [sent] = parts.taken()
    assert (sent.id, sent.request, sent.sent_at) == ("a", request_, 1.0)
    assert parts.kept.kept("a") is None
    submission = Submission("a", "0" * 64, "path", "/srv/a.jpg", ("weapons",), "bulk", 1.0)
    assert parts.log.answers([submission]) == {}
    with pytest.raises(VerdictTimeout):  # and not the old error
        Client(parts.settings).collect("a", timeout_seconds=0)
    released = find_quarantined(parts.log.engine, "a")
    assert released is not None
    with pytest.raises(RequestError, match="released already"):
        parts.release(released)


def test_a_request_that_redis_no_longer_holds_cannot_be_released_and_stays(
    parts: ReleaseParts,
) -> None:
    entry = parts.quarantine("a")
    parts.kept.forget("a")
    with pytest.raises(RequestError, match="not kept in Redis"):
        parts.release(entry)
    assert [one.state for one in parts.entries()] == ["open"]


def test_a_full_queue_leaves_a_request_in_quarantine(parts: ReleaseParts) -> None:
    entry = parts.quarantine("a")
    parts.connection.lpush(QUEUES["bulk"], "1", "2", "3")
    with pytest.raises(QueueFull):
        parts.release(entry)
    assert parts.entries() == [entry]
    assert parts.kept.kept("a") is not None


def test_a_full_redis_leaves_a_request_in_quarantine(parts: ReleaseParts) -> None:
    entry = parts.quarantine("a")
    parts.connection.config_set("maxmemory", "1")
    with pytest.raises(BrokerUnavailable, match="Redis refuses"):
        parts.release(entry)
    assert parts.entries() == [entry]
    assert parts.kept.kept("a") is not None
    assert not parts.connection.exists(*LATER.values())


def test_a_request_that_is_released_by_two_at_once_is_sent(parts: ReleaseParts) -> None:
    entry = parts.quarantine("a")
    parts.release(entry)
    with pytest.raises(RequestError, match="not kept in Redis"):
        parts.release(entry)  # as it was before
    assert [sent.id for sent in parts.taken()] == ["a"]


def test_the_commands_list_show_retry_and_drop(parts: ReleaseParts) -> None:
    quarantine = partial(moderation, "quarantine", env=leading_to(parts.settings))
    for name in ("first", "second"):
        parts.quarantine(name)
    listed = json.loads(quarantine("list", "--format", "json").stdout)
    assert [entry["request_id"] for entry in listed] == ["second", "first"]
    assert [entry["id"] in quarantine("list").stdout for entry in listed] == [True, True]
    shown = json.loads(quarantine("show", "first").stdout)
    assert (shown["reason"], shown["can_be_retried"]) == ("unavailable", True)
    assert quarantine("retry", "first").returncode == 0
    assert [sent.id for sent in parts.taken()] == ["first"]
    dropped = quarantine("drop", "--all", "--reason", "unavailable")
    assert (dropped.returncode, "1 dropped" in dropped.stderr) == (0, True)
    assert parts.kept.kept("second") is None
    assert json.loads(quarantine("list", "--format", "json").stdout) == []
    every = json.loads(quarantine("list", "--all", "--format", "json").stdout)
    assert [entry["state"] for entry in every] == ["dropped", "released"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("retry", "unheard-of"), "nothing in quarantine is called unheard-of"),
        (("retry",), "not clear which requests"),
        (("drop", "a", "--all"), "not clear which requests"),
        (("list", "--reason", "bad"), "Invalid value for '--reason'"),
        (("show", "unheard-of"), "nothing in quarantine"),
    ],
)
def test_wrong_use_of_the_commands_is_explained(
    words: tuple[str, ...], text: str, parts: ReleaseParts
) -> None:
    done = moderation("quarantine", *words, env=leading_to(parts.settings))
    assert (done.returncode, text in " ".join(done.stderr.split())) == (2, True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [("quarantine", "list"), ("decisions", "list"), ("callbacks", "list"), ("doctor",)]
)
def test_a_command_that_reads_makes_no_log(
    words: tuple[str, ...], server: EmbeddedRedis, tmp_path: Path
) -> None:
    misspelt = f"sqlite:///{tmp_path}/misspelt.db"
    settings = load_settings(broker_url=server.url, database_url=misspelt)
    done = moderation(*words, env=leading_to(settings))
    if words != ("doctor",):
        assert (done.returncode, "there is no decision log" in done.stderr) == (3, True)
    assert not (tmp_path / "misspelt.db").exists()

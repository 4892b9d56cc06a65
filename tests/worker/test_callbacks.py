"""Webhooks as receivers get them: real sockets, real databases, a process that is really killed."""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, get_args

import pytest
from prometheus_client import CollectorRegistry, Counter
from sqlalchemy import insert, update
from standardwebhooks import Webhook, WebhookVerificationError

from moderation.decision_log import outbox, tables
from moderation.decision_log.database import Database
from moderation.decision_log.log import open_log
from moderation.decision_log.outbox import Callback
from moderation.decision_log.records import Submission
from moderation.errors import ImageError, SettingsError
from moderation.settings import Settings, load_settings
from moderation.worker.callbacks.breaker import Breaker
from moderation.worker.callbacks.delivery import parse_retry_after
from moderation.worker.callbacks.dispatcher import CallbackDispatcher, make_dispatcher
from moderation.worker.callbacks.receivers import read_receivers
from moderation.worker.callbacks.schedule import BACKOFF, Timing, wait_before_next
from moderation.worker.callbacks.signer import Signer
from moderation.worker.metrics import Metrics, WebhookResult, Webhooks
from tests.support.command_line import moderation
from tests.support.database_servers import PostgresServer
from tests.support.decision_samples import record_refusal
from tests.support.photo_server import RawServer
from tests.support.waiting import until
from tests.support.webhook_server import HookReply, Post, WebhookServer

SECRET = "whsec_" + base64.b64encode(b"first".ljust(32, b"1")).decode()
OTHER = "whsec_" + base64.b64encode(b"second".ljust(32, b"2")).decode()
#: Nothing listens on port 1.
NOBODY = "http://127.0.0.1:1/hook"
PAYLOAD = '{"type": "decided",  "data": {"label": "\\u00e9t\u00e9 \U0001f642"}}'
QUICK = Timing(poll=0.02, backoff=(0.01,) * 3, breaker_failures=1000, claim_beyond=30, grace=0.5)


def _now() -> datetime:
    return datetime.now(UTC)


class Hooks(WebhookServer):
    """A receiver of webhooks, and the outbox of a new decision log that they come from."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.database_url = database.engine.url.render_as_string(hide_password=False)
        self.metrics = Metrics()
        self.metrics.webhooks.go_to([self.host])

    def add(self, callback_id: str = "a", url: str | None = None, **values: Any) -> str:
        """Puts a due row into the outbox."""
        now = _now()
        row = {
            "id": callback_id,
            "request_id": f"request-of-{callback_id}",
            "endpoint": url or self.url,
            "payload": PAYLOAD,
            "created_at": now,
            "next_attempt_at": now - timedelta(seconds=1),
        }
        with self.database.engine.begin() as connection:
            connection.execute(insert(tables.outbox).values({**row, **values}))
        return callback_id

    def get(self, callback_id: str = "a") -> Callback:
        found = outbox.find(self.database, callback_id)
        assert found is not None
        return found

    def is_delivered(self, callback_id: str = "a") -> bool:
        return self.get(callback_id).delivered_at is not None

    def deliver(self, **options: Any) -> None:
        """Puts a due row into the outbox, and dispatches until it is delivered."""
        self.add()
        with self.dispatching(**options):
            until(self.is_delivered)

    def dispatching(
        self,
        *urls: str,
        timing: Timing = QUICK,
        clock: Callable[[], datetime] = _now,
        webhooks: Webhooks | None = None,
        **settings: Any,
    ) -> CallbackDispatcher:
        """Returns a dispatcher to these URLs; without any, to this receiver alone."""
        given = settings_for(*(urls or (self.url,)), **settings)
        counting = webhooks or self.metrics.webhooks
        return CallbackDispatcher(self.database, given, counting, timing=timing, clock=clock)

    def make(self, settings: Settings) -> AbstractContextManager[object]:
        """Returns what a worker with these settings dispatches with."""
        return make_dispatcher(settings, self.database, Metrics().webhooks)

    def counted(self) -> dict[str, float]:
        """Returns how many tries to this receiver were counted, by how they ended."""
        found: dict[str, float] = {}
        for result in get_args(WebhookResult):
            labels = {"host": self.host, "result": result}
            name = "evenhand_webhook_deliveries_total"
            if count := self.metrics.registry.get_sample_value(name, labels):
                found[result] = count
        return found

    def rename_table(self, name: str, to: str) -> None:
        with self.database.engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {to}")


@pytest.fixture
def hooks(database_url: str) -> Iterator[Hooks]:
    with open_log(load_settings(database_url=database_url)) as log, Hooks(log.database) as running:
        yield running


def settings_for(*urls: str, secrets: str | None = SECRET, **others: Any) -> Settings:
    return load_settings(callback_urls=urls, callback_secrets=secrets, **others)


def threads() -> set[threading.Thread]:
    """Returns the threads of dispatchers."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("callback")}


def held(released: threading.Event) -> Callable[[Post], HookReply]:
    """Returns what answers a webhook once the event has come."""

    def reply(post: Post) -> HookReply:
        released.wait()
        return HookReply()

    return reply


# Signatures


def test_a_row_is_sent_signed_and_byte_for_byte(hooks: Hooks) -> None:
    hooks.deliver()
    [post] = hooks.posts
    assert (post.path, post.body) == ("/hook", PAYLOAD.encode())
    assert post.headers["content-type"] == "application/json"
    assert Webhook(SECRET).verify(post.body, post.headers) == json.loads(PAYLOAD)
    assert post.id == "a"
    row = hooks.get()
    assert (row.state, row.attempts, row.last_error) == ("delivered", 1, None)
    assert row.claimed_until is None


def test_either_of_two_secrets_verifies_and_another_does_not(hooks: Hooks) -> None:
    hooks.deliver(secrets=f"{SECRET}, {OTHER}")
    [post] = hooks.posts
    assert len(post.headers["webhook-signature"].split(" ")) == 2
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(post.body, post.headers)
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(base64.b64encode(b"third".ljust(32, b"3")).decode()).verify(post.body, post.headers)


def test_the_id_stays_and_the_time_is_that_of_the_try(hooks: Hooks) -> None:
    hooks.reply = lambda post: HookReply(500 if len(hooks.posts) < 3 else 200)
    began = _now()
    looks = iter(range(10**6))
    # A clock that goes on by a minute whenever it is looked at; no claim ends meanwhile.
    timing = replace(QUICK, claim_beyond=1e8)
    hooks.deliver(timing=timing, clock=lambda: began + timedelta(minutes=next(looks)))
    assert [post.id for post in hooks.posts] == ["a"] * 3
    times = [int(post.headers["webhook-timestamp"]) for post in hooks.posts]
    assert times[0] > began.timestamp()
    assert times[0] < times[1] < times[2]


@pytest.mark.parametrize(
    ("secrets", "text"),
    [
        (None, "no secret to sign them with"),
        (" , ", "no secret to sign them with"),
        (f"{SECRET},sesame-{SECRET}", "secret 2 does not begin with whsec_"),
        ("whsec_sesame!sesame", "secret 1 is not base64"),
        ("whsec_sesäme", "secret 1 is not base64"),
        ("whsec_c2VzYW1l", "secret 1 is not of 24 to 64 bytes"),
    ],
)
def test_a_secret_that_cannot_be_used_stops_the_start_and_is_not_repeated(
    secrets: str | None, text: str, hooks: Hooks
) -> None:
    with pytest.raises(SettingsError, match=text) as caught:
        hooks.make(settings_for("https://app.example/hook", secrets=secrets))
    assert "MODERATION_CALLBACK_SECRETS" in str(caught.value)
    assert "ses" not in str(caught.value)
    assert "c2VzYW1l" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_secrets_do_not_show_in_a_repr() -> None:
    settings = settings_for(NOBODY)
    assert SECRET not in repr(settings) + repr(Signer(settings)) + repr(vars(Signer(settings)))


def test_the_decision_log_puts_its_answers_into_the_outbox(database_url: str, hooks: Hooks) -> None:
    settings = settings_for(hooks.url, database_url=database_url)
    request = Submission("r-1", "0" * 64, "bytes", "", ("weapons",), "interactive", None)
    with open_log(settings) as log, hooks.make(settings):
        record_refusal(
            log, request, "image", ImageError("this is not an image", "image", "Send one")
        )
        until(lambda: outbox.list_callbacks(log.database, "delivered", 10))
    [post] = hooks.posts
    sent = Webhook(SECRET).verify(post.body, post.headers)
    assert (sent["type"], sent["data"]["request_id"]) == ("moderation.quarantined", "r-1")
    assert sent["data"]["error"]["what"] == "this is not an image"


# Receivers


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ftp://app.example/hook?key=sesame", "URL 1 is not an https URL"),
        ("/hook?key=sesame", "URL 1 is not an https URL"),
        ("https://?key=sesame", "URL 1 is not an https URL"),
        ("https://app.example:sesame/", "URL 1 is not a URL"),
        ("https://alice:sesame@app.example/", "URL 1 has a user"),
        ("https://app.example/#sesame", "URL 1 has a user or a fragment"),
    ],
)
def test_a_url_that_cannot_be_sent_to_stops_the_start_and_is_not_repeated(
    url: str, text: str, hooks: Hooks
) -> None:
    with pytest.raises(SettingsError, match=text) as caught:
        hooks.make(settings_for(url))
    assert "MODERATION_CALLBACK_URLS" in str(caught.value)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_http_may_go_to_this_machine(host: str) -> None:
    [receiver] = read_receivers(settings_for(f"http://{host}:8000/hook"))
    assert (receiver.host, receiver.is_overheard) == (f"{host}:8000", False)


@pytest.mark.parametrize("host", ["app.internal", "localhost.evil.example", "128.0.0.1"])
def test_http_goes_elsewhere_where_the_url_says_so_and_the_log_tells(
    host: str, hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    urls = (f"http://{host}/hook?key=sesame", f"https://{host}/hook")
    # The schemes that images may be fetched by have no part in it.
    settings = settings_for(*urls, allowed_schemes=("https",))
    hooks.make(settings)
    [plain, secret] = read_receivers(settings)
    assert (plain.is_overheard, secret.is_overheard) == (True, False)
    text = f"callbacks to {host} go over http: whoever is between can read them"
    assert caplog.messages == [text]


def test_without_urls_nothing_is_dispatched(hooks: Hooks) -> None:
    before = threads()
    with hooks.make(load_settings()):
        assert threads() <= before


def test_a_url_that_left_the_settings_is_not_sent_to(hooks: Hooks) -> None:
    hooks.add("left", NOBODY)
    hooks.add("stays")
    with hooks.dispatching():
        until(lambda: hooks.is_delivered("stays"))
    assert (hooks.get("left").attempts, hooks.get("left").claimed_until) == (0, None)


# Tries


@pytest.mark.parametrize("status", [301, 307, 400, 404, 429, 500, 503])
def test_a_reply_other_than_2xx_is_tried_again(status: int, hooks: Hooks) -> None:
    moved = HookReply(status, {"Location": "/elsewhere"}, b"sesame")
    hooks.reply = lambda post: moved if len(hooks.posts) == 1 else HookReply(202)
    hooks.add()
    with hooks.dispatching():
        until(lambda: hooks.counted() == {"retried": 1, "delivered": 1})
    assert {post.path for post in hooks.posts} == {"/hook"}
    assert hooks.get().attempts == 2


def test_a_callback_is_given_up_after_the_last_try(
    hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    hooks.reply = lambda post: HookReply(500, body=b"sesame")
    hooks.add()
    with hooks.dispatching():
        until(lambda: hooks.counted() == {"retried": 3, "failed": 1})
    row = hooks.get()
    assert (row.state, row.attempts) == ("failed", 4)
    assert row.last_error == "HTTP 500 Internal Server Error"
    assert len(hooks.posts) == 4
    [given_up] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert given_up.__dict__["request_id"] == "request-of-a"


def test_a_receiver_that_is_gone_is_not_asked_again(hooks: Hooks) -> None:
    hooks.reply = lambda post: HookReply(410)
    hooks.add()
    with hooks.dispatching():
        until(lambda: hooks.get().failed_at)
    assert (hooks.get().attempts, hooks.get().last_error) == (1, "HTTP 410 Gone")


def test_a_receiver_that_nobody_answers_for_is_named_in_few_words(hooks: Hooks) -> None:
    hooks.add(url=NOBODY)
    with hooks.dispatching(NOBODY):
        until(lambda: hooks.get().last_error)
    text = hooks.get().last_error or ""
    assert text.startswith("no answer, ConnectError")
    assert len(text) <= 200


def test_retry_after_is_honoured(hooks: Hooks) -> None:
    hooks.reply = lambda post: HookReply(503, {"Retry-After": "3600"})
    hooks.add()
    now = _now()
    with hooks.dispatching(clock=lambda: now):
        until(lambda: hooks.get().attempts)
    assert hooks.get().next_attempt_at == now + timedelta(hours=1)


def test_the_schedule_goes_on_for_about_three_days_and_is_spread() -> None:
    waits = [wait_before_next(attempts, None) for attempts in range(1, len(BACKOFF) + 2)]
    assert waits.pop() is None
    for seconds, wait in zip(BACKOFF, waits, strict=True):
        assert wait is not None
        assert 0.8 * seconds <= wait.total_seconds() <= 1.2 * seconds
    assert timedelta(days=2.5) < timedelta(seconds=sum(BACKOFF)) < timedelta(days=3.5)
    assert len({wait_before_next(3, None) for _ in range(20)}) > 1


@pytest.mark.parametrize(
    ("asked", "seconds"), [(0.0, 4.0), (3600.0, 3600.0), (10.0**9, 24 * 3600.0)]
)
def test_retry_after_makes_a_wait_longer_up_to_a_day(asked: float, seconds: float) -> None:
    wait = wait_before_next(1, asked)
    assert wait is not None
    assert seconds <= wait.total_seconds() <= max(seconds, 6.0)


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    assert parse_retry_after(" 120 ", now) == 120
    assert parse_retry_after(format_datetime(now + timedelta(hours=1), usegmt=True), now) == 3600
    assert parse_retry_after("Fri, 01 May 2026 00:00:10 -0000", now) == 10
    assert parse_retry_after("Thu, 30 Apr 2026 00:00:00 GMT", now) == 0
    for nonsense in (None, "", "soon", "-5", "1e9", "²"):
        assert parse_retry_after(nonsense, now) is None


@contextmanager
def drip(hooks: Hooks, began: bytes, more: bytes = b"x") -> Iterator[str]:
    """Yields the URL of a server that answers with `began`, then with `more` now and then."""

    def script(connection: socket.socket) -> None:
        connection.sendall(began)
        while not hooks.closing.wait(0.05):
            connection.sendall(more)

    with RawServer(script) as server:
        yield f"{server.url}/"


@pytest.mark.parametrize(
    ("began", "delivered"),
    [
        (b"HTTP/1.1 200 OK\r\nx-y: ", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n", True),
    ],
    ids=["headers that never end", "a body that never ends"],
)
def test_the_timeout_holds_for_the_whole_of_a_try(
    began: bytes, delivered: bool, hooks: Hooks
) -> None:
    """A status that came is an answer, whatever becomes of the body behind it."""
    timing = replace(QUICK, backoff=(0.01,) * 1000)  # until the status comes in so short a time
    with drip(hooks, began) as url:
        hooks.add(url=url)
        with hooks.dispatching(url, callback_timeout_seconds=0.3, timing=timing):
            until(lambda: hooks.is_delivered() if delivered else hooks.get().attempts)
    assert bool(hooks.is_delivered()) == delivered
    assert hooks.get().last_error == (None if delivered else "no answer within 0.3 s")


def test_an_answer_without_end_is_not_read_to_it(hooks: Hooks) -> None:
    began = b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n"
    with drip(hooks, began, bytes(100_000)) as url:
        hooks.add(url=url)
        with hooks.dispatching(url, callback_timeout_seconds=60) as dispatcher:
            until(hooks.is_delivered)
            assert not dispatcher.outages


def test_proxies_of_the_environment_and_cookies_are_not_used(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    hooks.reply = lambda post: HookReply(200 if post.id == "b" else 500, {"Set-Cookie": "c=1"})
    hooks.add()
    with hooks.dispatching():
        until(lambda: hooks.get().attempts)
        hooks.add("b")
        until(lambda: hooks.is_delivered("b"))
    assert len(hooks.posts) > 1
    assert not any("cookie" in post.headers for post in hooks.posts)


# Several hosts


def test_a_host_that_hangs_holds_up_no_other(hooks: Hooks) -> None:
    with WebhookServer() as slow:
        slow.reply = held(slow.closing)
        for number in range(30):
            hooks.add(f"slow-{number}", slow.url)
        for number in range(10):
            hooks.add(f"fast-{number}")
        with hooks.dispatching(slow.url, hooks.url, callback_timeout_seconds=60):
            until(lambda: all(hooks.is_delivered(f"fast-{n}") for n in range(10)))
            until(lambda: len(slow.posts) == 2)
        assert len(slow.posts) == 2  # and none of them has been answered


def test_a_host_that_fails_is_left_alone_until_it_is_back(hooks: Hooks) -> None:
    down = threading.Event()
    down.set()
    with WebhookServer(lambda post: HookReply(503 if down.is_set() else 204)) as failing:
        for number in range(20):
            hooks.add(f"row-{number}", failing.url)
        timing = replace(QUICK, per_host=1, backoff=(3600.0,))
        dispatcher = hooks.dispatching(failing.url, hooks.url, timing=timing)
        now = [0.0]
        breaker = Breaker(lambda: now[0], failures=3, pause=60)
        dispatcher._hosts[failing.host].breaker = breaker

        def rows() -> list[Callback]:
            return [hooks.get(f"row-{number}") for number in range(20)]

        with dispatcher:
            until(lambda: sum(row.attempts for row in rows()) == 3)
            hooks.add("other")
            until(lambda: hooks.is_delivered("other"))
            assert len(failing.posts) == 3
            assert not any(row.claimed_until for row in rows())
            now[0] = 60.0
            until(lambda: sum(row.attempts for row in rows()) == 4)  # one looks whether it is back
            down.clear()
            now[0] = 120.0
            until(lambda: sum(bool(row.delivered_at) for row in rows()) == 16)


def test_an_answer_that_concerns_the_webhook_alone_opens_no_breaker(hooks: Hooks) -> None:
    hooks.reply = lambda post: HookReply(404 if post.id.startswith("bad") else 204)
    for number in range(10):
        hooks.add(f"bad-{number}")
    timing = replace(QUICK, breaker_failures=2, breaker_pause=600, backoff=(600.0,))
    with hooks.dispatching(timing=timing):
        until(lambda: all(hooks.get(f"bad-{n}").attempts for n in range(10)))
        hooks.add("good")
        until(lambda: hooks.is_delivered("good"))


def test_the_breaker_opens_looks_and_closes() -> None:
    now = [0.0]
    breaker = Breaker(lambda: now[0], failures=3, pause=60)
    assert [breaker.room(0, 2), breaker.room(1, 2), breaker.room(3, 2)] == [2, 1, 0]
    assert [breaker.failed(), breaker.failed()] == [False, False]
    assert not breaker.succeeded()  # and the count begins again
    assert [breaker.failed() for _ in range(3)] == [False, False, True]
    now[0] = 59.9
    assert (breaker.is_open, breaker.room(0, 2)) == (True, 0)
    now[0] = 60.0
    assert (breaker.room(0, 2), breaker.room(1, 2)) == (1, 0)
    assert not breaker.failed()  # it was open already
    assert breaker.room(0, 2) == 0
    now[0] = 120.0
    assert breaker.room(0, 2) == 1
    assert breaker.succeeded()
    assert (breaker.is_open, breaker.room(0, 2)) == (False, 2)


# Several workers, and those that die


def test_several_dispatchers_send_each_row_once(hooks: Hooks) -> None:
    names = [f"row-{number}" for number in range(60)]
    for name in names:
        hooks.add(name)
    with hooks.dispatching(), hooks.dispatching(), hooks.dispatching():
        until(lambda: all(hooks.is_delivered(name) for name in names))
    assert sorted(post.id for post in hooks.posts) == sorted(names)


def test_a_claim_is_for_one_worker_until_it_has_passed(hooks: Hooks) -> None:
    hooks.add(url=NOBODY)
    now = datetime.now(UTC)
    later = now + timedelta(seconds=30)
    [first] = outbox.claim(hooks.database, [NOBODY], 5, now=now, until=later)
    assert first.claimed_until == later
    assert not list(outbox.claim(hooks.database, [NOBODY], 5, now=later, until=later))
    after = later + timedelta(microseconds=1)
    [second] = outbox.claim(
        hooks.database, [NOBODY], 5, now=after, until=after + timedelta(seconds=30)
    )
    # The first one comes too late with a failure, and not with a delivery.
    outbox.give_up(hooks.database, first, now=after, error="x")
    outbox.postpone(hooks.database, first, until=after, error="x")
    outbox.release(hooks.database, first)
    assert hooks.get() == second
    outbox.mark_delivered(hooks.database, first, now=after)
    assert hooks.get().state == "delivered"


WORKER = """
import threading
from moderation.worker.callbacks.dispatcher import CallbackDispatcher
from moderation.worker.callbacks.schedule import Timing
from moderation.decision_log.log import open_log
from moderation.settings import load_settings
from moderation.worker.metrics import Metrics

class Dispatcher(CallbackDispatcher):
    def _take_attempt(self, callback, reply):
        super()._take_attempt(callback, reply)
        print(reply, flush=True)

settings = load_settings()
webhooks, timing = Metrics().webhooks, Timing(poll=0.02)
with open_log(settings) as log, Dispatcher(log.database, settings, webhooks, timing=timing):
    threading.Event().wait()
"""


def test_a_worker_killed_before_it_wrote_the_outcome_leads_to_the_same_webhook_again(
    hooks: Hooks,
) -> None:
    answered = threading.Event()
    locked = hooks.database.engine.connect()

    def reply(post: Post) -> HookReply:
        if not answered.is_set():
            # From now on nobody can write to the row: the outcome stays unwritten for certain.
            locked.execute(update(tables.outbox).values(last_error="held by the test"))
            answered.set()
        return HookReply()

    hooks.reply = reply
    hooks.add()
    env = {
        **os.environ,
        "MODERATION_CALLBACK_URLS": hooks.url,
        "MODERATION_CALLBACK_SECRETS": SECRET,
        "MODERATION_CALLBACK_TIMEOUT_SECONDS": "60",
        "MODERATION_DATABASE_URL": hooks.database_url,
    }
    process = subprocess.Popen([sys.executable, "-c", WORKER], env=env, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        # The answer has reached the worker, which now waits for the database.
        assert process.stdout.readline().startswith(b"Reply(status=204")
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        locked.rollback()
        locked.close()
    assert (hooks.get().state, hooks.get().attempts) == ("pending", 0)
    # By its clock the claim of the dead one has passed.
    with hooks.dispatching(clock=lambda: datetime.now(UTC) + timedelta(hours=1)):
        until(lambda: hooks.is_delivered())
    first, second = hooks.posts
    assert first.id == second.id == "a"
    assert first.body == second.body


# A database that is down, and the end


def test_a_database_that_is_down_is_logged_once_and_waited_for(
    hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    hooks.add(payload="sesame")
    hooks.rename_table("outbox", "away")
    with hooks.dispatching() as dispatcher:
        until(lambda: dispatcher.outages >= 4)
        errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
        hooks.rename_table("away", "outbox")
        until(lambda: hooks.is_delivered())
        until(lambda: "answers again" in caplog.text)
    [record] = errors
    assert "callbacks wait: " in record.message
    assert "sesame" not in caplog.text


def test_an_outcome_waits_for_a_database_that_is_down(hooks: Hooks) -> None:
    """And the row is not sent twice."""

    def reply(post: Post) -> HookReply:
        hooks.rename_table("outbox", "away")
        return HookReply()

    hooks.reply = reply
    hooks.add()
    with hooks.dispatching() as dispatcher:
        until(lambda: dispatcher.outages >= 2)
        hooks.rename_table("away", "outbox")
        until(lambda: hooks.is_delivered())
    assert len(hooks.posts) == 1


def test_a_fault_in_counting_ends_nothing(hooks: Hooks) -> None:
    hosts: list[str] = []

    class Miscounting(Webhooks):
        def tried(self, host: str, result: WebhookResult) -> None:
            hosts.append(host)
            raise RuntimeError("a fault")

    miscounting = Miscounting(Counter("tries", "", registry=CollectorRegistry()))
    hooks.add()
    with hooks.dispatching(webhooks=miscounting):
        until(lambda: hosts)
        hooks.add("b")
        until(lambda: hooks.is_delivered("b"))
    assert [post.id for post in hooks.posts] == ["a", "b"]


def test_closing_lets_a_post_end_and_writes_what_became_of_it(hooks: Hooks) -> None:
    dispatcher = hooks.dispatching(timing=replace(QUICK, grace=60))

    hooks.reply = held(dispatcher._stopping)
    hooks.add()
    with dispatcher:
        until(lambda: hooks.posts)
    assert hooks.get().state == "delivered"


def test_closing_cuts_off_a_post_that_hangs_and_leaves_its_row_to_others(hooks: Hooks) -> None:
    hooks.reply = held(hooks.closing)
    hooks.add()
    with hooks.dispatching():
        until(lambda: hooks.posts)
    row = hooks.get()
    assert (row.state, row.attempts, row.claimed_until) == ("pending", 0, None)
    until(lambda: not threads())


def test_logs_name_the_request_and_neither_payload_nor_secret_nor_path(
    hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "moderation")
    url = f"{hooks.url}?key=sesame"
    hooks.reply = lambda post: HookReply(500 if len(hooks.posts) == 1 else 204, body=b"open")
    hooks.add(url=url, payload="nuts")
    with hooks.dispatching(url):
        until(lambda: hooks.is_delivered())
    ours = [record for record in caplog.records if record.name.startswith("moderation")]
    marked = [record for record in ours if hasattr(record, "request_id")]
    assert [record.__dict__["request_id"] for record in marked] == ["request-of-a"] * 2
    text = "\n".join(record.getMessage() for record in ours)
    for word in ("nuts", "sesame", "hook", "open", SECRET):
        assert word not in text


def test_a_postgresql_that_takes_no_connection_costs_nothing(
    postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.new_database()
    name = url.rpartition("/")[2]
    went = threading.Event()

    def reply(post: Post) -> HookReply:
        if not went.is_set():
            postgres.sql("postgres", f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname"
            postgres.sql("postgres", f"{ended} = '{name}'")
            went.set()
        return HookReply()

    with open_log(load_settings(database_url=url)) as log, Hooks(log.database) as hooks:
        hooks.reply = reply
        hooks.add()
        with hooks.dispatching() as dispatcher:
            until(went.is_set)
            until(lambda: dispatcher.outages >= 2)
            postgres.sql("postgres", f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            until(lambda: "answers again" in caplog.text)
        assert hooks.get().state == "delivered"
        assert len(hooks.posts) == 1
    assert caplog.text.count("callbacks wait: ") == 1
    assert "p4ss-word" not in caplog.text


# The command


def command(hooks: Hooks, *words: str) -> subprocess.CompletedProcess[str]:
    """Returns the finished `moderation callbacks WORDS`."""
    return moderation("callbacks", *words, env={"MODERATION_DATABASE_URL": hooks.database_url})


@pytest.fixture
def three(hooks: Hooks) -> Hooks:
    """An outbox with a pending, a failed and a delivered row."""
    now = datetime.now(UTC)
    url = "https://app.example/hook?key=sesame"
    hooks.add("waits", url, next_attempt_at=now + timedelta(hours=1), attempts=2)
    hooks.add("failed", url, failed_at=now, attempts=12, last_error="HTTP 500")
    hooks.add("arrived", url, delivered_at=now, attempts=1)
    return hooks


def test_list_shows_where_callbacks_stand(three: Hooks) -> None:
    done = command(three, "list")
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("waits", "failed", "arrived", "HTTP 500"))
    assert "app.example/hook" in done.stdout
    assert "sesame" not in done.stdout
    for state, name in (("pending", "waits"), ("failed", "failed"), ("delivered", "arrived")):
        [row] = json.loads(command(three, "list", "--state", state, "--format", "json").stdout)
        assert (row["id"], row["state"]) == (name, state)
    assert "payload" not in row
    assert len(json.loads(command(three, "list", "--limit", "2", "--format", "json").stdout)) == 2


def test_show_prints_one_with_its_payload(three: Hooks) -> None:
    shown = json.loads(command(three, "show", "failed").stdout)
    assert (shown["attempts"], shown["last_error"]) == (12, "HTTP 500")
    assert shown["payload"] == PAYLOAD
    missing = command(three, "show", "none")
    assert missing.returncode == 2
    assert "no callback is called none" in missing.stderr


def test_retry_makes_callbacks_due_and_leaves_what_arrived(three: Hooks) -> None:
    assert command(three, "retry", "waits").returncode == 0
    row = three.get("waits")
    assert (row.attempts, row.next_attempt_at <= datetime.now(UTC)) == (0, True)
    for words, text in (
        ((), "it is not clear which are meant"),
        (("waits", "--all-failed"), "it is not clear which are meant"),
        (("failed", "none"), "no callback is called none"),
        (("failed", "arrived"), "arrived arrived already"),
    ):
        refused = command(three, "retry", *words)
        assert refused.returncode == 2
        assert text in refused.stderr
    assert three.get("failed").state == "failed"
    done = command(three, "retry", "--all-failed")
    assert (done.returncode, done.stderr.strip()) == (0, "1 will be tried now")
    assert (three.get("failed").state, three.get("failed").attempts) == ("pending", 0)
    assert three.get("arrived").state == "delivered"


def test_a_callback_that_was_given_up_is_sent_after_a_retry(hooks: Hooks) -> None:
    hooks.add(failed_at=datetime.now(UTC), attempts=12)
    with hooks.dispatching():
        assert outbox.retry_all_failed(hooks.database, now=datetime.now(UTC)) == ["a"]
        until(lambda: hooks.is_delivered())
    assert [post.id for post in hooks.posts] == ["a"]

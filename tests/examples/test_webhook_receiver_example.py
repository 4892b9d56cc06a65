"""The example of a receiver is run as a program; the real dispatcher sends to it, and others."""

from __future__ import annotations

import base64
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert
from standardwebhooks import Webhook

from moderation.decision_log import outbox, tables
from moderation.decision_log.log import open_log
from moderation.settings import load_settings
from moderation.worker.callbacks.dispatcher import make_dispatcher
from moderation.worker.metrics import Metrics
from tests.support.command_line import clean_environment
from tests.support.example_server import served
from tests.support.waiting import until

SECRET = "whsec_" + base64.b64encode(b"first".ljust(32, b"1")).decode()
OTHER = "whsec_" + base64.b64encode(b"second".ljust(32, b"2")).decode()
BODY = '{"type":"moderation.decided",  "data":{"label":"é"}}'


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[httpx.Client]:
    database = str(tmp_path / "webhooks.sqlite3")
    env = clean_environment(WEBHOOK_SECRET=SECRET, WEBHOOK_DATABASE=database)
    with served("webhook_receiver", "-m flask run --port", env) as browser:
        yield browser


def stored(tmp_path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(tmp_path / "webhooks.sqlite3")) as database:
        return database.execute("SELECT * FROM inbox ORDER BY webhook_id").fetchall()


def signed(secret: str = SECRET, age: timedelta = timedelta(0), body: str = BODY) -> dict[str, str]:
    at = datetime.now(UTC) - age
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", at, body),
    }


def post(receiver: httpx.Client, headers: dict[str, str], body: bytes | str = BODY) -> int:
    return receiver.post("/moderated", headers=headers, content=body).status_code


def test_the_receiver_stores_what_the_dispatcher_sends(
    receiver: httpx.Client, tmp_path: Path
) -> None:
    url = str(receiver.base_url.join("/moderated"))
    settings = load_settings(
        database_url=f"sqlite:///{tmp_path / 'log.sqlite3'}",
        callback_urls=(url,),
        callback_secrets=f"{OTHER},{SECRET}",
    )
    now = datetime.now(UTC)
    row = {"id": "msg_1", "request_id": "r", "endpoint": url, "payload": BODY}
    with open_log(settings) as log:
        with log.database.writing() as connection:
            times = {"created_at": now, "next_attempt_at": now}
            connection.execute(insert(tables.outbox).values(**row, **times))
        with make_dispatcher(settings, log.database, Metrics().webhooks):
            until(lambda: outbox.list_callbacks(log.database, "delivered", 1))
    assert stored(tmp_path) == [("msg_1", BODY)]


def test_the_receiver_stores_a_webhook_that_comes_twice_once(
    receiver: httpx.Client, tmp_path: Path
) -> None:
    assert [post(receiver, signed()) for _ in range(2)] == [204, 204]
    assert stored(tmp_path) == [("msg_1", BODY)]


@pytest.mark.parametrize(
    "headers",
    [
        dict,
        lambda: signed(OTHER),
        lambda: signed(age=timedelta(minutes=6)),
        lambda: signed(age=timedelta(minutes=-6)),
        lambda: {**signed(), "webhook-id": "msg_2"},
        lambda: {**signed(), "webhook-signature": "v1,="},
        lambda: {**signed(), "webhook-signature": "disorder"},
        lambda: {**signed(), "webhook-timestamp": "soon"},
    ],
    ids=["none", "secret", "old", "new", "id", "base64", "disorder", "time"],
)
def test_the_receiver_refuses_what_is_not_signed_now_and_by_us(
    headers: Callable[[], dict[str, str]], receiver: httpx.Client, tmp_path: Path
) -> None:
    assert post(receiver, headers()) == 401
    assert stored(tmp_path) == []


def test_the_receiver_refuses_a_body_that_was_changed_or_is_too_large(
    receiver: httpx.Client, tmp_path: Path
) -> None:
    assert post(receiver, signed(), BODY.replace("  ", "")) == 401
    assert post(receiver, signed(), b"\xff\xfe") == 401
    assert post(receiver, signed(), bytes(1_000_001)) == 413
    assert stored(tmp_path) == []


@pytest.mark.parametrize("body", ["[" * 500_000, '{"a":' * 100_000, "no JSON", "", "9" * 5000])
def test_the_receiver_refuses_what_is_signed_but_not_an_answer(
    body: str, receiver: httpx.Client, tmp_path: Path
) -> None:
    assert post(receiver, signed(body=body), body) == 400
    assert stored(tmp_path) == []


def test_what_the_receiver_stores_is_for_its_owner_alone(
    receiver: httpx.Client, tmp_path: Path
) -> None:
    assert post(receiver, signed()) == 204
    assert stat.S_IMODE((tmp_path / "webhooks.sqlite3").stat().st_mode) == 0o600

"""Takes final answers as signed webhooks: each is believed, kept once, and answered fast."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from flask import Flask, request
from standardwebhooks import Webhook, WebhookVerificationError

#: What MODERATION_CALLBACK_SECRETS of the worker holds; during a change one of the two.
WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
DATABASE = os.environ.get("WEBHOOK_DATABASE", "webhooks.sqlite3")

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 1_000_000


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    """Yields a connection; what was written is committed at the end, or nothing is."""
    with closing(sqlite3.connect(DATABASE)) as connection, connection:
        yield connection


# For its owner alone: it says who was refused, and why.
Path(DATABASE).touch(mode=0o600)
Path(DATABASE).chmod(0o600)
with database() as tables:
    tables.execute(
        "CREATE TABLE IF NOT EXISTS inbox (webhook_id TEXT PRIMARY KEY, payload TEXT NOT NULL)"
    )


@app.post("/moderated")
def take() -> tuple[str, int]:
    """Keeps an answer and says so; the work that it causes is done later, from the table."""
    body = request.get_data()  # the bytes as they came: JSON written again fits no signature
    try:
        # Refuses what is older or newer than five minutes too.
        WEBHOOK.verify(body, dict(request.headers), json_parse=False)
    except (WebhookVerificationError, ValueError):  # ValueError: headers or a body in disorder
        return "this is not signed by our moderation, or too old\n", 401
    try:
        json.loads(body)
    except (ValueError, RecursionError):  # RecursionError: nested too deeply
        return "this is signed, and no answer of our moderation\n", 400
    with database() as tables:
        # The same id comes again where our answer was lost on its way. It is kept once.
        tables.execute(
            "INSERT OR IGNORE INTO inbox VALUES (?, ?)",
            (request.headers["webhook-id"], body.decode()),
        )
    return "", 204  # after the commit: from here on nobody sends it again

"""A receiver of webhooks that is down part of the time, and counts them by webhook-id."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections import Counter

from standardwebhooks import Webhook

from tests.support.webhook_server import HookReply, Post, WebhookServer

#: It answers for this many seconds and then is down for as many, in turns.
_UP_SECONDS, _DOWN_SECONDS = 8.0, 3.0


class FlakyReceiver(WebhookServer):
    """A context manager; counts the webhooks whose signature is right."""

    def __init__(self) -> None:
        super().__init__(self._take)
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self._webhook = Webhook(self.secret)
        self._lock = threading.Lock()
        self._started = time.monotonic()
        #: How often each webhook came.
        self.deliveries: Counter[str] = Counter()
        #: The requests whose answers came.
        self.requests: set[str] = set()
        #: Tries while it was down, and tries whose signature was wrong.
        self.turned_away = 0
        self.forged = 0

    def _take(self, post: Post) -> HookReply:
        """Counts a webhook and returns the reply to it."""
        down = (time.monotonic() - self._started) % (_UP_SECONDS + _DOWN_SECONDS) > _UP_SECONDS
        with self._lock:
            if down:
                self.turned_away += 1
                return HookReply(503)
            try:
                self._webhook.verify(post.body, post.headers)
                request_id = str(json.loads(post.body)["data"]["request_id"])
            except Exception:
                self.forged += 1
                return HookReply(400)
            self.deliveries[post.id] += 1
            self.requests.add(request_id)
        return HookReply()

    def as_json(self) -> dict[str, int]:
        """Returns the sums as plain JSON values."""
        return {
            "requests": len(self.requests),
            "webhooks": len(self.deliveries),
            "deliveries": sum(self.deliveries.values()),
            "turned_away": self.turned_away,
            "forged": self.forged,
        }

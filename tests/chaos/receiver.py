"""A receiver of webhooks on loopback that is down part of the time, and counts by webhook-id."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from standardwebhooks import Webhook

#: It answers for so many seconds, then not for so many, in turns.
_UP_SECONDS, _DOWN_SECONDS = 8.0, 3.0


class Receiver:
    """A context manager; what came and was signed as it should be."""

    def __init__(self) -> None:
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self._webhook = Webhook(self.secret)
        self._lock = threading.Lock()
        self._started = time.monotonic()
        #: How often each webhook came.
        self.deliveries: Counter[str] = Counter()
        #: The requests that it was told about.
        self.told: set[str] = set()
        #: Tries while it was down, and tries whose signature did not fit.
        self.turned_away = 0
        self.forged = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}/answers"

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Returns the status for a webhook, and counts it."""
        down = (time.monotonic() - self._started) % (_UP_SECONDS + _DOWN_SECONDS) > _UP_SECONDS
        with self._lock:
            if down:
                self.turned_away += 1
                return 503
            try:
                self._webhook.verify(body, headers)
                request_id = str(json.loads(body)["data"]["request_id"])
            except Exception:
                self.forged += 1
                return 400
            self.deliveries[headers["webhook-id"]] += 1
            self.told.add(request_id)
        return 204

    def as_json(self) -> dict[str, int]:
        """Returns the sums as plain JSON."""
        return {
            "requests": len(self.told),
            "webhooks": len(self.deliveries),
            "deliveries": sum(self.deliveries.values()),
            "turned_away": self.turned_away,
            "forged": self.forged,
        }

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                given = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(receiver.take(given, body))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

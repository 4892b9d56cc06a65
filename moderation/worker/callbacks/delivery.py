"""Signed POSTs, many at a time, and what the receivers made of them.

They are made in the event loop of one thread, since only there does a whole POST have one limit: in
threads, a receiver that sends a byte now and then is waited for as long as it likes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from moderation.decision_log.outbox import Callback
from moderation.worker.callbacks.signer import Signer

#: How much of a reply is read, so that its connection can be used again.
_REPLY_BYTES = 65_536
_GONE = 410
#: Statuses below 500 that say something of the host, and not of the one webhook.
_HOST_STATUS = {408, 425, 429}
_ERROR_LENGTH = 200

#: Cancelling what is under way takes no longer, in seconds.
_STOP_SECONDS = 2.0


@dataclass(frozen=True)
class Reply:
    """What a receiver said to one try of a delivery.

    Attributes:
        status: of HTTP; None if none came.
        error: why it does not count as delivered, in a few words; "" if it does.
        retry_after: seconds that the receiver asked for.
    """

    status: int | None
    error: str = ""
    retry_after: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether the webhook was delivered."""
        return not self.error

    @property
    def is_final(self) -> bool:
        """Whether the receiver wants no further delivery."""
        return self.status == _GONE

    @property
    def host_serves(self) -> bool:
        """Whether the host takes deliveries, whatever it thinks of this webhook."""
        return self.status is not None and self.status < 500 and self.status not in _HOST_STATUS


def _delivery_client() -> httpx.AsyncClient:
    """Returns a client that goes where it is told: no redirects, no proxies, no cookies."""
    return httpx.AsyncClient(
        # SSL_CERT_FILE counts, as a private CA must be named somehow; proxy variables do not.
        verify=httpx.create_ssl_context(),
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=None,  # the whole try has one limit
    )


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Returns the seconds that the Retry-After of a reply asks for; None if it makes no sense."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())


def _reply_to_delivery(response: httpx.Response, now: datetime) -> Reply:
    status = response.status_code
    if 200 <= status < 300:
        return Reply(status)
    # The usual name of the status: the receiver's own words may be anything.
    name = httpx.codes.get_reason_phrase(status)
    retry_after = parse_retry_after(response.headers.get("retry-after"), now)
    return Reply(status, f"HTTP {status} {name}".strip(), retry_after)


async def _drain_reply(response: httpx.Response) -> None:
    """Reads a short reply; a long one costs its connection and no more."""
    read = 0
    async for part in response.aiter_raw():
        read += len(part)
        if read > _REPLY_BYTES:
            return


def _undelivered_reason(error: Exception) -> str:
    # Only if it is about connecting: other errors repeat what the receiver sent.
    reason = f": {error}" if isinstance(error, httpx.ConnectError) and str(error) else ""
    return f"no answer, {type(error).__name__}{reason}"[:_ERROR_LENGTH]


#: Takes what became of a POST; None if it was cut off.
Done = Callable[[Callback, Reply | None], None]


class DeliveryThread:
    """Sends callbacks in a thread; it is started once and stopped once.

    `done` is called in that thread, once for each callback.
    """

    def __init__(
        self, signer: Signer, seconds: float, clock: Callable[[], datetime], done: Done
    ) -> None:
        self._signer = signer
        self._seconds = seconds
        self._clock = clock
        self._done = done
        self._loop = asyncio.new_event_loop()
        self._client = _delivery_client()
        self._stopped = asyncio.Event()
        self._posts: set[asyncio.Task[None]] = set()
        # A daemon: a name server that hangs must not keep the worker from ending.
        self._thread = threading.Thread(
            target=self._run_deliveries, name="callback-sender", daemon=True
        )

    def start(self) -> None:
        """Starts the thread of deliveries."""
        self._thread.start()

    def send(self, callback: Callback) -> None:
        """Begins a delivery and returns at once."""
        self._loop.call_soon_threadsafe(self._begin_delivery, callback)

    def stop(self) -> None:
        """Cuts off deliveries under way and ends the thread."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(_STOP_SECONDS)

    def _run_deliveries(self) -> None:
        try:
            self._loop.run_until_complete(self._deliver_until_stopped())
        finally:
            self._loop.close()

    async def _deliver_until_stopped(self) -> None:
        async with self._client:
            await self._stopped.wait()
            for post in self._posts:
                post.cancel()
            await asyncio.gather(*self._posts, return_exceptions=True)

    def _begin_delivery(self, callback: Callback) -> None:
        post = self._loop.create_task(self._deliver_one(callback))
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)

    async def _deliver_one(self, callback: Callback) -> None:
        reply: Reply | None = None
        try:
            reply = await self._reply_to_try(callback)
        finally:
            self._done(callback, reply)

    async def _reply_to_try(self, callback: Callback) -> Reply:
        """Returns what became of one try to deliver; its time is from name to reply."""
        reply: Reply | None = None
        try:
            async with asyncio.timeout(self._seconds):
                now = self._clock()
                headers = {
                    **self._signer.headers(callback.id, now, callback.payload),
                    "content-type": "application/json",
                    "user-agent": "evenhand",
                }
                content = callback.payload.encode()
                async with self._client.stream(
                    "POST", callback.endpoint, content=content, headers=headers
                ) as response:
                    reply = _reply_to_delivery(response, now)
                    await _drain_reply(response)
        except TimeoutError:
            return reply or Reply(None, f"no answer within {self._seconds:g} s")
        except Exception as error:  # whatever it is, it must not end the dispatcher
            return reply or Reply(None, _undelivered_reason(error))
        return reply

"""A thread that makes many POSTs at a time, none of which waits for another.

It is an event loop, since only there a whole POST has one limit: in threads a receiver that sends a
byte now and then is waited for as long as it likes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime

from moderation.decision_log.outbox import Callback
from moderation.worker.callbacks.delivery import Answer, deliver, open_client
from moderation.worker.callbacks.signing import Signer

#: To cancel what is under way takes no longer.
_STOP_SECONDS = 2.0

#: Takes the outcome of a POST; None where it was cut off.
Done = Callable[[Callback, Answer | None], None]


class Sender:
    """Started once, stopped once; `done` is called in its thread, once for each callback."""

    def __init__(
        self, signer: Signer, seconds: float, clock: Callable[[], datetime], done: Done
    ) -> None:
        self._signer = signer
        self._seconds = seconds
        self._clock = clock
        self._done = done
        self._loop = asyncio.new_event_loop()
        self._client = open_client()
        self._stopped = asyncio.Event()
        self._posts: set[asyncio.Task[None]] = set()
        # A daemon: a name server that hangs must not keep the worker from ending.
        self._thread = threading.Thread(target=self._run, name="callback-sender", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def send(self, callback: Callback) -> None:
        """Begins a POST and returns at once."""
        self._loop.call_soon_threadsafe(self._begin, callback)

    def stop(self) -> None:
        """Cuts off what is under way and ends the thread."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        async with self._client:
            await self._stopped.wait()
            for post in self._posts:
                post.cancel()
            await asyncio.gather(*self._posts, return_exceptions=True)

    def _begin(self, callback: Callback) -> None:
        post = self._loop.create_task(self._post(callback))
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)

    async def _post(self, callback: Callback) -> None:
        answer: Answer | None = None
        try:
            answer = await deliver(
                self._client, self._signer, callback, seconds=self._seconds, clock=self._clock
            )
        finally:
            self._done(callback, answer)

"""One signed POST, and what the receiver made of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from moderation.decision_log.outbox import Callback
from moderation.worker.callbacks.schedule import parse_retry_after
from moderation.worker.callbacks.signing import Signer

#: So much of an answer is read, that its connection can be used again.
_ANSWER_BYTES = 65_536
_GONE = 410
#: Answers that say something of the host, and not of the one webhook.
_HOST_STATUS = {408, 425, 429}
_ERROR_LENGTH = 200


@dataclass(frozen=True)
class Answer:
    """What became of one try.

    Attributes:
        status: of HTTP; None where none came.
        error: why it does not count as delivered, in few words; "" where it does.
        retry_after: seconds that the receiver asked for.
    """

    status: int | None
    error: str = ""
    retry_after: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether the webhook arrived."""
        return not self.error

    @property
    def is_final(self) -> bool:
        """Whether the receiver wants no more of it."""
        return self.status == _GONE

    @property
    def host_serves(self) -> bool:
        """Whether the host is well, whatever it thinks of this webhook."""
        return self.status is not None and self.status < 500 and self.status not in _HOST_STATUS


def open_client() -> httpx.AsyncClient:
    """Returns a client that goes where it is told: no redirects, no proxies, no cookies."""
    return httpx.AsyncClient(
        # SSL_CERT_FILE counts, else a CA of one's own could not be named; proxy variables do not.
        verify=httpx.create_ssl_context(),
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=None,  # the whole try has one limit
    )


async def deliver(
    client: httpx.AsyncClient,
    signer: Signer,
    callback: Callback,
    *,
    seconds: float,
    clock: Callable[[], datetime],
) -> Answer:
    """Returns what became of one try; it takes no longer than `seconds`, from name to answer."""
    answer: Answer | None = None
    try:
        async with asyncio.timeout(seconds):
            now = clock()
            headers = {
                **signer.headers(callback.id, now, callback.payload),
                "content-type": "application/json",
                "user-agent": "evenhand",
            }
            content = callback.payload.encode()
            async with client.stream(
                "POST", callback.endpoint, content=content, headers=headers
            ) as response:
                answer = _answer(response, now)
                await _drain(response)
    except TimeoutError:
        return answer or Answer(None, f"no answer within {seconds:g} s")
    except Exception as error:  # whatever it is, it must not cost the dispatcher its life
        return answer or Answer(None, _shown(error))
    return answer


def _answer(response: httpx.Response, now: datetime) -> Answer:
    status = response.status_code
    if 200 <= status < 300:
        return Answer(status)
    # The name that belongs to the number: the receiver's own words may be anything.
    name = httpx.codes.get_reason_phrase(status)
    retry_after = parse_retry_after(response.headers.get("retry-after"), now)
    return Answer(status, f"HTTP {status} {name}".strip(), retry_after)


async def _drain(response: httpx.Response) -> None:
    """Reads a short answer; a long one costs its connection and no more."""
    read = 0
    async for part in response.aiter_raw():
        read += len(part)
        if read > _ANSWER_BYTES:
            return


def _shown(error: Exception) -> str:
    # Only of connecting: other errors repeat what the receiver sent.
    reason = f": {error}" if isinstance(error, httpx.ConnectError) and str(error) else ""
    return f"no answer, {type(error).__name__}{reason}"[:_ERROR_LENGTH]

"""Host side: submit an image, collect its verdicts; sync and asyncio. No torch.

`submit` puts a request on the queue and returns its id at once; `collect` waits for the verdicts.
Both are safe to call from many threads.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, TypeVar

from celery import Celery

from moderation.client.given_images import Image, reference_to
from moderation.errors import (
    ImageError,
    ModerationError,
    RequestError,
    VerdictTimeout,
    WorkerError,
)
from moderation.messages import (
    QUEUES,
    REQUEST_ID,
    EmbeddingResponse,
    ImageReference,
    ModerationRequest,
    ModerationResponse,
    QueueName,
    Verdict,
)
from moderation.queue.acceptance import accept_request
from moderation.queue.celery_app import broker_errors, connect, create_app
from moderation.settings import Settings, load_settings

log = logging.getLogger(__name__)

_Response = TypeVar("_Response", ModerationResponse, EmbeddingResponse)

#: Pauses between two looks for a verdict, in seconds: short at first, easy on Redis later.
_FIRST_PAUSE, _LONGEST_PAUSE, _PAUSE_GROWTH = 0.005, 0.1, 1.1


class Client:
    """A host's connection to the queue, with its own settings."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or load_settings()
        self._app = create_app(self.settings)
        self._redis = connect(self.settings)

    def submit(
        self,
        image: Image,
        policies: str | Iterable[str],
        *,
        queue: QueueName = "interactive",
    ) -> str:
        """Returns the id of a new request, once Redis has it.

        Args:
            image: a path, a URL, an fsspec key such as s3://bucket/name.jpg, or the file's bytes.
            policies: one policy id or several; several cost one embedding.
            queue: interactive if somebody waits for the verdict, bulk for the rest.

        Raises:
            RequestError: the request can never succeed, or its image is too large.
            QueueFull: too many requests wait already: slow down, and try again later.
            BrokerUnavailable: Redis does not answer, or is full.
        """
        request = _request_of_client(image, policies)
        self._refuse_large_image(request.image)
        if not isinstance(queue, str) or queue not in QUEUES:
            raise RequestError(
                f"no queue is called {queue!r}", "queue", f"Use {' or '.join(QUEUES)}"
            )
        accept_request(request, queue, self._redis, self._app, self.settings)
        log.info("submitted", extra={"request_id": request.request_id, "queue": queue})
        return request.request_id

    def _refuse_large_image(self, image: ImageReference) -> None:
        """Raises ImageError for bytes that no worker would take, before they are in Redis."""
        most = self.settings.max_image_bytes
        if image.bytes is not None and len(image.bytes) > most:
            raise ImageError(
                f"the image is over the limit of {most} bytes",
                "bytes",
                "Send a smaller file, or raise MODERATION_MAX_IMAGE_BYTES",
            )

    def collect(
        self, request_id: str, *, timeout_seconds: float | None = None
    ) -> tuple[Verdict, ...]:
        """Returns the verdicts of a request, one a policy, in the order of the request.

        Args:
            request_id: what `submit` returned.
            timeout_seconds: how long to wait; 0 looks once, None takes the setting.

        Raises:
            VerdictTimeout: the verdicts did not come in time.
            ModerationError: the worker's own error, of its own class such as ImageError.
            WorkerError: the worker failed in some other way.
        """
        for pause in self._collect_pauses(timeout_seconds):
            if (verdicts := self._look_to_collect(request_id)) is not None:
                return verdicts
            time.sleep(pause)
        raise self._collect_timed_out(request_id)

    async def asubmit(
        self,
        image: Image,
        policies: str | Iterable[str],
        *,
        queue: QueueName = "interactive",
    ) -> str:
        """`submit` for asyncio: does not block the loop.

        If it is cancelled, the request may be sent all the same.
        """
        return await asyncio.to_thread(self.submit, image, policies, queue=queue)

    async def acollect(
        self, request_id: str, *, timeout_seconds: float | None = None
    ) -> tuple[Verdict, ...]:
        """`collect` for asyncio: waits on the loop, so that thousands can wait at the same time."""
        for pause in self._collect_pauses(timeout_seconds):
            if (verdicts := await asyncio.to_thread(self._look_to_collect, request_id)) is not None:
                return verdicts
            await asyncio.sleep(pause)
        raise self._collect_timed_out(request_id)

    def _collect_pauses(self, timeout_seconds: float | None) -> Iterator[float]:
        if timeout_seconds is None:
            timeout_seconds = self.settings.verdict_timeout_seconds
        return collect_pauses(timeout_seconds)

    def _look_to_collect(self, request_id: str) -> tuple[Verdict, ...] | None:
        """Returns the verdicts if they are there, None if not yet; raises the worker's error."""
        if not isinstance(request_id, str) or not REQUEST_ID.fullmatch(request_id):
            raise RequestError("this is not a request id", "collect", "Pass what submit returned")
        response = find_response(self._app, self.settings, request_id, ModerationResponse)
        if response is None:
            return None
        log.info("collected", extra={"request_id": request_id})
        return response.verdicts

    def _collect_timed_out(self, request_id: str) -> VerdictTimeout:
        return VerdictTimeout(
            "no verdict came in time",
            f"request {request_id}",
            "Is a worker running (`moderation doctor`)? The verdict can be collected until "
            f"{self.settings.result_expires_seconds} s after it was made",
        )


def collect_pauses(timeout_seconds: float) -> Iterator[float]:
    """Yields how long a host waits after each look for an answer, until the time is over."""
    deadline = time.monotonic() + timeout_seconds
    pause = _FIRST_PAUSE
    while True:
        left = deadline - time.monotonic()
        yield max(0.0, min(pause, left))
        if left <= 0:
            return
        pause = min(pause * _PAUSE_GROWTH, _LONGEST_PAUSE)


def find_response(
    app: Celery, settings: Settings, request_id: str, shape: type[_Response]
) -> _Response | None:
    """Returns a worker's response to its host, None if there is none yet; raises its error.

    Raises:
        ModerationError: the worker's own. BrokerUnavailable: Redis does not answer.
    """
    with broker_errors(settings):
        meta = app.backend.get_task_meta(request_id)
    if meta["status"] == "SUCCESS":
        return shape.read(meta["result"])
    if meta["status"] in ("FAILURE", "REVOKED"):
        error = meta["result"]
        if isinstance(error, ModerationError):
            raise error
        what = f"the worker failed with {type(error).__name__}: {error}"
        raise WorkerError(what, f"request {request_id}", "See the worker's log")
    return None


def _request_of_client(image: Image, policies: str | Iterable[str]) -> ModerationRequest:
    """Returns the request for an image and policy ids.

    Raises:
        RequestError: there is no policy, too many or one twice, or the image cannot be one.
    """
    names: list[Any]
    try:
        names = [policies] if isinstance(policies, str) else list(policies)
    except TypeError as error:
        what = f"a {type(policies).__name__} names no policy"
        raise RequestError(what, "policies", "Send a policy's id, or a list of ids") from error
    return ModerationRequest.read({"image": reference_to(image), "policies": names})


@cache
def default_client() -> Client:
    """Returns the client of the module's functions; reads the environment at first use."""
    return Client()


def submit(
    image: Image,
    policies: str | Iterable[str],
    *,
    queue: QueueName = "interactive",
) -> str:
    """`Client.submit` with the settings of the environment."""
    return default_client().submit(image, policies, queue=queue)


def collect(request_id: str, *, timeout_seconds: float | None = None) -> tuple[Verdict, ...]:
    """`Client.collect` with the settings of the environment."""
    return default_client().collect(request_id, timeout_seconds=timeout_seconds)


async def asubmit(
    image: Image,
    policies: str | Iterable[str],
    *,
    queue: QueueName = "interactive",
) -> str:
    """`Client.asubmit` with the settings of the environment."""
    return await default_client().asubmit(image, policies, queue=queue)


async def acollect(request_id: str, *, timeout_seconds: float | None = None) -> tuple[Verdict, ...]:
    """`Client.acollect` with the settings of the environment."""
    return await default_client().acollect(request_id, timeout_seconds=timeout_seconds)

"""The host's side: requests at a bounded rate from several threads, and the answers to them."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from moderation.client.client import Client
from moderation.errors import BrokerUnavailable, ModerationError, QueueFull, VerdictTimeout
from moderation.messages import QueueName
from tests.chaos.images import HOSTILE, Photographs

_THREADS = 4
#: The share of requests about an image that was submitted before.
_REPEATS = 0.2
#: While faults happen the host collects one answer in this many, and the others at the end.
_COLLECTED_EARLY = 4
_PAUSE = 0.02
_POLICIES = ("community-photos", "document-privacy", "weapons")


class AcceptedRequest(NamedTuple):
    """A request whose `submit` returned, so that it must get an answer.

    Attributes:
        request_id: what `submit` returned.
        image_sha256: of the file; "" if the reference leads to none.
        policies: ids.
        hostile: its kind, if it must not be decided; otherwise "".
    """

    request_id: str
    image_sha256: str
    policies: tuple[str, ...]
    hostile: str = ""


class CollectedAnswer(NamedTuple):
    """What the host got for a request: verdicts as plain JSON values, or the error's name."""

    verdicts: tuple[dict[str, Any], ...]
    error: str = ""


class HostLoad:
    """A context manager; submits until all requests are accepted, or the block ends."""

    def __init__(self, client: Client, total: int, rate: float, folder: Path, *, seed: int) -> None:
        """Prepares the load.

        Args:
            client: of the host.
            total: how many requests about photographs.
            rate: how many a second, apart from bursts; see `hurry`.
            folder: a new one, for the files of requests that name a path.
            seed: of the images and of what is asked for.
        """
        folder.mkdir()
        self._client = client
        self._rate = rate
        self._folder = folder
        self._seed = seed
        self._photographs = Photographs(seed)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._again: list[int] = []
        self._next, self._total, self._ahead, self._photographs_accepted = 0, total, 0, 0
        work = [self._submit_all] * _THREADS + [self._collect_early]
        self._threads = [threading.Thread(target=self._run, args=(each,)) for each in work]
        self.accepted: list[AcceptedRequest] = []
        self.answers: dict[str, CollectedAnswer] = {}
        #: How many submits raised, by error; each was repeated, as a new request.
        self.refused: Counter[str] = Counter()
        #: Errors that ended a thread and that no host should see.
        self.failures: list[BaseException] = []

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def is_done(self) -> bool:
        """Whether all requests have been accepted, or a thread has failed."""
        return bool(self.failures) or self._photographs_accepted >= self._total

    def hurry(self, count: int) -> None:
        """Submits so many requests at once, so that workers have them in hand."""
        with self._lock:
            self._ahead += count

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self.failures.append(error)

    def _submit_all(self) -> None:
        while not self._stop.is_set() and not self.is_done:
            number = self._due()
            if number is None:
                time.sleep(_PAUSE)
            elif not self._submit(number):
                with self._lock:
                    self._again.append(number)
                time.sleep(5 * _PAUSE)

    def _due(self) -> int | None:
        """Returns the number of the request that is due, if one is."""
        with self._lock:
            if self._again:
                return self._again.pop()
            by_now = self._rate * (time.monotonic() - self._started) + self._ahead
            if self._next >= min(self._total, by_now):
                return None
            self._next += 1
            return self._next - 1

    def _submit(self, number: int) -> bool:
        """Submits the request with that number; returns whether it was accepted."""
        chosen = random.Random(f"{self._seed} {number}")
        repeated = chosen.random() < _REPEATS and number > 0
        content = self._photographs.cut(chosen.randrange(number) if repeated else number)
        policies = tuple(chosen.sample(_POLICIES, chosen.randint(1, len(_POLICIES))))
        image: Path | bytes = content
        if chosen.random() < 0.5:
            image = self._folder / f"{number}.jpg"
            image.write_bytes(content)
        queue: QueueName = "bulk" if chosen.random() < 0.3 else "interactive"
        return self._accept(image, content, policies, queue)

    def _accept(
        self,
        image: Path | bytes,
        content: bytes,
        policies: tuple[str, ...],
        queue: QueueName,
        kind: str = "",
    ) -> bool:
        """Submits a request, and notes it if it is accepted; returns whether it is."""
        try:
            request_id = self._client.submit(image, policies, queue=queue)
        except (QueueFull, BrokerUnavailable) as error:
            with self._lock:
                self.refused[type(error).__name__] += 1
            return False
        digest = hashlib.sha256(content).hexdigest() if content else ""
        with self._lock:
            self.accepted.append(AcceptedRequest(request_id, digest, policies, kind))
            self._photographs_accepted += not kind
        return True

    def submit_hostile(self, kind: str, number: int) -> None:
        """Submits an image that no worker can decide on, until it is accepted."""
        content = b"" if kind == "missing" else HOSTILE[kind](number)
        image = content or self._folder / f"missing-{number}.jpg"
        while not self._accept(image, content, _POLICIES[:1], "interactive", kind):
            time.sleep(5 * _PAUSE)

    def _collect_early(self) -> None:
        """Collects some answers as soon as they are there, as a host does."""
        while not self._stop.wait(10 * _PAUSE):
            self.collect(each=_COLLECTED_EARLY)

    def collect(self, *, each: int = 1) -> list[str]:
        """Collects the answers that are there; returns the ids of the others.

        Args:
            each: of so many accepted requests only the first one.
        """
        names = [one.request_id for one in self.accepted[::each]]
        return [name for name in names if name not in self.answers and not self._collect(name)]

    def _collect(self, request_id: str) -> bool:
        """Notes the answer to a request, if it is there; returns whether it is."""
        try:
            verdicts = self._client.collect(request_id, timeout_seconds=0)
        except (VerdictTimeout, BrokerUnavailable):
            return False
        except ModerationError as error:
            answer = CollectedAnswer((), type(error).__name__)
        else:
            answer = CollectedAnswer(tuple(one.model_dump(mode="json") for one in verdicts))
        self.answers[request_id] = answer
        return True

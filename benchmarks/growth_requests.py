"""What a request costs as labels, policies and the queue grow.

For labels and policies this is the code that a worker runs, without the model; for the queue it is
a real Redis, and what hosts and workers do with it.
"""

from __future__ import annotations

import json
import statistics
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import redis
import yaml

from benchmarks.growth_points import Point, typical_seconds
from benchmarks.random_encoder import RandomEncoder, random_features
from moderation.client.client import Client
from moderation.commands.samples import sample_photographs
from moderation.embedded_servers import EmbeddedRedis
from moderation.encoders.encoder import Float32s
from moderation.images.decode.child import DecodeLimits
from moderation.images.decode.pool import DecoderPool
from moderation.images.looks import Look, Seen
from moderation.messages import QUEUES, ModerationResponse, Verdict
from moderation.policy import parse_policy
from moderation.queue.celery_app import connect
from moderation.queue.depth import look_at_depths
from moderation.queue.envelope import largest_message, read_envelope
from moderation.queue.hand import Hand, Settled
from moderation.scoring.classifier import Classifier
from moderation.scoring.conditions import Conditions
from moderation.scoring.pipeline import Pipeline
from moderation.scoring.timer import Timer
from moderation.scoring.verdict import decide, deciding_look, make_verdict
from moderation.settings import Settings, load_settings

LABELS_OF_A_POLICY = 20
#: One label in this many acts; the others compete.
ACTS = 5
#: As long as the path of an upload may be: the request is then some 300 bytes of JSON.
PATH = "/srv/uploads/" + "tenant-0123456789/" * 9 + "photo.jpg"
QUEUED_POLICIES = ("weapons", "document-privacy")
_AT_A_TIME = 1000


def policy_text(labels: int, name: str = "growth") -> bytes:
    """Returns a policy file with that many labels."""
    acting = {"action": "block", "threshold": 0.5, "review_threshold": 0.3, "severity": "high"}
    rows: list[dict[str, Any]] = [
        {"id": f"label-{i}", "prompts": [f"a thing of kind {i}"]} | (acting if not i % ACTS else {})
        for i in range(labels)
    ]
    policy = {"schema_version": 1, "id": name, "version": 1, "title": "-", "labels": rows}
    return yaml.safe_dump(policy, sort_keys=False).encode()


def labels(sizes: Iterable[int], runs: int) -> Generator[Point, None, None]:
    """Yields the cost of one image, and of a policy's start, for label sets of k labels."""
    for k in sizes:
        text, encoder = policy_text(k), RandomEncoder(max(k, 1))
        policy = parse_policy(text, "growth.yaml")
        classifier = Classifier.of(policy, encoder)
        feature = random_features(1)
        verdict = _verdict(classifier, feature)
        response = ModerationResponse(request_id="-", verdicts=(verdict,))
        timed: dict[str, Callable[[], Any]] = {
            "image: scores, decision, verdict": partial(_verdict, classifier, feature),
            "image: answer to JSON values and back": partial(_response_sent_and_read, response),
            "start: policy file parsed": partial(parse_policy, text, "growth.yaml"),
            "start: policy bound, without the model": partial(Classifier.of, policy, encoder),
        }
        for quantity, action in timed.items():
            yield Point("labels", quantity, k, typical_seconds(action, runs))
        size = len(verdict.model_dump_json().encode())
        yield Point("labels", "verdict as JSON", k, size, "B")


def _verdict(classifier: Classifier, feature: Float32s) -> Verdict:
    """Returns the verdict on one (1, d) feature, as the pipeline makes it."""
    policy, cosines = classifier.policy, classifier.similarities(feature)
    scores = classifier.scores(cosines)
    look = deciding_look(policy, cosines, scores)
    return make_verdict(
        policy,
        decide(policy, cosines[look], scores[look]),
        seen=Seen(Look(look, (0, 0, 640, 480)), 1, True, ()),
        conditions=Conditions(),
        model=RandomEncoder.stamp,
        request_id=str(uuid.UUID(int=0)),
        image_sha256="0" * 64,
        timings={},
    )


def _response_sent_and_read(response: ModerationResponse) -> ModerationResponse:
    """Returns a response as a host reads it from a worker's; the text in between is left out."""
    return ModerationResponse.read(response.model_dump(mode="json"))


def policies(sizes: Iterable[int], runs: int) -> Generator[Point, None, None]:
    """Yields the cost of one image once its feature is there, for m policies of 20 labels."""
    sizes = list(sizes)
    names = [f"policy-{i}" for i in range(max(sizes))]
    texts = {name: policy_text(LABELS_OF_A_POLICY, name) for name in names}
    served = {name: parse_policy(text, f"{name}.yaml") for name, text in texts.items()}
    encoder = RandomEncoder(LABELS_OF_A_POLICY)
    photo = min((path.read_bytes() for path in sample_photographs()), key=len)
    decoders = DecoderPool(1, DecodeLimits(max_pixels=50_000_000, frames=1, seconds=10.0))
    with Pipeline(served, lambda _: encoder, decoders, default_model="random") as pipeline:
        for m in sizes:
            took = []
            for _ in range(max(5 * runs, 1)):
                seconds, verdicts = _after_the_feature(pipeline, photo, names[:m])
                took.append(seconds)
            yield Point("policies", "image: all verdicts", m, statistics.median(took))
            response = ModerationResponse(request_id="-", verdicts=verdicts)
            answered = typical_seconds(partial(_response_sent_and_read, response), runs)
            yield Point("policies", "image: answer to JSON values and back", m, answered)
            size = len(response.model_dump_json().encode())
            yield Point("policies", "answer as JSON", m, size, "B")


def _after_the_feature(
    pipeline: Pipeline, photo: bytes, names: Sequence[str]
) -> tuple[float, tuple[Verdict, ...]]:
    """Returns the verdicts on a photo, and their seconds without decoding and encoding."""
    timer = Timer()
    start = time.perf_counter()
    verdicts = pipeline.moderate(photo, pipeline.served(names), request_id="-", timer=timer)
    whole = time.perf_counter() - start
    return whole - sum(timer.seconds.values()) + timer.seconds["decide"], verdicts


def queue(sizes: Iterable[int], runs: int) -> Generator[Point, None, None]:
    """Yields what one more request costs where n are waiting already; sizes ascend."""
    with EmbeddedRedis() as server:
        settings = load_settings(
            broker_url=server.url, max_queue_length=10**6, max_queue_bytes=10**10
        )
        client = Client(settings)
        with connect(settings) as connection, _RequestTaker(connection, settings) as taker:
            client.submit(PATH, QUEUED_POLICIES)  # opens connections
            request = connection.lindex(QUEUES["interactive"], -1)
            taker.take()
            empty = _redis_bytes(connection)
            for n in sizes:
                _fill_queue(connection, request, n)
                yield Point("queue", "memory of Redis", n, _redis_bytes(connection) - empty, "B")
                yield from _queue_times(client, taker, connection, n, 10 * runs)


def _queue_times(
    client: Client, taker: _RequestTaker, connection: redis.Redis, n: int, runs: int
) -> Iterator[Point]:
    """Yields the medians of submitting, taking and looking; the queue stays as long as it was."""
    took: dict[str, list[float]] = defaultdict(list)
    for _ in range(runs):
        start = time.perf_counter()
        client.submit(PATH, QUEUED_POLICIES)
        submitted = time.perf_counter()
        taker.take()
        taken = time.perf_counter()
        look_at_depths(connection)
        took["submit"].append(submitted - start)
        took["take and strike off"].append(taken - submitted)
        took["read depth and age"].append(time.perf_counter() - taken)
    assert connection.llen(QUEUES["interactive"]) == n
    for name, seconds in took.items():
        yield Point("queue", name, n, statistics.median(seconds))


class _RequestTaker:
    """Takes requests off as a worker does, and strikes them off; one at a time, without answers."""

    def __init__(self, connection: redis.Redis, settings: Settings) -> None:
        self._hand = Hand(connection, settings, worker="growth", queues=[*QUEUES])
        self._largest = largest_message(settings.max_image_bytes)

    def __enter__(self) -> _RequestTaker:
        return self

    def __exit__(self, *_: object) -> None:
        self._hand.close()

    def take(self) -> None:
        """Takes the oldest request off and strikes it off."""
        [(tag, _, raw)] = self._hand.take(1, self._largest)
        size = read_envelope(raw, largest=self._largest).size
        self._hand.settle([Settled(tag, size, None)], expires_seconds=1)


def _fill_queue(connection: redis.Redis, request: bytes, n: int) -> None:
    """Makes the queue n long with copies of a request, each with its own ids."""
    message = json.loads(request)
    old = [message["properties"][name].encode() for name in ("correlation_id", "delivery_tag")]
    while missing := n - connection.llen(QUEUES["interactive"]):
        copies = [_with_new_ids(request, old) for _ in range(min(missing, _AT_A_TIME))]
        connection.lpush(QUEUES["interactive"], *copies)


def _with_new_ids(request: bytes, ids: Iterable[bytes]) -> bytes:
    for old in ids:
        request = request.replace(old, str(uuid.uuid4()).encode())
    return request


def _redis_bytes(connection: redis.Redis) -> int:
    """Returns the bytes that Redis holds for its data and clients."""
    return int(connection.info("memory")["used_memory"])

"""What a worker counts and times, for Prometheus; docs/metrics.md explains each figure.

Every label value comes from the served policies, the models or a fixed list. What strangers write,
such as ids, URLs and unknown policies, never becomes one: each value is a series for good.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from itertools import product
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from moderation.decision_log.records import Reason
from moderation.errors import ModerationError, TransientError
from moderation.images.oddities.names import Oddity
from moderation.messages import QUEUES, Action, ModelStamp, Verdict
from moderation.policy import Policy
from moderation.scoring.conditions import UNSEEN_FRAMES, found_oddities
from moderation.worker.arrival import Arrival

#: Stands for a value that is not known here.
OTHER = "other"

_ODDITIES = (*get_args(Oddity), UNSEEN_FRAMES)
OUTCOMES = ("decided", "quarantined", "embedded")
STEPS = ("fetch", "decode", "encode", "decide", "publish", "log")
_GaugeMode = Literal["livemax", "livesum"]
WebhookResult = Literal["delivered", "failed", "retried"]

_LATENCY = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_STEP = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
#: Enough of a hash to tell two policies or models apart.
_PREFIX = 12


class Webhooks:
    """Counts the tries to deliver webhooks, by how they ended."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._hosts: frozenset[str] = frozenset()

    def go_to(self, hosts: Iterable[str]) -> None:
        """Begins the metric series of these hosts, at 0; no other becomes a label value."""
        self._hosts = frozenset(hosts)
        _begin_series(self._counter, sorted(self._hosts), get_args(WebhookResult))

    def tried(self, host: str, result: WebhookResult) -> None:
        """Counts that a webhook was tried: taken, given up, or to be sent again."""
        self._counter.labels(host if host in self._hosts else OTHER, result).inc()


class Metrics:
    """The figures of one worker, in a registry of their own; safe to use from many threads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._policies: frozenset[str] = frozenset()
        self._labels: frozenset[tuple[str, str]] = frozenset()
        self._models: frozenset[str] = frozenset()
        self._request_metrics()
        self._decision_metrics()
        self._work_metrics()
        self._info_metrics()

    def _request_metrics(self) -> None:
        text = "Requests with their final answer."
        self._answered = self._counter("requests", text, "queue", "outcome")
        text = "From when the host sent a request to its final answer."
        self._latency = self._histogram("request_seconds", text, _LATENCY, "queue", "outcome")
        text = "Requests that were quarantined, without a verdict."
        self._quarantined = self._counter("quarantined", text, "reason")
        text = "Requests that are to be tried again, by the error."
        self._retries = self._counter("retries", text, "error")
        text = "Requests that came again although they had their answer."
        self._redeliveries = self._counter("redeliveries", text)
        text = "Requests that this worker has in hand."
        self._in_hand = self._gauge("worker_in_hand", text, mode="livesum")
        _begin_series(self._answered, QUEUES, OUTCOMES)
        _begin_series(self._latency, QUEUES, OUTCOMES)
        _begin_series(self._quarantined, get_args(Reason))
        _begin_series(self._retries, [*_retried_errors(), OTHER])

    def _decision_metrics(self) -> None:
        text = "Decisions by policy and action."
        self._decided = self._counter("decisions", text, "policy", "action")
        text = "Labels that fired, by what they ask for."
        self._fired = self._counter("labels_fired", text, "policy", "label", "action")
        text = "Decisions that were in the log already."
        self._recalled = self._counter("recalled_decisions", text)
        text = "Images that were decided on, by what viewers read differently in the file."
        self._oddities = self._counter("oddities", text, "oddity")
        _begin_series(self._oddities, _ODDITIES)

    def _work_metrics(self) -> None:
        text = "What each step of a request took."
        self._steps = self._histogram("step_seconds", text, _STEP, "step")
        text = "Images that went through the encoder together."
        self._batches = self._histogram("batch_images", text, _BATCH, "model")
        text = "Decoder processes that were replaced."
        self._decoder_restarts = self._counter("decoder_restarts", text)
        text = "Tries to deliver a webhook, by how they ended."
        self.webhooks = Webhooks(self._counter("webhook_deliveries", text, "host", "result"))
        _begin_series(self._steps, STEPS)

    def _info_metrics(self) -> None:
        text = "1 for each policy that is served."
        self._policy_info = self._gauge("policy_info", text, "policy", "version", "sha256")
        names = ("model", "revision", "fingerprint", "dtype", "device", "runtime")
        self._model_info = self._gauge("model_info", "1 for each model that is loaded.", *names)
        build = self._gauge("build_info", "1; what runs.", "version", "python")
        build.labels(version("evenhand"), platform.python_version()).set(1)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"evenhand_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str, mode: _GaugeMode = "livemax") -> Gauge:
        """Returns a gauge; `mode` says how those of several processes become one."""
        return Gauge(
            f"evenhand_{name}", text, labels, registry=self.registry, multiprocess_mode=mode
        )

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"evenhand_{name}", text, labels, buckets=buckets, registry=self.registry)

    def serves(
        self,
        policies: Mapping[str, Policy],
        models: Iterable[ModelStamp],
        webhook_hosts: Iterable[str] = (),
    ) -> None:
        """Begins the metric series of what this worker serves, at 0, before the first request.

        A series that only begins with its first event hides that event from `rate`.

        Args:
            policies: by id; no other id becomes a label value.
            models: that are loaded.
            webhook_hosts: that webhooks go to; no other host becomes a label value.
        """
        self._policies = frozenset(policies)
        self._labels = frozenset((n, label.id) for n, p in policies.items() for label in p.labels)
        stamps = tuple(models)
        self._models = frozenset(stamp.id for stamp in stamps)
        for name, policy in policies.items():
            self._policy_info.labels(name, policy.version, policy.sha256[:_PREFIX]).set(1)
            _begin_series(self._decided, [name], get_args(Action))
            for label in policy.labels:
                asks = {label.action, "review" if label.review_threshold is not None else None}
                _begin_series(self._fired, [name], [label.id], sorted(filter(None, asks)))
        for stamp in stamps:
            self._model_info.labels(
                stamp.id,
                stamp.revision,
                stamp.fingerprint[:_PREFIX],
                stamp.dtype,
                stamp.device,
                stamp.runtime,
            ).set(1)
            _begin_series(self._batches, [stamp.id])
        self.webhooks.go_to(webhook_hosts)

    def decided(self, verdicts: Iterable[Verdict], arrival: Arrival) -> None:
        """Counts that a request got its verdicts."""
        verdicts = tuple(verdicts)
        for oddity in {name for verdict in verdicts for name in found_oddities(verdict)}:
            self._oddities.labels(oddity if oddity in _ODDITIES else OTHER).inc()
        for verdict in verdicts:
            known = verdict.policy.id in self._policies
            policy = verdict.policy.id if known else OTHER
            self._decided.labels(policy, verdict.action).inc()
            for label in verdict.labels:
                if label.fired:
                    known = (policy, label.label) in self._labels
                    name = label.label if known else OTHER
                    self._fired.labels(policy, name, label.outcome or "none").inc()
        self._count_finished("decided", arrival)

    def quarantined(self, reason: Reason, arrival: Arrival) -> None:
        """Counts that a request went to quarantine."""
        self._quarantined.labels(reason if reason in get_args(Reason) else OTHER).inc()
        self._count_finished("quarantined", arrival)

    def embedded(self, arrival: Arrival) -> None:
        """Counts that a request got its feature."""
        self._count_finished("embedded", arrival)

    def retried(self, error: ModerationError) -> None:
        """Counts that a request is to be tried again."""
        name = type(error).__name__
        self._retries.labels(name if name in _retried_errors() else OTHER).inc()

    def redelivered(self) -> None:
        """Counts that a request came that had its answer already."""
        self._redeliveries.inc()

    def recalled(self, count: int) -> None:
        """Counts verdicts that were in the log already."""
        self._recalled.inc(count)

    def stepped(self, timings: Mapping[str, float]) -> None:
        """Observes that a request went through these steps, and the seconds that each took."""
        for step, seconds in timings.items():
            self._steps.labels(step if step in STEPS else OTHER).observe(seconds)

    def batch(self, model: str, size: int) -> None:
        """Observes how many images go through a model together; `model` is its stamp's id."""
        self._batches.labels(model if model in self._models else OTHER).observe(size)

    def decoder_restarted(self) -> None:
        """Counts that a decoder process was replaced."""
        self._decoder_restarts.inc()

    def in_hand(self, more: int) -> None:
        """Counts that so many more requests are in hand, or fewer."""
        self._in_hand.inc(more)

    def _count_finished(self, outcome: str, arrival: Arrival) -> None:
        queue = arrival.queue if arrival.queue in QUEUES else OTHER
        self._answered.labels(queue, outcome).inc()
        if arrival.sent_at is not None:
            # The host's clock may be ahead of ours.
            waited = max(0.0, time.time() - arrival.sent_at)
            self._latency.labels(queue, outcome).observe(waited)


def _retried_errors() -> frozenset[str]:
    """Returns the names of the errors that count as retries: the transient ones."""
    kinds: list[type[ModerationError]] = [TransientError]
    for kind in kinds:  # which grows meanwhile
        kinds += kind.__subclasses__()
    return frozenset(kind.__name__ for kind in kinds)


def _begin_series(metric: Counter | Histogram, *values: Iterable[str]) -> None:
    """Makes the metric's series of all combinations, so that they are there with 0."""
    for combination in product(*values):
        metric.labels(*combination)

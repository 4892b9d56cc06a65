"""What a worker counts, scraped over real HTTP from a real Redis."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast, get_args

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from moderation.client.client import Client
from moderation.embedded_servers import EmbeddedRedis
from moderation.errors import (
    BrokerUnavailable,
    ImageError,
    LogUnavailable,
    TransientError,
)
from moderation.images.decode.child import DecodeLimits
from moderation.images.decode.pool import DecoderPool
from moderation.messages import QueueName, Verdict
from moderation.policy import Policy, parse_policy
from moderation.queue import celery_app as broker
from moderation.queue.celery_app import connect
from moderation.scoring.batching import Batcher
from moderation.scoring.pipeline import Pipeline
from moderation.settings import Settings, load_settings
from moderation.worker import metrics_server
from moderation.worker.arrival import Arrival
from moderation.worker.metrics import OTHER, Metrics, WebhookResult
from moderation.worker.metrics_server import OpenCounts, serve_metrics
from tests.support.stub_encoder import StubEncoder
from tests.support.waiting import PATIENCE_SECONDS, until

POLICY = """
schema_version: 1
id: pets
version: 3
title: Pets
labels:
  - {id: cat, prompts: [a cat], action: block, threshold: 0.0}
  - {id: dog, prompts: [a dog], action: block, threshold: 1.0, review_threshold: 0.0}
  - {id: cloud, prompts: [a cloud]}
"""
Samples = Mapping[str, float]
Verdicts = tuple[Verdict, ...]
Policies = dict[str, Policy]


def came(queue: str, sent_at: float | None = None) -> Arrival:
    """Returns how a request came."""
    return Arrival("a", cast(QueueName, queue), sent_at=sent_at)


@pytest.fixture
def policies() -> Policies:
    return {"pets": parse_policy(POLICY.encode(), "pets.yaml")}


class ScrapedMetrics(Metrics):
    """Metrics of a worker that serves the policy, and the settings that they are served by."""

    def __init__(self, policies: Policies, settings: Settings) -> None:
        super().__init__()
        self.serves(policies, [StubEncoder().stamp], ["hooks.example.com"])
        self.settings = settings

    @contextmanager
    def served(self, open_counts: OpenCounts | None = None) -> Iterator[str]:
        """Yields the URL at which they are served."""
        with serve_metrics(self.registry, self.settings, open_counts) as port:
            yield f"http://127.0.0.1:{port}/metrics"

    def scraped(self, open_counts: OpenCounts | None = None) -> dict[str, float]:
        with self.served(open_counts) as url:
            return _read(url)


@pytest.fixture
def metrics(policies: Policies, alone: Settings) -> ScrapedMetrics:
    return ScrapedMetrics(policies, alone)


@pytest.fixture
def verdicts(policies: Policies, photographs: list[Path]) -> Verdicts:
    """Real verdicts of the policy: its first label always fires, its second asks for a review."""
    decoders = DecoderPool(
        1, DecodeLimits(max_pixels=10_000_000, frames=1, seconds=PATIENCE_SECONDS)
    )
    with Pipeline(policies, lambda _: StubEncoder(), decoders, default_model="stub") as pipeline:
        content = photographs[0].read_bytes()
        return pipeline.moderate(content, pipeline.served(["pets"]), request_id="a")


def _read(url: str) -> dict[str, float]:
    """Returns the samples of an endpoint, by name and labels as they are written."""
    answer = httpx.get(url, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 200
    return {
        sample.name + "".join(f" {k}={v}" for k, v in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def _of(samples: Samples, name: str) -> dict[str, float]:
    """Returns the samples of one name."""
    return {key: value for key, value in samples.items() if key.split(" ")[0] == name}


def _changed(samples: Samples, name: str) -> dict[str, float]:
    return {key: value for key, value in _of(samples, name).items() if value}


def test_a_decision_counts_by_policy_action_and_label(
    metrics: ScrapedMetrics, verdicts: Verdicts
) -> None:
    metrics.decided(verdicts, came("interactive"))
    metrics.decided(verdicts, came("bulk"))
    found = metrics.scraped()
    decisions = "evenhand_decisions_total"
    assert _of(found, decisions) == {
        f"{decisions} action=block policy=pets": 2,
        f"{decisions} action=review policy=pets": 0,
        f"{decisions} action=allow policy=pets": 0,
    }
    fired = "evenhand_labels_fired_total"
    assert _of(found, fired) == {
        f"{fired} action=block label=cat policy=pets": 2,
        f"{fired} action=block label=dog policy=pets": 0,
        f"{fired} action=review label=dog policy=pets": 2,
    }
    requests = "evenhand_requests_total"
    assert _changed(found, requests) == {
        f"{requests} outcome=decided queue=interactive": 1,
        f"{requests} outcome=decided queue=bulk": 1,
    }


def test_latency_is_from_sending_to_the_answer_and_falls_into_its_bucket(
    metrics: ScrapedMetrics, verdicts: Verdicts
) -> None:
    metrics.decided(verdicts, came("interactive", time.time() - 61))
    metrics.decided(verdicts, came("interactive", time.time() + 100))  # a clock that is ahead
    metrics.decided(verdicts, came("interactive"))
    metrics.quarantined("image", came("bulk", time.time() - 7))
    metrics.embedded(came("bulk", time.time() - 1.5))
    found = metrics.scraped()
    name = "evenhand_request_seconds"
    counts = _changed(found, f"{name}_count")
    assert counts == {
        f"{name}_count outcome=decided queue=interactive": 2,
        f"{name}_count outcome=quarantined queue=bulk": 1,
        f"{name}_count outcome=embedded queue=bulk": 1,
    }
    decided = {
        key.split(" le=")[1].split(" ")[0]: value
        for key, value in _of(found, f"{name}_bucket").items()
        if "outcome=decided" in key and "queue=interactive" in key
    }
    assert (decided["0.05"], decided["60.0"], decided["120.0"], decided["+Inf"]) == (1, 1, 2, 2)
    assert 61 <= found[f"{name}_sum outcome=decided queue=interactive"] < 120
    assert found["evenhand_requests_total outcome=decided queue=interactive"] == 3
    assert _changed(found, "evenhand_quarantined_total") == {
        "evenhand_quarantined_total reason=image": 1
    }


def test_steps_and_batches_are_histograms(metrics: ScrapedMetrics) -> None:
    metrics.stepped({"fetch": 0.004, "encode": 0.2})
    metrics.stepped({"fetch": 40.0})
    for size in (1, 2, 16, 17):
        metrics.batch("stub", size)
    found = metrics.scraped()
    steps, batches = "evenhand_step_seconds", "evenhand_batch_images"
    assert found[f"{steps}_bucket le=0.0025 step=fetch"] == 0
    assert found[f"{steps}_bucket le=0.005 step=fetch"] == 1
    assert found[f"{steps}_bucket le=30.0 step=fetch"] == 1
    assert found[f"{steps}_count step=fetch"] == 2
    assert found[f"{steps}_sum step=fetch"] == pytest.approx(40.004)
    assert [found[f"{steps}_count step={step}"] for step in ("decode", "publish")] == [0, 0]
    bounds = ("1.0", "2.0", "8.0", "16.0", "32.0")
    sizes = [found[f"{batches}_bucket le={bound} model=stub"] for bound in bounds]
    assert sizes == [1, 2, 2, 3, 4]


def test_what_else_happens_is_counted(metrics: ScrapedMetrics) -> None:
    metrics.retried(BrokerUnavailable("away"))
    metrics.redelivered()
    metrics.recalled(3)
    metrics.decoder_restarted()
    for result in get_args(WebhookResult):
        metrics.webhooks.tried("hooks.example.com", result)
    metrics.in_hand(3)
    metrics.in_hand(-1)
    found = metrics.scraped()
    metrics.in_hand(-2)
    assert found["evenhand_worker_in_hand"] == 2
    assert _changed(found, "evenhand_retries_total") == {
        "evenhand_retries_total error=BrokerUnavailable": 1
    }
    assert found["evenhand_redeliveries_total"] == 1
    assert found["evenhand_recalled_decisions_total"] == 3
    assert found["evenhand_decoder_restarts_total"] == 1
    assert list(_of(found, "evenhand_webhook_deliveries_total").values()) == [1, 1, 1]
    assert metrics.scraped()["evenhand_worker_in_hand"] == 0


def test_oddities_count_once_an_image(metrics: ScrapedMetrics, verdicts: Verdicts) -> None:
    [verdict] = verdicts
    odd = verdict.model_copy(update={"oddities": ("hdr", "strange"), "exhaustive": False})
    metrics.decided([odd, odd], came("bulk"))
    assert _changed(metrics.scraped(), "evenhand_oddities_total") == {
        "evenhand_oddities_total oddity=hdr": 1,
        "evenhand_oddities_total oddity=unseen-frames": 1,
        f"evenhand_oddities_total oddity={OTHER}": 1,
    }


def test_what_is_served_has_its_figures(metrics: ScrapedMetrics, policies: Policies) -> None:
    found = metrics.scraped()
    sha256 = policies["pets"].sha256[:12]
    stamp = StubEncoder().stamp
    assert found[f"evenhand_policy_info policy=pets sha256={sha256} version=3"] == 1
    assert found[
        f"evenhand_model_info device=cpu dtype=float32 fingerprint={stamp.fingerprint[:12]} "
        f"model=stub revision=1 runtime=torch"
    ]
    assert len(_of(found, "evenhand_build_info")) == 1
    assert found["process_resident_memory_bytes"] > 0


def test_no_series_comes_from_what_strangers_write(
    metrics: ScrapedMetrics, verdicts: Verdicts
) -> None:
    before = set(metrics.scraped())
    [verdict] = verdicts
    for i in range(50):
        stamp = verdict.policy.model_copy(update={"id": f"policy-{i}"})
        metrics.decided([verdict.model_copy(update={"policy": stamp})], came(f"queue-{i}", 1.0))
        metrics.webhooks.tried(f"{i}.example.com", "delivered")
        metrics.batch(f"model-{i}", 1)
        metrics.stepped({f"step-{i}": 1.0})
        metrics.retried(type(f"Error{i}", (ImageError,), {})("wrong"))
        request = {"request_id": f"request-{i}"}
        metrics.decided([verdict.model_copy(update=request)], came("bulk"))
    new = set(metrics.scraped()) - before
    values = {
        part.split("=")[1]
        for key in new
        for part in key.split(" ")[1:]
        if not part.startswith("le")
    }
    known = {"block", "review", "delivered", "decided"}
    assert values - known == {OTHER}


def test_queues_are_read_again_at_each_scrape_of_the_same_address(metrics: ScrapedMetrics) -> None:
    depth = "evenhand_queue_depth queue=interactive"
    with metrics.served() as url:
        assert _read(url)[depth] == 0
        Client(metrics.settings).submit(b"x", "pets")
        found = _read(url)
        until(lambda: _read(url)["evenhand_queue_oldest_age_seconds queue=interactive"] > 0)
    assert (found[depth], found["evenhand_redis_up"]) == (1, 1)
    assert "evenhand_log_up" not in found


def test_a_scrape_looks_at_redis_once(metrics: ScrapedMetrics) -> None:
    with EmbeddedRedis() as server:  # whose counts are of nobody else
        metrics.settings = load_settings(broker_url=server.url, metrics_address="0")
        with metrics.served() as url, connect(metrics.settings) as connection:
            connection.config_resetstat()
            _read(url)
            assert connection.info("commandstats")["cmdstat_hlen"]["calls"] == 1  # of the look


def test_without_redis_and_the_log_all_other_figures_are_given(policies: Policies) -> None:
    def away() -> Mapping[str, int]:
        raise LogUnavailable("away", "postgresql://user:sesame@db/log")

    settings = load_settings(broker_url="redis://127.0.0.1:9/0", metrics_address="127.0.0.1:0")
    metrics = ScrapedMetrics(policies, settings)
    metrics.recalled(2)
    found = metrics.scraped(away)
    assert (found["evenhand_redis_up"], found["evenhand_log_up"]) == (0, 0)
    assert found["evenhand_recalled_decisions_total"] == 2
    assert not [key for key in found if key.startswith(("evenhand_queue_", "evenhand_outbox"))]


@pytest.mark.slow
def test_a_redis_that_accepts_and_never_answers_holds_up_no_scrape(
    policies: Policies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prometheus gives up on the whole scrape after 10 s, and Redis would never be given up."""
    assert metrics_server._READ_SECONDS < 10
    monkeypatch.setattr(broker, "_ANSWER_SECONDS", None)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker_url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        settings = load_settings(broker_url=broker_url, metrics_address="0")
        with ScrapedMetrics(policies, settings).served() as url:
            answer = httpx.get(url, timeout=None)
    assert "evenhand_redis_up 0.0" in answer.text


def test_what_is_open_in_the_log_is_asked_at_each_scrape(metrics: ScrapedMetrics) -> None:
    open_now = {"quarantine_open": 4, "outbox_undelivered": 0}
    with metrics.served(lambda: open_now) as url:
        found = _read(url)
        assert (found["evenhand_log_up"], found["evenhand_quarantine_open"]) == (1, 4)
        assert found["evenhand_outbox_undelivered"] == 0
        open_now["quarantine_open"] = 5
        assert _read(url)["evenhand_quarantine_open"] == 5


def test_a_connection_that_lasts_too_long_is_cut_off(
    metrics: ScrapedMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "LONGEST_SECONDS", 0.2)
    with metrics.served() as url, closing(socket.socket()) as idle:
        idle.connect(("127.0.0.1", httpx.URL(url).port))
        assert idle.recv(1) == b""


def test_without_an_address_nothing_listens(metrics: ScrapedMetrics) -> None:
    unset = load_settings(broker_url=metrics.settings.broker_url)
    with serve_metrics(metrics.registry, unset) as port:
        assert port is None


def test_the_port_is_closed_after_the_block(metrics: ScrapedMetrics) -> None:
    with metrics.served() as url:
        pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_two_workers_on_one_machine_take_ports_of_their_own(
    metrics: ScrapedMetrics, policies: Policies, caplog: pytest.LogCaptureFixture
) -> None:
    other = ScrapedMetrics(policies, metrics.settings)
    other.recalled(7)
    caplog.set_level("INFO", logger="moderation.worker.metrics_server")
    with metrics.served() as one, other.served() as two:
        counts = [_read(url)["evenhand_recalled_decisions_total"] for url in (one, two)]
    assert counts == [0, 7]
    assert caplog.messages == [f"Prometheus is answered on {url}" for url in (one, two)]


def test_each_batch_is_counted(metrics: ScrapedMetrics) -> None:
    encoder = StubEncoder()
    squares = np.zeros((5, 8, 8, 3), np.uint8)
    with Batcher(
        encoder.image_features, batch_size=2, observe=lambda size: metrics.batch("stub", size)
    ) as batcher:
        assert len(batcher.put(squares).result()) == 5
    found = metrics.scraped()
    assert found["evenhand_batch_images_count model=stub"] == 3
    assert found["evenhand_batch_images_sum model=stub"] == 5


def test_an_observer_that_fails_costs_no_image() -> None:
    def fail(size: int) -> None:
        raise TransientError("no")

    squares = np.zeros((3, 8, 8, 3), np.uint8)
    with Batcher(StubEncoder().image_features, batch_size=2, observe=fail) as batcher:
        assert len(batcher.put(squares).result()) == 3
        assert len(batcher.put(squares).result()) == 3

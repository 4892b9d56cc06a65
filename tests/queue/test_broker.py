"""The way to Redis: TLS, checked against an authority and a name, for requests and results."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from moderation.embedded_servers import EmbeddedRedis
from moderation.errors import BrokerUnavailable
from moderation.messages import QUEUES
from moderation.queue.celery_app import connect, create_app, ping, shown_url
from moderation.queue.hand import Hand
from moderation.settings import Settings, load_settings
from tests.support.photo_server import PhotoServer
from tests.support.redis_kinds import Certificates, TlsFront
from tests.support.tiny_worker import TinyWorker


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def front(server: EmbeddedRedis, ours: Certificates) -> Iterator[TlsFront]:
    with TlsFront(ours, server) as running:
        yield running


def test_host_and_worker_meet_over_tls(front: TlsFront, ours: Certificates, tmp_path: Path) -> None:
    settings = load_settings(broker_url=front.url, redis_ca_file=ours.authority)
    ping(settings)
    with PhotoServer(Path(__file__)) as photos, TinyWorker(settings, tmp_path, photos) as worker:
        task_id = worker.send()
        assert worker.answer(task_id) == task_id
        assert "insecure" not in worker.log()
        assert "Traceback" not in worker.log()
    assert shown_url(settings) == f"rediss://localhost:{front.port}/0"


def test_results_may_have_tls_of_their_own(
    server: EmbeddedRedis, front: TlsFront, ours: Certificates, tmp_path: Path
) -> None:
    settings = load_settings(
        broker_url=server.url, result_url=front.url, redis_ca_file=ours.authority
    )
    with PhotoServer(Path(__file__)) as photos, TinyWorker(settings, tmp_path, photos) as worker:
        task_id = worker.send()
        assert worker.answer(task_id) == task_id


def refused(settings: Settings) -> str:
    """Returns why neither a check, nor a request, nor a look at a result gets through."""
    with pytest.raises(BrokerUnavailable) as caught:
        ping(settings)
    with create_app(settings) as app:
        with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
            app.backend.client.ping()
        with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
            app.connection_for_write().default_channel.client.ping()
    return str(caught.value)


def test_a_certificate_of_another_authority_or_name_is_refused(
    front: TlsFront, ours: Certificates, tmp_path: Path
) -> None:
    for authority in (Certificates(tmp_path).authority, None):  # None is those of the system
        other = load_settings(broker_url=front.url, redis_ca_file=authority)
        assert "CERTIFICATE_VERIFY_FAILED" in refused(other)
    url = front.url.replace("localhost", "127.0.0.1")
    assert "mismatch" in refused(load_settings(broker_url=url, redis_ca_file=ours.authority))


def test_a_server_that_asks_for_a_certificate_gets_ours(
    server: EmbeddedRedis, ours: Certificates
) -> None:
    with TlsFront(ours, server, ask_client=True) as asking:
        files = {"redis_ca_file": ours.authority}
        with pytest.raises(BrokerUnavailable):
            ping(load_settings(broker_url=asking.url, **files))
        files |= {"redis_cert_file": ours.certificate, "redis_key_file": ours.key}
        given = load_settings(broker_url=asking.url, **files)
        ping(given)
        with create_app(given) as app:
            assert app.backend.client.ping()
            assert app.connection_for_write().default_channel.client.ping()


def test_files_of_tls_do_nothing_without_it(server: EmbeddedRedis, ours: Certificates) -> None:
    settings = load_settings(broker_url=server.url, redis_ca_file=ours.authority)
    with connect(settings) as connection:
        assert connection.ping()


def test_a_worker_waits_for_requests_over_tls(front: TlsFront, ours: Certificates) -> None:
    settings = load_settings(broker_url=front.url, redis_ca_file=ours.authority)
    with connect(settings) as connection, ThreadPoolExecutor(1) as pool:
        hand = Hand(connection, settings, worker="w", queues=["interactive"])
        for _ in range(3):
            waits = pool.submit(hand.wait, 60)
            time.sleep(0.1)
            assert not waits.done()
            connection.lpush(QUEUES["interactive"], "a request")
            waits.result(timeout=10)
            assert [taken.raw for taken in hand.take(9, 100)] == [b"a request"]
        hand.close()

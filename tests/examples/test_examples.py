"""Each example is run as a program and driven over HTTP, with a real Redis and a real worker."""

from __future__ import annotations

import io
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import redis
from PIL import Image

from moderation.embedded_servers import EmbeddedRedis, EmbeddedWorker
from moderation.messages import QUEUES
from moderation.settings import Settings, load_settings
from tests.conftest import ROOT
from tests.support.command_line import clean_environment
from tests.support.example_server import served
from tests.support.waiting import PATIENCE_SECONDS, until

DJANGO = ROOT / "examples" / "django_on_commit"
#: Nothing listens on port 1.
NO_REDIS = "redis://127.0.0.1:1/0"
NO_IMAGE = b"<script>alert(1)</script>"
TOO_LARGE = bytes(10_000_001)

Images = dict[str, bytes]
Served = AbstractContextManager[httpx.Client]


@pytest.fixture(scope="module")
def idle_redis() -> Iterator[str]:
    """URL of a Redis that no worker serves."""
    with EmbeddedRedis() as server:
        yield server.url


@pytest.fixture(scope="module")
def images(photographs: list[Path]) -> Images:
    """Photographs by name."""
    return {path.name: path.read_bytes() for path in photographs}


@pytest.fixture
def revolver(objects: Path) -> bytes:
    return (objects / "revolver" / "image_0005.jpg").read_bytes()


def keeps_secret(answer: str) -> bool:
    """Whether an answer keeps to itself what would help to get a photograph past a policy."""
    secret = ("score", "similarity", "threshold", "label", "page-of-text", "handgun", "policy")
    return not any(word in answer.replace("<label>", "").replace("</label>", "") for word in secret)


# Flask: the visitor waits.


def flask_on(broker_url: str, **variables: str) -> Served:
    env = clean_environment(MODERATION_BROKER_URL=broker_url, **variables)
    return served("flask_upload", "-m flask run --port", env)


@pytest.fixture(scope="module")
def flask(settings: Settings, worker: EmbeddedWorker) -> Iterator[httpx.Client]:
    with flask_on(settings.broker_url.get_secret_value()) as browser:
        yield browser


def post_form(browser: httpx.Client, content: bytes, name: str = "photo.png") -> tuple[int, str]:
    page = browser.post("/", files={"photo": (name, content)})
    return page.status_code, page.text


def test_flask_publishes_what_every_policy_allows(flask: httpx.Client, images: Images) -> None:
    assert 'type="file"' in flask.get("/").text
    status, page = post_form(flask, images["coffee.png"])
    assert status == 200
    assert "photo.png is published" in page


def test_flask_holds_a_page_of_text_for_review(flask: httpx.Client, images: Images) -> None:
    status, page = post_form(flask, images["page.png"])
    assert status == 202
    assert "is held for review" in page
    assert keeps_secret(page)


def test_flask_refuses_a_photograph_that_is_blocked(flask: httpx.Client, revolver: bytes) -> None:
    status, page = post_form(flask, revolver)
    assert status == 422
    assert "is refused" in page
    assert keeps_secret(page)


@pytest.mark.parametrize(
    ("content", "reason"), [(NO_IMAGE, "this is not an image"), (b"", "the image is empty")]
)
def test_flask_refuses_other_files(flask: httpx.Client, content: bytes, reason: str) -> None:
    status, page = post_form(flask, content)
    assert status == 400
    assert f"is not accepted: {reason}" in page


def test_flask_escapes_the_name_of_a_file(flask: httpx.Client) -> None:
    _, page = post_form(flask, NO_IMAGE, "<img src=x onerror=alert(1)>.png")
    assert "&lt;img src=x" in page
    assert "<img" not in page


def test_flask_holds_what_is_not_decided_in_time(idle_redis: str, images: Images) -> None:
    with flask_on(idle_redis, MODERATION_VERDICT_TIMEOUT_SECONDS="0.3") as browser:
        status, page = post_form(browser, images["coffee.png"])
    assert status == 202
    assert "is held for review" in page


def test_flask_publishes_nothing_without_redis(images: Images) -> None:
    with flask_on(NO_REDIS) as browser:
        status, page = post_form(browser, images["coffee.png"])
    assert status == 503
    assert "cannot be checked now" in page


# FastAPI: the client asks again.


def fastapi_on(broker_url: str) -> Served:
    env = clean_environment(MODERATION_BROKER_URL=broker_url)
    return served("fastapi_status", "-m uvicorn app:app --port", env)


@pytest.fixture(scope="module")
def fastapi(settings: Settings, worker: EmbeddedWorker) -> Iterator[httpx.Client]:
    with fastapi_on(settings.broker_url.get_secret_value()) as browser:
        yield browser


def post_image(browser: httpx.Client, content: bytes) -> httpx.Response:
    return browser.post("/images", files={"image": ("photo.png", content)})


def decided(browser: httpx.Client, content: bytes) -> httpx.Response:
    """Posts an image and asks until it is no longer pending."""
    accepted = post_image(browser, content)
    assert accepted.status_code == 202

    def answers() -> list[httpx.Response]:
        answer = browser.get(accepted.headers["Location"])
        if answer.status_code != 202:
            return [answer]
        undecided = {"status": "pending", "action": None, "picture": None}
        assert answer.json() == {**accepted.json(), **undecided}
        return []

    return until(answers)[0]


def test_fastapi_gives_the_strictest_action_and_no_more(
    fastapi: httpx.Client, images: Images, revolver: bytes
) -> None:
    contents = {"allow": images["coffee.png"], "review": images["page.png"], "block": revolver}
    for action, content in contents.items():
        answer = decided(fastapi, content)
        assert answer.status_code == 200
        found = answer.json()
        plain = {"request_id": found["request_id"], "status": "decided", "picture": None}
        assert found == {**plain, "action": action}
        assert keeps_secret(answer.text)


def test_fastapi_names_the_picture_of_what_may_be_shown(
    photo_broker: str, renditions: Path, images: Images
) -> None:
    with fastapi_on(photo_broker) as browser:
        allowed = decided(browser, images["coffee.png"]).json()
        held = decided(browser, images["page.png"]).json()
    assert (renditions / allowed["picture"]).is_file()
    assert (held["action"], held["picture"]) == ("review", None)


def test_fastapi_refuses_other_files(fastapi: httpx.Client) -> None:
    answer = decided(fastapi, NO_IMAGE)
    assert answer.status_code == 400
    assert "this is not an image" in answer.json()["detail"]


def test_an_upload_that_is_too_large_is_refused(flask: httpx.Client, fastapi: httpx.Client) -> None:
    assert post_form(flask, TOO_LARGE)[0] == post_image(fastapi, TOO_LARGE).status_code == 413


def test_fastapi_says_pending_while_no_worker_decides(idle_redis: str, images: Images) -> None:
    with fastapi_on(idle_redis) as browser:
        accepted = post_image(browser, images["coffee.png"])
        answer = browser.get(accepted.headers["Location"])
    assert (accepted.status_code, answer.status_code) == (202, 202)
    undecided = {"status": "pending", "action": None, "picture": None}
    assert answer.json() == {**accepted.json(), **undecided}


def test_fastapi_answers_503_without_redis(images: Images) -> None:
    with fastapi_on(NO_REDIS) as browser:
        posted = post_image(browser, images["coffee.png"])
        asked = browser.get("/moderation/00000000-0000-4000-8000-000000000000")
    for answer in (posted, asked):
        assert answer.status_code == 503
        assert answer.json() == {"detail": "it cannot be checked now; try again later"}


# Django: the verdict comes later.


class Site(NamedTuple):
    """The Django project with a folder for its database and uploads, and a broker."""

    data: Path
    broker_url: str

    @property
    def env(self) -> dict[str, str]:
        secret = "only-for-tests-" * 4
        variables = {"DJANGO_SECRET_KEY": secret, "DATA_FOLDER": str(self.data)}
        return clean_environment(MODERATION_BROKER_URL=self.broker_url, **variables)

    def served(self) -> Served:
        return served(DJANGO.name, "manage.py runserver --noreload", self.env)

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(command, cwd=DJANGO, env=self.env, capture_output=True, text=True)

    def collect(self, wait_seconds: int = int(PATIENCE_SECONDS)) -> None:
        done = self.manage("collect_verdicts", "--wait-seconds", str(wait_seconds))
        assert done.returncode == 0, done.stderr

    def sql(self, statement: str) -> list[tuple[str, ...]]:
        with closing(sqlite3.connect(self.data / "db.sqlite3")) as database, database:
            return database.execute(statement).fetchall()

    def photos(self) -> list[tuple[str, ...]]:
        return self.sql("SELECT status, reason FROM photos_photo ORDER BY id")


@pytest.fixture(scope="module")
def renditions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder where the worker of the sites writes what it judged."""
    return tmp_path_factory.mktemp("renditions")


@pytest.fixture(scope="module")
def photo_broker(tmp_path_factory: pytest.TempPathFactory, renditions: Path) -> Iterator[str]:
    """URL of a Redis whose worker may read the uploads of the sites."""
    options = ["--model", "starter", "--policy", str(ROOT / "policies")]
    folders = {
        "MODERATION_ALLOWED_ROOTS": str(tmp_path_factory.getbasetemp()),
        "MODERATION_RENDITIONS": str(renditions),
    }
    with (
        EmbeddedRedis() as server,
        EmbeddedWorker(load_settings(broker_url=server.url), options, folders),
    ):
        yield server.url


@pytest.fixture
def site(tmp_path: Path, photo_broker: str, renditions: Path) -> Site:
    (tmp_path / "renditions").symlink_to(renditions)
    site = Site(tmp_path, photo_broker)
    assert site.manage("migrate").returncode == 0
    return site


def upload(browser: httpx.Client, content: bytes, name: str = "photo.png") -> int:
    browser.get("/")
    token = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    return browser.post("/", data=token, files={"image": (name, content)}).status_code


def shown(browser: httpx.Client) -> list[int]:
    """Returns which of photos 1 to 4 anybody can see, on the page and by their own URL."""
    page = browser.get("/").raise_for_status().text
    on_page = [pk for pk in range(1, 5) if f'src="/photos/{pk}"' in page]
    assert on_page == [pk for pk in range(1, 5) if browser.get(f"/photos/{pk}").is_success]
    return on_page


def test_django_shows_only_what_is_published(site: Site, images: Images, revolver: bytes) -> None:
    with site.served() as browser:
        for content in (images["page.png"], images["coffee.png"], revolver, NO_IMAGE):
            assert upload(browser, content) == 302
        assert upload(browser, NO_IMAGE, "photo.html") == 400
        assert site.photos() == [("pending", "")] * 4
        assert shown(browser) == []
        site.collect()
        assert shown(browser) == [2]
        answer = browser.get("/photos/2")
    [(name,)] = site.sql("SELECT rendition FROM photos_photo WHERE status = 'published'")
    assert answer.content == (site.data / "renditions" / name).read_bytes()
    assert answer.content != images["coffee.png"]
    with Image.open(io.BytesIO(answer.content)) as judged:
        assert (judged.format, judged.size) == ("WEBP", (600, 400))
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    statuses, reasons = zip(*site.photos(), strict=True)
    assert statuses == ("held", "published", "refused", "refused")
    assert reasons[:2] == ("page-of-text", "")
    assert "handgun" in reasons[2]
    assert "this is not an image" in reasons[3]
    site.sql("UPDATE photos_photo SET rendition = ''")
    with site.served() as browser:  # what nobody judged is not shown in its place
        assert browser.get("/photos/2").status_code == 404


@pytest.mark.parametrize(("last_line", "requests"), [("pass", 1), ("1 / 0", 0)])
def test_django_submits_only_rows_that_are_committed(
    site: Site, idle_redis: str, last_line: str, requests: int
) -> None:
    code = f"""
from django.core.files.base import ContentFile
from django.db import transaction
from photos.models import Photo
from photos.moderating import save_and_submit
with transaction.atomic():
    save_and_submit(Photo(image=ContentFile(b"GIF89a", name="photo.gif")))
    {last_line}
"""
    with redis.Redis.from_url(idle_redis) as queue:
        before = queue.llen(QUEUES["interactive"])
        done = site._replace(broker_url=idle_redis).manage("shell", "-c", code)
        assert queue.llen(QUEUES["interactive"]) - before == requests
    assert done.stderr.strip().endswith("ZeroDivisionError: division by zero") == (requests == 0)
    assert len(site.photos()) == requests


def test_django_keeps_a_photo_back_until_redis_takes_it(site: Site, images: Images) -> None:
    site_without_redis = site._replace(broker_url=NO_REDIS)
    with site_without_redis.served() as browser:
        assert upload(browser, images["coffee.png"]) == 302
        assert "Redis does not answer" in site_without_redis.manage("collect_verdicts").stderr
        assert site.photos() == [("pending", "")]
        assert shown(browser) == []
        site.collect()
        assert shown(browser) == [1]


def test_django_holds_what_is_not_decided_in_an_hour(
    site: Site, idle_redis: str, images: Images
) -> None:
    site = site._replace(broker_url=idle_redis)
    with site.served() as browser:
        assert upload(browser, images["coffee.png"]) == 302
        site.collect(wait_seconds=0)
        assert site.photos() == [("pending", "")]
        site.sql("UPDATE photos_photo SET submitted_at = datetime(submitted_at, '-1 hour')")
        site.collect(wait_seconds=0)
        assert shown(browser) == []
    [(status, reason)] = site.photos()
    assert status == "held"
    assert "no verdict came in time" in reason

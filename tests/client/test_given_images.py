"""What hosts hand in: a text is a path, a URL or a key, and never the image itself."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from moderation.client.client import Client
from moderation.client.given_images import reference_to
from moderation.errors import ImageError, RequestError
from moderation.messages import EmbeddingRequest, ImageReference, ModerationRequest
from moderation.messages.reference import MOST_LOCATION, MOST_NAME, MOST_PATH
from moderation.settings import load_settings
from tests.support.hostile_files import saved

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF", "TIFF")


def encoded(form: str, size: int = 8) -> bytes:
    """Returns a small picture as the base64 that web pages send."""
    return base64.b64encode(saved(Image.effect_noise((size, size), 90), form))


def texts_of(form: str) -> dict[str, str]:
    """Returns one picture as the texts that people have of it."""
    plain = encoded(form).decode()
    raw = base64.b64decode(plain)
    return {
        "base64": plain,
        "of lines": base64.encodebytes(raw).decode(),
        "for URLs": base64.urlsafe_b64encode(raw).decode().rstrip("="),
        "data URL": f"data:image/{form.lower()};base64,{plain}",
        "shouted data URL": f" DATA:IMAGE/{form};BASE64,{plain}",
        "long": encoded(form, 100).decode(),
    }


@pytest.fixture
def nowhere() -> Client:
    """A host whose Redis is away, so that sending anything would raise BrokerUnavailable."""
    return Client(load_settings(broker_url="redis://127.0.0.1:9/0"))


@pytest.mark.parametrize("form", FORMATS)
def test_an_image_as_text_is_refused_before_it_is_sent(form: str, nowhere: Client) -> None:
    for name, text in texts_of(form).items():
        for given in (text, Path(text)):
            with pytest.raises(RequestError, match=r"b64decode\(text\)") as caught:
                nowhere.submit(given, "weapons")
            assert text[40:80] not in str(caught.value), name


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", ["path", "url", "key"])
def test_an_image_as_text_is_not_a_message_either(form: str, kind: str) -> None:
    """From a host without this package; also behind a folder, as `abspath` puts it there."""
    texts = texts_of(form)
    texts["data URL made absolute"] = f"/srv/app/{texts['data URL']}"
    if form != "JPEG":  # which begins with a slash, so that nothing is put before it
        texts["base64 made absolute"] = f"/srv/app.d/web/{texts['base64']}"
    for text in texts.values():
        with pytest.raises(RequestError) as caught:
            ModerationRequest.read({"image": {kind: text}, "policies": ["weapons"]})
        assert text[40:80] not in str(caught.value)


def test_what_is_a_path_a_url_or_a_key_stays_one(tmp_path: Path) -> None:
    for path in (
        "/9j/photos/cat.jpg",
        "/data/uploads/2026/11/26/cat",
        "/srv/9j/4A/AQSkZJRgABAQAAAQABAAD",
        "/srv/uploads/iVBORw0KGgo.png",
        "/srv/" + "uploads/" * 500 + "猫.jpg",
        "/data/" + "/".join(["0123456789abcdef" * 4] * 5),
        "/srv/data:a,b.jpg",
        "/" + "x" * MOST_NAME,
    ):
        assert reference_to(path) == ImageReference(path=path)
    assert reference_to("uploads/a.jpg").path == str(Path("uploads/a.jpg").absolute())
    assert reference_to("data:2026/photo.jpg").path == str(Path("data:2026/photo.jpg").absolute())
    for key in ("s3://bucket/_9j_4AAQSk", "s3://bucket/_9j_abc", "s3://data:b/a,b.jpg"):
        assert reference_to(key) == ImageReference(key=key)
    for url in ("https://h/x?src=data:image/png;base64,iVBORw0K", "https://h/x#;base64,b"):
        assert reference_to(url) == ImageReference(url=url)
    signed = "https://cdn.example.com/a.jpg?X-Amz-Security-Token=" + "/9j/4AAQSkZJRg" * 200
    assert reference_to(signed).url == signed
    assert reference_to("s3://bucket/a b.jpg").key == "s3://bucket/a b.jpg"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("path", "/" + "a/" * MOST_PATH),
        ("path", "/" + "猫/" * 1100),
        ("path", "/" + "x" * (MOST_NAME + 1)),
        ("path", "/srv/a\0b.jpg"),
        ("path", "srv/a.jpg"),
        ("path", "/srv/\udcff.jpg"),
        ("url", "https://h/" + "a" * MOST_LOCATION),
        ("key", "s3://b/" + "a" * MOST_LOCATION),
        ("key", "s3://b/\udcff"),
    ],
)
def test_what_cannot_be_a_reference_is_refused(kind: str, text: str, nowhere: Client) -> None:
    message = {"image": {kind: text}, "policies": ["weapons"]}
    with pytest.raises(RequestError):
        ModerationRequest.read(message)
    with pytest.raises(RequestError):
        EmbeddingRequest.read({"image": {kind: text}, "model": "starter"})
    if text.startswith(("/", "https:", "s3:")):
        with pytest.raises(RequestError):
            nowhere.submit(text, "weapons")


NO_IMAGES = [
    np.zeros((4, 4, 3), np.uint8),
    Image.new("RGB", (4, 4)),
    io.BytesIO(b"x"),
    None,
    [],
    [b"x"],
    {},
    3,
    0,
    True,
    "",
    "a\udcff.jpg",
    Path("a\udcff.jpg"),
    "a\0b.jpg",
    "https://h/\ud800",
]
NO_POLICIES = [None, 3, [3], [None], [["weapons"]], b"weapons", "", "a b", "a\udcff", "a\0b"]
NO_POLICIES += ["x" * 200, []]


@pytest.mark.parametrize(
    ("image", "policies"),
    [*((image, "weapons") for image in NO_IMAGES), *((b"x", bad) for bad in NO_POLICIES)],
    ids=lambda given: f"{type(given).__name__} {ascii(given)[:20]}",
)
def test_what_is_not_an_image_or_a_policy_is_refused_in_words(
    image: Any, policies: Any, nowhere: Client
) -> None:
    with pytest.raises(RequestError) as caught:
        nowhere.submit(image, policies)
    assert caught.value.remedy


@pytest.mark.parametrize("empty", [b"", bytearray(), memoryview(b"")])
def test_empty_bytes_are_an_empty_image(empty: Any, nowhere: Client) -> None:
    with pytest.raises(ImageError, match="the image is empty"):
        nowhere.submit(empty, "weapons")


@pytest.mark.parametrize("queue", [None, 3, ["bulk"], "slow", "\udcff"], ids=ascii)
def test_a_queue_of_another_kind_is_refused(queue: Any, nowhere: Client) -> None:
    with pytest.raises(RequestError, match="no queue is called"):
        nowhere.submit(b"x", "weapons", queue=queue)


@pytest.mark.parametrize(
    "name", [None, 3, b"id", "", "a b", "a\nb", "\udcff", "x" * 129, ["a"]], ids=ascii
)
def test_what_is_not_a_request_id_collects_nothing(name: Any, nowhere: Client) -> None:
    with pytest.raises(RequestError, match=r"not a request id.*Pass what submit returned"):
        nowhere.collect(name, timeout_seconds=0)


def test_an_error_repeats_little_of_a_message(nowhere: Client) -> None:
    text = encoded("PNG", 100).decode()
    for image in ({text: 1}, {text[:100] + str(n): n for n in range(100)}, {"path": [text]}):
        with pytest.raises(RequestError) as caught:
            ModerationRequest.read({"image": image, "policies": ["weapons"], text: text})
        assert len(str(caught.value)) < 1000

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from moderation.errors import ImageError, ImageUnavailable, RequestError
from moderation.fetch import Fetcher
from moderation.messages import ImageReference
from moderation.settings import load_settings
from tests.photo_server import PhotoServer

Fetch = Callable[..., bytes]


@pytest.fixture(scope="module")
def server(photographs: list[Path]) -> Iterator[PhotoServer]:
    with PhotoServer(photographs[0]) as running:
        yield running


@pytest.fixture
def fetch(tmp_path: Path, photographs: list[Path]) -> Iterator[Fetch]:
    """Fetches a reference with everything allowed that the tests need."""
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "photo.png").write_bytes(photographs[0].read_bytes())
    (tmp_path / "secret.png").write_bytes(b"secret")
    settings = load_settings(
        allowed_roots=(tmp_path / "allowed",),
        allowed_hosts="127.0.0.1,images.example.com",
        allowed_stores="memory://uploads",
        fetch_timeout_seconds=0.5,
        max_image_bytes=2_000_000,
    )
    with Fetcher(settings) as fetcher:
        yield lambda **reference: fetcher.fetch(ImageReference(**reference))


def test_a_path_under_an_allowed_root_is_read(fetch: Fetch, tmp_path: Path) -> None:
    path = tmp_path / "allowed" / "photo.png"
    assert fetch(path=str(path)) == path.read_bytes()


@pytest.mark.parametrize(
    "path",
    ["{root}/secret.png", "{root}/allowed/../secret.png", "/etc/passwd", "photo.png", "{root}"],
)
def test_a_path_outside_the_roots_is_refused(path: str, fetch: Fetch, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="in no folder that the worker may read"):
        fetch(path=path.format(root=tmp_path))


def test_a_link_that_leads_out_of_the_roots_is_refused(fetch: Fetch, tmp_path: Path) -> None:
    link = tmp_path / "allowed" / "link.png"
    link.symlink_to(tmp_path / "secret.png")
    with pytest.raises(RequestError, match="in no folder"):
        fetch(path=str(link))


def test_a_missing_file_and_a_folder_are_permanent_errors(fetch: Fetch, tmp_path: Path) -> None:
    for name in ("allowed/none.png", "allowed"):
        with pytest.raises(RequestError):
            fetch(path=str(tmp_path / name))


def test_nothing_is_allowed_by_default(photographs: list[Path]) -> None:
    references: list[dict[str, Any]] = [
        {"path": str(photographs[0])},
        {"url": "https://images.example.com/a.jpg"},
        {"key": "memory://uploads/a.png"},
    ]
    with Fetcher(load_settings()) as fetcher:
        for reference in references:
            with pytest.raises(RequestError, match=r"MODERATION_ALLOWED_(ROOTS|HOSTS|STORES)"):
                fetcher.fetch(ImageReference(**reference))


def test_a_url_of_an_allowed_host_is_fetched(fetch: Fetch, server: PhotoServer) -> None:
    assert fetch(url=f"{server.url}/photo") == server.content


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/photo",
        "http://127.0.0.1.evil.example/photo",
        "http://127.0.0.1@evil.example/photo",
        "ftp://127.0.0.1/photo",
        "file:///etc/passwd",
        "http://images.example.com.evil.example",
        "not a url",
    ],
)
def test_a_url_of_another_host_or_scheme_is_refused(url: str, fetch: Fetch) -> None:
    with pytest.raises(RequestError):
        fetch(url=url)


def test_an_error_never_repeats_the_credentials_of_a_url(fetch: Fetch, server: PhotoServer) -> None:
    url = server.url.replace("http://", "http://alice:sesame@")
    for path in ("/gone?token=sesame", "/down?token=sesame"):
        with pytest.raises((RequestError, ImageUnavailable)) as caught:
            fetch(url=url + path)
        assert "sesame" not in str(caught.value)
    with pytest.raises(RequestError) as refused:
        fetch(url="http://alice:sesame@evil.example/?token=sesame")
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize("path", ["/down", "/slow"])
def test_a_host_that_does_not_serve_now_is_a_transient_error(
    path: str, fetch: Fetch, server: PhotoServer
) -> None:
    with pytest.raises(ImageUnavailable):
        fetch(url=server.url + path)


def test_a_host_that_is_away_is_a_transient_error(fetch: Fetch) -> None:
    with pytest.raises(ImageUnavailable):
        fetch(url="http://127.0.0.1:9/photo")


@pytest.mark.parametrize("path", ["/gone", "/moved"])
def test_an_answer_that_will_not_change_is_permanent(
    path: str, fetch: Fetch, server: PhotoServer
) -> None:
    before = server.asked["/photo"]
    with pytest.raises(RequestError):
        fetch(url=server.url + path)
    assert server.asked["/photo"] == before


def test_a_body_without_an_end_is_cut_off_at_the_limit(fetch: Fetch, server: PhotoServer) -> None:
    with pytest.raises(ImageError, match="over the limit of 2000000 bytes"):
        fetch(url=f"{server.url}/endless")


def test_a_host_that_drips_is_given_up_in_time(fetch: Fetch, server: PhotoServer) -> None:
    with pytest.raises(ImageUnavailable, match="too slow"):
        fetch(url=f"{server.url}/drip")


@pytest.mark.parametrize("path", ["/a\0b", "/" + "x" * 5000, "{root}/allowed/" + "x" * 300])
def test_a_path_that_can_be_none_is_permanent(path: str, fetch: Fetch, tmp_path: Path) -> None:
    with pytest.raises(RequestError):
        fetch(path=path.format(root=tmp_path))


def test_a_host_with_a_port_allows_that_port_alone(server: PhotoServer) -> None:
    port = server.url.rpartition(":")[2]
    with Fetcher(load_settings(allowed_hosts=f"127.0.0.1:{port},b.example:443")) as fetcher:
        assert fetcher.fetch(ImageReference(url=f"{server.url}/photo")) == server.content
        assert fetcher._allowed_url("https://b.example/x").host == "b.example"
        for url in ("http://127.0.0.1:9/photo", "http://b.example/x"):
            with pytest.raises(RequestError, match="may not fetch"):
                fetcher.fetch(ImageReference(url=url))


def test_a_key_under_an_allowed_prefix_is_read(fetch: Fetch) -> None:
    with fsspec.open("memory://uploads/a.png", "wb") as file:
        file.write(b"pixels")
    assert fetch(key="memory://uploads/a.png") == b"pixels"


@pytest.mark.parametrize(
    "key",
    [
        "memory://private/a.png",
        "memory://uploads-private/a.png",
        "memory://uploads/../private/a.png",
        "simplecache::memory://uploads/a.png",
        "file:///etc/passwd",
        "local:///etc/passwd",
    ],
)
def test_a_key_outside_the_prefixes_is_refused(key: str, fetch: Fetch) -> None:
    with pytest.raises(RequestError, match="may not read this key"):
        fetch(key=key)


def test_a_key_that_is_not_there_is_permanent(fetch: Fetch) -> None:
    with pytest.raises(RequestError, match="no such file"):
        fetch(key="memory://uploads/none.png")


def test_bytes_are_taken_up_to_the_limit(fetch: Fetch) -> None:
    assert fetch(bytes="aGVsbG8=") == b"hello"
    with pytest.raises(ImageError, match="over the limit"):
        fetch(bytes="QUJD" * 700_000)

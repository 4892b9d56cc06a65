"""Paths, URLs and keys, fetched from real files, servers and stores; most must be refused."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from moderation.errors import (
    ImageError,
    ImageUnavailable,
    ModerationError,
    RequestError,
    SettingsError,
)
from moderation.images.fetch.fetcher import Fetcher
from moderation.messages import ImageReference
from moderation.settings import Settings, load_settings
from tests.support.photo_server import PhotoServer, RawServer, Script
from tests.support.waiting import PATIENCE_SECONDS, until

Fetch = Callable[..., bytes]


class Names:
    """A resolver that gives each name's answers in turn, and the last one again and again."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self._answers = {name.replace("_", "."): list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked.append(host)
        if host not in self._answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        given = self._answers[host]
        addresses = given.pop(0) if len(given) > 1 else given[0]
        return [_answer(address, port) for address in addresses]


def _answer(address: str, port: int) -> tuple[Any, ...]:
    plain, _, scope = address.partition("%")
    if ":" in plain:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (plain, port, 0, int(scope or 0)))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (plain, port))


@pytest.fixture(scope="module")
def server(photographs: list[Path]) -> Iterator[PhotoServer]:
    with PhotoServer(photographs[0]) as running:
        running.slow_seconds = PATIENCE_SECONDS  # no test waits for it
        yield running


#: In place of the system's certificates, which take longer to load than a fetch does.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

#: For what must be given up; what must be fetched has all the time that it needs.
_HASTY: dict[str, Any] = {"fetch_timeout_seconds": 0.5}


def _settings(**others: Any) -> Settings:
    given = {
        "allowed_hosts": "127.0.0.1,images.example.com",
        "allowed_schemes": "http,https",
        "allowed_networks": "127.0.0.0/8",
        "allowed_stores": "memory://uploads",
        "fetch_timeout_seconds": PATIENCE_SECONDS,
        "max_image_bytes": 2_000_000,
    }
    return load_settings(**{**given, **others})


@pytest.fixture
def fetch(tmp_path: Path, photographs: list[Path]) -> Iterator[Fetch]:
    """Fetches a reference, with everything that the tests need allowed."""
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "photo.png").write_bytes(photographs[0].read_bytes())
    (tmp_path / "secret.png").write_bytes(b"secret")
    with Fetcher(_settings(allowed_roots=(tmp_path / "allowed",))) as fetcher:
        yield lambda **reference: fetcher.fetch(ImageReference(**reference))


def _fetched(url: str, settings: Settings, **seams: Any) -> bytes:
    with Fetcher(settings, **seams) as fetcher:
        return fetcher.fetch(ImageReference(url=url))


def _answering(content: bytes) -> Script:
    return lambda connection: connection.sendall(content)


def _whole(body: bytes) -> Script:
    return _answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


# Paths


def test_a_path_under_an_allowed_root_is_read(fetch: Fetch, tmp_path: Path) -> None:
    path = tmp_path / "allowed" / "photo.png"
    assert fetch(path=str(path)) == path.read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "{root}/secret.png",
        "{root}/allowed/../secret.png",
        "/etc/passwd",
        "{root}",
        "{root}/allowed/link.png",
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/environ",
        "/proc/self/root/etc/passwd",
    ],
)
def test_a_path_outside_the_roots_is_refused(path: str, fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "allowed" / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(RequestError, match="in no folder that the worker may read"):
        fetch(path=path.format(root=tmp_path))


@pytest.mark.parametrize(
    "path",
    [
        "photo.png",
        "~/photo.png",
        "file://{root}/allowed/photo.png",
        "/a\0b",
        "/" + "x" * 5000,
        "/x" * 100_000,
        "{root}/allowed/" + "x" * 300,
        "{root}/allowed/a/",
        "{root}/allowed/none.png",
        "{root}/allowed",
        "{root}/allowed/photo.png/x",
    ],
)
def test_a_path_that_leads_to_no_file_is_permanent(path: str, fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "allowed" / "a").symlink_to(tmp_path / "allowed" / "b")
    (tmp_path / "allowed" / "b").symlink_to(tmp_path / "allowed" / "a")
    with pytest.raises(RequestError):
        fetch(path=path.format(root=tmp_path))


def test_pipes_and_sockets_are_refused_and_not_waited_for(fetch: Fetch, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "allowed" / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "allowed" / "socket"))
        for name in ("pipe", "socket"):
            with pytest.raises(RequestError, match="not a file"):
                fetch(path=str(tmp_path / "allowed" / name))


def test_no_device_and_nothing_of_the_kernel_is_read_where_every_path_is_allowed() -> None:
    with Fetcher(_settings(allowed_roots=(Path("/"),))) as fetcher:
        for path in ("/dev/zero", "/proc/self/environ", "/proc/self/fd/0", "/sys/kernel/notes"):
            with pytest.raises(RequestError):
                fetcher.fetch(ImageReference(path=path))


def test_a_folder_that_is_swapped_for_a_link_leads_nowhere_else(tmp_path: Path) -> None:
    """It is swapped while paths are read: what is read is the allowed file or nothing."""
    root, outside = tmp_path / "allowed", tmp_path / "outside"
    for folder, content in ((root / "in", b"allowed"), (outside, b"secret")):
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(content)
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            (root / "in").rename(root / "kept")
            (root / "in").symlink_to(outside)
            (root / "in").unlink()
            (root / "kept").rename(root / "in")

    swapper = threading.Thread(target=swap)
    swapper.start()
    found: set[bytes | str] = set()
    reference = ImageReference(path=str(root / "in" / "a.png"))
    with Fetcher(_settings(allowed_roots=(root,))) as fetcher:
        try:
            for _ in range(3000):
                try:
                    found.add(fetcher.fetch(reference))
                except RequestError as error:
                    found.add(error.what)
        finally:
            over.set()
            swapper.join()
        assert b"secret" not in found
        # Not asserted of the reads before: on a busy machine none may find the folder in place.
        assert fetcher.fetch(reference) == b"allowed"


@given(
    st.text(min_size=1, max_size=200).filter(
        lambda text: not any("\ud800" <= c <= "\udfff" for c in text)
    )
)
def test_any_text_as_any_kind_of_reference_is_a_request_error(text: str) -> None:
    with Fetcher(_settings(), ssl_context=_NO_TLS) as fetcher:
        for kind in ("path", "url", "key"):
            with pytest.raises(RequestError):
                fetcher.fetch(ImageReference(**{kind: text}))


# What is allowed of a URL


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


def test_a_host_on_loopback_needs_its_network_and_http_its_scheme(server: PhotoServer) -> None:
    with pytest.raises(RequestError, match="address that the worker may not reach"):
        _fetched(f"{server.url}/photo", _settings(allowed_networks=()))
    with pytest.raises(RequestError, match="may not fetch over http"):
        _fetched(f"{server.url}/photo", _settings(allowed_schemes="https"))


#: None may reach a server, though every host below that can be is on the allow-list.
HOSTILE = [
    "http://localhost/photo",
    "http://127.0.0.1.evil.example/photo",
    "http://127.0.0.1@evil.example/photo",
    "http://images.example.com@evil.example/",
    "http://images.example.com:80@evil.example/",
    "http://images.example.com%40evil.example/",
    "http://evil.example#@images.example.com/",
    "http://evil.example?@images.example.com/",
    "http://evil.example\\@images.example.com/",
    "http://images.example.com\\@evil.example/",
    "http://images.example.com\\.evil.example/",
    "http://evil.example/@images.example.com",
    "http://images.example.com.evil.example",
    "http://images.example.com./photo",
    "http://.images.example.com/photo",
    "http://images..example.com/photo",
    "http://images.example.com:0/photo",
    "http://images.example.com:-1/photo",
    "http://images.example.com:65536/photo",
    "http://images.example.com:99999999999/photo",
    "http://images.example.com:http/photo",
    "http://images.example.com:80:80/photo",
    "http://images%2eexample%2ecom/photo",
    "http://images.example.com%00/photo",
    "http://images.example.com%0d%0a/photo",
    "http://%69mages.example.com/photo",
    "http://images.example.com\0.evil.example/",
    "http://images.example.com/\0",
    "http://images.example.com/photo\r\nHost: evil.example",
    "http://images.example.com\r\n/photo",
    "http://images.example.com\t/photo",
    "http://images.example.com /photo",
    " http://images.example.com/photo",
    "http:// images.example.com/photo",
    "\thttp://images.example.com/photo",
    "http://\u0456mages.example.com/photo",  # Cyrillic
    "http://\uff49mages.example.com/photo",  # full width
    "http://images.example\u2024com/photo",  # one that only looks like a dot
    "http://images.example.com\u00ad/photo",  # soft hyphen
    "http://images.example.com\u2100evil.example/photo",  # becomes a/c
    "http://\u2460\u2461\u2466.0.0.1/photo",  # digits in circles
    "http://xn--a/photo",
    "http://xn--images-.example.com/photo",
    "http://-images.example.com/photo",
    "http://" + "a" * 64 + ".example.com/photo",
    "http://" + "a." * 200 + "example.com/photo",
    "http://" + "a" * 100_000 + "/",
    "http://[::1]/photo",
    "http://[::ffff:127.0.0.1]/photo",
    "http://[fe80::1%25lo]/photo",
    "http://[::1/photo",
    "http://[v1.a]/photo",
    "http://[]/photo",
    "http://2130706434/photo",
    "http://017700000002/photo",
    "http://0x7f000002/photo",
    "http://0x7f.2/photo",
    "http://127.2/photo",
    "http://127.0.2/photo",
    "http://0177.0.0.2/photo",
    "http://0/photo",
    "http://0.0.0.0/photo",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://168.63.129.16/metadata",
    "http:///photo",
    "http://",
    "http:",
    "http:images.example.com/photo",
    "http:/images.example.com/photo",
    "//images.example.com/photo",
    "images.example.com/photo",
    "/photo",
    "?",
    "ftp://127.0.0.1/photo",
    "file:///etc/passwd",
    "file://images.example.com/etc/passwd",
    "gopher://images.example.com/_x",
    "data:image/png;base64,AAAA",
    "ws://images.example.com/",
    "http+unix://images.example.com/",
    "javascript://images.example.com/%0aalert(1)",
    "url:http://images.example.com/photo",
    "not a url",
    "\u202ehttp://images.example.com",
    "{" * 5000,
]


@pytest.mark.parametrize("url", HOSTILE, ids=[ascii(url)[:60] for url in HOSTILE])
def test_a_hostile_url_is_refused_without_a_connection(url: str) -> None:
    names = Names(images_example_com=[["127.0.0.1"]])
    with Fetcher(_settings(), resolve=names) as fetcher, pytest.raises(RequestError) as caught:
        fetcher.fetch(ImageReference(url=url))
    assert type(caught.value) is RequestError
    assert names.asked == []


def test_the_table_of_hostile_urls_is_long_and_the_good_one_passes() -> None:
    assert len(set(HOSTILE)) > 60
    with RawServer(_whole(b"good")) as host:
        names = Names(images_example_com=[["127.0.0.1"]])
        url = f"http://images.example.com:{host.port}/photo"
        assert _fetched(url, _settings(), resolve=names) == b"good"


@pytest.mark.parametrize(
    "number", ["2130706433", "017700000001", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "0"]
)
def test_a_number_is_judged_as_the_address_that_the_resolver_reads(
    number: str, server: PhotoServer
) -> None:
    settings = _settings(allowed_hosts=number, allowed_networks=())
    with pytest.raises(RequestError, match=r"may not reach|not a URL"):
        _fetched(f"http://{number}:{server.port}/photo", settings)


def test_a_host_with_a_port_allows_that_port_alone(server: PhotoServer) -> None:
    settings = _settings(allowed_hosts=f"127.0.0.1:{server.port},b.example:443,[::1]:80")
    names = Names(b_example=[["10.0.0.1"]])
    assert _fetched(f"{server.url}/photo", settings) == server.content
    for url in ("http://127.0.0.1:9/photo", "http://b.example/x", "http://[::1]:81/x"):
        with pytest.raises(RequestError, match="may not fetch"):
            _fetched(url, settings, resolve=names)
    for url in ("https://b.example/x", "https://b.example:443/x", "http://[::1]/x"):
        with pytest.raises(RequestError, match="may not reach"):
            _fetched(url, settings, resolve=names)


# Addresses


def test_a_connection_goes_to_the_address_that_was_checked() -> None:
    """The name changes from an allowed address to another: classic rebinding."""
    with (
        RawServer(_whole(b"allowed"), place=("127.0.0.2", 0)) as good,
        RawServer(_whole(b"secret"), place=("127.0.0.1", good.port)) as inner,
    ):
        names = Names(images_example_com=[["127.0.0.2"], ["127.0.0.1"]])
        url = f"http://images.example.com:{good.port}/"
        with Fetcher(_settings(allowed_networks="127.0.0.2/32"), resolve=names) as fetcher:
            assert fetcher.fetch(ImageReference(url=url)) == b"allowed"
            assert names.asked == ["images.example.com"]
        with (
            Fetcher(_settings(allowed_networks="127.0.0.2/32"), resolve=names) as fetcher,
            pytest.raises(RequestError, match="may not reach"),
        ):
            fetcher.fetch(ImageReference(url=url))
        assert (good.connections, inner.connections) == (1, 0)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.2", "127.0.0.1"],
        ["127.0.0.1", "127.0.0.2"],
        ["127.0.0.2", "::ffff:127.0.0.1"],
        ["127.0.0.2", "fe80::1%2"],
        ["169.254.169.254"],
        ["::ffff:169.254.169.254"],
        ["64:ff9b::7f00:1"],
        ["0.0.0.0"],
    ],
)
def test_one_refused_address_refuses_the_host(
    addresses: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    names = Names(images_example_com=[addresses])
    with RawServer(_whole(b"allowed"), place=("127.0.0.2", 0)) as good:
        url = f"http://images.example.com:{good.port}/"
        with pytest.raises(RequestError, match="may not reach") as caught:
            _fetched(url, _settings(allowed_networks="127.0.0.2/32"), resolve=names)
        assert good.connections == 0
    # The operator learns which address it was, and the host does not.
    assert not any(address in str(caught.value) for address in addresses)
    assert any(address in caplog.text for address in addresses)


def test_the_next_address_is_tried_where_one_is_away() -> None:
    with RawServer(_whole(b"good"), place=("127.0.0.3", 0)) as host:
        names = Names(images_example_com=[["127.0.0.2", "127.0.0.3"]])
        url = f"http://images.example.com:{host.port}/"
        assert _fetched(url, _settings(), resolve=names) == b"good"


def test_a_name_that_is_not_known_or_has_no_address_is_a_transient_error() -> None:
    for names in (Names(), Names(images_example_com=[[]])):
        with pytest.raises(ImageUnavailable):
            _fetched("http://images.example.com/", _settings(), resolve=names)


def test_a_resolver_that_hangs_is_given_up_in_time() -> None:
    released = threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        released.wait()
        return []

    with pytest.raises(ImageUnavailable, match="too slow"):
        _fetched("http://images.example.com/", _settings(**_HASTY), resolve=hang)
    released.set()


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of images.example.com, its key in the same file."""
    folder = tmp_path_factory.mktemp("tls")
    both = folder / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    command += ["-subj", "/CN=x", "-addext", "subjectAltName=DNS:images.example.com"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("the openssl program, which makes the certificate, is not here")
    both.write_text((folder / "key.pem").read_text() + (folder / "certificate.pem").read_text())
    return both


@pytest.fixture(scope="module")
def tls_server(certificate: Path, photographs: list[Path]) -> Iterator[PhotoServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with PhotoServer(photographs[0], context) as running:
        yield running


def test_the_certificate_is_checked_for_the_name_not_the_address(
    certificate: Path, tls_server: PhotoServer
) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    names = Names(images_example_com=[["127.0.0.1"]], other_example_com=[["127.0.0.1"]])
    settings = _settings(
        allowed_hosts="images.example.com,other.example.com,127.0.0.1",
        allowed_schemes="https",
    )
    seams = {"resolve": names, "ssl_context": trusting}
    url = f"https://images.example.com:{tls_server.port}/photo"
    assert _fetched(url, settings, **seams) == tls_server.content
    for host in ("other.example.com", "127.0.0.1"):
        with pytest.raises(ImageUnavailable, match="certificate"):
            _fetched(f"https://{host}:{tls_server.port}/photo", settings, **seams)
    with pytest.raises(ImageUnavailable, match="certificate"):  # which is not trusted
        _fetched(url, settings, resolve=names)


def test_https_does_not_fall_back_to_http_unless_http_is_allowed(
    certificate: Path, tls_server: PhotoServer, server: PhotoServer
) -> None:
    seams = {
        "resolve": Names(images_example_com=[["127.0.0.1"]]),
        "ssl_context": ssl.create_default_context(cafile=str(certificate)),
    }
    url = f"https://images.example.com:{tls_server.port}/to?{server.url}/photo"
    before = server.asked["/photo"]
    with pytest.raises(RequestError, match="may not fetch over http"):
        _fetched(url, _settings(allowed_schemes="https"), **seams)
    assert server.asked["/photo"] == before
    assert _fetched(url, _settings(), **seams) == server.content


def test_a_host_that_speaks_no_tls_or_drips_it_is_a_transient_error(server: PhotoServer) -> None:
    with pytest.raises(ImageUnavailable):
        _fetched(server.url.replace("http", "https"), _settings(**_HASTY))
    with (
        RawServer(_dripping(b"\x16\x03\x03\x40\x00", b"\0")) as host,
        pytest.raises(ImageUnavailable, match="too slow"),
    ):
        _fetched(host.url.replace("http", "https"), _settings(**_HASTY))


# Redirects


def test_a_redirect_is_followed_to_what_is_allowed(fetch: Fetch, server: PhotoServer) -> None:
    for path in ("/moved", "/to?/photo", "/to?photo", f"/to?//127.0.0.1:{server.port}/photo"):
        assert fetch(url=server.url + path) == server.content
    assert fetch(url=f"{server.url}/to?{server.url}/photo") == server.content


@pytest.mark.parametrize(
    "location",
    [
        "http://evil.example/photo",
        "http://localhost/photo",
        "http://169.254.169.254/",
        "//evil.example/photo",
        "http://127.0.0.1@evil.example/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "data:,x",
        "http://[",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:x/",
        "http://127.0.0.1%2500/",
        "http://evil.example\\@127.0.0.1/",
        "/\x7f",
        "/" + "x" * 9000,
    ],
)
def test_a_redirect_elsewhere_is_refused(location: str, fetch: Fetch, server: PhotoServer) -> None:
    with pytest.raises(RequestError):
        fetch(url=f"{server.url}/to?{location}")


def test_a_redirect_to_an_allowed_host_at_a_private_address_is_refused() -> None:
    script = b"HTTP/1.1 302 Found\r\nLocation: http://images.example.com/\r\n\r\n"
    names = Names(images_example_com=[["10.0.0.1"]])
    with RawServer(_answering(script)) as host, pytest.raises(RequestError, match="may not reach"):
        _fetched(host.url, _settings(), resolve=names)
    assert names.asked == ["images.example.com"]


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"Location: \xff\xfe\r\n",
        b"Location: http://\xc3\xa9[/\r\n",
        b"Location: /a\r\nLocation: /b\r\n",
        b"Location:\r\nLocation: /b\r\n",
    ],
)
def test_a_redirect_to_nowhere_is_permanent(head: bytes) -> None:
    answer = b"HTTP/1.1 302 Found\r\n" + head + b"Content-Length: 0\r\n\r\n"
    with RawServer(_answering(answer)) as host, pytest.raises(RequestError):
        _fetched(host.url, _settings())


def test_redirects_are_counted_and_can_be_turned_off(server: PhotoServer) -> None:
    before = server.asked["/loop"]
    with pytest.raises(RequestError, match="redirects too often"):
        _fetched(f"{server.url}/loop", _settings(max_redirects=2))
    assert server.asked["/loop"] - before == 3
    with pytest.raises(RequestError, match="redirects, which is not followed"):
        _fetched(f"{server.url}/moved", _settings(max_redirects=0))
    assert _fetched(f"{server.url}/moved", _settings(max_redirects=1)) == server.content


def test_a_password_goes_to_the_host_that_it_was_given_for_alone(server: PhotoServer) -> None:
    with PhotoServer(Path(__file__)) as other:
        url = f"{server.url}/to?{other.url}/photo".replace("http://", "http://al%40ice:sesame@", 1)
        assert _fetched(url, _settings()) == other.content
        assert server.heads[-1]["authorization"] == "Basic YWxAaWNlOnNlc2FtZQ=="
        assert "authorization" not in other.heads[-1]


# Time


def _dripping(head: bytes, drop: bytes) -> Script:
    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(drop)
            time.sleep(0.05)

    return drip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nX: y\r\n", b"X-Y: z\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9;", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    ],
)
def test_a_host_that_drips_is_given_up_in_time(head: bytes, drop: bytes) -> None:
    with RawServer(_dripping(head, drop)) as host, pytest.raises(ImageUnavailable):
        _fetched(host.url, _settings(**_HASTY))


def test_redirects_do_not_restart_the_time() -> None:
    def slow(connection: socket.socket) -> None:
        time.sleep(0.3)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")

    with RawServer(slow) as host, pytest.raises(ImageUnavailable, match="too slow"):
        _fetched(host.url, _settings(max_redirects=20, **_HASTY))


def test_a_connection_is_used_again_and_each_fetch_has_its_own_time(server: PhotoServer) -> None:
    with Fetcher(_settings()) as fetcher:
        before = len(server.ports)
        for _ in range(3):
            fetcher.fetch(ImageReference(url=f"{server.url}/kept"))
        assert len(set(server.ports[before:])) == 1
    with Fetcher(_settings(**_HASTY)) as fetcher:
        for _ in range(2):
            assert _became(fetcher, server, "/slow") == "ImageUnavailable"
            # A busy machine may need several tries; if the time had not restarted, all would fail.
            until(lambda: _became(fetcher, server, "/kept") == "ok")


def _became(fetcher: Fetcher, server: PhotoServer, path: str) -> str:
    """Returns what became of a path: `ok`, or the name of an error."""
    try:
        content = fetcher.fetch(ImageReference(url=server.url + path))
    except ModerationError as error:
        return type(error).__name__
    return "ok" if content == server.content else "mixed up"


def test_many_threads_fetch_at_once_each_with_its_own_time(server: PhotoServer) -> None:
    paths = ["/kept", "/photo", "/gone", "/slow", "/moved"] * 32
    with Fetcher(_settings(**_HASTY)) as fetcher, ThreadPoolExecutor(32) as pool:

        def in_time(path: str) -> str:
            """Returns what became of a path, unless the machine was too busy for it."""
            became = _became(fetcher, server, path)
            return became if became != "ImageUnavailable" or path == "/slow" else ""

        found = list(pool.map(lambda path: until(lambda: in_time(path)), paths))
    expected = {"/gone": "RequestError", "/slow": "ImageUnavailable"}
    assert found == [expected.get(path, "ok") for path in paths]


# Answers


def test_a_host_that_does_not_serve_now_is_a_transient_error(
    fetch: Fetch, server: PhotoServer
) -> None:
    with socket.socket() as bound:  # so that nothing else listens there
        bound.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{bound.getsockname()[1]}"
        served = (f"{server.url}/{path}" for path in ("down", "status/429", "status/408"))
        for url in (away, *served):
            with pytest.raises(ImageUnavailable):
                fetch(url=url)


@pytest.mark.parametrize(
    "status", [201, 204, 206, 300, 304, 305, 400, 401, 403, 404, 407, 410, 416, 418, 451, 501, 999]
)
def test_an_answer_that_will_not_change_is_permanent(
    status: int, fetch: Fetch, server: PhotoServer
) -> None:
    with pytest.raises(RequestError, match=f"the host answered {status}"):
        fetch(url=f"{server.url}/status/{status}")


def test_what_is_too_large_is_refused_at_its_length_or_at_the_limit(
    fetch: Fetch, server: PhotoServer
) -> None:
    # /declared sends no body: its length is enough.
    for path in ("/endless", "/declared"):
        with pytest.raises(ImageError, match="over the limit of 2000000 bytes"):
            fetch(url=server.url + path)


def test_a_compressed_answer_is_refused_and_none_is_asked_for(
    fetch: Fetch, server: PhotoServer
) -> None:
    with pytest.raises(ImageError, match="compressed"):
        fetch(url=f"{server.url}/packed")
    assert server.heads[-1]["accept-encoding"] == "identity"


_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0" * 100,
        b"GIF89a" + b"x" * 1000,
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        _OK + b": y\r\n\r\n",
        _OK + b" folded\r\n\r\n",
        _OK + b"X y\r\n\r\n",
        _OK + b"X: \0\r\n\r\n",
        _OK + b"X: " + b"y" * 300_000 + b"\r\n\r\n",
        _OK + b"X: y\r\n" * 100_000 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
        _OK + b"Content-Length: -1\r\n\r\nx",
        _OK + b"Content-Length: 1x\r\n\r\nx",
        _OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        _OK + b"Content-Length: 1, 2\r\n\r\nxx",
        _OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nx",
        _OK + b"Content-Length: 10\r\n\r\nx",
        _OK + b"Content-Length: 0\r\n\r\n",
        _OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        _OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        _OK + b"Transfer-Encoding:\r\n\r\nx",
        _CHUNKED + b"x\r\n",
        _CHUNKED + b"-1\r\nx\r\n",
        _CHUNKED + b"5\r\nx\r\n0\r\n\r\n",
        _CHUNKED + b"1\r\nxyz\r\n0\r\n\r\n",
        _CHUNKED + b"f" * 30 + b"\r\nx",
        _CHUNKED + b"ffffffff\r\n" + b"x" * 3_000_000,
        _CHUNKED + (b"1;" + b"x" * 50_000 + b"\r\nx\r\n") * 100,
        _CHUNKED + b"0\r\n" + b"X: y\r\n" * 100_000,
        _CHUNKED + b"0\r\n\r\n",
    ],
    ids=range(37),
)
def test_an_answer_that_is_not_proper_http_is_a_clean_error(answer: bytes) -> None:
    with RawServer(_answering(answer)) as host:
        with pytest.raises((RequestError, ImageUnavailable)) as caught:
            _fetched(host.url, _settings())
        assert "x" * 50 not in str(caught.value)


@given(st.binary(max_size=300), st.sampled_from([b"", _OK, _OK + b"\r\n", _CHUNKED]))
def test_any_bytes_are_a_body_or_a_clean_error(tail: bytes, head: bytes) -> None:
    with RawServer(_answering(head + tail)) as host:
        try:
            assert _fetched(host.url, _settings(), ssl_context=_NO_TLS) in tail
        except (RequestError, ImageUnavailable) as refused:
            error = refused
        else:
            return
    assert error.where.startswith("http://127.0.0.1")


# Credentials


def _printed(error: BaseException | None) -> str:
    """Returns what an error and all that caused it would print."""
    parts = []
    while error is not None:
        parts += [str(error), repr(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return " ".join(parts)


@pytest.mark.parametrize(
    "path", ["/gone", "/down", "/slow", "/loop", "/packed", "/declared", "/to?http://evil.example"]
)
def test_an_error_never_repeats_the_credentials_of_a_url(
    path: str, server: PhotoServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    settings = _settings(**(_HASTY if path == "/slow" else {}))
    url = server.url.replace("http://", "http://alice:sesame@")
    sign = "&" if "?" in path else "?"
    with pytest.raises((RequestError, ImageUnavailable)) as caught:
        _fetched(f"{url}{path}{sign}token=sesame#sesame", settings)
    assert "sesame" not in _printed(caught.value) + caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "http://alice:sesame@evil.example/?token=sesame",
        "http://alice:sesame@[/",
        "http://alice:sesame@127.0.0.1:x/",
        "http://alice:sesame\n@127.0.0.1/",
        "http://alice:12/sesame@127.0.0.1/",
        "ftp://alice:sesame@127.0.0.1/",
        "http:alice:sesame@127.0.0.1/",
        "sesame://127.0.0.1/",
    ],
)
def test_a_refused_url_is_not_repeated_with_its_credentials(url: str, fetch: Fetch) -> None:
    with pytest.raises(RequestError) as caught:
        fetch(url=url)
    assert "sesame" not in _printed(caught.value)


def test_a_host_that_repeats_what_it_was_asked_is_not_quoted() -> None:
    with (
        RawServer(_answering(b"sesame sesame\r\n\r\n")) as host,
        pytest.raises(ImageUnavailable) as caught,
    ):
        _fetched(f"{host.url}/?sesame", _settings())
    assert "sesame" not in _printed(caught.value)


# Keys


def test_a_key_under_an_allowed_prefix_is_read(fetch: Fetch) -> None:
    for name in ("a.png", "a b%20c.png", "a..b.png"):
        with fsspec.open(f"memory://uploads/{name}", "wb") as file:
            file.write(b"pixels")
        assert fetch(key=f"memory://uploads/{name}") == b"pixels"


class SilentStore(MemoryFileSystem):  # type: ignore[misc]
    """A store that does not answer until the event is set."""

    protocol = "silent"
    may_answer = threading.Event()

    def _open(self, path: str, *_: Any, **__: Any) -> Any:
        self.may_answer.wait()
        raise FileNotFoundError(path)


@pytest.mark.slow
def test_a_store_that_hangs_is_given_up_in_time_and_its_reads_are_bounded() -> None:
    fsspec.register_implementation("silent", SilentStore, clobber=True)
    settings = _settings(
        allowed_stores="silent://uploads", fetch_timeout_seconds=0.05, concurrency=1
    )
    SilentStore.may_answer.clear()
    reference = ImageReference(key="silent://uploads/a.png?sesame")
    messages: list[str] = []
    try:
        with Fetcher(settings) as fetcher:
            for _ in range(66):
                with pytest.raises(ImageUnavailable) as caught:
                    fetcher.fetch(reference)
                messages.append(caught.value.what)
                assert "sesame" not in _printed(caught.value)
    finally:
        SilentStore.may_answer.set()
    assert messages[0] == "the store did not answer within 0.05 s"
    assert messages[-1] == "too many reads of stores hang"


@pytest.mark.parametrize(
    "key",
    [
        "memory://private/a.png",
        "memory://uploads-private/a.png",
        "memory://uploads",
        "memory://uploads/../private/a.png",
        "memory://uploads/%2e%2e/private/a.png",
        "memory://uploads/%2E./private/a.png",
        "memory://uploads%2f..%2fprivate/a.png",
        "memory://uploads/..%2fprivate/a.png",
        "memory://uploads/%252e%252e/private/a.png",
        "memory://uploads/%25252525252525252e/a.png",
        "memory://uploads/..\\private/a.png",
        "memory://uploads/a?/../../private/a.png",
        "memory://uploads/..?x",
        "memory://uploads/a\0.png",
        "memory://uploads/a\n.png",
        "MEMORY://uploads/a.png",
        "memory://alice:sesame@uploads/a.png?sesame#sesame",
        "simplecache::memory://uploads/a.png",
        "memory://uploads/a.zip::memory://private/a",
        "memory://uploads/%3a%3afile:///etc/passwd",
        "file:///etc/passwd",
        "local:///etc/passwd",
        "http://127.0.0.1/photo",
        "https://images.example.com/photo",
        "/etc/passwd",
        "etc/passwd",
    ],
)
def test_a_key_outside_the_prefixes_is_refused(key: str, fetch: Fetch) -> None:
    with pytest.raises(RequestError, match="may not read this key") as caught:
        fetch(key=key)
    assert "sesame" not in _printed(caught.value)


def test_an_error_never_repeats_the_credentials_of_a_key(tmp_path: Path) -> None:
    store = "nosuchstore://alice:sesame@host"
    with Fetcher(_settings(allowed_stores=f"{store},memory://uploads")) as fetcher:
        for key, what in (
            (f"{store}/a.png?sesame#sesame", "cannot be opened"),
            ("memory://uploads/none?sesame", "no such file"),
        ):
            with pytest.raises(RequestError, match=what) as caught:
                fetcher.fetch(ImageReference(key=key))
            assert "sesame" not in _printed(caught.value)


def test_no_link_or_pipe_leads_out_of_a_prefix_of_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"pixels")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(tmp_path / "in" / "pipe.png")
    with Fetcher(_settings(allowed_stores=f"file://{tmp_path}/in")) as fetcher:
        key = f"file://{tmp_path}/in"
        assert fetcher.fetch(ImageReference(key=f"{key}/a.png")) == b"pixels"
        for name in ("link.png", "pipe.png", "none.png"):
            with pytest.raises(RequestError):
                fetcher.fetch(ImageReference(key=f"{key}/{name}"))


# Bytes, settings


def test_bytes_are_taken_up_to_the_limit(fetch: Fetch) -> None:
    assert fetch(bytes="aGVsbG8=") == b"hello"
    with pytest.raises(ImageError, match="over the limit"):
        fetch(bytes="QUJD" * 700_000)
    with pytest.raises(ImageError, match="empty"):
        fetch(bytes="")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("allowed_schemes", "https,ftp", "not ftp"),
        ("allowed_schemes", "http://", "not http://"),
        ("allowed_networks", "10.0.0.1/8", "write 10.0.0.0/8"),
        ("allowed_networks", "fd12::1/32", "write fd12::/32"),
        ("allowed_networks", "10.0.0.0/33", "is not a network"),
        ("allowed_networks", "intranet", "is not a network"),
        ("max_redirects", "21", "MAX_REDIRECTS"),
        ("max_redirects", "-1", "MAX_REDIRECTS"),
    ],
)
def test_a_setting_that_is_not_usable_is_refused_at_the_start(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"MODERATION_{name}".upper(), value)
    with pytest.raises(SettingsError, match=f"MODERATION_{name}".upper()) as caught:
        load_settings()
    assert message in str(caught.value)


def test_settings_of_urls_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODERATION_ALLOWED_SCHEMES", "HTTP, https")
    monkeypatch.setenv("MODERATION_ALLOWED_NETWORKS", "10.2.0.0/16, fd12::/32,192.168.1.4")
    loaded = load_settings()
    assert loaded.allowed_schemes == ("http", "https")
    assert list(map(str, loaded.allowed_networks)) == ["10.2.0.0/16", "fd12::/32", "192.168.1.4/32"]

"""Allowed URLs -> bytes over HTTP/1.1: few redirects, one deadline, no more than an image needs.

No error repeats what a host said, since a host can repeat what it was asked, passwords included.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpcore
import httpx

from moderation.errors import ImageError, ImageUnavailable, RequestError
from moderation.images.fetch.network import AddressRefused, GuardedNetwork, Resolve, TooMuchReceived
from moderation.images.fetch.url import AllowedUrl
from moderation.messages.reference import shown_location
from moderation.settings import Settings

#: Statuses that may be different at the next try.
_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
_REDIRECTS = {301, 302, 303, 307, 308}
#: Statuses of whole images. Not 206: part of an image would be judged in place of the whole.
_WHOLE = {200, 203}
#: What a host may send before its response begins, with interim ones. h11 limits one head.
_HEAD_BYTES = 256 * 1024
_HEADERS = [
    (b"Accept", b"*/*"),
    (b"Accept-Encoding", b"identity"),
    (b"User-Agent", b"evenhand"),
]
#: How many idle connections are kept, and for how long.
_KEPT = 20
_KEPT_SECONDS = 5.0


class HttpFetcher:
    """Fetches URLs from many threads over connections that are kept."""

    def __init__(
        self, settings: Settings, resolve: Resolve, ssl_context: ssl.SSLContext | None
    ) -> None:
        # httpcore's debug lines hold the headers of responses, and a Location may hold a signature.
        logging.getLogger("httpcore").setLevel(logging.WARNING)
        self._settings = settings
        self._most = settings.max_image_bytes
        self._network = GuardedNetwork(settings.allowed_networks, resolve)
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl_context or httpx.create_ssl_context(trust_env=False),
            max_connections=None,  # the worker bounds its threads
            max_keepalive_connections=_KEPT,
            keepalive_expiry=_KEPT_SECONDS,
            network_backend=self._network,
        )

    def fetch(self, given: str) -> bytes:
        """Returns the body behind a URL.

        Raises:
            RequestError: the URL is not allowed here, or leads to no image.
            ImageError: what it leads to is too large, or compressed.
            ImageUnavailable: the host did not answer, or not in time.
        """
        ends = time.monotonic() + self._settings.fetch_timeout_seconds
        address = AllowedUrl.of(given, self._settings)
        where = shown_location(given)
        with _http_errors(where, self._most):
            for _ in range(self._settings.max_redirects + 1):
                found = self._ask(address, where, ends)
                if isinstance(found, bytes):
                    return found
                address = found
        raise RequestError("the URL redirects too often", where, "Send the URL that it leads to")

    def _ask(self, address: AllowedUrl, where: str, ends: float) -> bytes | AllowedUrl:
        """Returns the body, or where it has moved to."""
        self._network.allowance.grant(ends, _HEAD_BYTES)
        url = httpcore.URL(
            scheme=address.scheme, host=address.host, port=address.port, target=address.target
        )
        headers = address.headers + _HEADERS
        with self._pool.stream("GET", url, headers=headers) as response:
            if response.status in _REDIRECTS:
                return self._moved(response, address, where)
            _refuse_http_status(response.status, where)
            self._refuse_head(response, where)
            # Chunked content is a little longer; a host that sends mostly framing is cut off.
            self._network.allowance.grant(ends, self._most * 2 + _HEAD_BYTES)
            return self._body(response)

    def _moved(self, response: httpcore.Response, address: AllowedUrl, where: str) -> AllowedUrl:
        if self._settings.max_redirects == 0:
            raise RequestError(
                "the URL redirects, which is not followed", where, "Send the URL that it leads to"
            )
        locations = set(_http_header_values(response, b"location"))
        if len(locations) != 1:
            raise RequestError("the URL does not redirect to one place", where, "Send another URL")
        return address.redirected(locations.pop(), self._settings)

    def _refuse_head(self, response: httpcore.Response, where: str) -> None:
        """Refuses a response whose headers say that it cannot be an image that fits."""
        encodings = b",".join(_http_header_values(response, b"content-encoding")).lower()
        if {encoding.strip() for encoding in encodings.split(b",")} - {b"", b"identity"}:
            # Not unpacked: a few bytes could become more than memory holds.
            raise ImageError("the response is compressed", where, "Let the host send it as it is")
        if any(
            int(length) > self._most for length in _http_header_values(response, b"content-length")
        ):
            raise too_large(where, self._most)

    def _body(self, response: httpcore.Response) -> bytes:
        content = bytearray()
        for part in response.iter_stream():
            content += part
            if len(content) > self._most:
                raise TooMuchReceived
        return bytes(content)

    def close(self) -> None:
        """Closes the connections."""
        self._pool.close()


def _http_header_values(response: httpcore.Response, name: bytes) -> list[bytes]:
    return [value for header, value in response.headers if header.lower() == name]


def too_large(where: str, most: int) -> ImageError:
    """Returns the error of a file, by HTTP or otherwise, that has more bytes than an image may."""
    return ImageError(
        f"the image is over the limit of {most} bytes",
        where,
        "Send a smaller file, or raise MODERATION_MAX_IMAGE_BYTES",
    )


def _refuse_http_status(status: int, where: str) -> None:
    if status in _TRANSIENT_STATUS:
        raise ImageUnavailable(f"the host answered {status}", where)
    if status not in _WHOLE:
        raise RequestError(f"the host answered {status}", where, "Check the URL and its access")


@contextmanager
def _http_errors(where: str, most: int) -> Iterator[None]:
    """Turns the network's errors into ours, without what the host said."""
    try:
        yield
    except AddressRefused:
        raise RequestError(
            "the host leads to an address that the worker may not reach",
            where,
            "See the worker's log, and MODERATION_ALLOWED_NETWORKS; or send bytes",
        ) from None
    except TooMuchReceived:
        raise too_large(where, most) from None
    except httpcore.TimeoutException:
        raise ImageUnavailable("the host is too slow", where) from None
    except httpcore.LocalProtocolError:
        raise RequestError("the URL cannot be asked for", where, "Check the URL") from None
    except httpcore.ProtocolError:
        raise ImageUnavailable("the host's response is not HTTP", where) from None
    except httpcore.NetworkError as error:
        # Errors of the socket and of TLS name the reason, and at most the host.
        raise ImageUnavailable(f"the host did not answer ({error})", where) from None

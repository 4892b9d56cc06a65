"""ImageReference -> bytes, within allowed roots, hosts, stores and sizes; by default none are.

A reference that can never succeed is a RequestError, content that can never succeed an ImageError;
a store that does not answer is ImageUnavailable, which the worker tries again. No error tells what
else would be allowed, or repeats a URL with its user or query: hosts may show errors to strangers.
"""

from __future__ import annotations

import errno
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

import fsspec
import httpx

from moderation.errors import ImageError, ImageUnavailable, RequestError
from moderation.messages import ImageReference
from moderation.settings import Settings

#: HTTP answers that may be different at the next try.
_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
#: What a file system says when the next try would say the same.
_PERMANENT = {
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
}


class Fetcher:
    """Fetches images from many threads; keeps HTTP connections open between them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = httpx.Client(
            timeout=settings.fetch_timeout_seconds, follow_redirects=False, trust_env=False
        )

    def fetch(self, reference: ImageReference) -> bytes:
        """Returns the bytes of an image file.

        Raises:
            RequestError: the reference is not allowed here, or there is nothing.
            ImageError: the image is empty or too large.
            ImageUnavailable: its store did not answer.
        """
        if reference.bytes is not None:
            return self._within_size(reference.bytes, "bytes")
        if reference.path is not None:
            return self._fetch_path(reference.path)
        if reference.url is not None:
            return self._fetch_url(reference.url)
        return self._fetch_key(reference.key or "")

    def _within_size(self, content: bytes, where: str) -> bytes:
        if len(content) > self._settings.max_image_bytes:
            raise ImageError(
                f"the image is over the limit of {self._settings.max_image_bytes} bytes",
                where,
                "Send a smaller file, or raise MODERATION_MAX_IMAGE_BYTES",
            )
        if not content:
            raise ImageError("the image is empty", where, "Send a whole image file")
        return content

    def _read(self, file: IO[bytes], where: str) -> bytes:
        return self._within_size(file.read(self._settings.max_image_bytes + 1), where)

    def _fetch_path(self, given: str) -> bytes:
        path = _resolved(given)
        roots = self._settings.allowed_roots
        if not Path(given).is_absolute() or not any(path.is_relative_to(root) for root in roots):
            raise RequestError(
                "the path is in no folder that the worker may read",
                given,
                "Add its folder to MODERATION_ALLOWED_ROOTS of the worker, or send bytes",
            )
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise RequestError("this is not a file", given, "Name an image file")
            with path.open("rb") as file:
                return self._read(file, given)
        except OSError as error:
            if error.errno in _PERMANENT:
                raise RequestError(
                    f"the file cannot be read: {error.strerror}",
                    given,
                    "Check the path as the worker sees it",
                ) from error
            raise ImageUnavailable(f"the file system failed: {error.strerror}", given) from error

    def _fetch_url(self, given: str) -> bytes:
        url = self._allowed_url(given)
        where = f"{url.scheme}://{url.netloc.decode()}{url.path}"
        deadline = time.monotonic() + self._settings.fetch_timeout_seconds
        try:
            with self._http.stream("GET", url) as response:
                _refuse_status(response, where)
                return self._within_size(self._body(response, where, deadline), where)
        except httpx.TransportError as error:
            raise ImageUnavailable(f"the host did not answer ({error})", where) from error
        except httpx.DecodingError as error:
            raise ImageError("the answer is damaged", where, "Check what the URL gives") from error

    def _body(self, response: httpx.Response, where: str, deadline: float) -> bytes:
        """Returns the body up to just over the size limit; a host that drips is cut off."""
        content = bytearray()
        for part in response.iter_bytes():
            content += part
            if len(content) > self._settings.max_image_bytes:
                break
            if time.monotonic() > deadline:
                raise ImageUnavailable("the host is too slow", where)
        return bytes(content)

    def _allowed_url(self, given: str) -> httpx.URL:
        try:
            url = httpx.URL(given)
        except httpx.InvalidURL as error:
            raise RequestError("this is no URL", "image", "Send an https URL") from error
        hosts = self._settings.allowed_hosts
        port = url.port or {"https": 443}.get(url.scheme, 80)
        allowed = {url.host.lower(), f"{url.host.lower()}:{port}"} & set(hosts)
        if url.scheme not in ("http", "https") or not allowed:
            raise RequestError(
                f"the worker may not fetch from {url.scheme}://{url.netloc.decode()}",
                "image",
                "Add the host to MODERATION_ALLOWED_HOSTS of the worker, or send bytes",
            )
        return url

    def _fetch_key(self, key: str) -> bytes:
        _refuse_key(key, self._settings.allowed_stores)
        with _store_errors(key), fsspec.open(key, "rb") as file:
            return self._read(file, key)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _resolved(given: str) -> Path:
    try:
        return Path(given).resolve()
    except (ValueError, OSError) as error:  # a zero byte, a loop of links
        raise RequestError("this is no path", "image", "Send an absolute path") from error


def _refuse_status(response: httpx.Response, where: str) -> None:
    status = response.status_code
    if status in _TRANSIENT_STATUS:
        raise ImageUnavailable(f"the host answered {status}", where)
    if response.is_redirect:
        remedy = "Send the URL that it leads to"
        raise RequestError("the URL redirects, which is not followed", where, remedy)
    if not response.is_success:
        raise RequestError(f"the host answered {status}", where, "Check the URL and its access")


def _refuse_key(key: str, prefixes: tuple[str, ...]) -> None:
    """Refuses keys outside the allowed prefixes, and tricks that would lead out of them."""
    bounded = tuple(prefix.rstrip("/") + "/" for prefix in prefixes)
    tricks = "::" in key or ".." in key.split("/")
    if tricks or not key.startswith(bounded):
        raise RequestError(
            "the worker may not read this key",
            key,
            "Add its prefix to MODERATION_ALLOWED_STORES of the worker, or send bytes",
        )


@contextmanager
def _store_errors(key: str) -> Iterator[Any]:
    try:
        yield
    except ImageError:
        raise
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise RequestError(
            f"the store has no such file for the worker ({type(error).__name__})",
            key,
            "Check the key and the worker's access to it",
        ) from error
    except (ImportError, ValueError) as error:
        remedy = "Install the store's fsspec driver on the worker, such as s3fs"
        raise RequestError(f"the key cannot be opened ({error})", key, remedy) from error
    except Exception as error:  # each fsspec driver raises its own library's errors
        raise ImageUnavailable(f"the store failed ({error})", key) from error

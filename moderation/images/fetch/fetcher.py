"""ImageReference -> bytes, from allowed roots, hosts and stores, of allowed size; by default none.

A reference that can never succeed is a RequestError, and content that can never succeed an
ImageError; a store that does not answer is ImageUnavailable, which the worker tries again. No error
says what else is allowed, or repeats a URL with its user or query: hosts may show it to strangers.
"""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Self

from moderation.errors import ImageError, ImageUnavailable
from moderation.images.fetch.deadline import NoRoom, call_within
from moderation.images.fetch.files import read_file
from moderation.images.fetch.http import HttpFetcher, too_large
from moderation.images.fetch.network import Resolve
from moderation.images.fetch.stores import read_store_key
from moderation.messages import ImageReference
from moderation.messages.reference import shown_location, shown_reference
from moderation.settings import Settings

#: How many reads of stores may hang, besides those that are waited for.
_HANGING = 64


class Fetcher:
    """Fetches images from many threads; keeps HTTP connections open between them."""

    def __init__(
        self,
        settings: Settings,
        *,
        resolve: Resolve = socket.getaddrinfo,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Opens no connection yet.

        Args:
            settings: what may be fetched.
            resolve: what finds the addresses of a name, with the arguments of getaddrinfo.
            ssl_context: which certificates are trusted; by default those of certifi.
        """
        self._settings = settings
        self._room = threading.BoundedSemaphore(settings.concurrency + _HANGING)
        self._http = HttpFetcher(settings, resolve, ssl_context)

    def fetch(self, reference: ImageReference) -> bytes:
        """Returns the bytes of an image file.

        Raises:
            RequestError: the reference is not allowed here, or leads to nothing.
            ImageError: the image is empty or too large.
            ImageUnavailable: its store did not answer.
        """
        content, where = self._content(reference), shown_reference(reference) or "bytes"
        if len(content) > self._settings.max_image_bytes:
            raise too_large(where, self._settings.max_image_bytes)
        if not content:
            raise ImageError("the image is empty", where, "Send a whole image file")
        return content

    def _content(self, reference: ImageReference) -> bytes:
        most = self._settings.max_image_bytes
        if reference.bytes is not None:
            return reference.bytes
        if reference.path is not None:
            return read_file(
                reference.path, self._settings.allowed_roots, most, shown_reference(reference)
            )
        if reference.url is not None:
            return self._http.fetch(reference.url)
        return self._read_store(reference.key or "", most)

    def _read_store(self, key: str, most: int) -> bytes:
        """Returns what a key names, or gives it up: a store's driver has times of its own, or none.

        A read that hangs keeps a thread until its driver gives up, so their number is bounded.
        """
        seconds, stores = self._settings.fetch_timeout_seconds, self._settings.allowed_stores
        try:
            return call_within(
                seconds, lambda: read_store_key(key, stores, most), self._room, wait=False
            )
        except NoRoom:
            what = "too many reads of stores hang"
        except TimeoutError:
            what = f"the store did not answer within {seconds:g} s"
        raise ImageUnavailable(what, shown_location(key)) from None

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""A URL's text -> the parts that a connection is made from, if the worker may fetch it.

The host that is checked is also the one that is dialled, named, and looked for in the certificate:
nothing parses the text a second time.
"""

from __future__ import annotations

import base64
import re
from typing import NamedTuple, Self
from urllib.parse import unquote

import httpx

from moderation.errors import RequestError
from moderation.settings import Settings

_LONGEST = 8192
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: A DNS name, or digits that a resolver reads as an address, which is checked later.
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII)
_IPV6 = re.compile(r"[0-9a-f:.]+", re.ASCII)


class AllowedUrl(NamedTuple):
    """Where a request goes; made only from URLs that are allowed."""

    url: httpx.URL
    scheme: str
    host: str
    port: int
    target: bytes

    @classmethod
    def of(cls, text: str, settings: Settings) -> Self:
        """Returns the parts of a URL.

        Raises:
            RequestError: it is not a URL, or the worker may not fetch it.
        """
        try:
            url = httpx.URL(_checked_url_text(text))
            names = {url.host.lower(), url.raw_host.decode("ascii").lower()}
        except (httpx.InvalidURL, ValueError):  # whose message would repeat the URL
            raise _not_a_url() from None
        if not url.is_absolute_url:
            raise _not_a_url()
        return cls._allowed(url, names, settings)

    @classmethod
    def _allowed(cls, url: httpx.URL, names: set[str], settings: Settings) -> Self:
        host = url.raw_host.decode("ascii").lower()
        port = _DEFAULT_PORTS.get(url.scheme, 0) if url.port is None else url.port
        pattern = _IPV6 if ":" in host else _NAME
        if not pattern.fullmatch(host) or len(host) > 253:
            raise _not_a_url()
        if url.scheme not in settings.allowed_schemes:
            remedy = "Send an https URL, or set MODERATION_ALLOWED_SCHEMES of the worker"
            scheme = url.scheme if url.scheme in _DEFAULT_PORTS else "this scheme"
            raise RequestError(f"the worker may not fetch over {scheme}", "image", remedy)
        if not 0 < port < 65536:
            raise _not_a_url()
        if not _url_host_forms(names, port) & set(settings.allowed_hosts):
            raise RequestError(
                f"the worker may not fetch from {url.scheme}://{url.netloc.decode('ascii')}",
                "image",
                "Add the host to MODERATION_ALLOWED_HOSTS of the worker, or send bytes",
            )
        return cls(url, url.scheme, host, port, url.raw_path)

    def redirected(self, location: bytes, settings: Settings) -> AllowedUrl:
        """Returns where a Location header leads to from here, if that may be fetched too."""
        try:
            target = str(self.url.join(_checked_url_text(location.decode("utf-8"))))
        except (httpx.InvalidURL, ValueError):
            raise RequestError(
                "the URL does not redirect to a URL", "image", "Send a URL that needs no redirect"
            ) from None
        return AllowedUrl.of(target, settings)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that name the host and the user, if the URL has one."""
        headers = [(b"Host", self.url.netloc)]
        if self.url.userinfo:
            # These credentials are the URL's own: a redirect to another host does not inherit them.
            user, _, password = self.url.userinfo.decode("ascii").partition(":")
            pair = f"{unquote(user)}:{unquote(password)}".encode()
            headers.append((b"Authorization", b"Basic " + base64.b64encode(pair)))
        return headers


def _checked_url_text(text: str) -> str:
    """Returns a text that every parser of URLs reads alike."""
    if len(text) > _LONGEST or "\\" in text:  # which browsers read as a slash
        raise ValueError("too long, or ambiguous")
    return text


def _url_host_forms(names: set[str], port: int) -> set[str]:
    """Returns the ways in which the allow-list may name a host."""
    # In brackets, so that the end of an IPv6 address is not taken for a port.
    bracketed = {f"[{name}]" if ":" in name else name for name in names}
    return names | bracketed | {f"{name}:{port}" for name in bracketed}


def _not_a_url() -> RequestError:
    return RequestError("this is not a URL that can be fetched", "image", "Send an https URL")

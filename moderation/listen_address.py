"""HOST:PORT where something listens, and whether only this machine reaches it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"


class Address(NamedTuple):
    """A host and a port; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        """As it stands in a URL: an IPv6 address in brackets."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"{shown}:{self.port}"


def parse_address(text: str) -> Address:
    """Returns the address in HOST:PORT; a port alone is on loopback, for this machine alone.

    Raises:
        ValueError: it is neither.
    """
    try:
        parts = urlsplit(f"//{LOOPBACK}:{text}" if text.isdecimal() else f"//{text}")
        alone = parts.netloc == text or text.isdecimal()  # no path, no query, no fragment
        if alone and "@" not in text and parts.hostname and parts.port is not None:
            return Address(parts.hostname, parts.port)
    except ValueError:  # not a port
        pass
    raise ValueError(f"{text!r} is not an address")


def is_loopback(host: str) -> bool:
    """Returns whether only this machine reaches a host; False for names that may be anywhere."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:  # a name, or every address
        return False

"""TCP and TLS for fetching: a name is resolved once, and its addresses are checked, then dialled.

So a name server that answers with a public address first and a private one next gains nothing.
Each thread has an allowance of time and bytes for its fetch, whatever connection it reuses.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any

import httpcore

from moderation.errors import TransientError
from moderation.images.fetch.addresses import Network, may_reach
from moderation.images.fetch.deadline import NoRoom, call_within

Resolve = Callable[..., list[Any]]

log = logging.getLogger(__name__)

#: How many names are looked up at the same time. A look-up cannot be stopped, only abandoned.
_LOOKUPS = 64


class AddressRefused(Exception):
    """A network connection is refused: the name leads to an address that may not be reached."""


class TooMuchReceived(Exception):
    """The host sent more over the network than a fetch may receive."""


class Allowance(threading.local):
    """What the fetch of the current thread may still take."""

    ends = 0.0
    bytes_left = 0

    def grant(self, ends: float, received: int) -> None:
        """Sets until when the thread may wait, and how many bytes it may receive."""
        self.ends = ends
        self.bytes_left = received

    def seconds(self, late: type[Exception]) -> float:
        """Returns the seconds left; raises `late` when no time is left."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise late("the time of the fetch is over")
        return left

    def receive(self, content: bytes) -> bytes:
        """Returns what was received, counted."""
        self.bytes_left -= len(content)
        if self.bytes_left < 0:
            raise TooMuchReceived
        return content


class GuardedStream(httpcore.NetworkStream):
    """A connection that keeps to the allowance of the thread that uses it."""

    def __init__(self, stream: httpcore.NetworkStream, allowance: Allowance) -> None:
        self._stream = stream
        self._allowance = allowance

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Returns what the host sent."""
        left = self._allowance.seconds(httpcore.ReadTimeout)
        return self._allowance.receive(self._stream.read(max_bytes, left))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Sends a request."""
        self._stream.write(buffer, self._allowance.seconds(httpcore.WriteTimeout))

    def close(self) -> None:
        """Closes the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Returns the connection under TLS, its certificate checked for the name."""
        left = self._allowance.seconds(httpcore.ConnectTimeout)
        secure = self._stream.start_tls(ssl_context, server_hostname, left)
        return GuardedStream(secure, self._allowance)

    def get_extra_info(self, info: str) -> Any:
        """Returns what the connection knows, such as `server_addr`."""
        return self._stream.get_extra_info(info)


class GuardedNetwork(httpcore.NetworkBackend):
    """Connects to allowed addresses only."""

    def __init__(self, allowed: tuple[Network, ...], resolve: Resolve) -> None:
        self.allowance = Allowance()
        self._allowed = allowed
        self._resolve = resolve
        self._dial = httpcore.SyncBackend()
        self._lookups = threading.BoundedSemaphore(_LOOKUPS)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Returns a connection to one of the checked addresses of a host.

        Raises:
            AddressRefused: one of its addresses may not be reached. Then no other is tried: a name
                that mixes them is misused or broken, and the result must not depend on luck.
        """
        addresses = self._checked(host, port)
        for left in range(len(addresses), 0, -1):
            # Each address gets a share, so a silent one leaves time for the next.
            share = self.allowance.seconds(httpcore.ConnectTimeout) / left
            try:
                # A numeric address is not resolved again.
                stream = self._dial.connect_tcp(addresses[-left], port, share, None, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if left == 1:
                    raise
            else:
                return GuardedStream(stream, self.allowance)
        raise httpcore.ConnectError("the name has no address")

    def _checked(self, host: str, port: int) -> list[str]:
        """Returns the addresses of a host, each once, in the resolver's order."""
        addresses = list(dict.fromkeys(self._addresses(host, port)))
        for address in addresses:
            if not may_reach(address, self._allowed):
                # For the operator alone: an error would describe the inner network to strangers.
                log.warning("%s leads to %s, which may not be reached", host, address)
                raise AddressRefused
        return addresses

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            return [str(ip_address(host))]
        except ValueError:  # a name, or a number that the resolver reads in its own way
            return [_network_address(found) for found in self._look_up(host, port)]

    def _look_up(self, host: str, port: int) -> list[Any]:
        """Returns the addresses that the resolver finds, or gives it up in time."""
        seconds = self.allowance.seconds(httpcore.ConnectTimeout)
        try:
            return call_within(
                seconds,
                lambda: self._resolve(host, port, type=socket.SOCK_STREAM),
                self._lookups,
            )
        except NoRoom as error:
            raise httpcore.ConnectTimeout("too many names are being resolved") from error
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("the name was not resolved in time") from error
        except TransientError as error:
            raise httpcore.ConnectError("no thread is left to resolve the name") from error
        except (OSError, ValueError) as error:
            raise httpcore.ConnectError("the name cannot be resolved") from error


def _network_address(found: tuple[Any, ...]) -> str:
    """Returns the address in one result of getaddrinfo; its scope is kept, to be refused."""
    place = found[4]
    scope = f"%{place[3]}" if len(place) > 3 and place[3] else ""
    return f"{place[0]}{scope if '%' not in place[0] else ''}"

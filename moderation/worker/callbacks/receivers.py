"""Who gets webhooks, and how they are signed: MODERATION_CALLBACK_URLS and _SECRETS, parsed.

A webhook carries a signature for each secret, as Standard Webhooks says, and a receiver takes it if
one of them fits. So a secret is replaced without a gap: send with both, give the receiver the new
one, then leave out the old one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import httpx
from standardwebhooks import Webhook

from moderation.errors import SettingsError
from moderation.listen_address import is_loopback
from moderation.settings import Settings

_WHERE = "MODERATION_CALLBACK_URLS"

_PREFIX = "whsec_"
#: What Standard Webhooks asks of a secret.
_SECRET_BYTES = range(24, 65)


@dataclass(frozen=True)
class Receiver:
    """A URL that webhooks are sent to.

    Attributes:
        url: as it was given.
        host: with a port that is not the scheme's own.
        is_overheard: whether whoever is between can read what is sent.
    """

    url: str
    host: str
    is_overheard: bool


def read_receivers(settings: Settings) -> tuple[Receiver, ...]:
    """Returns the receivers, each once.

    Raises:
        SettingsError: a URL cannot be sent to. It is named by its place, as a URL may hold a key.
    """
    given = enumerate(settings.callback_urls, start=1)
    return tuple(dict.fromkeys(_receiver(url, f"URL {place}") for place, url in given))


def by_host(receivers: Iterable[Receiver]) -> dict[str, tuple[str, ...]]:
    """Returns the URLs of each host."""
    found: dict[str, tuple[str, ...]] = {}
    for receiver in receivers:
        found[receiver.host] = (*found.get(receiver.host, ()), receiver.url)
    return found


def host_of(url: str) -> str:
    """Returns the host of a URL, as it may be shown; "?" if it is not a URL."""
    try:
        return httpx.URL(url).netloc.decode()
    except httpx.InvalidURL:
        return "?"


def _receiver(given: str, which: str) -> Receiver:
    try:
        url = httpx.URL(given)
    except httpx.InvalidURL:
        # Without its cause, which repeats the URL.
        raise SettingsError(f"{which} is not a URL", _WHERE, "Write https://HOST/PATH") from None
    if url.scheme not in ("https", "http") or not url.host:
        raise SettingsError(f"{which} is not an https URL", _WHERE, "Write https://HOST/PATH")
    if url.userinfo or url.fragment:
        raise SettingsError(
            f"{which} has a user or a fragment",
            _WHERE,
            "Leave it out: receivers know us by the signature",
        )
    is_overheard = url.scheme == "http" and not is_loopback(url.host)
    return Receiver(given, url.netloc.decode(), is_overheard)


class Signer:
    """Signs with all secrets of the settings, and shows none of them."""

    def __init__(self, settings: Settings) -> None:
        """Parses the secrets.

        Raises:
            SettingsError: there is no secret, or one cannot be used.
        """
        given = settings.callback_secrets
        words = [word.strip() for word in given.get_secret_value().split(",")] if given else []
        self._webhooks = [
            Webhook(_secret(word, place)) for place, word in enumerate(filter(None, words), start=1)
        ]
        if not self._webhooks:
            raise _refused("callbacks are sent, but there is no secret to sign them with")

    def headers(self, webhook_id: str, at: datetime, payload: str) -> dict[str, str]:
        """Returns the headers of one try; `at` is aware and in UTC."""
        signatures = [webhook.sign(webhook_id, at, payload) for webhook in self._webhooks]
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def _secret(word: str, place: int) -> bytes:
    """Returns the bytes of a secret; an error names it by its place, and has no cause to show."""
    if not word.startswith(_PREFIX):
        raise _refused(f"secret {place} does not begin with {_PREFIX}")
    text = word.removeprefix(_PREFIX)
    try:
        secret = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _refused(f"secret {place} is not base64 behind {_PREFIX}") from None
    if len(secret) not in _SECRET_BYTES:
        raise _refused(f"secret {place} is not of {_SECRET_BYTES[0]} to {_SECRET_BYTES[-1]} bytes")
    return secret


def _refused(what: str) -> SettingsError:
    remedy = "Make one: echo whsec_$(openssl rand -base64 32)"
    return SettingsError(what, "MODERATION_CALLBACK_SECRETS", remedy)

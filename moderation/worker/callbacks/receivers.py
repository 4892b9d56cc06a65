"""Who gets webhooks: MODERATION_CALLBACK_URLS, parsed."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from moderation.errors import SettingsError
from moderation.listen_address import is_loopback
from moderation.settings import Settings

_WHERE = "MODERATION_CALLBACK_URLS"


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


def receiver_host(url: str) -> str:
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

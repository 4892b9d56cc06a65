"""How webhooks are signed: MODERATION_CALLBACK_SECRETS, parsed.

A webhook carries a signature for each secret, as Standard Webhooks says, and a receiver takes it if
one of them fits. So a secret is replaced without a gap: send with both, give the receiver the new
one, then leave out the old one.
"""

from __future__ import annotations

import base64
from datetime import datetime

from standardwebhooks import Webhook

from moderation.errors import SettingsError
from moderation.settings import Settings

_PREFIX = "whsec_"
#: What Standard Webhooks asks of a secret.
_SECRET_BYTES = range(24, 65)


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
            Webhook(_signing_secret(word, place))
            for place, word in enumerate(filter(None, words), start=1)
        ]
        if not self._webhooks:
            raise _bad_secret("callbacks are sent, but there is no secret to sign them with")

    def headers(self, webhook_id: str, at: datetime, payload: str) -> dict[str, str]:
        """Returns the headers of one try; `at` is aware and in UTC."""
        signatures = [webhook.sign(webhook_id, at, payload) for webhook in self._webhooks]
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def _signing_secret(word: str, place: int) -> bytes:
    """Returns the bytes of a secret; an error names it by its place, and has no cause to show."""
    if not word.startswith(_PREFIX):
        raise _bad_secret(f"secret {place} does not begin with {_PREFIX}")
    text = word.removeprefix(_PREFIX)
    try:
        secret = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise _bad_secret(f"secret {place} is not base64 behind {_PREFIX}") from None
    if len(secret) not in _SECRET_BYTES:
        raise _bad_secret(
            f"secret {place} is not of {_SECRET_BYTES[0]} to {_SECRET_BYTES[-1]} bytes"
        )
    return secret


def _bad_secret(what: str) -> SettingsError:
    remedy = "Make one: echo whsec_$(openssl rand -base64 32)"
    return SettingsError(what, "MODERATION_CALLBACK_SECRETS", remedy)

"""Signs webhooks as Standard Webhooks says: one signature for each secret.

A receiver takes a webhook where one signature fits. So a secret is replaced without a gap: send
with both, tell the receiver the new one, then leave out the old one.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime

from standardwebhooks import Webhook

from moderation.errors import SettingsError
from moderation.settings import Settings

_PREFIX = "whsec_"
#: What Standard Webhooks asks of a secret.
_SECRET_BYTES = range(24, 65)


class Signer:
    """Signs with all secrets of the settings; shows none of them."""

    def __init__(self, settings: Settings) -> None:
        """Parses the secrets.

        Raises:
            SettingsError: there is none, or one that cannot be used.
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
    """Returns the bytes of a secret; errors tell it by its place, and have no cause to show."""
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

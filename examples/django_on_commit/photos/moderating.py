"""Sends photos to the worker and brings their verdicts home."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from moderation import (
    BrokerUnavailable,
    ImageError,
    ModerationError,
    SettingsError,
    Verdict,
    VerdictTimeout,
    collect,
    strictest_action,
    submit,
)

from .models import Photo

#: Ids of policies that the worker serves.
POLICIES = ("weapons", "document-privacy")

#: What each action means for a photo.
STATUS = {
    "allow": Photo.Status.PUBLISHED,
    "review": Photo.Status.HELD,
    "block": Photo.Status.REFUSED,
}

#: When a person looks instead; a verdict is kept no longer (MODERATION_RESULT_EXPIRES_SECONDS).
PATIENCE = timedelta(hours=1)


def save_and_submit(photo: Photo) -> None:
    """Saves a new photo, and submits it once its row is there for good."""
    with transaction.atomic():
        photo.save()
        # Never submit inside the transaction: it may yet be rolled back, and a request cannot be;
        # the verdict may be there before the row is; and a slow Redis would keep the lock.
        # robust: where Redis is down the photo stays pending, and `collect_verdicts` submits it. It
        # takes a lambda, no partial, which Django 5.2 fails to name when it logs that.
        transaction.on_commit(lambda: submit_photo(photo), robust=True)


def submit_photo(photo: Photo) -> None:
    """Puts a saved photo on the queue, by the path of its file, and notes the request."""
    photo.request_id = submit(Path(photo.image.path), POLICIES)
    photo.submitted_at = timezone.now()
    photo.save(update_fields=["request_id", "submitted_at"])


def settle(photo: Photo, *, wait_seconds: float) -> None:
    """Gives a pending photo its status, if its verdicts are there.

    Raises:
        BrokerUnavailable, SettingsError: Redis does not answer, or refuses our password; the photo
            stays pending.
    """
    if not photo.request_id:
        submit_photo(photo)
    rendition = ""
    try:
        verdicts = collect(photo.request_id, timeout_seconds=wait_seconds)
        status, reason, rendition = _outcome(verdicts)
    except (BrokerUnavailable, SettingsError):
        raise
    except VerdictTimeout as late:
        if photo.submitted_at > timezone.now() - PATIENCE:
            return
        status, reason = Photo.Status.HELD, str(late)
    except ImageError as error:
        status, reason = Photo.Status.REFUSED, error.what
    except ModerationError as error:  # the worker's fault or ours, not the uploader's
        status, reason = Photo.Status.HELD, str(error)
    photo.status, photo.reason, photo.rendition = status, reason, rendition
    photo.save(update_fields=["status", "reason", "rendition"])


def _outcome(verdicts: tuple[Verdict, ...]) -> tuple[str, str, str]:
    """Returns the strictest verdict's status, which labels fired, and what is to be shown."""
    fired = [label.label for verdict in verdicts for label in verdict.reasons]
    names = [verdict.rendition.name for verdict in verdicts if verdict.rendition]
    return STATUS[strictest_action(verdicts)], ", ".join(fired), names[0] if names else ""

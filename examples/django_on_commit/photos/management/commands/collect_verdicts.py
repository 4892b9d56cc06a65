"""`manage.py collect_verdicts`: brings verdicts home; run it from cron or a timer."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from moderation import BrokerUnavailable, SettingsError

from ...models import Photo
from ...moderating import settle


class Command(BaseCommand):
    """Gives each pending photo its status, and submits those that Redis did not take."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Adds how long to wait."""
        parser.add_argument(
            "--wait-seconds", type=float, default=0, help="For each verdict; default: look once."
        )

    def handle(self, *, wait_seconds: float, **_: object) -> None:
        """Settles every pending photo, oldest first."""
        pending = Photo.objects.filter(status=Photo.Status.PENDING).order_by("pk")
        for photo in pending:
            try:
                settle(photo, wait_seconds=wait_seconds)
            except (BrokerUnavailable, SettingsError) as error:
                raise CommandError(str(error)) from error
            self.stdout.write(f"photo {photo.pk}: {photo.status}")

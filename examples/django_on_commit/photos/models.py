"""A photo and where it stands."""

from __future__ import annotations

from django.core.validators import FileExtensionValidator
from django.db import models


class Photo(models.Model):
    """An uploaded photo; to be shown only while its status is PUBLISHED."""

    class Status(models.TextChoices):
        """Waits for its verdict; is shown; waits for a person; is not shown."""

        PENDING = "pending"
        PUBLISHED = "published"
        HELD = "held"
        REFUSED = "refused"

    # No ImageField: that would decode the upload in the web process, and the worker does it. The
    # name's suffix decides no more than the Content-Type of what is published.
    image = models.FileField(
        upload_to="photos/",
        validators=[FileExtensionValidator(["jpg", "jpeg", "png", "webp", "gif", "avif", "bmp"])],
    )
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.PENDING)
    # Both empty until Redis has the request.
    request_id = models.CharField(max_length=128, blank=True)
    submitted_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)
    # The name of the picture that was judged, which is what people are shown.
    rendition = models.CharField(max_length=80, blank=True)

"""Makes the table of photos."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    """As `manage.py makemigrations` wrote it."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Photo",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "image",
                    models.FileField(
                        upload_to="photos/",
                        validators=[
                            django.core.validators.FileExtensionValidator(
                                ["jpg", "jpeg", "png", "webp", "gif", "avif", "bmp"]
                            )
                        ],
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("published", "Published"),
                            ("held", "Held"),
                            ("refused", "Refused"),
                        ],
                        default="pending",
                        max_length=9,
                    ),
                ),
                ("request_id", models.CharField(blank=True, max_length=128)),
                ("submitted_at", models.DateTimeField(null=True)),
                ("reason", models.TextField(blank=True)),
                ("rendition", models.CharField(blank=True, max_length=80)),
            ],
        ),
    )

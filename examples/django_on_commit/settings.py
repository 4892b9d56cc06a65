"""Settings of the project; the moderation's own are MODERATION_* variables."""

import os
from pathlib import Path

#: Holds the database and the uploads, refused ones too; made for its owner alone, as the worker is
#: in the README. A worker of another user needs a right to media/.
DATA_FOLDER = Path(os.environ.get("DATA_FOLDER", Path(__file__).parent / "data")).resolve()
DATA_FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)

SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = ["photos"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
ROOT_URLCONF = "urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA_FOLDER / "db.sqlite3"}
}
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Never mapped to a URL: the view `photo` alone gives files out, and only published ones.
MEDIA_ROOT = DATA_FOLDER / "media"

# Where the worker writes what it judged, the folder of its MODERATION_RENDITIONS; None where it
# writes nothing. It is apart from the uploads, and not mapped to a URL either.
RENDITIONS = DATA_FOLDER / "renditions"
RENDITIONS.mkdir(mode=0o700, exist_ok=True)

# To the console, or nobody would see that Redis did not take a photo.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}

"""Where the decision log is: as the setting says, or in the user's state folder."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from pathlib import Path

from platformdirs import user_state_path
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from moderation.errors import LogUnavailable, SettingsError
from moderation.settings import Settings

log = logging.getLogger(__name__)

_VARIABLE = "MODERATION_DATABASE_URL"
_DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


def locate_log(settings: Settings) -> URL:
    """Returns the URL of the decision log, whether or not it exists yet.

    Raises:
        SettingsError: the URL is not that of a supported database, or its driver is missing.
    """
    if settings.database_url is None:
        file = user_state_path("evenhand") / "decisions.db"
        return URL.create("sqlite+pysqlite", database=str(file))
    url = _parsed_location(settings.database_url.get_secret_value())
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database.startswith((":memory:", "file:")) or url.query:
            remedy = "Write sqlite:///FILE, without options"
            raise SettingsError("the decision log must be a file", _VARIABLE, remedy)
    elif find_spec("psycopg") is None:
        remedy = "Install evenhand[postgresql]"
        raise SettingsError("the driver of PostgreSQL is not installed", _VARIABLE, remedy)
    return url


def make_log_file(settings: Settings, url: URL) -> None:
    """Makes the log's file at its location, for its owner alone, if it is a file and not there.

    Its folder is made only if it is our own: another folder that is missing is a mistake.

    Raises:
        LogUnavailable: the file cannot be made, or is missing while a part of it is there.
    """
    if (file := located_file(url)) is None:
        return
    refuse_remains(file)
    try:
        if settings.database_url is None:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A file that is there is not opened, since closing it would drop SQLite's locks on it.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        log.info("a new decision log was made: %s", file)
    except FileExistsError:
        return
    except OSError as error:
        raise LogUnavailable(
            f"the file of the decision log cannot be opened: {error.strerror}",
            str(file),
            f"Check the folder and its rights, or set {_VARIABLE}",
        ) from error


def refuse_remains(file: Path) -> None:
    """Raises LogUnavailable if a log's last writes are at its location and the log is not.

    With a new log SQLite would throw them away, and into another it would write them.
    """
    remains = file.with_name(f"{file.name}-wal")
    try:
        size = remains.stat().st_size
    except OSError:
        return
    # In this order, since another worker that makes the log makes its file first.
    if size and not file.exists():
        raise LogUnavailable(
            f"{remains.name} is here, with the last answers of a log that is not",
            str(file),
            f"Put {file.name} back beside it; for another log move {remains.name} away",
        )


def located_file(url: URL) -> Path | None:
    """Returns the file of the decision log; None if the log is not a file."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def shown_location(url: URL) -> str:
    """Returns a URL as errors may show it, without password and options."""
    bare = url.set(drivername=url.get_backend_name(), query={})
    return bare.render_as_string(hide_password=True)


def _parsed_location(text: str) -> URL:
    # What failed to parse is neither repeated nor kept as a cause: it may hold a password.
    try:
        url = make_url(text)
        driver = _DRIVERS.get(url.drivername)
    except (ArgumentError, ValueError):
        driver = None
    if driver is None:
        remedy = "Write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
        raise SettingsError("this is not a URL of SQLite or PostgreSQL", _VARIABLE, remedy)
    return url.set(drivername=driver)

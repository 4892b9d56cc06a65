"""Opens the decision log that the settings name."""

from __future__ import annotations

from contextlib import closing

from moderation.decision_log.engine import Database
from moderation.decision_log.location import file_of, find_database, make_file, shown
from moderation.decision_log.log import DecisionLog
from moderation.decision_log.migrating import migrate
from moderation.errors import LogUnavailable
from moderation.settings import Settings

_MIGRATION_SECONDS = 3600.0


def open_log(settings: Settings, *, make: bool = True) -> DecisionLog:
    """Returns the decision log, with its tables made or brought to this version.

    Args:
        settings: which database, and where webhooks go.
        make: whether to make a file that is not there; whoever only reads would take a wrong name
            for an empty log.

    Raises:
        SettingsError: the database's URL is not usable, or its driver is missing.
        LogUnavailable: the database does not answer, or its file is not there.
        LogError: it is damaged, foreign, or of a newer version.
    """
    url = find_database(settings)
    if make:
        make_file(settings, url)
    elif (file := file_of(url)) is not None and not file.exists():
        remedy = "MODERATION_DATABASE_URL names it; the first worker makes it"
        raise LogUnavailable("there is no decision log", shown(url), remedy)
    # With connections of its own: changing large tables takes longer than any request may.
    with closing(Database(url, threads=1, answer_seconds=_MIGRATION_SECONDS)) as database:
        migrate(database)
    database = Database(url, threads=settings.concurrency)
    return DecisionLog(database, endpoints=settings.callback_urls)

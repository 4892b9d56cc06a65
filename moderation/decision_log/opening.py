"""Opens the decision log that the settings name."""

from __future__ import annotations

from contextlib import closing

from moderation.decision_log.engine import Database
from moderation.decision_log.location import find_database
from moderation.decision_log.log import DecisionLog
from moderation.decision_log.migrating import migrate
from moderation.settings import Settings

_MIGRATION_SECONDS = 3600.0


def open_log(settings: Settings) -> DecisionLog:
    """Returns the decision log, with its tables made or brought to this version.

    Raises:
        SettingsError: the database's URL is not usable, or its driver is missing.
        LogUnavailable: the database does not answer.
        LogError: it is damaged, foreign, or of a newer version.
    """
    url = find_database(settings)
    # With connections of its own: changing large tables takes longer than any request may.
    with closing(Database(url, threads=1, answer_seconds=_MIGRATION_SECONDS)) as database:
        migrate(database)
    database = Database(url, threads=settings.concurrency)
    return DecisionLog(database, endpoints=settings.callback_urls)

"""Opens the decision log that the settings name."""

from __future__ import annotations

from moderation.decision_log.engine import Database
from moderation.decision_log.location import find_database
from moderation.decision_log.log import DecisionLog
from moderation.decision_log.migrating import migrate
from moderation.settings import Settings


def open_log(settings: Settings) -> DecisionLog:
    """Returns the decision log, with its tables made or brought to this version.

    Raises:
        SettingsError: the database's URL is not usable, or its driver is missing.
        LogUnavailable: the database does not answer.
        LogError: it is damaged, foreign, or of a newer version.
    """
    database = Database(find_database(settings), threads=settings.concurrency)
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    return DecisionLog(database, endpoints=settings.callback_urls)

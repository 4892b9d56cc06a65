"""What an operator sets, in environment variables."""

from moderation.settings.settings import (
    DEFAULT_MODEL,
    MOST_PROCESSES,
    PREFIX,
    Settings,
    load_settings,
    unknown_variables,
)

__all__ = [
    "DEFAULT_MODEL",
    "MOST_PROCESSES",
    "PREFIX",
    "Settings",
    "load_settings",
    "unknown_variables",
]

"""How a worker logs: text or JSON, one record a line, without secrets of URLs and without images.

The patterns never go back over what they have read (possessive quantifiers), so that no text of a
stranger makes them slow.
"""

from __future__ import annotations

import logging
import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from celery import signals
from pythonjsonlogger.json import JsonFormatter

from moderation.settings import Settings
from moderation.visible_text import one_line

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

#: The fields of `extra` that a JSON line may hold. Nothing else gets in, since others put whole
#: requests there.
EXTRA = (
    "policies",
    "actions",
    "oddities",
    "queue",
    "seconds",
    "reason",
    "quarantine_id",
    "error",
    "retries",
    "deliveries",
    "host",
)

#: Characters of a field, list or traceback, at most.
_FIELD, _TRACEBACK = 2000, 20_000
_ITEMS = 100

_TEXT = "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s"

#: What follows a URL's scheme, up to the next space: a password may hold any other character.
_URL = re.compile(r"(?<=://)\S++")
#: What a sentence, a list or a repr puts behind a URL.
_BEHIND = "'\"`),.;:>]}|\\"
_PLACE = re.compile(r"((\[[0-9A-Fa-f:.]++\]|[\w.*-]++)(:[0-9]{0,5}+)?)?")
#: Base64 of an image, as in a message of the queue, or its bytes as Python shows them.
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/=_-]{200,}+")
_BYTES = re.compile(r"""\bb(?:'(?:[^'\\]|\\.){64,}+'?|"(?:[^"\\]|\\.){64,}+"?)""", re.DOTALL)

_HIDDEN = "***"

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


@contextmanager
def about(request_id: str) -> Iterator[None]:
    """Puts the request's id on every line that is logged inside the block, by whatever library."""
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def configure_logging(settings: Settings) -> None:
    """Makes this process log to standard error as the settings say, whatever Celery would do."""
    root = logging.getLogger()
    root.handlers = [log_handler(settings, sys.stderr)]
    root.setLevel(settings.log_level.upper())
    # It logs a line for each image, and ours says more.
    logging.getLogger("httpx").setLevel(
        logging.INFO if settings.log_level == "debug" else logging.WARNING
    )
    for name in ("httpcore", "celery.pool"):  # below info, headers and arguments of tasks
        logging.getLogger(name).setLevel(logging.INFO)
    pool = "moderation.decision_log.database.DatabasePool"
    for name in ("alembic", "sqlalchemy.pool", pool):  # each plugin and pool, at each start
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    # Where something is connected to this signal, Celery leaves logging as it is.
    signals.setup_logging.connect(lambda **_: None, weak=False, dispatch_uid=__name__)


def log_handler(settings: Settings, stream: TextIO) -> logging.Handler:
    """Returns a handler that writes log lines in the format of the settings."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JsonLines() if settings.log_format == "json" else _TextLines(_TEXT))
    return handler


def _request_id_of_line(record: logging.LogRecord) -> str | None:
    """Returns the id of the request that a record is about."""
    data = getattr(record, "data", None)  # Celery's own lines
    found = (
        getattr(record, "request_id", None)
        or getattr(record, "task_id", None)
        or (data.get("id") if isinstance(data, dict) else None)
        or _request_id.get()
    )
    return None if found is None else redacted_line(str(found), _FIELD)


def _message_of_line(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception:  # they do not fit; logging itself would print them, secrets and all
        text = f"{record.msg} (with arguments that do not fit)"
    return redacted_line(text.rstrip(), _TRACEBACK)


class _TextLines(logging.Formatter):
    """Celery's format; a message is one line, and the lines of a traceback are indented.

    So a stranger's text cannot look like a line of its own.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Returns the line of a record."""
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line of a record, and below it the traceback."""
        # A copy, since other handlers see the record too.
        shown = logging.makeLogRecord(record.__dict__)
        message, request_id = _message_of_line(record), _request_id_of_line(record)
        if request_id is not None and request_id not in message:
            message = f"{message} (request {request_id})"
        shown.msg, shown.args, shown.exc_text = message, None, None
        return super().format(shown)

    def formatException(self, ei: _ExcInfo) -> str:
        """Returns a traceback, each line indented."""
        return _indented_lines(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        """Returns a stack, each line indented."""
        return _indented_lines(stack_info)


def _indented_lines(text: str) -> str:
    lines = redacted_line(text, _TRACEBACK).split("\n")
    return "\n".join(f"    {one_line(line)}" for line in lines)


class _JsonLines(JsonFormatter):
    """One JSON object a line, ASCII alone; docs/metrics.md lists the fields."""

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Fills in the fields of every line, and those of EXTRA that the record has."""
        time = datetime.fromtimestamp(record.created, UTC)
        log_data["time"] = time.isoformat(timespec="milliseconds")
        log_data["level"] = record.levelname.lower()
        log_data["logger"] = record.name
        log_data["message"] = record.getMessage()  # `format` has made it fit to be shown
        if record.processName not in (None, "MainProcess"):  # of several
            log_data["process"] = record.processName
        if (request_id := _request_id_of_line(record)) is not None:
            log_data["request_id"] = request_id
        for name in EXTRA:
            if (value := getattr(record, name, None)) is not None:
                log_data[name] = _plain_field(value)
        traceback = message_dict.get("exc_info") or message_dict.get("stack_info")
        if traceback:
            log_data["exception"] = redacted_line(str(traceback), _TRACEBACK)

    def format(self, record: logging.LogRecord) -> str:
        """Returns the JSON of a record."""
        # A copy whose arguments fit, since the formatter puts them in before we can.
        shown = logging.makeLogRecord(record.__dict__)
        shown.msg, shown.args, shown.exc_text = _message_of_line(record), None, None
        return super().format(shown)


def _plain_field(value: Any) -> Any:
    """Returns a value as a line of JSON can hold it, of bounded size."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)  # JSON has only finite numbers
    if isinstance(value, list | tuple):
        return [_plain_field(one) for one in value[:_ITEMS]]
    if isinstance(value, dict):
        return {str(_plain_field(str(k))): _plain_field(v) for k, v in list(value.items())[:_ITEMS]}
    return redacted_line(str(value), _FIELD)


def redacted_line(text: str, most: int) -> str:
    """Returns a logged text without secrets of URLs or images, cut to `most` characters.

    Of a URL it keeps scheme, host and path, or the scheme alone if the host is not certain.
    """
    cut = ""
    if len(text) > most:
        cut = f"... ({len(text)} characters)"
        # The last word goes too: of a URL that is cut, user and password look like a host.
        text = text[:most].rpartition(" ")[0]
    text = _BYTES.sub("b<bytes>", text)
    # URLs first: "<200 characters>" has a space, where a URL would seem to end.
    text = _URL.sub(lambda found: _url_without_secrets(found[0]), text)
    return _BASE64.sub(lambda found: f"<{len(found[0])} characters>", text) + cut


def _url_without_secrets(rest: str) -> str:
    """Returns what stands behind a logged URL's :// without user, password, query, fragment."""
    kept = rest.rstrip(_BEHIND)
    behind = rest[len(kept) :]
    end = min((kept.find(mark) for mark in "?#" if mark in kept), default=len(kept))
    head, secret = kept[:end], kept[end:]
    if "@" in secret and "/" not in head:  # a password with ? or # in it
        return _HIDDEN + behind
    _, user, shown = head.rpartition("@")
    if not _PLACE.fullmatch(shown.split("/", 1)[0]):  # a password with / in it, or no URL at all
        return _HIDDEN + behind
    hidden_user = f"{_HIDDEN}@" if user else ""
    hidden_query = f"{secret[0]}{_HIDDEN}" if secret else ""
    return f"{hidden_user}{shown}{hidden_query}{behind}"

"""How a worker logs: text or JSON lines, one record a line, without secrets and without images."""

from __future__ import annotations

import logging
import math
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
from moderation.worker.redaction import redacted

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

#: What a JSON line may hold beside what every line has, from `extra`. Nothing else gets in, since
#: others put whole requests there.
EXTRA = (
    "policies",
    "actions",
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

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


@contextmanager
def about(request_id: str) -> Iterator[None]:
    """Every line that is logged inside the block, by whatever library, carries the request's id."""
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def configure_logging(settings: Settings) -> None:
    """Makes this process log to standard error as the settings say; Celery leaves it so."""
    root = logging.getLogger()
    root.handlers = [log_handler(settings, sys.stderr)]
    root.setLevel(settings.log_level.upper())
    # A line an image, of which ours says more; and below info, headers and arguments of tasks.
    logging.getLogger("httpx").setLevel(
        logging.INFO if settings.log_level == "debug" else logging.WARNING
    )
    for name in ("httpcore", "celery.pool"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of each plugin at each start
    logging.captureWarnings(True)
    # A program that is connected here is taken to have set up logging, and Celery does nothing.
    signals.setup_logging.connect(_leave_logging, weak=False, dispatch_uid=__name__)


def log_handler(settings: Settings, stream: TextIO) -> logging.Handler:
    """Returns a handler that writes in the format of the settings."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JsonLines() if settings.log_format == "json" else _Text(_TEXT))
    return handler


def _leave_logging(**_: Any) -> None:
    """Tells Celery, by being there, that logging is set up."""


def _id_of(record: logging.LogRecord) -> str | None:
    """Returns the id of the request that a record is about."""
    data = getattr(record, "data", None)  # Celery's own lines
    found = (
        getattr(record, "request_id", None)
        or getattr(record, "task_id", None)
        or (data.get("id") if isinstance(data, dict) else None)
        or _request_id.get()
    )
    return None if found is None else redacted(str(found), _FIELD)


def _message_of(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception:  # the arguments do not fit; logging itself would print them, secrets and all
        text = f"{record.msg} (with arguments that do not fit)"
    return redacted(text.rstrip(), _TRACEBACK)


class _Text(logging.Formatter):
    """Celery's format; a message is one line, and the lines of a traceback are indented.

    So no text of a stranger can look like a line of its own.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Returns the line of a record."""
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line of a record, and below it the traceback."""
        # A copy, since other handlers see the record too.
        shown = logging.makeLogRecord(record.__dict__)
        message, request_id = _message_of(record), _id_of(record)
        if request_id is not None and request_id not in message:
            message = f"{message} (request {request_id})"
        shown.msg, shown.args, shown.exc_text = message, None, None
        return super().format(shown)

    def formatException(self, ei: _ExcInfo) -> str:
        """Returns a traceback, each line indented."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        """Returns a stack, each line indented."""
        return _indented(stack_info)


def _indented(text: str) -> str:
    lines = redacted(text, _TRACEBACK).split("\n")
    return "\n".join(f"    {one_line(line)}" for line in lines)


class _JsonLines(JsonFormatter):
    """One JSON object a line, ASCII alone; docs/metrics.md lists the fields."""

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Fills in what every line has, and of the rest what is listed in EXTRA."""
        time = datetime.fromtimestamp(record.created, UTC)
        log_data["time"] = time.isoformat(timespec="milliseconds")
        log_data["level"] = record.levelname.lower()
        log_data["logger"] = record.name
        log_data["message"] = record.getMessage()  # `format` has made it fit to be shown
        if (request_id := _id_of(record)) is not None:
            log_data["request_id"] = request_id
        for name in EXTRA:
            if (value := getattr(record, name, None)) is not None:
                log_data[name] = _plain(value)
        traceback = message_dict.get("exc_info") or message_dict.get("stack_info")
        if traceback:
            log_data["exception"] = redacted(str(traceback), _TRACEBACK)

    def format(self, record: logging.LogRecord) -> str:
        """Returns the JSON of a record."""
        # A copy whose arguments fit, since the formatter puts them in before we can.
        shown = logging.makeLogRecord(record.__dict__)
        shown.msg, shown.args, shown.exc_text = _message_of(record), None, None
        return super().format(shown)


def _plain(value: Any) -> Any:
    """Returns a value as JSON can hold it, of bounded size."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)  # JSON knows no others
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value[:_ITEMS]]
    if isinstance(value, dict):
        return {str(_plain(str(k))): _plain(v) for k, v in list(value.items())[:_ITEMS]}
    return redacted(str(value), _FIELD)

"""What a worker logs: the lines of real processes, and what must never be in one."""

from __future__ import annotations

import importlib
import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.embedded_servers import EmbeddedRedis
from moderation.settings import load_settings
from moderation.worker.log_lines import about, log_handler, redacted_line
from moderation.worker.outage_filter import TALKERS

SECRETS = [
    "redis://:sesame@cache:6379/0",
    "rediss://user:se/same@cache/0",
    "redis://:ses?ame@cache/0",
    "redis://:ses#ame@cache/0",
    "postgresql+psycopg://mod:sesame@db.internal/log",
    "https://host/a.jpg?X-Amz-Signature=sesame",
    "https://host/a.jpg#sesame",
    "https://host?mail=a@b.c&key=sesame",
    "https://host/a.jpg?mail=a@b.c&key=sesame",
    "1https://user:sesame@host/",
    "(https://user:sesame@host/a.jpg).",
    "{'url': 'https://user:sesame@host/a', 'b': 'https://host/b?x=sesame'}",
    '{"url":"https://user:sesame@host/a","b":"https://host/b?x=sesame"}',
    "https://host/" + "a" * 300 + "?sesame",
    "https://user:sesame\x00@host",
    "https://user:sesame\n@host",
]


@pytest.fixture
def logger(request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    """A logger of its own, which hands on to no other."""
    found = logging.getLogger(f"test.{request.function.__name__}")
    found.propagate = False
    found.setLevel(logging.DEBUG)
    yield found
    found.handlers.clear()


def _written(logger: logging.Logger, format: str = "json") -> io.StringIO:
    """Lets a logger write in a format; returns what it writes."""
    stream = io.StringIO()
    settings = load_settings(log_format=format)
    logger.handlers = [log_handler(settings, stream)]
    return stream


def _fail(logger: logging.Logger, text: str) -> None:
    """Has a logger write of a failure."""
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("failed on %s", text, extra={"error": text})


def _rows(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_has_its_fields(logger: logging.Logger) -> None:
    stream = _written(logger)
    before = datetime.now(UTC)
    logger.info("%s: %s", "a1", "pets block", extra={"actions": ["block"], "seconds": 0.5})
    [row] = _rows(stream)
    when = datetime.fromisoformat(row.pop("time"))
    assert when.utcoffset() == before.utcoffset()
    assert before - timedelta(milliseconds=1) <= when <= datetime.now(UTC)
    assert row == {
        "level": "info",
        "logger": logger.name,
        "message": "a1: pets block",
        "actions": ["block"],
        "seconds": 0.5,
    }


def test_only_fields_that_are_listed_get_into_a_json_line(logger: logging.Logger) -> None:
    stream = _written(logger)
    logger.info("x", extra={"request": {"image": "sesame"}, "reason": "image", "content": b"s"})
    assert set(_rows(stream)[0]) == {"time", "level", "logger", "message", "reason"}


def test_a_field_is_plain_bounded_and_without_secrets(logger: logging.Logger) -> None:
    stream = _written(logger)
    values = {
        "seconds": float("nan"),
        "error": ValueError("https://u:sesame@h/"),
        "policies": ["x" * 10_000] * 1000,
        "host": {"a": object()},
    }
    logger.info("x", extra=values)
    [row] = _rows(stream)
    assert (row["seconds"], row["error"]) == ("nan", "https://***@h/")
    assert len(json.dumps(row)) < 300_000
    assert "sesame" not in stream.getvalue()


@pytest.mark.parametrize("format", ["text", "json"])
def test_the_id_comes_from_the_record_from_celery_or_from_the_block(
    format: str, logger: logging.Logger
) -> None:
    stream = _written(logger, format)
    logger.info("none")
    with about("from-block"):
        logger.info("one")
        logger.info("two", extra={"request_id": "from-record"})
        logger.info("three", extra={"task_id": "from-task"})
        logger.info("four", extra={"data": {"id": "from-celery", "kwargs": "sesame"}})
        with about("inner"):
            logger.info("five")
        logger.info("six")
    logger.info("none")
    ids = ["from-block", "from-record", "from-task", "from-celery", "inner", "from-block"]
    lines = stream.getvalue().splitlines()
    if format == "json":
        assert [json.loads(line).get("request_id") for line in lines] == [None, *ids, None]
    else:
        assert ["(request " in line for line in lines] == [False, *[True] * 6, False]
        assert all(f"(request {i})" in line for i, line in zip(ids, lines[1:-1], strict=True))
    assert "sesame" not in stream.getvalue()


def test_threads_do_not_see_the_ids_of_each_other(logger: logging.Logger) -> None:
    stream = _written(logger)
    together = threading.Barrier(4)

    def work(name: str) -> None:
        with about(name):
            together.wait()
            logger.info(name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, ("r0", "r1", "r2", "r3")))
    rows = _rows(stream)
    assert len(rows) == 4
    assert all(row["request_id"] == row["message"] for row in rows)


def test_a_text_line_that_names_its_request_does_not_name_it_again(logger: logging.Logger) -> None:
    stream = _written(logger, "text")
    with about("a1"):
        logger.info("a1: pets block")
    assert stream.getvalue().endswith("INFO/MainProcess] a1: pets block\n")


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize("text", SECRETS)
def test_no_secret_of_a_url_gets_into_a_line(
    text: str, format: str, logger: logging.Logger
) -> None:
    stream = _written(logger, format)
    logger.warning("cannot reach %s", text)
    _fail(logger, text)
    written = stream.getvalue()
    assert "cannot reach" in written
    assert "ValueError" in written
    for part in ("sesame", "same", "ses"):
        assert part not in written


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://host:8443/a/b.jpg.", "https://host:8443/a/b.jpg."),
        ("GET https://h/a.jpg?x=1 (404)", "GET https://h/a.jpg?*** (404)"),
        ("'https://u:p@h/a?x', next", "'https://***@h/a?***', next"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("redis://:**@h:1/0", "redis://***@h:1/0"),
        ("file:///srv/a.jpg", "file:///srv/a.jpg"),
        ("s3://bucket/a b.jpg", "s3://bucket/a b.jpg"),
        ("12:30 a/b user@host", "12:30 a/b user@host"),
    ],
)
def test_what_is_not_secret_stays(text: str, shown: str) -> None:
    assert redacted_line(text, 1000) == shown


def test_a_url_that_is_cut_off_shows_no_part_of_its_password() -> None:
    text = "x" * 80 + " redis://:123456@host/0"
    for most in range(80, len(text)):
        assert "12" not in redacted_line(text, most).rpartition("... (")[0]


@pytest.mark.parametrize(
    "image",
    ["/9j/4AAQSkZJRg" * 40, repr(b"\x89PNG\r\n\x1a\n" * 40), repr(b"'\xff" * 90)],
    ids=["base64", "bytes", "quotes"],
)
def test_no_image_gets_into_a_line(image: str, logger: logging.Logger) -> None:
    stream = _written(logger)
    logger.error("cannot read {'image': %s}", image)
    [row] = _rows(stream)
    assert len(row["message"]) < 80
    assert image[:14] not in row["message"]


@given(st.text(alphabet=":/@?#ab'\\\n =%0[]A", max_size=300))
def test_redaction_is_done_once(text: str) -> None:
    once = redacted_line(text, 1000)
    assert redacted_line(once, 1000) == once


FORGED = "a.jpg\n[2026-01-01 00:00:00,000: ERROR/MainProcess] forged\r\x1b[31m\u2028\u202e\x85"


def test_text_of_strangers_forges_no_line(logger: logging.Logger) -> None:
    stream = _written(logger, "text")
    logger.info("no file %s", FORGED, extra={"request_id": f"id{FORGED}"})
    _fail(logger, FORGED)
    first, second, *traceback = stream.getvalue().splitlines()
    assert first.startswith("[")
    assert "a.jpg\\n[2026" in first
    assert second.startswith("[")
    assert len(traceback) >= 4
    assert all(line.startswith("    ") for line in traceback)
    assert not {"\r", "\x1b", "\u2028", "\u202e", "\x85"} & set(stream.getvalue())


def test_json_is_ascii_and_one_line_whatever_is_logged(logger: logging.Logger) -> None:
    stream = _written(logger)
    logger.info("no file %s", FORGED + "\ud800é")
    [line] = stream.getvalue().splitlines()
    assert line.isascii()
    assert json.loads(line)["message"].startswith("no file a.jpg\n[2026")


def test_an_exception_is_one_field(logger: logging.Logger) -> None:
    stream = _written(logger)
    _fail(logger, "wrong")
    [row] = _rows(stream)
    assert row["message"] == "failed on wrong"
    assert row["exception"].startswith("Traceback")
    assert row["exception"].endswith("ValueError: wrong")


@pytest.mark.parametrize("format", ["text", "json"])
def test_arguments_that_do_not_fit_cost_no_line(
    format: str, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = _written(logger, format)
    logger.info("one %s of %d", "sesame")
    assert "one %s of %d (with arguments that do not fit)" in stream.getvalue()
    assert "sesame" not in stream.getvalue() + capsys.readouterr().err


def test_other_handlers_see_the_record_as_it_was(logger: logging.Logger) -> None:
    _written(logger)
    seen: list[logging.LogRecord] = []

    class Seeing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    logger.addHandler(Seeing())
    logger.info("to %s", "https://u:p@h/")
    assert seen[0].getMessage() == "to https://u:p@h/"


WORKER = """
import logging, warnings, httpx
from celery import signals
from moderation.queue.celery_app import create_app
from moderation.worker.log_lines import about, configure_logging
from moderation.settings import load_settings

settings = load_settings()
configure_logging(settings)
app = create_app(settings)

@app.task(name="look", bind=True)
def look(task, address):
    with about(task.request.id):
        logging.getLogger("moderation.sample").info("looked at %s", address)
        logging.getLogger("moderation.sample").debug("below the level")
        warnings.warn("old\\nways", FutureWarning)
        logging.getLogger("httpx").info("HTTP Request: GET %s", address)
    raise ValueError(address)

@signals.worker_ready.connect
def send(sender, **_):
    app.send_task("look", args=["https://u:sesame@h/a?k=sesame"], task_id="t-1", queue=QUEUE)

@signals.task_postrun.connect
def stop(**_):
    import os, signal
    os.kill(os.getpid(), signal.SIGTERM)

from moderation.queue.celery_app import QUEUES
QUEUE = QUEUES["bulk"]
worker = app.Worker(pool_cls="threads", concurrency=2, queues=[QUEUE], quiet=True,
    loglevel=settings.log_level.upper(), without_mingle=True, without_gossip=True,
    without_heartbeat=True)
worker.start()
"""


@pytest.mark.parametrize("name", TALKERS)
def test_each_logger_that_an_outage_quietens_is_a_module(name: str) -> None:
    assert importlib.import_module(name).__name__ == name


def _worker_lines(server: EmbeddedRedis, **variables: str) -> list[str]:
    """Returns what a real Celery worker writes to standard error about one task that fails."""
    environment = {"MODERATION_BROKER_URL": server.url[:-1] + "9", **variables}
    command = [sys.executable, "-c", WORKER]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "sesame" not in done.stderr
    return done.stderr.splitlines()


def test_every_line_of_a_celery_worker_is_json_with_the_id_of_its_request(
    redis_server: EmbeddedRedis,
) -> None:
    rows = [json.loads(line) for line in _worker_lines(redis_server, MODERATION_LOG_FORMAT="json")]
    of_request = [row for row in rows if row.get("request_id") == "t-1"]
    by_logger = {row["logger"]: row for row in of_request}
    assert by_logger["moderation.sample"]["message"] == "looked at https://***@h/a?***"
    assert "FutureWarning: old" in by_logger["py.warnings"]["message"]
    assert "ValueError: https://***@h/a?***" in by_logger["celery.app.trace"]["exception"]
    assert any("received" in row["message"] for row in of_request)
    assert not {"httpx"} & set(by_logger)
    assert any("ready" in row["message"] and "request_id" not in row for row in rows)


def test_every_line_of_a_celery_worker_in_text_begins_with_its_time(
    redis_server: EmbeddedRedis,
) -> None:
    lines = _worker_lines(redis_server)
    assert all(line.startswith(("[20", "    ")) for line in lines)
    [sample] = [line for line in lines if "looked at" in line]
    assert sample.endswith("INFO/MainProcess] looked at https://***@h/a?*** (request t-1)")
    assert any(line == "    ValueError: https://***@h/a?***" for line in lines)


def test_a_worker_that_logs_all_logs_no_arguments_of_tasks(redis_server: EmbeddedRedis) -> None:
    lines = _worker_lines(redis_server, MODERATION_LOG_LEVEL="debug")
    assert any("below the level (request t-1)" in line for line in lines)
    assert any("HTTP Request: GET https://***@h/a?*** (request t-1)" in line for line in lines)
    assert not any("TaskPool: Apply" in line for line in lines)

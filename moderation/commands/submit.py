"""`moderation submit`: images through the queue to a running worker, and the verdicts back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from moderation.client.client import Client
from moderation.commands.command_line import examples
from moderation.commands.image_paths import FoundImages, find_images, listed_paths, read_image
from moderation.commands.options import PathsArgument, RowFormatOption
from moderation.commands.output import (
    Row,
    error_row,
    note,
    print_results,
    summary,
    verdict_row,
)
from moderation.errors import BrokerUnavailable, ModerationError, QueueFull
from moderation.messages import QueueName
from moderation.policy import find_policy, load_policy
from moderation.settings import load_settings

#: Images on their way at a time: enough to fill batches, few enough to bound Redis.
_IN_FLIGHT = 128
#: Seconds between two tries to submit to a queue that others fill.
_FULL_PAUSE = 0.2

EPILOG = examples(
    "moderation submit photo.jpg --policy weapons",
    "moderation submit uploads/ -p weapons -p document-privacy --format jsonl",
    "moderation submit https://cdn.example.com/a.jpg --policy weapons --queue bulk",
)

#: What of a local image goes into the message.
Send = Literal["bytes", "path"]


def submit(
    paths: PathsArgument,
    policy: Annotated[
        list[str], typer.Option("--policy", "-p", help="Id of a policy that the worker serves.")
    ],
    queue: Annotated[QueueName, typer.Option(help="Which queue.")] = "interactive",
    send: Annotated[
        Send,
        typer.Option(
            help="bytes works wherever the worker runs; path needs MODERATION_ALLOWED_ROOTS there."
        ),
    ] = "bytes",
    timeout: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds to wait for each verdict.")
    ] = None,
    format: RowFormatOption = "table",
) -> None:
    """Send images through the queue to a running worker and print the verdicts.

    Exits with 1 where an image got no verdict, or a folder could not be read.
    """
    client = Client(load_settings(verdict_timeout_seconds=timeout))
    policy_ids = [_submitted_policy_id(name) for name in policy]
    limit = client.settings.max_image_bytes
    sources, found = _submitted_sources(paths)
    named = [(str(source), partial(_submitted_image, source, send, limit)) for source in sources]
    answers = submit_images(client, named, policy_ids, queue=queue)
    rows = print_results(answers, format, total=len(named), doing="Waiting for verdicts")
    note(summary(rows))
    found.note()
    if not found.complete or any("error" in row for row in rows):
        raise typer.Exit(1)


def submit_images(
    client: Client,
    images: Iterable[tuple[str, Callable[[], str | bytes]]],
    policy_ids: list[str],
    *,
    queue: QueueName,
) -> Iterator[list[Row]]:
    """Yields the rows of each image, in order; an image that is refused stops no other.

    It waits for room in a queue that is full, for as long as it would wait for a verdict.

    An image is a name and a function that reads it, so that one which cannot be read is a row too.

    Raises:
        BrokerUnavailable: Redis is gone; nothing works without it.
    """
    waiting: deque[tuple[str, str | ModerationError, float]] = deque()
    for name, read in images:
        latest = time.monotonic() + client.settings.verdict_timeout_seconds
        submitted = _submit_one(client, read, policy_ids, queue)
        while isinstance(submitted, QueueFull) and time.monotonic() < latest:
            if waiting:  # our own requests are among those that fill the queue
                yield _submitted_rows(client, *waiting.popleft())
            else:
                time.sleep(_FULL_PAUSE)
            submitted = _submit_one(client, read, policy_ids, queue)
        waiting.append((name, submitted, time.monotonic()))
        if len(waiting) >= _IN_FLIGHT:
            yield _submitted_rows(client, *waiting.popleft())
    while waiting:
        yield _submitted_rows(client, *waiting.popleft())


def _submit_one(
    client: Client, read: Callable[[], str | bytes], policy_ids: list[str], queue: QueueName
) -> str | ModerationError:
    """Returns the id of a new request, or why there is none."""
    try:
        return client.submit(read(), policy_ids, queue=queue)
    except BrokerUnavailable:
        raise
    except ModerationError as error:
        return error


def _submitted_rows(
    client: Client, name: str, submitted: str | ModerationError, at: float
) -> list[Row]:
    """Returns the rows of one image; its time to wait runs from when it was submitted."""
    if isinstance(submitted, ModerationError):
        return [error_row(name, submitted)]
    left = max(0.0, client.settings.verdict_timeout_seconds - (time.monotonic() - at))
    try:
        verdicts = client.collect(submitted, timeout_seconds=left)
        return [verdict_row(name, verdict) for verdict in verdicts]
    except BrokerUnavailable:
        raise
    except ModerationError as error:
        return [error_row(name, error)]


def _submitted_sources(paths: list[str]) -> tuple[list[Path | str], FoundImages]:
    """Returns URLs and keys as they are, and the images of paths, in order; and what was found."""
    sources: list[Path | str] = []
    found = FoundImages([], [])
    for path in listed_paths(paths):
        if "://" in path:
            sources.append(path)
            continue
        images, passed_over = find_images([path])
        sources += images
        found.passed_over.extend(passed_over)
    return sources, found


def _submitted_image(source: Path | str, send: Send, max_image_bytes: int) -> str | bytes:
    if isinstance(source, str):
        return source
    if send == "bytes":
        return read_image(source, max_image_bytes)
    return str(source.absolute())


def _submitted_policy_id(name: str) -> str:
    """Returns the id that `name` stands for: that in a policy file, otherwise itself."""
    path = find_policy(name)
    return load_policy(path).id if path.is_file() else name

"""`moderation submit`: images through the queue to a running worker, and the verdicts back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from moderation.commands.inputs import FormatOption, PathsArgument, find_images
from moderation.commands.worker import Queue
from moderation.errors import BrokerUnavailable, ModerationError
from moderation.output import (
    Format,
    Row,
    error_row,
    note,
    print_rows,
    summary,
    track,
    verdict_row,
)
from moderation.plugin import Client
from moderation.policy import find_policy, load_policy
from moderation.settings import load_settings

#: Images on their way at a time: enough to fill batches, few enough to bound Redis.
_IN_FLIGHT = 128

EPILOG = """Examples:

    moderation submit photo.jpg --policy weapons

    moderation submit uploads/ -p weapons -p document-privacy --format jsonl

    moderation submit https://cdn.example.com/a.jpg --policy weapons --queue bulk
"""


class Send(StrEnum):
    """What of a local image goes into the message."""

    BYTES = "bytes"
    PATH = "path"


def submit(
    paths: PathsArgument,
    policy: Annotated[
        list[str], typer.Option("--policy", "-p", help="Id of a policy that the worker serves.")
    ],
    queue: Annotated[Queue, typer.Option(help="Which queue.")] = Queue.INTERACTIVE,
    send: Annotated[
        Send,
        typer.Option(
            help="bytes works wherever the worker runs; path needs MODERATION_ALLOWED_ROOTS there."
        ),
    ] = Send.BYTES,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds to wait for each verdict.")
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Send images through the queue to a running worker and print the verdicts.

    Exits with 1 where an image got no verdict.
    """
    client = Client(load_settings(verdict_timeout_seconds=timeout))
    images = _sources(paths)
    policy_ids = [_policy_id(name) for name in policy]
    answers = submit_images(
        client, ((str(i), _image(i, send)) for i in images), policy_ids, queue=queue
    )
    rows = [row for group in track(answers, len(images), "Waiting for verdicts") for row in group]
    print_rows(rows, form)
    note(summary(rows))
    if any("error" in row for row in rows):
        raise typer.Exit(1)


def submit_images(
    client: Client,
    images: Iterable[tuple[str, str | bytes]],
    policy_ids: list[str],
    *,
    queue: Queue,
) -> Iterator[list[Row]]:
    """Yields the rows of each (name, image), in order; a refused image costs itself alone.

    Raises:
        BrokerUnavailable: Redis went away; without it there is no going on.
    """
    waiting: deque[tuple[str, str | ModerationError]] = deque()
    for name, image in images:
        try:
            waiting.append((name, client.submit(image, policy_ids, queue=queue.value)))
        except BrokerUnavailable:
            raise
        except ModerationError as error:
            waiting.append((name, error))
        if len(waiting) >= _IN_FLIGHT:
            yield _rows(client, *waiting.popleft())
    while waiting:
        yield _rows(client, *waiting.popleft())


def _rows(client: Client, name: str, submitted: str | ModerationError) -> list[Row]:
    if isinstance(submitted, ModerationError):
        return [error_row(name, submitted)]
    try:
        return [verdict_row(name, verdict) for verdict in client.collect(submitted)]
    except BrokerUnavailable:
        raise
    except ModerationError as error:
        return [error_row(name, error)]


def _sources(paths: list[str]) -> list[Path | str]:
    """Returns URLs and keys as they are, and the images of paths."""
    remote: list[Path | str] = [path for path in paths if "://" in path]
    local = [path for path in paths if "://" not in path]
    return remote + (list(find_images(local)) if local else [])


def _image(source: Path | str, send: Send) -> str | bytes:
    if isinstance(source, str):
        return source
    return source.read_bytes() if send is Send.BYTES else str(source.absolute())


def _policy_id(name: str) -> str:
    """Returns the id that `name` stands for: of a policy file, else itself."""
    path = find_policy(name)
    return load_policy(path).id if path.is_file() else name

"""`moderation scan`: images against policies in this process, without a queue."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from moderation.commands.command_line import examples
from moderation.commands.image_paths import find_images, read_image
from moderation.commands.local_pipeline import fails_for_all, open_local_pipeline
from moderation.commands.options import (
    ModelOption,
    NoStoreOption,
    PathsArgument,
    RowFormatOption,
    StoreOption,
)
from moderation.commands.output import (
    Row,
    error_row,
    note,
    print_results,
    summary,
    verdict_row,
)
from moderation.commands.policy.reading import note_passed_over_policies
from moderation.encoders.cores import usable
from moderation.errors import ModerationError
from moderation.policy import find_policy, load_policies
from moderation.scoring.pipeline import Pipeline
from moderation.scoring.publication import Publish
from moderation.settings import load_settings

_THREADS = 4 * usable()

EPILOG = examples(
    "moderation scan photo.jpg --policy weapons --model starter",
    "moderation scan uploads/ --policy my.yaml --format jsonl > verdicts.jsonl",
    "find . -name '*.png' | moderation scan - --policy weapons --fail-on block",
)


def scan(
    paths: PathsArgument,
    policy: Annotated[
        list[str], typer.Option("--policy", "-p", help="Policy file, or name of a shipped one.")
    ],
    model: ModelOption = None,
    format: RowFormatOption = "table",
    fail_on: Annotated[
        Literal["review", "block"] | None,
        typer.Option(help="Exit with 1 where an image gets this action or worse."),
    ] = None,
    renditions: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Write what is judged of each image there."),
    ] = None,
    store: StoreOption = None,
    no_store: NoStoreOption = False,
) -> None:
    """Check images against policies in this process; no queue, no worker.

    Exits with 1 where an image or a folder could not be read, or by --fail-on.
    """
    settings = load_settings()
    found = find_images(paths)
    policies = load_policies(map(find_policy, policy), model=model or settings.model)
    note_passed_over_policies(policy)
    from moderation.images.rendition import RenditionForm
    from moderation.images.rendition_folder import open_renditions

    folder = open_renditions(settings.model_copy(update={"renditions": renditions}), make=True)
    form, publish = (RenditionForm.of(settings), folder.write) if folder else (None, None)
    with open_local_pipeline(
        settings, policies, model=model, store=store, no_store=no_store, form=form
    ) as pipeline:
        groups = scan_images(pipeline, found.images, settings.max_image_bytes, publish=publish)
        rows = print_results(groups, format, total=len(found.images), doing="Scanning")
        note(f"{summary(rows)}. Model: {pipeline.described()}")
        for text in pipeline.unfitted:
            note(text)
    found.note()
    failing = {None: set(), "review": {"review", "block"}, "block": {"block"}}[fail_on]
    if not found.complete or any("error" in row or row["action"] in failing for row in rows):
        raise typer.Exit(1)


def scan_images(
    pipeline: Pipeline,
    images: Iterable[Path],
    max_image_bytes: int,
    *,
    publish: Publish | None = None,
) -> Iterator[list[Row]]:
    """Yields the rows of each image, in order; a bad image gets an error and stops no other.

    Raises:
        ModelError: a model is needed and cannot be loaded. PolicyError: so is a classifier.
        StoreError: features cannot be kept, or those that are kept are damaged.
    """
    scan_one = partial(_scan_image, pipeline, max_image_bytes, publish)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="scan") as pool:
        pending: deque[Future[list[Row]]] = deque()
        try:
            for image in images:
                pending.append(pool.submit(scan_one, image))
                if len(pending) > 2 * _THREADS:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _scan_image(
    pipeline: Pipeline, max_image_bytes: int, publish: Publish | None, image: Path
) -> list[Row]:
    try:
        content = read_image(image, max_image_bytes)
        verdicts = pipeline.moderate(
            content,
            pipeline.served(pipeline.policies),
            request_id=str(uuid.uuid4()),
            publish=publish,
        )
    except ModerationError as error:
        if fails_for_all(pipeline, error):
            raise
        return [error_row(str(image), error)]
    return [verdict_row(str(image), verdict) for verdict in verdicts]

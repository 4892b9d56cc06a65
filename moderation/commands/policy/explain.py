"""`moderation policy explain`: why a policy decided so on a picture."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from moderation.commands.command_line import examples
from moderation.commands.image_paths import find_images, read_image
from moderation.commands.local_pipeline import fails_for_all, open_local_pipeline
from moderation.commands.options import (
    ModelOption,
    NoStoreOption,
    PathsArgument,
    StoreOption,
    TableOrJsonOption,
)
from moderation.commands.output import error_row, note, print_json, say, track
from moderation.commands.policy.explained import print_explanation
from moderation.errors import ModerationError, RequestError
from moderation.policy import Policy, find_policy, load_policy
from moderation.scoring.explanation import Explainer, Explanation
from moderation.scoring.pipeline import Pipeline
from moderation.scoring.timer import Timer
from moderation.settings import load_settings
from moderation.visible_text import shown_name

EPILOG = examples(
    "moderation policy explain photo.jpg -p weapons --model starter",
    "moderation policy explain photo.jpg -p my.yaml --label handgun --label tool",
    "moderation policy explain uploads/ -p my.yaml --format json > why.json",
)


def explain(
    paths: PathsArgument,
    policy: Annotated[
        str, typer.Option("--policy", "-p", help="Policy file, or name of a shipped one.")
    ],
    model: ModelOption = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Show this label, and not those that matter most."),
    ] = None,
    format: TableOrJsonOption = "table",
    store: StoreOption = None,
    no_store: NoStoreOption = False,
) -> None:
    """Say why a policy decides so on images: which words did it, and what would change it.

    Exits with 1 where an image or a folder could not be read.
    """
    settings, found = load_settings(), find_images(paths)
    content = load_policy(find_policy(policy), model=model or settings.model)
    shown = label or []
    _refuse_unknown_labels(content, shown)
    policies, failed, rows = {content.id: content}, False, []
    with open_local_pipeline(
        settings, policies, model=model, store=store, no_store=no_store
    ) as pipeline:
        every = _explained(pipeline, found.images, settings.max_image_bytes)
        for image, explained in track(every, len(found.images), "Explaining"):
            failed = failed or isinstance(explained, ModerationError)
            if format == "json":
                rows.append(_explained_row(image, explained))
            elif isinstance(explained, ModerationError):
                say(f"{shown_name(str(image))}: {explained}")
            else:
                print_explanation(image, explained, shown)
        note(f"Model: {pipeline.described()}")
        for text in pipeline.unfitted:
            note(text)
    if format == "json":
        print_json(rows)
    found.note()
    if failed or not found.complete:
        raise typer.Exit(1)


def _refuse_unknown_labels(policy: Policy, names: list[str]) -> None:
    known = [label.id for label in policy.labels]
    if unknown := [name for name in names if name not in known]:
        what = f"{policy.id} has no label {', '.join(unknown)}"
        raise RequestError(what, "--label", f"Its labels are: {', '.join(known)}")


def _explained(
    pipeline: Pipeline, images: list[Path], max_image_bytes: int
) -> Iterator[tuple[Path, Explanation | ModerationError]]:
    """Yields each image with why it was decided so; a bad one with its error stops no other."""
    served = pipeline.served(pipeline.policies)
    explainer = Explainer(served[0], pipeline.encoders[served[0].model.reference])
    for image in images:
        try:
            content = read_image(image, max_image_bytes)
            seen = pipeline.encode(pipeline.look(content, served, Timer())).result()
            [verdicts] = pipeline.verdicts([seen], [str(uuid.uuid4())], [Timer()])
            if isinstance(verdicts, ModerationError):
                raise verdicts
            yield image, explainer.explain(seen.features, verdicts[0])
        except ModerationError as error:
            if fails_for_all(pipeline, error):
                raise
            yield image, error


def _explained_row(image: Path, explained: Explanation | ModerationError) -> dict[str, Any]:
    """Returns the JSON of an explanation: the verdict without its labels, and why it is so."""
    if isinstance(explained, ModerationError):
        return error_row(str(image), explained)
    verdict = explained.verdict.model_dump(mode="json", exclude={"labels", "request_id", "timings"})
    return {
        "image": str(image),
        **verdict,
        "decided_by": explained.decided_by,
        "nearest_context": explained.nearest_context,
        "labels": [asdict(label) for label in explained.labels],
    }

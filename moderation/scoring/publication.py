"""Verdicts and the rendition of their image -> the rendition published, the verdicts naming it."""

from __future__ import annotations

from collections.abc import Callable

from moderation.images.rendition import RenditionFile
from moderation.messages import Rendition, Verdict, strictest_action
from moderation.scoring.timer import Timer

#: Puts a rendition where its host finds it.
Publish = Callable[[RenditionFile], None]


def published_verdicts(
    verdicts: tuple[Verdict, ...],
    file: RenditionFile | None,
    publish: Publish | None,
    timer: Timer,
) -> tuple[Verdict, ...]:
    """Returns verdicts on one image, with its rendition once that is published.

    It is not where one of the verdicts is to block the image.

    Args:
        verdicts: on the image.
        file: its rendition, if one was made.
        publish: None publishes nothing.
        timer: gets what it takes.
    """
    if file is None or publish is None or strictest_action(verdicts) == "block":
        return verdicts
    with timer.step("publish"):
        publish(file)
    width, height = file.size
    rendition = Rendition(
        sha256=file.sha256, name=file.name, format=file.format, width=width, height=height
    )
    named = {"rendition": rendition, "timings": {**timer.seconds}}
    return tuple(verdict.model_copy(update=named) for verdict in verdicts)

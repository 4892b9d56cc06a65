"""`moderation worker`: serve the queues until it is stopped."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import typer

from moderation.commands.command_line import examples
from moderation.commands.options import ModelOption
from moderation.commands.output import note
from moderation.commands.policy import note_passed_over_policies
from moderation.messages import QUEUES, QueueName
from moderation.policy import Policy, find_policy, load_policies
from moderation.settings import Settings, load_settings

log = logging.getLogger(__name__)

EPILOG = examples(
    "moderation worker --policy policies/ --model starter",
    "MODERATION_ALLOWED_ROOTS=/srv/uploads moderation worker -p weapons -p document-privacy",
    "moderation worker --queue bulk --concurrency 16",
)


class Queue(StrEnum):
    """A queue to serve; typer cannot read a list of literals."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


def worker(
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            "-p",
            help="Policy file, folder, or shipped name; by default MODERATION_POLICIES.",
        ),
    ] = None,
    model: ModelOption = None,
    queue: Annotated[
        list[Queue] | None, typer.Option(help="Queue to serve; by default both, interactive first.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Requests in hand at a time; by default the setting.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name in logs and checks; by default a random one.")
    ] = None,
) -> None:
    """Serve the queues: fetch, decode, encode, decide, answer.

    Loads the model once, then works until SIGTERM or Ctrl-C; it answers what it has in hand first.
    """
    settings = load_settings(concurrency=concurrency)
    from moderation.worker.log_lines import configure_logging

    configure_logging(settings)
    if os.geteuid() == 0:
        log.warning("this worker runs as root; give it a user of its own: docs/operations.md")
    names = policy or [str(path) for path in settings.policies]
    policies = load_policies(map(find_policy, names), model=model or settings.model)
    note_passed_over_policies(names)
    served = [name for name in QUEUES if not queue or name in queue]
    raise typer.Exit(_run_worker_command(settings, policies, model, served, name))


def _run_worker_command(
    settings: Settings,
    policies: Mapping[str, Policy],
    model: str | None,
    queues: list[QueueName],
    name: str | None,
) -> int:
    """Loads the model and serves queues until it is stopped; returns the exit code."""
    from moderation.images.rendition import RenditionForm
    from moderation.images.rendition_folder import open_renditions
    from moderation.queue.celery_app import ping, shown_url
    from moderation.scoring.pipeline_loading import load_pipeline
    from moderation.worker.assembly import run_worker
    from moderation.worker.metrics import Metrics

    ping(settings)
    renditions = open_renditions(settings)
    note(f"Loading the model for {', '.join(sorted(policies))} ...")
    metrics = Metrics()
    pipeline = load_pipeline(
        settings,
        policies,
        override_model=model,
        observe=metrics.batch,
        on_decoder_end=metrics.decoder_restarted,
        form=RenditionForm.of(settings) if renditions else None,
    )
    note(f"Model: {pipeline.described()}")
    note(f"Serving {shown_url(settings)}; stop with Ctrl-C")
    name = name or f"moderation-{secrets.token_hex(4)}"
    return run_worker(settings, pipeline, metrics, queues=queues, name=name, renditions=renditions)

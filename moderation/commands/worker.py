"""`moderation worker`: serve the queues until it is stopped."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from moderation.commands.command_line import examples
from moderation.commands.options import ModelOption
from moderation.commands.output import note
from moderation.commands.policy.reading import note_passed_over_policies
from moderation.messages import QUEUES, QueueName
from moderation.policy import Policy, find_policy, load_policies
from moderation.settings import MOST_PROCESSES, Settings, load_settings

if TYPE_CHECKING:
    from moderation.images.rendition_folder import RenditionFolder

log = logging.getLogger(__name__)

_STDERR = 2

EPILOG = examples(
    "moderation worker --policy policies/ --model starter",
    "MODERATION_ALLOWED_ROOTS=/srv/uploads moderation worker -p weapons -p document-privacy",
    "moderation worker --queue bulk --concurrency 16",
    "moderation worker --policy policies/ --processes 4",
)


def _processes_option(text: str | None) -> str | None:
    """Returns what was given, if it is auto or a number of processes."""
    if text in (None, "auto") or (text.isdecimal() and 1 <= int(text) <= MOST_PROCESSES):
        return text
    raise typer.BadParameter(f"{text!r} is not auto, or a number of 1 to {MOST_PROCESSES}")


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
        int | None,
        typer.Option(min=1, help="Requests in hand of a process; by default the setting."),
    ] = None,
    processes: Annotated[
        str | None,
        typer.Option(
            metavar="auto|N",
            callback=_processes_option,
            help="Line processes beside one that encodes. auto, the default, is a line for every "
            "8 cores, or for every 4 with a GPU; where that is only one, one process does all. "
            "The log says what was chosen.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name in logs and checks; by default a random one.")
    ] = None,
) -> None:
    """Serve the queues: fetch, decode, encode, decide, answer.

    Loads the model once, then works until SIGTERM or Ctrl-C; it answers what it has in hand first.
    """
    _open_closed_streams()
    settings = load_settings(concurrency=concurrency, processes=processes)
    from moderation.worker.log_lines import configure_logging

    configure_logging(settings)
    if os.geteuid() == 0:
        log.warning("this worker runs as root; give it a user of its own: docs/operations.md")
    names = policy or [str(path) for path in settings.policies]
    policies = load_policies(map(find_policy, names), model=model or settings.model)
    note_passed_over_policies(names)
    asked = _Asked(
        policies,
        model,
        tuple(name for name in QUEUES if not queue or name in queue),
        name or f"moderation-{secrets.token_hex(4)}",
    )
    raise typer.Exit(_run_worker_command(settings, asked))


def _open_closed_streams() -> None:
    """Opens nothing in place of each standard stream that is closed.

    Otherwise a socket or the decision log would get its number: processes would inherit the wrong
    one, and what is meant for standard error would be written there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


class _Asked(NamedTuple):
    """What a worker is to serve, beside its settings."""

    policies: Mapping[str, Policy]
    model: str | None
    queues: tuple[QueueName, ...]
    name: str


def _run_worker_command(settings: Settings, asked: _Asked) -> int:
    """Loads the model and serves queues until it is stopped; returns the exit code."""
    from moderation.images.rendition_folder import open_renditions
    from moderation.queue.celery_app import ping
    from moderation.worker.processes.shares import chosen_share

    ping(settings)
    renditions = open_renditions(settings)
    share = chosen_share(settings)
    log.info("%s (%s)", share.described, share.reason)
    note(f"Loading the model for {', '.join(sorted(asked.policies))} ...")
    if share.processes > 1:
        return _run_processes(settings, asked, share.processes)
    return _run_one_process(settings, asked, renditions)


def _run_processes(settings: Settings, asked: _Asked, processes: int) -> int:
    from moderation.worker.processes.assembly import run_processes

    return run_processes(
        settings,
        asked.policies,
        processes=processes,
        override_model=asked.model,
        queues=asked.queues,
        name=asked.name,
        on_ready=lambda models: _note_serving(settings, models, f" with {processes} processes"),
    )


def _run_one_process(settings: Settings, asked: _Asked, renditions: RenditionFolder | None) -> int:
    from moderation.images.rendition import RenditionForm
    from moderation.scoring.pipeline_loading import load_pipeline
    from moderation.worker.assembly import run_worker
    from moderation.worker.metrics import Metrics

    metrics = Metrics()
    pipeline = load_pipeline(
        settings,
        asked.policies,
        override_model=asked.model,
        observe=metrics.batch,
        on_decoder_end=metrics.decoder_restarted,
        form=RenditionForm.of(settings) if renditions else None,
    )
    _note_serving(settings, pipeline.described())
    return run_worker(
        settings,
        pipeline,
        metrics,
        queues=asked.queues,
        name=asked.name,
        renditions=renditions,
    )


def _note_serving(settings: Settings, models: str, how: str = "") -> None:
    from moderation.queue.celery_app import shown_url

    note(f"Model: {models}")
    note(f"Serving {shown_url(settings)}{how}; stop with Ctrl-C")

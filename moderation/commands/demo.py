"""`moderation demo`: the main job end to end with nothing set up.

A real Redis on loopback, a real worker in its own process, real photographs through the queue, and
a table of verdicts. Everything that it starts or writes is gone when it ends, however it ends.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from moderation.commands.command_line import examples
from moderation.commands.exit_codes import as_ctrl_c
from moderation.commands.image_paths import FoundImages, find_images, read_image
from moderation.commands.options import RowFormatOption
from moderation.commands.output import note, print_results, summary, working
from moderation.commands.samples import sample_photographs
from moderation.commands.submit import submit_images
from moderation.embedded_servers import EmbeddedRedis, EmbeddedWorker
from moderation.policy import load_policies, starter_policies
from moderation.settings import Settings, load_settings

EPILOG = examples(
    "moderation demo",
    "moderation demo --images ~/Pictures --format jsonl",
    "moderation demo --model openai/clip-vit-base-patch32",
)


def demo(
    images: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder with photographs of your own."),
    ] = None,
    model: Annotated[str, typer.Option(help="Model that the worker loads.")] = "starter",
    format: RowFormatOption = "table",
) -> None:
    """Try it all: Redis, a worker, real photographs, verdicts. Leaves nothing behind."""
    found = find_images([str(images)]) if images else FoundImages(sample_photographs(), [])
    policies = load_policies(starter_policies())
    with as_ctrl_c(signal.SIGTERM, signal.SIGHUP), ExitStack() as stack:
        with working("Starting Redis and a worker, which loads the model ..."):
            settings = _start_demo_worker(stack, model)
        from moderation.client.client import Client

        limit = settings.max_image_bytes
        answers = submit_images(
            Client(settings),
            [
                (str(path.relative_to(images or path.parent)), partial(read_image, path, limit))
                for path in found.images
            ],
            sorted(policies),
            queue="interactive",
        )
        rows = print_results(answers, format, total=len(found.images), doing="Moderating")
    models = {f"{row['model']['id']} ({row['model']['dtype']})" for row in rows if "model" in row}
    note("")
    served = ", ".join(sorted(policies))
    note(f"{len(found.images)} photographs, policies {served}. {summary(rows)}.")
    caveat = "A small stand-in for trying out: its figures are not CLIP's, and it errs more."
    note(f"Model: {', '.join(sorted(models))}. {caveat if model == 'starter' else ''}")
    found.note()


def _start_demo_worker(stack: ExitStack, model: str) -> Settings:
    """Starts a Redis and a worker that end with the stack; returns the settings of a host."""
    url = stack.enter_context(EmbeddedRedis()).url
    settings = load_settings(broker_url=url, result_url=url, verdict_timeout_seconds=60.0)
    served = (word for path in starter_policies() for word in ("--policy", str(path)))
    options = ["--model", model, *served]
    stack.enter_context(EmbeddedWorker(settings, options))
    return settings

"""`moderation ...`: puts the commands together; what they do is in `moderation.commands`."""

from __future__ import annotations

from moderation.commands import (
    callbacks,
    decisions,
    demo,
    evaluate,
    model,
    quarantine,
    queues,
    scan,
    store,
    submit,
    worker,
)
from moderation.commands.command_line import command_line
from moderation.commands.doctor import command as doctor
from moderation.commands.policy import app as policy

app = command_line(
    "moderation",
    help="Moderate images with CLIP zero-shot label sets written in YAML.",
    epilog="Start with `moderation demo`. Settings are MODERATION_* variables: docs/settings.md.",
    commands=[
        (demo.demo, demo.EPILOG),
        (scan.scan, scan.EPILOG),
        (evaluate.evaluate, evaluate.EPILOG),
        (worker.worker, worker.EPILOG),
        (submit.submit, submit.EPILOG),
        (queues.queues, queues.EPILOG),
        (doctor.doctor, doctor.EPILOG),
    ],
    groups={
        "model": model.app,
        "policy": policy.app,
        "store": store.app,
        "callbacks": callbacks.app,
        "decisions": decisions.app,
        "quarantine": quarantine.app,
    },
)

"""`audit ...`: puts the commands together; what they do is in `audit.commands`."""

from __future__ import annotations

from audit.commands import (
    ablate,
    compare,
    datasets,
    embed,
    export_features,
    gate,
    gate_record,
    import_features,
    run,
    skew,
)
from moderation.commands.command_line import command_line

app = command_line(
    "audit",
    help="Assess whom a policy's label set flags, on images with demographic annotations.",
    epilog="Start with `audit datasets info FOLDER`. The method: docs/audit-method.md.",
    commands=[
        (run.run, run.EPILOG),
        (compare.compare, compare.EPILOG),
        (ablate.ablate, ablate.EPILOG),
        (gate.gate, gate.EPILOG),
        (gate_record.gates, gate_record.EPILOG),
        (skew.skew, skew.EPILOG),
        (embed.embed, embed.EPILOG),
        (import_features.import_, import_features.EPILOG),
        (export_features.export, export_features.EPILOG),
    ],
    groups={"datasets": datasets.app},
)

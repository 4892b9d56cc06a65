"""`audit gates`: shows the record of a policy's gates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moderation.commands.command_line import examples
from moderation.commands.options import TableOrJsonOption
from moderation.commands.output import print_json, print_table

if TYPE_CHECKING:
    from audit.gate.runs import GateRun

EPILOG = examples(
    "audit gates my.gates.jsonl",
    "audit gates my.gates.jsonl --format json",
)


def gates(
    record: Annotated[
        Path, typer.Argument(metavar="FILE", help="Record that `audit gate --record` wrote.")
    ],
    format: TableOrJsonOption = "table",
) -> None:
    """Show the record of a policy's gates: when what was gated, at what level, with what answer."""
    from audit.gate.reasons import gate_level
    from audit.gate.runs import read_runs
    from audit.gate.spending import gate_numbers
    from audit.results.formatting import images

    runs = read_runs(record)
    numbered = list(zip(gate_numbers(runs), runs, strict=True))
    if format == "json":
        print_json([{"number": number, **run.model_dump(mode="json")} for number, run in numbered])
        return
    rows = [
        (
            run.time,
            f"{_with_version(run)} ({run.policy_sha256[:8]})",
            f"{run.dataset} ({images(run.n)})",
            f"{number:,}",
            f"{gate_level(run.level)}{', spent' if run.spending else ''}",
            run.answer,
            "shown" if run.figures_shown else "",
        )
        for number, run in numbered
    ]
    print_table(("time", "policy", "dataset", "gate", "level", "answer", "figures"), rows)


def _with_version(run: GateRun) -> str:
    return run.policy if run.policy_version is None else f"{run.policy} v{run.policy_version}"

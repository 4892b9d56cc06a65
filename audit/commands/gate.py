"""`audit gate`: checks a policy against limits, for a pull request that edits it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from audit.commands.opening import open_policies, open_subject
from audit.commands.options import DatasetOptions
from audit.commands.output import writable_output
from moderation.commands.command_line import examples
from moderation.commands.options import TableOrJson, takes_options
from moderation.commands.output import note
from moderation.policy import find_policy, shipped_policies

#: What --record takes for the file beside the policy.
_BESIDE = "beside"

EPILOG = examples(
    "audit gate --policy new.yaml --baseline old.yaml --limits limits.yaml -d fairface/",
    "audit gate --policy my.yaml --limits limits.yaml -d fairface/ --summary comment.md",
    "audit gate --policy my.yaml --limits limits.yaml -d fairface/ --record beside --spend",
)


@dataclass(frozen=True)
class RecordOptions:
    """Whether a run is recorded, and what for."""

    record: Annotated[
        str | None,
        typer.Option(
            metavar="beside|FILE",
            help="Add the run to that record; beside is my.gates.jsonl beside my.yaml.",
        ),
    ] = None
    spend: Annotated[
        bool,
        typer.Option(
            "--spend",
            help="Check at a level that falls with each policy gated on this dataset, so that all "
            "together pass falsely no more often than one; says pass or no pass alone.",
        ),
    ] = False
    show_figures: Annotated[
        bool,
        typer.Option("--show-figures", help="Say all with --spend too, which ends its promise."),
    ] = False

    def path(self, policy: str) -> Path | None:
        """Returns the file of the record; None for none.

        Raises:
            typer.BadParameter: there is none where one is needed, or none beside the policy.
        """
        if self.record is None and (self.spend or self.show_figures):
            what = "what was spent, and what was shown, is in a record: name one"
            raise typer.BadParameter(what, param_hint="--record")
        if self.record != _BESIDE:
            return None if self.record is None else Path(self.record)
        beside = _record_beside(policy)
        if beside.resolve().is_relative_to(shipped_policies().resolve()):
            what = f"{policy} is a shipped policy, which has nothing beside it: name a file"
            raise typer.BadParameter(what, param_hint="--record")
        return beside


def _record_beside(policy: str) -> Path:
    found = find_policy(policy)
    return found.with_name(f"{found.stem}.gates.jsonl")


def _note_record(record: Path | None, policy: str) -> None:
    """Says where the run is added; a record that cannot be used must not cost the embedding."""
    from audit.gate.runs import open_record

    if record is not None:
        with open_record(record):
            note(f"The run is added to {record}")
    elif (beside := _record_beside(policy)).exists():
        note(f"Not recorded, though {beside} is there: --record beside adds the run to it")


@takes_options
def gate(
    policy: Annotated[
        str, typer.Option("--policy", "-p", help="The new policy: a file, or a shipped name.")
    ],
    limits: Annotated[Path, typer.Option(help="File of limits: see docs/audit.md.")],
    baseline: Annotated[
        str | None, typer.Option(help="The policy that it would replace, for the regression limit.")
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(help="Write the result there too, as Markdown.")
    ] = None,
    format: Annotated[TableOrJson, typer.Option(help="table is Markdown.")] = "table",
    *,
    recording: RecordOptions,
    options: DatasetOptions,
) -> None:
    """Check a policy against limits: pass, fail, or insufficient data.

    Exits with 0 for pass, 1 for fail, 4 for insufficient data, and with --spend 4 for no pass.
    """
    from audit.audits.gate import gate_audit, recorded_gate_audit
    from audit.gate.limits import load_limits

    held = load_limits(limits)
    paths = [policy] if baseline is None else [policy, baseline]
    if baseline is None and held.regression is not None:
        raise typer.BadParameter("the limit on regression needs one", param_hint="--baseline")
    named = open_policies(paths, options.model)
    record = recording.path(policy)
    _note_record(record, policy)
    with open_subject(options, named.policies.values(), by=held.by) as subject:
        if record is None:
            report = gate_audit(subject, named, held)
        else:
            spend, figures = recording.spend, recording.show_figures
            report = recorded_gate_audit(subject, named, held, record, spend=spend, figures=figures)
    text = report.to_markdown()
    print(report.to_json() if format == "json" else text, end="", flush=True)
    if summary is not None:
        with writable_output(summary):
            summary.write_text(text, encoding="utf-8")
        note(f"The result is in {summary}")
    raise typer.Exit(report.exit_code)

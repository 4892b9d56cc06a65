"""`audit gate`: checks a policy against limits, for a pull request that edits it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audit.commands.opening import open_policies, open_subject
from audit.commands.options import DatasetOptions
from audit.commands.output import writable_output
from audit.commands.predictions import PredictedOptions, chosen_systems
from moderation.commands.command_line import examples
from moderation.commands.options import TableOrJson, takes_options
from moderation.commands.output import note
from moderation.policy import find_policy, shipped_policies

if TYPE_CHECKING:
    from audit.audits.audited import Audited, Named, S
    from audit.gate.limits import Limits
    from audit.gate.report import GateReport

#: What --record takes for the file beside the policy.
_BESIDE = "beside"

EPILOG = examples(
    "audit gate --policy new.yaml --baseline old.yaml --limits limits.yaml -d fairface/",
    "audit gate --policy my.yaml --limits limits.yaml -d fairface/ --summary comment.md",
    "audit gate --policy my.yaml --limits limits.yaml -d fairface/ --record beside --spend",
    "audit gate --policy new --baseline old --limits limits.yaml --predictions said.parquet "
    "--decision new --decision old",
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

    def path(self, policy: str | None) -> Path | None:
        """Returns the file of the record; None for none.

        Args:
            policy: its file, or None where another system is gated, which has no file.

        Raises:
            typer.BadParameter: there is none where one is needed, or none beside the policy.
        """
        if self.record is None and (self.spend or self.show_figures):
            what = "what was spent, and what was shown, is in a record: name one"
            raise typer.BadParameter(what, param_hint="--record")
        if self.record != _BESIDE:
            return None if self.record is None else Path(self.record)
        if policy is None:
            what = "a system has no file to be beside: name a file"
            raise typer.BadParameter(what, param_hint="--record")
        beside = _record_beside(policy)
        if beside.resolve().is_relative_to(shipped_policies().resolve()):
            what = f"{policy} is a shipped policy, which has nothing beside it: name a file"
            raise typer.BadParameter(what, param_hint="--record")
        return beside


def _record_beside(policy: str) -> Path:
    found = find_policy(policy)
    return found.with_name(f"{found.stem}.gates.jsonl")


def _note_record(record: Path | None, policy: str | None) -> None:
    """Says where the run will be added; an unusable record must not cost the embedding."""
    from audit.gate.runs import open_record

    if record is not None:
        with open_record(record):
            note(f"Once it has an answer, the run is added to {record}")
    elif policy is not None and (beside := _record_beside(policy)).exists():
        note(f"Not recorded, though {beside} is there: --record beside adds the run to it")


@takes_options
def gate(
    context: typer.Context,
    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            "-p",
            help="The new policy: a file, or a shipped name; with --predictions, a system's name.",
        ),
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
    predicted: PredictedOptions,
    options: DatasetOptions,
) -> None:
    """Check a policy, or another system, against limits: pass, fail, or insufficient data.

    Exits with 0 for pass, 1 for fail, 4 for insufficient data, and with --spend 4 for no pass.
    """
    from audit.gate.limits import load_limits

    held = load_limits(limits)
    paths = [policy] if baseline is None else [policy, baseline]
    if baseline is None and held.regression is not None:
        raise typer.BadParameter("the limit on regression needs one", param_hint="--baseline")
    if predicted.asked(context):
        record = recording.path(None)
        _note_record(record, None)
        subject, systems = predicted.opened(options.reading, held.by)
        report = _gated(subject, chosen_systems(systems, paths), held, record, recording)
    else:
        named = open_policies(paths, options.model)
        record = recording.path(policy)
        _note_record(record, policy)
        with open_subject(options, named.policies.values(), by=held.by) as embedded:
            report = _gated(embedded, named, held, record, recording)
    _tell(report, format, summary)
    raise typer.Exit(report.exit_code)


def _gated(
    subject: Audited[S], named: Named[S], limits: Limits, record: Path | None, how: RecordOptions
) -> GateReport:
    """Returns what the gate says, after it was recorded where a record is named."""
    from audit.audits.gate import gate_audit, recorded_gate_audit

    if record is None:
        return gate_audit(subject, named, limits)
    spend, figures = how.spend, how.show_figures
    return recorded_gate_audit(subject, named, limits, record, spend=spend, figures=figures)


def _tell(report: GateReport, format: TableOrJson, summary: Path | None) -> None:
    """Prints what a gate says, and writes it to the file of a summary, if there is one."""
    text = report.to_markdown()
    print(report.to_json() if format == "json" else text, end="", flush=True)
    if summary is not None:
        with writable_output(summary):
            summary.write_text(text, encoding="utf-8")
        note(f"The result is in {summary}")

"""An audit's results: in short on standard output, and as a report in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audit.commands.inputs import TextOrJson
from moderation.output import note, print_table, working

if TYPE_CHECKING:
    from audit.results import Results

OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Folder for the report: report.html, report.md, results.json, *.csv."
    ),
]


def print_audit(results: Results, out: Path | None, format: TextOrJson) -> None:
    """Prints the finding, and writes the report where a folder is given."""
    if out is not None:
        from audit.report import write_report

        with working("Writing the report ..."):
            written = write_report(results, out)
        note(f"{len(written)} files in {out}; open {out / 'report.html'}")
    if format is TextOrJson.JSON:
        print(results.to_json(), end="")
        return
    for sentence in results.summary:
        print(sentence)
    print()
    print_table(*_rates(results))
    for sentence in results.insufficient:
        note(f"Too little data: {sentence}")


def _rates(results: Results) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Returns the flag rates of the whole and of each feature, a column for each policy."""
    names = [policy.name for policy in results.header.policies]
    flags = [r for r in results.rates if r.metric == "selection_rate" and "×" not in r.by]
    by_group: dict[tuple[str, str], dict[str, str]] = {}
    for rate in flags:
        cell = f"{rate.count} of {rate.n}"
        if rate.rate is not None and rate.low is not None and rate.high is not None:
            cell += f"  {rate.rate:.1%} [{rate.low:.1%}, {rate.high:.1%}]"
        mark = {"suppressed": " too few", "indicative": " indicative"}.get(rate.support, "")
        by_group.setdefault((rate.by, rate.group), {})[rate.policy] = cell + mark
    rows = [
        (by, group, *(cells[name] for name in names)) for (by, group), cells in by_group.items()
    ]
    return ("by", "group", *names), rows

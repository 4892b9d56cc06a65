"""The options of audits that write a report: a subject, and what it looks at beside the groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from audit.commands.options import SubjectOptions


def _checked_margin(margin: float | None) -> float | None:
    if margin is not None:
        from audit.audits.adjusted import refuse_wrong_margin

        refuse_wrong_margin(margin)
    return margin


def _checked_cosine(cosine: float) -> float:
    if not 0 <= cosine <= 1:  # which NaN is not either
        raise typer.BadParameter(f"{cosine:g} is not a number from 0 to 1")
    return cosine


@dataclass(frozen=True)
class AuditOptions(SubjectOptions):
    """The options of a subject, with what a report looks at beside the groups."""

    margin: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            callback=_checked_margin,
            help="Also say which groups, and which of their changes, are shown to lie within so "
            "many percentage points.",
        ),
    ] = None
    near_duplicates: Annotated[
        float,
        typer.Option(
            metavar="COSINE",
            callback=_checked_cosine,
            help="From which cosine two images count as near-duplicates; it depends on the model. "
            "0 looks for none.",
        ),
    ] = 0.97

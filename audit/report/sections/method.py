"""How the numbers were made, in brief, and where they are for machines."""

from __future__ import annotations

from audit.report.document import Block, Code, Line, Points, Terms, paragraph
from audit.results.results import Results

_TERMS = (
    ("Flagged", "The action is review or block. To be flagged is the harm that is measured."),
    (
        "Interval",
        "Wilson's score interval for a rate; Newcombe's for a difference of two groups; "
        "a paired one where two label sets see the same images.",
    ),
    (
        "Simultaneous interval",
        "Wide enough for all pairs of groups together, not for one pair alone.",
    ),
    (
        "Adjusted p",
        "Corrected by Holm for how many groups were looked at. A claim stands where it is below "
        "0.05. Without a claim nothing is known; it is no proof of equal treatment.",
    ),
    (
        "Undefined",
        "There is no image to count, so there is no rate. Undefined is never shown as zero.",
    ),
    (
        "Too few",
        "Fewer than 30 images: count and n are shown, no rate and no claim. "
        "From 30 to 99 images a rate is indicative.",
    ),
    (
        "Groups",
        "Demographic labels are read from the dataset, as its annotators perceived them. They are "
        "never inferred from images.",
    ),
    (
        "Point",
        "A percentage point: from 5 % to 7 % are 2 points.",
    ),
)


def method(_: Results) -> tuple[Block, ...]:
    """Returns the definitions that a reader needs, and where the rest stands."""
    terms: list[tuple[str, tuple[Line, ...]]] = [(name, ((text,),)) for name, text in _TERMS]
    more = paragraph("Each formula with its source is in ", Code("docs/audit-method.md"), ".")
    return (Terms(tuple(terms)), more)


def files(results: Results) -> tuple[Block, ...]:
    """Returns the machine-readable files beside the report."""
    tables = [
        name
        for name in type(results).model_fields
        if name not in _NOT_TABLES and getattr(results, name)
    ]
    items: list[Line] = [
        (Code("results.json"), ": every figure of this report, with its n and its interval."),
        (Code("report.md"), ": this report as Markdown, shorter."),
    ]
    items += [(Code(f"{name}.csv"),) for name in tables]
    return (Points(tuple(items)),)


_NOT_TABLES = {"schema_version", "kind", "header", "summary", "insufficient", "not_tried", "limits"}

"""What legal and technical frameworks ask, and which sections of a report answer it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from audit.report.blocks import Block, paragraph, table
from audit.report.cells import head, stacked
from audit.report.inline import Line, SectionLink

_CAUTION = (
    "For orientation only; this is not legal advice, and it does not say that a duty is met. "
    "Whether and how a framework applies depends on the service and its use."
)

#: The framework and its source; what it asks; the sections that answer; what the report lacks.
_FRAMEWORKS = (
    (
        ("EU Digital Services Act, Art. 15(1)(e)", "Regulation (EU) 2022/2065"),
        "Transparency reports on automated content moderation: a qualitative description, the "
        "precise purposes, indicators of the accuracy and the possible rate of error, and the "
        "safeguards applied.",
        ("labels", "flagged", "gaps", "differences", "shifts", "thresholds"),
        "The purposes; the safeguards, such as human review and appeals; the rate of error on the "
        "service's own content; the breakdown by language that Art. 42(2) asks of very large "
        "platforms.",
    ),
    (
        ("New York City Local Law 144", "of 2021, with its rules on bias audits"),
        "For automated tools in employment: selection rates and impact ratios by sex, by race or "
        "ethnicity, and where they meet. Its format is borrowed here; moderation is not "
        "employment. The pass ratio is the impact ratio with not being flagged as the favourable "
        "outcome. The four-fifths convention (a ratio below 0.8) is a US employment convention, "
        "not a rule of content moderation.",
        ("making", "flagged", "intersections", "gaps"),
        "An independent auditor; data of the tool's own use; counts of people whose category is "
        "unknown, unless the dataset states them.",
    ),
    (
        ("NIST AI RMF, MEASURE 2.11", "AI Risk Management Framework 1.0"),
        "That fairness and bias, as identified in the MAP function, are evaluated and the results "
        "documented.",
        ("flagged", "intersections", "gaps", "differences", "ablation", "reach", "limits"),
        "The MAP function itself: context, affected people, and which harms matter. "
        "Measurements after deployment.",
    ),
)


def frameworks_section(present: Set[str]) -> Iterator[Block]:
    """Yields which section answers what a framework asks.

    Args:
        present: keys of the sections that this report has.
    """
    yield paragraph(_CAUTION, tone="note")
    rows = [
        [
            head(*name),
            *(
                stacked(line, role="prose")
                for line in ((asks,), _framework_links(keys, present), (lacks,))
            ),
        ]
        for name, asks, keys, lacks in _FRAMEWORKS
    ]
    columns = ("Framework", "What it asks, in short", "Answered in", "Not answered here")
    yield table("Frameworks and sections", columns, rows)


def _framework_links(keys: Sequence[str], present: Set[str]) -> Line:
    links = [part for key in keys if key in present for part in ("; ", SectionLink(key))]
    return tuple(links[1:]) or ("no section of this report",)

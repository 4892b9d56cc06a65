"""Results -> the whole document: which sections there are, in which order."""

from __future__ import annotations

from collections.abc import Callable

from audit.report.document import Block, Document, Section, Tile
from audit.report.names import FLAG, OVERALL, joined, policy_names, title
from audit.report.sections.ablation import ablation
from audit.report.sections.differences import differences
from audit.report.sections.flagged import flagged
from audit.report.sections.flows import flows, prices
from audit.report.sections.gaps import gaps
from audit.report.sections.intersections import intersections
from audit.report.sections.labels import labels
from audit.report.sections.making import making
from audit.report.sections.mapping import mapping
from audit.report.sections.method import files, method
from audit.report.sections.reach import limits, reach
from audit.report.sections.sensitivity import retrieval, thresholds, wordings
from audit.report.sections.shifts import matched_shifts, shifts
from audit.report.shown import of, percent, rate_line, whole_percent
from audit.results.results import Results

Make = Callable[[Results], tuple[Block, ...]]

_FINDINGS: tuple[tuple[str, str, Make], ...] = (
    ("making", "How this report was made", making),
    ("labels", "What was compared", labels),
    ("flagged", "Who is flagged", flagged),
    ("intersections", "Where features meet", intersections),
    ("gaps", "Gaps between groups", gaps),
    ("differences", "Differences to the overall rate", differences),
    ("shifts", "What changed for whom", shifts),
    ("matched", "The same at one overall flag rate", matched_shifts),
    ("flows", "Where images went", flows),
    ("prices", "The price of new labels", prices),
    ("ablation", "Which label moves whom", ablation),
    ("wordings", "How far wording matters", wordings),
    ("thresholds", "How far thresholds matter", thresholds),
    ("retrieval", "Whom a prompt ranks first", retrieval),
    ("reach", "What this audit could have seen", reach),
    ("limits", "What this audit cannot say", limits),
)

_METHOD: tuple[tuple[str, str, Make], ...] = (
    ("method", "Method and definitions", method),
    ("files", "Files for machines", files),
)


def document(results: Results) -> Document:
    """Returns the report of results; sections without content are left out."""
    findings = [Section(key, name, make(results)) for key, name, make in _FINDINGS]
    tail = [Section(key, name, make(results)) for key, name, make in _METHOD]
    kept = [section for section in findings if section.blocks]
    present = {section.key for section in (*kept, *tail)}
    frameworks = Section("frameworks", "What this report answers", mapping(present))
    sections = (*kept, frameworks, *tail)
    return Document(_title(results), results.summary, _tiles(results), sections)


def _title(results: Results) -> str:
    names = joined(policy_names(results))
    verb = {"run": "Audit of", "compare": "Comparison of", "ablate": "Label ablation of"}
    return f"{verb[results.kind]} {names} on {results.header.dataset.name}"


def _tiles(results: Results) -> tuple[Tile, ...]:
    """Returns the overall share flagged under each policy."""
    overall = [rate for rate in results.rates if rate.by == OVERALL and rate.metric == FLAG]
    return tuple(
        Tile(
            f"Flagged under {title(results, rate.policy)}",
            (percent(rate.rate),),
            (
                *of(rate.count, rate.n),
                " images; ",
                whole_percent(results.header.confidence),
                " interval",
                *rate_line(rate.rate, rate.low, rate.high)[1:],
            ),
        )
        for rate in overall
    )

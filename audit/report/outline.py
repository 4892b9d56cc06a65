"""Results -> the whole document: which sections it has, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from audit.datasets.dataset import OVERALL
from audit.metrics.rates import FLAG
from audit.report.document import Block, Document, Section, Tile
from audit.report.names import joined, policy_names, title
from audit.report.sections.ablation import ablation
from audit.report.sections.flagged import flagged, intersections
from audit.report.sections.flows import flows, prices
from audit.report.sections.gaps import differences, gaps
from audit.report.sections.labels import labels
from audit.report.sections.method import files, making, mapping, method
from audit.report.sections.reach import limits, reach
from audit.report.sections.sensitivity import retrieval, thresholds, wordings
from audit.report.sections.shifts import matched_shifts, shifts
from audit.report.shown import of, percent, rate_line, whole_percent
from audit.results.results import Results

Make = Callable[[Results], Iterable[Block]]

_FINDINGS: tuple[tuple[str, str, Make], ...] = (
    ("making", "How this report was made", making),
    ("labels", "What was compared", labels),
    ("flagged", "Who is flagged", flagged),
    ("intersections", "Where sensitive features meet", intersections),
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
    kept = [section for section in _sections(results, _FINDINGS) if section.blocks]
    tail = _sections(results, _METHOD)
    present = {section.key for section in (*kept, *tail)}
    frameworks = Section("frameworks", "What this report answers", tuple(mapping(present)))
    sections = (*kept, frameworks, *tail)
    return Document(_title(results), results.summary, _tiles(results), sections)


def _sections(results: Results, listed: Iterable[tuple[str, str, Make]]) -> list[Section]:
    return [Section(key, name, tuple(make(results))) for key, name, make in listed]


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

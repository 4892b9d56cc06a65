"""Results -> the whole document: which sections it has, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from audit.report.blocks import Block
from audit.report.names import policy_names
from audit.report.opening import Opening, make_opening
from audit.report.sections.ablation import ablation_section
from audit.report.sections.adjusted import (
    equivalent_section,
    pooled_section,
    standardised_section,
)
from audit.report.sections.confusion import confusion_section
from audit.report.sections.flagged import flagged_intersections_section, flagged_section
from audit.report.sections.flows import flow_prices_section, flows_section
from audit.report.sections.frameworks import frameworks_section
from audit.report.sections.gaps import gaps_section, gaps_to_overall_section
from audit.report.sections.labels import labels_section
from audit.report.sections.method import (
    method_facts_section,
    method_files_section,
    method_left_out_section,
    method_limits_section,
    method_terms_section,
)
from audit.report.sections.power import power_section
from audit.report.sections.robustness import robustness_section
from audit.report.sections.sensitivity import (
    retrieval_sensitivity_section,
    threshold_sensitivity_section,
    wording_sensitivity_section,
)
from audit.report.sections.separation import separation_section
from audit.report.sections.shifts import matched_shifts_section, shifts_section
from audit.results.gap_sentences import done_to
from audit.results.results import Results

Make = Callable[[Results], Iterable[Block]]

_FINDINGS: tuple[tuple[str, str, Make], ...] = (
    ("missing", "What was left out", method_left_out_section),
    ("flagged", "Who is flagged", flagged_section),
    ("intersections", "Where sensitive features meet", flagged_intersections_section),
    ("gaps", "Gaps between groups", gaps_section),
    ("differences", "Differences to the overall rate", gaps_to_overall_section),
    ("standardised", "Standardised rates", standardised_section),
    ("pooled", "Intersections, pooled", pooled_section),
    ("shifts", "What changed for whom", shifts_section),
    ("matched", "The same at one overall flag rate", matched_shifts_section),
    ("margin", "Shown to be within the margin", equivalent_section),
    ("confusions", "What images were taken for", confusion_section),
    ("flows", "Where images went", flows_section),
    ("prices", "The price of new labels", flow_prices_section),
    ("ablation", "Which label moves whom", ablation_section),
    ("wordings", "How far wording matters", wording_sensitivity_section),
    ("thresholds", "How far thresholds matter", threshold_sensitivity_section),
    ("retrieval", "Whom a prompt ranks first", retrieval_sensitivity_section),
    ("separation", "How well scores separate", separation_section),
    ("robustness", "How far a claim holds", robustness_section),
    ("reach", "What this audit could have seen", power_section),
    ("limits", "What this audit cannot say", method_limits_section),
    ("labels", "What was compared", labels_section),
    ("making", "How this report was made", method_facts_section),
)

_METHOD: tuple[tuple[str, str, Make], ...] = (
    ("method", "Method and definitions", method_terms_section),
    ("files", "Files for machines", method_files_section),
)


@dataclass(frozen=True)
class Section:
    """A numbered part of the document; `key` is its anchor."""

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes:
        title: of the page.
        opening: what stands before the sections.
        sections: in their order.
        kicker: what kind of report it is.
        has_pictures: whether the page may show pictures that it holds itself.
    """

    title: str
    opening: Opening
    sections: tuple[Section, ...]
    kicker: str = "Bias audit"
    has_pictures: bool = False

    def numbers(self) -> dict[str, tuple[int, str]]:
        """Returns the number and title of each section of the document by its key."""
        return {each.key: (i, each.title) for i, each in enumerate(self.sections, start=1)}


def make_document(results: Results) -> Document:
    """Returns the document of results; sections without content are left out."""
    kept = [section for section in _document_sections(results, _FINDINGS) if section.blocks]
    tail = _document_sections(results, _METHOD)
    present = {section.key for section in (*kept, *tail)}
    blocks = tuple(frameworks_section(present))
    frameworks = Section("frameworks", "What this report answers", blocks)
    sections = (*kept, frameworks, *tail)
    return Document(_document_title(results), make_opening(results), sections)


def _document_sections(results: Results, listed: Iterable[tuple[str, str, Make]]) -> list[Section]:
    titles = {"flagged": f"Who is {done_to(results.header.harm)}"}
    return [Section(key, titles.get(key, name), tuple(make(results))) for key, name, make in listed]


def _document_title(results: Results) -> str:
    *names, last = policy_names(results)
    if results.header.is_of_many:
        names, last = [], f"{len(names) + 1:,} {results.header.nouns}"
    joined = f"{', '.join(names)} and {last}" if names else last
    verb = {"run": "Audit of", "compare": "Comparison of", "ablate": "Label ablation of"}
    return f"{verb[results.kind]} {joined} on {results.header.dataset.name}"

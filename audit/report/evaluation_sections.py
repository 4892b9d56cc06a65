"""The sections of an evaluation's page: figures, comparisons, curves, confusions, pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from audit.evaluation import Evaluation
from audit.evaluation.figures import DecisionFigures, MeasuredFigure, TargetFigures
from audit.evaluation.paired import PairedDifference
from audit.evaluation.sentences import metric_words
from audit.evaluation.targets import FLAGGED
from audit.evaluation.wrong_pictures import DoneInstead, WrongPicture
from audit.report.blocks import (
    Block,
    Figure,
    Figures,
    Fold,
    Heading,
    Points,
    Terms,
    Thumbnail,
    Thumbnails,
    paragraph,
    table,
)
from audit.report.cells import Cell, claim_cell, head, marked_line, number, stacked, words
from audit.report.grouping import grouped
from audit.report.inline import Line, Name, Tag
from audit.report.plots.score_curves import precision_recall_plot, roc_plot, threshold_plot
from audit.report.shown_numbers import count, count_of, decimal, p_value, points_line, rate_line

#: Wrong pictures of a target and a system that the page lists.
LISTED = 60

_KINDS = {"action": "What is done", "category": "Categories", "label": "Labels"}

#: What the page calls each figure of a decision.
_DECIDED = (
    ("Precision", "precision"),
    ("Recall", "recall"),
    ("F1", "f1"),
    ("False-flag rate", "false_flag_rate"),
)


def figures_section(evaluation: Evaluation) -> Iterator[Block]:
    """Yields the figures of each action, category and label."""
    yield paragraph(
        "Brackets hold the range in which the true figure probably lies (95 %). Data are "
        "insufficient for a figure where no picture shows the label, or where nothing was said."
    )
    for kind, title in _KINDS.items():
        own = [of for of in evaluation.figures if of.kind == kind]
        if not own:
            continue
        yield Heading(title)
        columns = ("", "System", "Shown by", *(name for name, _ in _DECIDED))
        by_name = grouped(own, lambda of: of.name)
        own = [of for each in by_name.values() for of in each]  # systems beside each other
        rows = [_decision_cells(of, decision) for of in own for decision in of.decisions]
        yield table(f"{title}: at the threshold", columns, rows)
        ranked = ("", "System", "Shown by", "Average precision", "ROC area")
        yield table(f"{title}: by score", ranked, map(_ranked_cells, own))


def _decision_cells(of: TargetFigures, decision: DecisionFigures) -> list[Cell]:
    more = ("for review",) if decision.point == "review_threshold" else ()
    at = () if decision.threshold is None else (f"from {decision.threshold:g}",)
    figures = (_figure_cell(getattr(decision, key)) for _, key in _DECIDED)
    return [head(of.name, *more, *at), words(Name(of.system)), _shown_by(of), *figures]


def _ranked_cells(of: TargetFigures) -> list[Cell]:
    figures = (_figure_cell(of.average_precision), _figure_cell(of.roc_area))
    return [head(of.name), words(Name(of.system)), _shown_by(of), *figures]


def _shown_by(of: TargetFigures) -> Cell:
    unknown: Line = (count(of.unknown), " unknown") if of.unknown else ()
    return stacked(count_of(of.positives, of.positives + of.negatives), unknown)


def _figure_cell(figure: MeasuredFigure) -> Cell:
    if figure.value is None:
        return number("insufficient data", tone="few")
    line = rate_line(figure.value, figure.low, figure.high)
    return stacked(line, marked_line(("of ", count(figure.n)), figure.support))


def paired_section(evaluation: Evaluation) -> Iterator[Block]:
    """Yields how each system differs from the first, on the same pictures."""
    if not evaluation.paired:
        return
    yield paragraph(
        "Each system against the first, on the pictures whose truth is the same to both; in "
        "points. Recall and false flags are tested by McNemar's exact test, ROC areas by "
        "DeLong's, and all "
        "tests together are corrected by Holm. The other figures have intervals of a paired "
        "bootstrap, and nothing is claimed of them."
    )
    columns = ("", "Figure", "Difference", "Pictures", "p", "")
    for system, rows in grouped(evaluation.paired, lambda row: row.system).items():
        caption = f"{system} against {rows[0].reference}"
        defined = [row for row in rows if row.difference is not None]
        yield table(caption, columns, map(_paired_cells, defined))


def _paired_cells(row: PairedDifference) -> list[Cell]:
    tested = row.p_adjusted is not None
    return [
        head(row.name, row.kind),
        words(metric_words(row.metric)),
        number(*points_line(row.difference, row.low, row.high)),
        number(count(row.n)),
        number(p_value(row.p_adjusted)) if tested else number("not tested"),
        claim_cell(row.claim, row.support) if tested else words(),
    ]


def curves_section(evaluation: Evaluation) -> Iterator[Block]:
    """Yields the curves of each target that some pictures show and some do not."""
    drawn = [of for of in evaluation.figures if of.positives and of.negatives]
    if not drawn:
        return
    yield paragraph(
        "A mark is where the system decides, a dashed line its threshold. Curves go through up "
        "to 200 of the scores that occur."
    )
    by_target = grouped(drawn, lambda of: (of.kind, of.name))
    for place, ((kind, name), rows) in enumerate(by_target.items()):
        yield Heading(f"{name} ({kind})")
        yield Figures(tuple(_curve_figures(rows, f"curve-{place}", name)))


def _curve_figures(rows: Sequence[TargetFigures], key: str, name: str) -> Iterator[Figure]:
    title = f"Precision and recall of {name}"
    yield Figure(precision_recall_plot(rows, key=f"{key}-pr", title=title), f"{title}.")
    title = f"Recall and false flags of {name}"
    yield Figure(roc_plot(rows, key=f"{key}-roc", title=title), f"{title}.")
    for place, of in enumerate(rows):
        title = f"Thresholds of {name}, {of.system}"
        yield Figure(threshold_plot(of, key=f"{key}-at-{place}", title=title), f"{title}.")


def confusion_sections(evaluation: Evaluation) -> Iterator[Block]:
    """Yields what was done to pictures, by what should be done, and what they were flagged as."""
    for system, rows in grouped(evaluation.done_instead, lambda row: row.system).items():
        yield _done_table(system, rows)
    for system, taken in grouped(evaluation.taken_for, lambda row: row.system).items():
        cells = [
            [
                head(row.name),
                words(row.label, *((" ", Tag("wrong", "few")) if row.wrong else ())),
                number(*count_of(row.count, row.n)),
                number(count(row.wrong)),
            ]
            for row in taken
        ]
        columns = ("Called", "Flagged as", "Pictures", "Wrong")
        yield table(f"What pictures of each name were flagged as, {system}", columns, cells)


def _done_table(system: str, rows: Sequence[DoneInstead]) -> Block:
    by_should = grouped(rows, lambda row: row.should)
    cells = [
        [head(should), *(number(count(row.count)) for row in own)]
        for should, own in by_should.items()
    ]
    return table(f"What was done, {system}", ("Should be", "Allow", "Review", "Block"), cells)


def listed_pictures(evaluation: Evaluation) -> list[list[WrongPicture]]:
    """Returns the wrong pictures that the page lists: those of labels, and those flagged or not.

    A category's are those of its labels.
    """
    listed = [row for row in evaluation.wrong if row.kind == "label" or row.name == FLAGGED]
    return list(grouped(listed, lambda row: (row.system, row.name, row.error)).values())


def wrong_section(evaluation: Evaluation, thumbnails: Mapping[str, str]) -> Iterator[Block]:
    """Yields the pictures that each system is wrong about, those that are furthest off first."""
    if not evaluation.wrong:
        yield paragraph("No picture is wrong.")
    columns = ("Picture", "Called", "Flagged by", "Looks most like", "Score")
    for rows in listed_pictures(evaluation):
        first, shown = rows[0], rows[:LISTED]
        said = "missed" if first.error == "missed" else "said falsely"
        more = f"; the first {len(shown)}, the JSON has all" if len(rows) > len(shown) else ""
        title = f"{first.name} ({first.kind}) {said}, {first.system}: {len(rows):,}{more}"
        small = tuple(
            Thumbnail(thumbnails[row.image], row.image) for row in shown if row.image in thumbnails
        )
        pictures = (Thumbnails(small),) if small else ()
        yield Fold(title, (table(title, columns, map(_wrong_cells, shown)), *pictures))


def _wrong_cells(row: WrongPicture) -> list[Cell]:
    return [
        head(Name(row.image)),
        words(", ".join(row.given)),
        words(", ".join(row.flagged_by) or "(none)"),
        words(row.nearest or ""),
        number(decimal(row.score)),
    ]


def making_section(evaluation: Evaluation) -> Iterator[Block]:
    """Yields what was evaluated, on which pictures, and what its figures are."""
    yield Terms(
        tuple((each.name, _about(each.about, each.unclaimed)) for each in evaluation.systems)
    )
    names = [[head(each.name), number(count(each.n))] for each in evaluation.names]
    yield table("What the pictures are called", ("Name", "Pictures"), names)
    if evaluation.notes:
        yield Points(tuple((text,) for text in evaluation.notes))
    yield Terms(tuple((name, ((text,),)) for name, text in _DEFINITIONS))


def _about(about: str, unclaimed: Sequence[str]) -> tuple[Line, ...]:
    unknown: tuple[Line, ...] = ()
    if unclaimed:
        unknown = ((f"Does not know, so left out here: {', '.join(unclaimed)}",),)
    return ((about,), *unknown)


_DEFINITIONS = (
    ("Precision", "Of the pictures that it is said of, the share that show it."),
    ("Recall", "Of the pictures that show it, the share that it is said of."),
    ("F1", "The harmonic mean of precision and recall."),
    ("False-flag rate", "Of the pictures that do not show it, the share that it is said of."),
    ("Average precision", "The mean precision at the pictures that show it, by falling score."),
    ("ROC area", "How often a picture that shows it scores higher than one that does not."),
    (
        "flagged, blocked",
        "Whether review or block, or block alone, is what should be done and is done. Its score is "
        "how far the nearest label is above its threshold, in logits.",
    ),
    (
        "Unknown",
        "Pictures with a name that the system does not know, with the name of a category of "
        "several labels, or of other labels only where nobody looked for this one.",
    ),
)

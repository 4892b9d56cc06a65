"""An evaluation -> its page, and the files in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from audit.evaluation import Evaluation
from audit.report.document import Document, Section
from audit.report.evaluation_sections import (
    LISTED,
    confusion_sections,
    curves_section,
    figures_section,
    listed_pictures,
    making_section,
    paired_section,
    wrong_section,
)
from audit.report.html import html
from audit.report.inline import quoted_line
from audit.report.opening import Opening, OpeningPart
from moderation.whole_file import whole_file

#: The files of an evaluation.
PAGE, JSON = "evaluation.html", "evaluation.json"


def evaluation_document(evaluation: Evaluation, thumbnails: Mapping[str, str]) -> Document:
    """Returns the document of an evaluation; sections without content are left out."""
    listed = (
        ("figures", "How well each is found", figures_section(evaluation)),
        ("paired", "Side by side", paired_section(evaluation)),
        ("curves", "What other thresholds would do", curves_section(evaluation)),
        ("confusions", "What was done instead", confusion_sections(evaluation)),
        ("wrong", "Pictures that are wrong", wrong_section(evaluation, thumbnails)),
        ("making", "How this was made", making_section(evaluation)),
    )
    sections = (Section(key, title, tuple(blocks)) for key, title, blocks in listed)
    names = ", ".join(system.name for system in evaluation.systems)
    first, *others = evaluation.finding or ("No picture tells what should be flagged.",)
    said = (("Findings", others), ("Careful", evaluation.cautions))
    parts = (OpeningPart(t, tuple(map(quoted_line, texts))) for t, texts in said if texts)
    return Document(
        f"Evaluation of {names} on {evaluation.source}",
        Opening(quoted_line(first), (), tuple(parts)),
        tuple(section for section in sections if section.blocks),
        kicker="Evaluation",
        has_pictures=bool(thumbnails),
    )


def shown_pictures(evaluation: Evaluation) -> set[str]:
    """Returns the ids of the pictures that the page lists."""
    return {row.image for rows in listed_pictures(evaluation) for row in rows[:LISTED]}


def write_evaluation(
    evaluation: Evaluation, folder: Path, thumbnails: Mapping[str, str]
) -> list[Path]:
    """Writes the page and the JSON of an evaluation, and returns the files.

    Args:
        evaluation: what both are written from.
        folder: made if missing; files of the same names are replaced.
        thumbnails: by the id of a picture, a data URI; empty shows no picture.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    texts = {PAGE: html(evaluation_document(evaluation, thumbnails)), JSON: evaluation.to_json()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with whole_file(folder / name) as file:
            file.write(text.encode(errors="backslashreplace"))
    return [folder / name for name in texts]

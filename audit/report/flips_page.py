"""The pictures that get another action under another policy, as one self-contained page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from audit.flips.flips import MILDEST_FIRST, EstimatedShare, Flip, Flips, GroupFlips, LabelChange
from audit.report.blocks import (
    Block,
    Fold,
    Points,
    Thumbnail,
    Thumbnails,
    paragraph,
    table,
)
from audit.report.cells import Cell, head, number, stacked, words
from audit.report.document import Document, Section
from audit.report.grouping import grouped
from audit.report.html import html
from audit.report.inline import Name, quoted_line
from audit.report.opening import Opening
from audit.report.shown_numbers import count, points_line, rate_line
from moderation.whole_file import whole_file

#: Flips from one action to another that the page lists.
LISTED = 300

_ACTIONS = tuple(action.capitalize() for action in MILDEST_FIRST)


class FlipsPage(NamedTuple):
    """What a page of flips is made of.

    Attributes:
        title: what is compared.
        finding: how many pictures get another action, as a sentence.
        words: what differs between the policies, as sentences.
        flips: all pictures under both.
        thumbnails: by the name of a picture, a data URI; empty shows no picture.
    """

    title: str
    finding: str
    words: Sequence[str]
    flips: Flips
    thumbnails: Mapping[str, str]


def flips_document(page: FlipsPage) -> Document:
    """Returns the document of flips; sections without content are left out."""
    listed = (
        ("words", "What differs in words", _words_section(page)),
        ("matrix", "How many get another action", _matrix_section(page.flips)),
        ("groups", "Whose pictures they are", _groups_section(page.flips)),
        ("labels", "Which labels ask for something else", _labels_section(page.flips)),
        ("pictures", "Pictures that get another action", _pictures_section(page)),
        ("making", "What must be known of this", _notes_section(page.flips)),
    )
    sections = (Section(key, title, tuple(blocks)) for key, title, blocks in listed)
    return Document(
        page.title,
        Opening(quoted_line(page.finding), (), ()),
        tuple(section for section in sections if section.blocks),
        kicker="Policy diff",
        has_pictures=bool(page.thumbnails),
    )


def write_flips_page(page: FlipsPage, path: Path) -> None:
    """Writes the page of flips; a file of that name is replaced, and its folder made.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(html(flips_document(page)).encode(errors="backslashreplace"))


def listed_flips(flips: Flips) -> dict[tuple[str, str], list[Flip]]:
    """Returns the flips from each action to each other, the greatest step to the stricter first."""
    step: dict[str, int] = {action: place for place, action in enumerate(MILDEST_FIRST)}
    by_step = grouped(flips.flips, lambda flip: (flip.before, flip.after))
    return dict(sorted(by_step.items(), key=lambda each: step[each[0][0]] - step[each[0][1]]))


def shown_flips(flips: Flips) -> set[str]:
    """Returns the names of the pictures that the page lists."""
    return {flip.image for own in listed_flips(flips).values() for flip in own[:LISTED]}


def _words_section(page: FlipsPage) -> Iterator[Block]:
    yield Points(tuple(quoted_line(text) for text in page.words))


def _matrix_section(flips: Flips) -> Iterator[Block]:
    rows = zip(_ACTIONS, flips.matrix.tolist(), strict=True)
    cells = [[head(before), *(number(count(each)) for each in row)] for before, row in rows]
    yield table("Action before (rows) and after (columns)", ("Before", *_ACTIONS), cells)


def _groups_section(flips: Flips) -> Iterator[Block]:
    if not flips.by_group:
        return
    yield paragraph(
        "Groups of which a picture gets another action, the worst first: the largest rise of the "
        "share that is flagged, which is sent to review or blocked. Brackets hold the range in "
        "which the true figure probably lies (95 %), each group by itself; the change is paired, "
        "as both policies see the same pictures."
    )
    columns = ("Group", "Pictures", "Stricter", "Milder", "Flagged before", "After", "Change")
    yield table("Flips by group", columns, map(_group_cells, flips.by_group))


def _group_cells(group: GroupFlips) -> list[Cell]:
    return [
        head(f"{group.feature}: {group.group}", *((group.caution,) if group.caution else ())),
        number(count(group.n)),
        number(count(group.stricter)),
        number(count(group.milder)),
        _rate_cell(group.before),
        _rate_cell(group.after),
        _change_cell(group.change),
    ]


def _rate_cell(share: EstimatedShare) -> Cell:
    if math.isnan(share.value):
        return number("insufficient data", tone="few")
    return stacked(rate_line(share.value, share.low, share.high))


def _change_cell(change: EstimatedShare) -> Cell:
    if math.isnan(change.value):
        return number("insufficient data", tone="few")
    return number(*points_line(change.value, change.low, change.high))


def _labels_section(flips: Flips) -> Iterator[Block]:
    by_label = flips.by_label
    if not by_label:
        return
    cells = []
    for label, own in by_label.items():
        stricter = sum(flip.is_stricter for flip in own)
        counts = (len(own), stricter, len(own) - stricter)
        cells.append([head(Name(label)), *(number(count(each)) for each in counts)])
    columns = ("Label", "Flipped pictures", "Stricter", "Milder")
    yield table("Labels that ask for something else of a flipped picture", columns, cells)


def _pictures_section(page: FlipsPage) -> Iterator[Block]:
    for (before, after), own in listed_flips(page.flips).items():
        shown = own[:LISTED]
        more = f"; the first {len(shown)}, --format json has all" if len(own) > len(shown) else ""
        title = f"{before} → {after}: {len(own):,}{more}"
        small = tuple(
            Thumbnail(page.thumbnails[flip.image], flip.image)
            for flip in shown
            if flip.image in page.thumbnails
        )
        pictures = (Thumbnails(small),) if small else ()
        columns = ("Picture", "Label", "Score before", "After", "Prompt that is nearest")
        rows = (cells for flip in shown for cells in _flip_rows(flip))
        yield Fold(title, (table(title, columns, rows), *pictures))


def _flip_rows(flip: Flip) -> Iterator[list[Cell]]:
    """Yields a row for each label that asks for something else; one where none does."""
    for place, change in enumerate(flip.labels or (None,)):
        name = head(Name(flip.image)) if place == 0 else words()
        if change is None:
            yield [name, words(), words(), words(), words()]
        else:
            yield [name, *_change_cells(change)]


def _change_cells(change: LabelChange) -> list[Cell]:
    scores = [(change.score_before, change.before), (change.score_after, change.after)]
    return [
        words(Name(change.label)),
        *(
            number("(absent)") if score is None else number(f"{score:.3f}, {asks or 'nothing'}")
            for score, asks in scores
        ),
        words(change.prompt or ""),
    ]


def _notes_section(flips: Flips) -> Iterator[Block]:
    left_out = (f"Left out: {name}: {reason}" for name, reason in flips.left_out[:LISTED])
    if texts := (*flips.notes, *left_out):
        yield Points(tuple(quoted_line(text) for text in texts))

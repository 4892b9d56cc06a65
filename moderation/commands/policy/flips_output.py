"""What an edit changes on pictures, as it is printed; see `diff_output` for the words of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from audit.plurals import agreeing, counted
from audit.results.formatting import escaped, percent, signed_points
from moderation.commands.output import note, print_table, say
from moderation.commands.policy.diff_output import folded, markdown_table
from moderation.visible_text import shown_name

if TYPE_CHECKING:
    from audit.flips.flips import EstimatedShare, Flip, Flips, GroupFlips, LabelChange

_MATRIX = ("before \\ after", "allow", "review", "block")
_LABELS = ("label", "flipped pictures", "stricter", "milder")
_GROUPS = ("group", "pictures", "stricter", "milder", "flagged before", "after", "change")
_FLIPS = ("picture", "before", "after", "by")
#: Flips that people read on a terminal, groups that a pull request shows unfolded, and flips in it.
_PRINTED, _WORST, _MARKED = 40, 5, 200


def print_flips(flips: Flips) -> None:
    """Prints the matrix, the flips by label and group, and the flipped pictures themselves."""
    say()
    say(flips_sentence(flips))
    print_table(_MATRIX, matrix_rows(flips))
    if flips.flips:
        say()
        print_table(_LABELS, label_rows(flips))
    if flips.by_group:
        say()
        print_table(_GROUPS, map(group_row, flips.by_group))
    if flips.flips:
        say()
        print_table(_FLIPS, map(flip_row, flips.flips[:_PRINTED]))
        if (more := len(flips.flips) - _PRINTED) > 0:
            note(f"{more} more; --format json has all of them")
    print_flip_notes(flips)


def print_flip_notes(flips: Flips) -> None:
    """Prints what must be known of flips, and what was left out, on standard error."""
    for text in flips.notes:
        note(text)
    for name, reason in flips.left_out[:_PRINTED]:
        note(f"Left out: {shown_name(name)}: {reason}")
    if (more := len(flips.left_out) - _PRINTED) > 0:
        note(f"{more} more are left out; --format json has all of them")


def markdown_flips(flips: Flips) -> Iterator[str]:
    """Yields the lines of flips for a pull request: the details are folded away."""
    yield from ("", f"**{escaped(flips_sentence(flips))}**", "")
    yield from markdown_table(_MATRIX, matrix_rows(flips))
    if flips.by_group:
        rows = [group_row(group) for group in flips.by_group]
        yield from ("", "Groups, the worst first:", "")
        yield from markdown_table(_GROUPS, rows[:_WORST])
        if len(rows) > _WORST:
            yield ""
            others = list(markdown_table(_GROUPS, rows[_WORST:]))
            yield from folded(others, counted(len(rows) - _WORST, "more group"))
    if flips.flips:
        yield ""
        yield from folded(list(markdown_table(_LABELS, label_rows(flips))), "Flips by label")
        shown = flips.flips[:_MARKED]
        told = f"The first {_MARKED} of " if len(shown) < len(flips.flips) else ""
        summary = f"{told}{counted(len(flips.flips), 'flipped picture')}"
        yield ""
        yield from folded(list(markdown_table(_FLIPS, map(flip_row, shown))), summary)
    left_out = [f"Left out: {name}: {reason}" for name, reason in flips.left_out]
    said = [*flips.notes, *left_out[:_PRINTED]]
    if (more := len(left_out) - _PRINTED) > 0:
        said.append(f"{more} more are left out; --format json has all of them")
    if said:
        yield ""
        yield from folded([f"- {escaped(text)}" for text in said], counted(len(said), "note"))


def flips_json(flips: Flips) -> dict[str, Any]:
    """Returns flips as plain data."""
    return {
        "n": flips.n,
        "matrix": {
            before: dict(zip(_MATRIX[1:], map(int, row), strict=True))
            for before, row in zip(_MATRIX[1:], flips.matrix, strict=True)
        },
        "flips": [
            {**flip._asdict(), "labels": [label._asdict() for label in flip.labels]}
            for flip in flips.flips
        ],
        "by_label": {
            label: [flip.image for flip in flipped] for label, flipped in flips.by_label.items()
        },
        "by_group": [_group_json(group) for group in flips.by_group],
        "notes": list(flips.notes),
        "left_out": [{"image": name, "reason": reason} for name, reason in flips.left_out],
    }


def flips_sentence(flips: Flips) -> str:
    """Returns how many pictures get another action."""
    if not flips.flips:
        return f"No action changes, of {counted(flips.n, 'picture')}."
    flipped, stricter = len(flips.flips), sum(flip.is_stricter for flip in flips.flips)
    return (
        f"{flipped} of {counted(flips.n, 'picture')} {agreeing(flipped, 'gets', 'get')} another "
        f"action: {stricter} a stricter one, {flipped - stricter} a milder one."
    )


def matrix_rows(flips: Flips) -> list[tuple[str, ...]]:
    """Returns the rows of the matrix: how many get each action before, and after."""
    rows = zip(_MATRIX[1:], flips.matrix.tolist(), strict=True)
    return [(before, *map(str, after)) for before, after in rows]


def label_rows(flips: Flips) -> list[tuple[str, ...]]:
    """Returns a row for each label that asks for something else of a flipped picture."""
    return [
        (
            label,
            str(len(flipped)),
            str(sum(flip.is_stricter for flip in flipped)),
            str(sum(not flip.is_stricter for flip in flipped)),
        )
        for label, flipped in flips.by_label.items()
    ]


def group_row(group: GroupFlips) -> tuple[str, ...]:
    """Returns the row of a group."""
    value = _defined(group.change.value)
    change = "undefined" if value is None else f"{signed_points(value)}{_bounds(group.change)}"
    return (
        f"{group.feature}: {group.group}",
        str(group.n),
        str(group.stricter),
        str(group.milder),
        percent(_defined(group.before.value)),
        percent(_defined(group.after.value)),
        f"{change}{f'; {group.caution}' if group.caution else ''}",
    )


def flip_row(flip: Flip) -> tuple[str, ...]:
    """Returns the row of a flipped picture."""
    by = "; ".join(map(_shown_change, flip.labels))
    return shown_name(flip.image), flip.before, flip.after, by


def _shown_change(change: LabelChange) -> str:
    scores = [_shown_score(score) for score in (change.score_before, change.score_after)]
    prompt = f" {change.prompt!r}" if change.prompt else ""
    return f"{change.label} {' -> '.join(scores)}{prompt}"


def _shown_score(score: float | None) -> str:
    return "(absent)" if score is None else f"{score:.3f}"


def _bounds(share: EstimatedShare) -> str:
    ends = [_defined(share.low), _defined(share.high)]
    shown: Iterable[str] = (signed_points(end) for end in ends)
    return "" if None in ends else f" points [{', '.join(shown)}]"


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _group_json(group: GroupFlips) -> dict[str, Any]:
    shares = {
        name: {bound: _defined(value) for bound, value in getattr(group, name)._asdict().items()}
        for name in ("before", "after", "change")
    }
    return {**group._asdict(), **shares}

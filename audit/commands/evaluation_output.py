"""What an evaluation prints for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from audit.commands.output import writable_output
from audit.errors import AuditError
from moderation.commands.output import note, print_table, say, working

if TYPE_CHECKING:
    from audit.datasets.dataset import Dataset
    from audit.evaluation import Evaluation
    from audit.evaluation.figures import MeasuredFigure, TargetFigures

#: Wrong pictures of each label that are printed.
_PRINTED = 5

_DECIDED = ("", "pictures", "precision", "recall", "F1", "false flags")
_RANKED = ("", "pictures", "average precision", "ROC area")
_DONE = ("should be", "allow", "review", "block")
_TAKEN = ("called", "flagged as", "pictures", "wrong")

#: A share below this has a decimal when it is printed.
_SMALL = 0.1


def write_evaluation_files(evaluation: Evaluation, out: Path, shown: Dataset | None) -> None:
    """Writes the page and the JSON of an evaluation into a folder.

    Args:
        evaluation: what is written.
        out: the folder.
        shown: where the wrong pictures are that the page shows; None shows none.
    """
    from audit.evaluation.thumbnails import picture_thumbnails
    from audit.report.evaluation_page import PAGE, shown_pictures, write_evaluation

    with working("Writing the page ..."):
        try:
            ids = shown_pictures(evaluation)
            pictures = {} if shown is None else picture_thumbnails(shown, ids)
        except OSError as error:
            what = f"a wrong picture cannot be shown: {error}"
            raise AuditError(what, evaluation.source, "Leave out --thumbnails") from error
        with writable_output(out):
            written = write_evaluation(evaluation, out, pictures)
    note(f"{len(written)} files in {out}; open {out / PAGE}")


def print_evaluation(evaluation: Evaluation) -> None:
    """Prints each system's figures, its confusions, and the pictures that are wrong."""
    for text in evaluation.cautions:
        note(f"Careful: {text}")
    for text in evaluation.finding:
        say(text)
    say()
    for system in evaluation.systems:
        say(f"{system.name}: {system.about}" if system.about else system.name)
        if system.unclaimed:
            note(f"{system.name} does not know: {', '.join(system.unclaimed)}")
        own = [each for each in evaluation.figures if each.system == system.name]
        print_table(_DECIDED, [row for each in own for row in _decided_rows(each)])
        say()
        print_table(_RANKED, [_ranked_row(each) for each in own])
        say()
        _print_confusions(evaluation, system.name)
        _print_wrong(evaluation, system.name)
    say(
        "Percent. Pictures: those that show it, of those of which it is known. Brackets hold the "
        "range in which the true figure probably lies (95 %)."
    )


def _printed_counts(of: TargetFigures) -> str:
    return f"{of.positives}/{of.positives + of.negatives}"


def _decided_rows(of: TargetFigures) -> Iterator[tuple[str, ...]]:
    """Yields a line to print for each threshold of a target."""
    for place, decision in enumerate(of.decisions):
        yield (
            of.name if place == 0 else f"{of.name}, review",
            _printed_counts(of),
            _printed_figure(decision.precision),
            _printed_figure(decision.recall),
            _printed_figure(decision.f1),
            _printed_figure(decision.false_flag_rate),
        )


def _ranked_row(of: TargetFigures) -> tuple[str, ...]:
    ranked = _printed_figure(of.average_precision)
    return of.name, _printed_counts(of), ranked, _printed_figure(of.roc_area)


def _printed_figure(figure: MeasuredFigure) -> str:
    """Returns a figure to print with its interval, in percent."""
    if figure.value is None or figure.low is None or figure.high is None:
        return "no data"
    shown = f"{100 * figure.value:.{1 if figure.value < _SMALL else 0}f}"
    return f"{shown} [{100 * figure.low:.0f}, {100 * figure.high:.0f}]"


def _print_confusions(evaluation: Evaluation, system: str) -> None:
    """Prints what was done to pictures, and what those of each name were flagged as."""
    done: dict[str, list[str]] = {}
    for row in evaluation.done_instead:
        if row.system == system:
            done.setdefault(row.should, []).append(str(row.count))
    print_table(_DONE, [(should, *counts) for should, counts in done.items()])
    say()
    taken = [row for row in evaluation.taken_for if row.system == system]
    print_table(
        _TAKEN,
        [(row.name, row.label, f"{row.count}/{row.n}", str(row.wrong)) for row in taken],
    )
    say()


def _print_wrong(evaluation: Evaluation, system: str) -> None:
    """Prints the pictures that are furthest off, under what should be done."""
    own = [row for row in evaluation.wrong if row.system == system and row.kind == "label"]
    by_error: dict[tuple[str, str], list[str]] = {}
    for row in own:
        by_error.setdefault((row.name, row.error), []).append(f"{row.image} ({row.score:.3f})")
    for (name, error), pictures in by_error.items():
        what = "missed" if error == "missed" else "said falsely"
        more = len(pictures) - _PRINTED
        end = f" and {more} more" if more > 0 else ""
        say(f"{name} {what}, {len(pictures)}: {', '.join(pictures[:_PRINTED])}{end}")
    if own:
        say()

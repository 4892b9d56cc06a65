"""What an evaluation says in words; each sentence is made of the figures that it tells of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.evaluation.figures import MeasuredFigure, TargetFigures
from audit.evaluation.paired import PairedDifference
from audit.evaluation.targets import FLAGGED
from audit.plurals import agreeing, counted

#: Differences that are told in words; the tables have all.
_SAID = 6

_METRICS = {
    "recall": "recall",
    "false_flag_rate": "false-flag rate",
    "roc_area": "ROC area",
    "precision": "precision",
    "f1": "F1",
    "average_precision": "average precision",
}


def metric_words(metric: str) -> str:
    """Returns what a figure is called in a sentence."""
    return _METRICS[metric]


def finding_sentences(figures: Sequence[TargetFigures]) -> Iterator[str]:
    """Yields how much each system finds of what should be flagged, and what it flags falsely."""
    for of in figures:
        if of.kind != "action" or of.name != FLAGGED:
            continue
        own = of.decisions[0]
        parts = []
        if of.positives:
            hits = f"{own.true_positives:,} of {counted(of.positives, 'picture')}"
            parts.append(f"flags {hits} that should be flagged ({_percent(own.recall)})")
        if of.negatives:
            false = f"{own.false_positives:,} of {counted(of.negatives, 'picture')}"
            parts.append(f"flags {false} that should pass ({_percent(own.false_flag_rate)})")
        yield f"{of.system} {' and '.join(parts) or 'is judged by no picture'}."


def paired_sentences(paired: Sequence[PairedDifference]) -> Iterator[str]:
    """Yields the differences that stand after correction, or that none of those tested does.

    Those of what is done come first, and then the largest; of many the others are counted.
    """
    claimed = [row for row in paired if row.claim and row.difference is not None]
    claimed.sort(key=lambda row: (row.kind != "action", -abs(row.difference or 0)))
    yield from map(_claim_sentence, claimed[:_SAID])
    if more := claimed[_SAID:]:
        agrees = agreeing(len(more), "stands", "stand")
        yield f"{counted(len(more), 'more difference')} {agrees} after correction."
    if paired and not claimed:
        tests = sum(row.p_adjusted is not None for row in paired)
        yield (
            f"No difference stands after correction: {counted(tests, 'test')} on 30 pictures or "
            "more."
        )


def _claim_sentence(row: PairedDifference) -> str:
    difference = row.difference or 0.0
    way = "higher" if difference > 0 else "lower"
    reach = f"[{_signed(row.low)}, {_signed(row.high)}]"
    return (
        f"The {metric_words(row.metric)} on {row.name} ({row.kind}) of {row.system} is "
        f"{abs(100 * difference):.1f} points {way} than that of {row.reference}: "
        f"{_signed(difference)} {reach}, n = {row.n:,}."
    )


def _percent(figure: MeasuredFigure) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return "no data"
    low, high = f"{100 * figure.low:.1f}", f"{100 * figure.high:.1f}"
    return f"{100 * figure.value:.1f} % [{low}, {high}]"


def _signed(value: float | None) -> str:
    return "undefined" if value is None else f"{100 * value:+.1f}".replace("-", "−")

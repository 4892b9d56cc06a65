"""An explanation -> what is printed of it for people: figures, with bars beside the cosines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from moderation.commands.output import COLOURS, print_table, say
from moderation.messages import Verdict
from moderation.scoring.distance import Distance
from moderation.scoring.explanation import ExplainedLabel, ExplainedText, Explanation
from moderation.scoring.left_out import Without
from moderation.visible_text import shown_name

#: How many labels and how many texts of a label are shown, if nobody asks for others.
_LABELS, _TEXTS = 3, 10
_BAR = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"


class _Bars(NamedTuple):
    """Draws cosines between the least and the greatest of a policy's texts."""

    low: float
    high: float

    @classmethod
    def of(cls, explanation: Explanation) -> _Bars:
        texts = [
            text for label in explanation.labels for text in (*label.prompts, *label.negatives)
        ]
        cosines = [part.cosine for text in texts for part in text.templates] or [0.0]
        return cls(min(cosines), max(cosines))

    def bar(self, cosine: float) -> str:
        share = (cosine - self.low) / (self.high - self.low) if self.high > self.low else 1.0
        full, eighths = divmod(round(8 * _BAR * min(max(share, 0.0), 1.0)), 8)
        if Console().options.ascii_only:
            return "#" * full
        return "█" * full + (_EIGHTHS[eighths] if eighths else "")


def print_explanation(image: Path, explanation: Explanation, asked: Sequence[str]) -> None:
    """Prints why an image was decided so.

    Args:
        image: its path.
        explanation: of the decision.
        asked: the labels to show; where it is empty, those that fired and the nearest context.
    """
    verdict, bars = explanation.verdict, _Bars.of(explanation)
    say(f"{shown_name(str(image))}: {_decided(explanation)}")
    for line in _circumstances(verdict):
        say(line)
    fired = _fired_labels(explanation)
    if not asked and not fired:
        say("\nNo label fired. The nearest to its threshold:")
    shown = [explanation.label(name) for name in asked] or fired[:_LABELS]
    for label in shown or [explanation.nearest_to_fire]:
        _print_label(label, verdict, bars)
    if not asked:
        if more := [label.label for label in fired[_LABELS:]]:
            say(f"\nAlso fired: {', '.join(more)}. --label ID shows one")
        if explanation.nearest_context:
            say("\nThe nearest context label:")
            _print_label(explanation.label(explanation.nearest_context), verdict, bars)
        _print_changes(explanation)
    say(f"\nBars show cosines from {bars.low:.3f} to {bars.high:.3f}, the range of all texts.\n")


def _decided(explanation: Explanation) -> str:
    """Returns the decision in words, with the label and the prompt that carried it."""
    verdict = explanation.verdict
    if explanation.decided_by is None:
        why = "for doubts about the file" if verdict.doubts else "no label asks for more"
        return f"{verdict.action}, {why}"
    label = explanation.label(explanation.decided_by)
    carried = f', most like "{label.prompts[0].text}"' if label.prompts else ""
    return f"{verdict.action}, by {label.label} {label.score:.3f}{carried}"


def _circumstances(verdict: Verdict) -> Iterator[str]:
    """Yields what else must be known of the decision."""
    if verdict.looks > 1:
        box = ", ".join(map(str, verdict.box or ()))
        where = f"frame {verdict.frame}, pixels {box}, on {verdict.background}"
        yield f"by one of {verdict.looks} looks: {where}"
    if verdict.doubts:
        yield f"doubts: {', '.join(verdict.doubts)}"


def _fired_labels(explanation: Explanation) -> list[ExplainedLabel]:
    """Returns the labels that fired, the most severe first, and of equals the highest score."""
    severity = ("allow", "review", "block")
    fired = [label for label in explanation.labels if label.outcome]
    return sorted(
        fired, key=lambda label: (-severity.index(label.outcome or "allow"), -label.score)
    )


def _print_label(label: ExplainedLabel, verdict: Verdict, bars: _Bars) -> None:
    by = f"by the classifier {label.classifier}" if label.classifier else ""
    by = by or f"cosine {label.similarity:.3f}"
    say(f"\n{label.label} ({label.action or 'context'}): score {label.score:.3f}, {by}")
    for distance in label.distances:
        say(f"  {_distance(distance)}")
    say(f"  without this label: {_without(label.without, verdict).plain}")
    for heading, texts in (("prompt", label.prompts), ("look-alike", label.negatives)):
        if texts:
            _print_texts(heading, texts, verdict, bars)
    if label.prompts and len(label.prompts[0].templates) > 1:
        rows = [
            (part.template, f"{part.cosine:.3f}", bars.bar(part.cosine))
            for part in sorted(label.prompts[0].templates, key=lambda part: -part.cosine)[:_TEXTS]
        ]
        print_table((f'template of "{label.prompts[0].text}"', "cosine", ""), rows)


def _print_texts(
    heading: str, texts: Sequence[ExplainedText], verdict: Verdict, bars: _Bars
) -> None:
    rows = [
        (
            text.text,
            f"{text.cosine:.3f}",
            bars.bar(text.cosine),
            _without(text.without, verdict),
        )
        for text in texts[:_TEXTS]
    ]
    print_table((heading, "cosine", "", "without it"), rows)
    if len(texts) > _TEXTS:
        say(f"and {len(texts) - _TEXTS} more: --format json has all")


def _distance(distance: Distance) -> str:
    """Returns in words how far a label is from a threshold."""
    word = "above" if distance.reached else "below"
    cosine = "" if distance.cosine is None else f"{abs(distance.cosine):.3f} {word} in cosine"
    if distance.score is None or distance.threshold is None:
        return f"{distance.asks} as the most similar label: {cosine}"
    score = f"{abs(distance.score):.3f} {word} in score"
    return f"{distance.asks} from {distance.threshold:g}: {score}{cosine and ', '}{cosine}"


def _without(without: Without, verdict: Verdict) -> Text:
    """Returns what would be decided without a text or label; in colour where that is another."""
    if without.action is None:
        return Text(f"no decision ({without.refused.split('. ')[0]})")
    changes = without.action != verdict.action
    words = without.action + " instead" * changes
    if without.decided_by is not None:
        words += f": {without.decided_by} {without.deciding_score:.3f}"
    elif without.score is not None:
        words += f", score {without.score:.3f}"
    return Text(words, COLOURS[without.action] if changes else "")


def _print_changes(explanation: Explanation) -> None:
    """Prints which texts change the decision when one of them alone is left out."""
    verdict = explanation.verdict
    rows = [
        (label.label, kind, text.text, _without(text.without, verdict))
        for label in explanation.labels
        for kind, texts in (("prompt", label.prompts), ("look-alike", label.negatives))
        for text in texts
        if text.without.action not in (None, verdict.action)
    ]
    if not rows:
        say("\nWithout any one prompt or look-alike the decision is the same.")
        return
    say("\nWithout one of these the decision is another:")
    print_table(("label", "", "text", "without it"), rows[:_TEXTS])
    if len(rows) > _TEXTS:
        say(f"and {len(rows) - _TEXTS} more: --format json has all")

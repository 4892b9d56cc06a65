"""What a report calls policies, metrics and groups, and which of them it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from audit.datasets.dataset import CROSS, OVERALL
from audit.metrics.rates import FLAG
from audit.results.results import Results
from moderation.visible_text import lines

_METRICS = {
    FLAG: "Share flagged",
    "false_positive_rate": "False positive rate",
    "true_positive_rate": "True positive rate",
    "misclassification_rate": "Misclassification rate",
}

T = TypeVar("T")
K = TypeVar("K")


def short(text: str, length: int = 24) -> str:
    """Returns a text on one line, cut to a length; the tables hold all of it."""
    text = " ".join(lines(text).split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def distinct(items: Iterable[T]) -> list[T]:
    """Returns each item once, in the order in which they come."""
    return list(dict.fromkeys(items))


def grouped(rows: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Returns the rows by key, in the order in which the keys come."""
    found: dict[K, list[T]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def policy_names(results: Results) -> list[str]:
    """Returns the names of the policies, in their order."""
    return [policy.name for policy in results.header.policies]


def letter(results: Results, name: str) -> str:
    """Returns A for the first policy of several; a single policy goes by its name."""
    names = policy_names(results)
    if len(names) < 2 or name not in names:
        return name
    place = names.index(name)
    return chr(ord("A") + place) if place < 26 else f"P{place + 1}"


def title(results: Results, name: str) -> str:
    """Returns what a heading calls a policy: A: name."""
    mark = letter(results, name)
    return name if mark == name else f"{mark}: {name}"


def metric_name(metric: str) -> str:
    """Returns a metric in words."""
    kind, _, name = metric.partition(":")
    return {
        "category": f"Flagged as {name}",
        "action": f"Action {name}",
        "fired": f"Fired by {name}",
        "label": f"Resembles {name} most",
    }.get(kind, _METRICS.get(metric, metric))


def page_metrics(results: Results, metrics: Iterable[str]) -> list[str]:
    """Returns the metrics that the page shows; the CSV files hold the rest.

    Where nothing should be flagged every flag is a false positive, so the two rates are one.
    """
    shown = [m for m in distinct(metrics) if m in _METRICS or m.startswith("category:")]
    if results.header.dataset.benign:
        shown = [metric for metric in shown if metric != "false_positive_rate"]
    return shown


def is_crossed(by: str) -> bool:
    """Returns whether groups are those of an intersection of sensitive features."""
    return CROSS in by


def singles(bys: Iterable[str]) -> list[str]:
    """Returns the sensitive features without their intersections, in their order."""
    return [by for by in distinct(bys) if by != OVERALL and not is_crossed(by)]


def joined(items: Sequence[str]) -> str:
    """Returns a list in words: a, b and c."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)

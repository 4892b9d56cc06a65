"""What a report calls policies, metrics and groups, and which metrics it shows."""

from __future__ import annotations

from collections.abc import Iterable

from audit.datasets.groups import OVERALL
from audit.metrics.rates import FLAG
from audit.results.results import Results

_METRICS = {
    FLAG: "Share flagged",
    "false_positive_rate": "False positive rate",
    "true_positive_rate": "True positive rate",
    "misclassification_rate": "Misclassification rate",
}


def policy_names(results: Results) -> list[str]:
    """Returns the names of the policies, in their order."""
    return [policy.name for policy in results.header.policies]


def policy_title(results: Results, name: str) -> str:
    """Returns what a heading calls a policy: A: name; a single policy goes by its name."""
    names = policy_names(results)
    if len(names) < 2 or name not in names:
        return name
    place = names.index(name)
    return f"{chr(ord('A') + place) if place < 26 else f'P{place + 1}'}: {name}"


def pair_title(results: Results, before: str, after: str) -> str:
    """Returns what a heading calls a pair of policies by their names."""
    return f"From {policy_title(results, before)} to {policy_title(results, after)}"


def group_name(by: str, group: str) -> str:
    """Returns the name of a group, or that it is all images."""
    return "All images" if by == OVERALL else group


def metric_name(metric: str) -> str:
    """Returns a metric in words."""
    kind, _, name = metric.partition(":")
    return {
        "category": f"Flagged as {name}",
        "action": f"Action {name}",
        "fired": f"Fired by {name}",
        "label": f"Resembles {name} most",
    }.get(kind, _METRICS.get(metric, metric))


def harm_name(results: Results) -> str:
    """Returns the rate of the harm that a report measures, in words."""
    return metric_name(results.header.harm)


def named_metrics(results: Results, metrics: Iterable[str]) -> list[str]:
    """Returns the metrics that the page shows under a name; the CSV files hold the rest.

    Where nothing should be flagged every flag is a false positive, so the two rates are one.
    """
    shown = [m for m in dict.fromkeys(metrics) if m in _METRICS or m.startswith("category:")]
    if results.header.dataset.benign:
        shown = [metric for metric in shown if metric != "false_positive_rate"]
    return shown

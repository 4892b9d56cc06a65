"""The label sets side by side: which labels, with what action, and what differs."""

from __future__ import annotations

from collections.abc import Iterator

from audit.plurals import counted
from audit.report.blocks import Block, Fold, Points, Table, folded, paragraph, table
from audit.report.cells import Cell, head, stacked, words
from audit.report.inline import Inline, Line, Tag
from audit.report.names import policy_title
from audit.report.shown_numbers import plain
from audit.results.results import LabelRecord, PolicyRecord, Results

#: A longer table, or list, is folded.
_MANY_LABELS, _MANY_TEMPLATES = 12, 6

_CAPTION = "Labels with their action, thresholds and prompts"


_MARKS = paragraph(
    "Each label set is marked against the first: ",
    Tag("added", "added"),
    " ",
    Tag("removed", "removed"),
    " ",
    Tag("changed", "changed"),
    ". A label without an action only competes with the others.",
)


def labels_section(results: Results) -> Iterator[Block]:
    """Yields the labels that differ, then all of each policy in one table, then the templates."""
    policies = results.header.policies
    if results.header.is_of_many:
        yield folded(_labels_of_many(results), in_markdown=True)
        return
    ids = dict.fromkeys(label.id for policy in policies for label in policy.labels)
    columns = ["Label", *(policy_title(results, policy.name) for policy in policies)]
    rows = {
        label_id: [
            head(label_id),
            *(_label_cell(policies, policy, label_id) for policy in policies),
        ]
        for label_id in ids
    }
    caption = _CAPTION if results.header.noun == "policy" else "Labels, actions and thresholds"
    every = table(caption, columns, rows.values())
    many = len(rows) > _MANY_LABELS
    if len(policies) > 1 and rows:
        yield _MARKS
        if many and (differing := [rows[i] for i in ids if _label_differs(policies, i)]):
            yield table("Labels that differ", columns, differing)
    named = f"All {counted(len(rows), 'label')}"
    if rows:
        yield folded(every, named, in_markdown=True) if many else every
    for policy in policies:
        if policy.kind == "policy":
            yield _label_templates(results, policy)
        elif not policy.labels:
            yield paragraph(f"{policy_title(results, policy.name)} decides, and says no label.")


def _labels_of_many(results: Results) -> Table:
    """Returns a table with the labels of each of many policies or systems."""
    rows = [
        [
            head(policy.name),
            words(", ".join(label.id for label in policy.labels[:_MANY_LABELS]) or "decisions"),
            stacked(
                *(_label_action_line(label) for label in policy.labels[:_MANY_LABELS]), role="text"
            ),
        ]
        for policy in results.header.policies
    ]
    return table(
        "Labels, actions and thresholds",
        (results.header.noun.capitalize(), "Labels", "Actions"),
        rows,
    )


def _label_differs(policies: tuple[PolicyRecord, ...], label_id: str) -> bool:
    first, *others = ({each.id: each for each in p.labels}.get(label_id) for p in policies)
    return any(other != first for other in others)


def _label_cell(policies: tuple[PolicyRecord, ...], policy: PolicyRecord, label_id: str) -> Cell:
    each = (policies[0], policy)
    first, own = ({label.id: label for label in p.labels}.get(label_id) for p in each)
    if own is None:
        return words(Tag("removed", "removed")) if first else words("not in it")
    if own == first and policy is not policies[0]:
        return words("same")
    changed = Tag("changed", "changed") if first else Tag("added", "added")
    mark: Line = () if own == first else (" ", changed)
    category = (f"category {own.category}",) if own.category else ()
    prompts = (", ".join(f"“{prompt}”" for prompt in own.prompts),) if own.prompts else ()
    negatives = ", ".join(f"“{text}”" for text in own.negatives)
    unlike = (f"and not {negatives}",) if negatives else ()
    by = (f"classifier {own.classifier}",) if own.classifier else ()
    return stacked((*_label_action_line(own), *mark), category, prompts, unlike, by, role="text")


def _label_action_line(label: LabelRecord) -> Line:
    without = "context" if label.prompts else "no action"
    parts: list[Inline] = [label.action or without]
    if label.threshold is not None:
        parts += [" from ", plain(label.threshold)]
    if label.review_threshold is not None:
        parts += [", review from ", plain(label.review_threshold)]
    return tuple(parts)


def _label_templates(results: Results, policy: PolicyRecord) -> Block:
    items = tuple((f"“{template}”",) for template in policy.templates)
    name = f"Templates of {policy_title(results, policy.name)}"
    if len(items) > _MANY_TEMPLATES:
        return Fold(name, (Points(items),))
    quoted = ", ".join(item[0] for item in items) or "none: prompts stand alone"
    return paragraph(f"{name}: {quoted}.")

"""`moderation policy show | schema`: a policy as a worker reads it, and what one may hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from moderation.commands.command_line import examples
from moderation.commands.options import TableOrJsonOption
from moderation.commands.output import print_json, print_table, say
from moderation.commands.policy.reading import read_policy
from moderation.policy import Label, find_policy, policy_json_schema

SHOW_EPILOG = examples(
    "moderation policy show weapons", "moderation policy show my.yaml --format json"
)
SCHEMA_EPILOG = examples("moderation policy schema > policy.schema.json")


def show(
    file: Annotated[str, typer.Argument(metavar="POLICY", help="Policy file or shipped name.")],
    format: TableOrJsonOption = "table",
) -> None:
    """Show a policy as a worker reads it, with its content hash."""
    policy = read_policy("-" if file == "-" else find_policy(file), None)
    if format == "json":
        print_json({**policy.content, "sha256": policy.sha256})
        return
    say(f"{policy.id} version {policy.version}: {policy.title}")
    model = policy.model or "(that of the worker)"
    say(f"scoring {policy.scoring}, decision {policy.decision}, model {model}")
    say(f"sha256 {policy.sha256}")
    if (fitted := policy.fitted) is not None:
        data = ", ".join(fitted.data)
        say(f"fitted to {fitted.model} on {fitted.n} images of {data}, {fitted.date}")
    for template in policy.templates:
        say(f"template: {template}")
    _print_labels(policy.labels)


def _print_labels(labels: Sequence[Label]) -> None:
    """Prints the labels of a policy, and then what others call them."""
    rows = [
        (
            label.id,
            label.reported_category if label.acts else "",
            label.action or "(context)",
            _shown_threshold(label.threshold),
            _shown_threshold(label.review_threshold),
            _shown_source(label),
        )
        for label in labels
    ]
    print_table(("label", "category", "action", "threshold", "review from", "prompts"), rows)
    known = [
        (label.id, *(name or "" for name in label.taxonomy.model_dump().values()))
        for label in labels
        if label.taxonomy
    ]
    if known:
        print_table(("label", "OpenAI", "Rekognition", "DSA"), known)


def _shown_source(label: Label) -> str:
    """Returns what scores a label, in words."""
    if label.classifier:
        return f"classifier {label.classifier.file}, output {label.classifier.output.column}"
    negatives = f"; not {', '.join(label.negatives)}" if label.negatives else ""
    return "; ".join(label.prompts) + negatives


def _shown_threshold(value: Any) -> str:
    return "" if value is None else f"{value:g}"


def schema() -> None:
    """Print the JSON Schema of a policy file, for editors and other checkers."""
    print_json(policy_json_schema())

"""`moderation policy lint | show | schema`: for the authors of policies and their editors."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from moderation.commands.command_line import command_group, examples
from moderation.commands.options import TableOrJsonOption
from moderation.commands.output import note, print_json, print_problems, print_table, say
from moderation.errors import PolicyError, PolicyProblem
from moderation.policy import (
    Label,
    Policy,
    find_policy,
    load_policy,
    parse_policy,
    policy_files,
    policy_json_schema,
)
from moderation.settings import load_settings
from moderation.visible_text import shown_name

app = command_group("Check, show and describe policy files.")


@app.command(
    epilog=examples(
        "moderation policy lint policies/",
        "moderation policy lint my.yaml --format json",
        "cat my.yaml | moderation policy lint -",
    )
)
def lint(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="POLICY", help="Policy files, folders, or shipped names; - reads stdin."
        ),
    ],
    format: TableOrJsonOption = "table",
    model: Annotated[
        str | None,
        typer.Option(help="Model whose prompt length counts; by default MODERATION_MODEL."),
    ] = None,
) -> None:
    """Check policy files: every problem at once, each with its place and what to do.

    Exits with 1 where there is one.
    """
    policies, problems = _read_policies(files, model or load_settings().model)
    for policy in policies:
        labels = f"{len(policy.labels)} label{'s' * (len(policy.labels) != 1)}"
        unfitted = policy.unfitted_by_name(policy.model or model or load_settings().model)
        said = f"; {unfitted}" if unfitted else ""
        note(f"{policy.id}: valid, version {policy.version}, {labels}{said}")
    print_problems(problems, format)
    if problems:
        raise typer.Exit(1)


def _read_policies(files: list[str], model: str) -> tuple[list[Policy], list[PolicyProblem]]:
    policies: list[Policy] = []
    problems: list[PolicyProblem] = []
    for name in files:
        try:
            paths = ["-"] if name == "-" else policy_files([find_policy(name)])
            note_passed_over_policies([] if name == "-" else [name])
        except PolicyError as error:
            problems += error.problems
            continue
        for path in paths:
            try:
                policies.append(_read_policy(path, model))
            except PolicyError as error:
                problems += error.problems
    return policies, problems


def note_passed_over_policies(names: Iterable[str]) -> None:
    """Says what lies beside the policies in folders of them, where anything does."""
    for folder in filter(Path.is_dir, map(find_policy, names)):
        if others := {*folder.iterdir()} - {*policy_files([folder])}:
            shown = ", ".join(shown_name(path.name) for path in sorted(others))
            note(f"Passed over in {shown_name(str(folder))}: {shown}")


def _read_policy(path: Path | str, model: str | None) -> Policy:
    if path == "-":
        return parse_policy(sys.stdin.buffer.read(), "<stdin>", model=model)
    return load_policy(path, model=model)


@app.command(
    epilog=examples(
        "moderation policy show weapons", "moderation policy show my.yaml --format json"
    )
)
def show(
    file: Annotated[str, typer.Argument(metavar="POLICY", help="Policy file or shipped name.")],
    format: TableOrJsonOption = "table",
) -> None:
    """Show a policy as a worker reads it, with its content hash."""
    policy = _read_policy("-" if file == "-" else find_policy(file), None)
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


@app.command(epilog=examples("moderation policy schema > policy.schema.json"))
def schema() -> None:
    """Print the JSON Schema of a policy file, for editors and other checkers."""
    print_json(policy_json_schema())

"""`moderation policy test`: runs the examples of policies like unit tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from moderation.commands.command_line import examples
from moderation.commands.local_pipeline import open_local_pipeline
from moderation.commands.options import (
    ModelOption,
    NoStoreOption,
    StoreOption,
    TableOrJson,
    TableOrJsonOption,
)
from moderation.commands.output import note, print_json, say, track
from moderation.commands.policy.example_output import (
    TestedCase,
    counted_cases,
    example_case,
    junit_xml,
    steering_case,
)
from moderation.commands.policy.example_runs import run_examples
from moderation.commands.policy.reading import read_policies
from moderation.commands.policy.steering import own_examples, run_steering, steered_labels
from moderation.errors import PolicyError, RequestError
from moderation.policy import Policy
from moderation.scoring.pipeline import Pipeline
from moderation.settings import load_settings
from moderation.whole_file import whole_file

EPILOG = examples(
    "moderation policy test my.yaml --model starter",
    "moderation policy test policies/ --junit report.xml",
    "moderation policy test my.yaml --format json > tested.json",
)


def run_tests(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="POLICY", help="Policy files, folders or shipped names; by default this folder."
        ),
    ] = None,
    model: ModelOption = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report for a CI system there.")
    ] = None,
    format: TableOrJsonOption = "table",
    store: StoreOption = None,
    no_store: NoStoreOption = False,
) -> None:
    """Run the examples of policies, and see that each label does what its examples say.

    Each example is decided as production decides it. Each acting label that has examples is also
    left out: they must be decided otherwise then. Exits with 1 where anything fails or cannot be
    run, and where there is nothing to run.
    """
    settings = load_settings()
    policies, problems = read_policies(files or ["."], model or settings.model)
    if problems:
        raise PolicyError(problems)
    tested = {policy.file.path: policy for policy in policies if policy.examples}
    cases: list[TestedCase] = []
    untested = [policy.id for policy in policies if not policy.examples]
    described = ""
    if tested:
        with open_local_pipeline(
            settings, tested, model=model, store=store, no_store=no_store
        ) as pipeline:
            described = pipeline.described()
            cases = _run_all(pipeline, tested, settings.max_image_bytes, format)
    if format == "json":
        print_json({"passed": _passes(cases), "cases": [case.to_json() for case in cases]})
    if junit is not None:
        _write(junit, junit_xml(cases, described))
    if untested:
        pin = "moderation policy pin IMAGE -p FILE --expect block"
        note(f"Without examples: {', '.join(untested)}. Add some: {pin}")
    if tested:
        note(f"{counted_cases(cases)}. Model: {described}")
    if not _passes(cases):
        raise typer.Exit(1)


def _run_all(
    pipeline: Pipeline, policies: Mapping[str, Policy], max_image_bytes: int, form: TableOrJson
) -> list[TestedCase]:
    """Returns all that was tested; says each for people as soon as it is known."""
    cases: list[TestedCase] = []

    def add(case: TestedCase) -> None:
        cases.append(case)
        if form == "table":
            say(case.text)

    for name, policy in policies.items():
        every = run_examples(pipeline, name, Path(name).parent, max_image_bytes)
        runs = []
        for run in track(every, len(policy.examples), "Testing"):
            runs.append(run)
            add(example_case(run))
        for steering in run_steering(pipeline, name, runs):
            add(steering_case(steering))
        labels = [policy.labels[place] for place in steered_labels(policy)]
        if silent := [label.id for label in labels if not own_examples(label, runs)]:
            note(f"{policy.id}: no example of {', '.join(silent)}")
    return cases


def _passes(cases: list[TestedCase]) -> bool:
    return bool(cases) and all(case.status in ("passed", "skipped") for case in cases)


def _write(path: Path, content: bytes) -> None:
    try:
        with whole_file(path) as file:
            file.write(content)
    except OSError as error:
        raise RequestError(f"cannot be written: {error.strerror}", str(path)) from error

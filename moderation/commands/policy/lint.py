"""`moderation policy lint`: what is wrong with policy files, or doubtful, each with its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from moderation.commands.command_line import examples
from moderation.commands.options import NoStoreOption, StoreOption
from moderation.commands.output import note, say
from moderation.commands.passing_store import passing_store_folder
from moderation.commands.policy.findings_output import FindingsFormat, print_findings
from moderation.commands.policy.known_texts import with_vectors
from moderation.commands.policy.reading import read_policies
from moderation.errors import PolicyError
from moderation.policy import Policy, parse_policy
from moderation.policy.lint.explanation import explanation
from moderation.policy.lint.finding import INVALID, Level, reaches
from moderation.policy.lint.linted_policy import HighestScores, LintedPolicy
from moderation.policy.lint.linting import invalid_findings, lint_policies
from moderation.policy.lint.registry import CODES, LINT_RULES
from moderation.policy.revision import text_at_revision
from moderation.settings import Settings, load_settings

EPILOG = examples(
    "moderation policy lint policies/",
    "moderation policy lint my.yaml --format json",
    "moderation policy lint my.yaml --on pictures/ --model starter",
    "moderation policy lint policies/ --format sarif --fail-on warning > lint.sarif",
    "moderation policy lint --explain negation",
    "cat my.yaml | moderation policy lint -",
)


def _explain(code: str | None) -> None:
    if code is None:
        return
    _refuse_unknown_code(code, "--explain")
    say(explanation(code))
    raise typer.Exit


def _refuse_unknown_code(code: str, option: str) -> None:
    if code not in CODES:
        raise typer.BadParameter(f"{code} is not one of {', '.join(CODES)}", param_hint=option)


def _ignorable(codes: list[str] | None) -> list[str] | None:
    for code in codes or ():
        _refuse_unknown_code(code, "--ignore")
        if code == INVALID:
            raise typer.BadParameter("such a file is refused everywhere", param_hint="--ignore")
    return codes


def lint(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="POLICY", help="Policy files, folders, or shipped names; - reads stdin."
        ),
    ],
    format: Annotated[
        FindingsFormat,
        typer.Option(help="text (or table), json, github (annotations), sarif (code scanning)."),
    ] = "text",
    fail_on: Annotated[Level, typer.Option(help="Exit with 1 where this is found, or worse.")] = (
        "error"
    ),
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", callback=_ignorable, help="Leave out a code. Repeatable."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model of policies that name none; by default MODERATION_MODEL."),
    ] = None,
    on: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER|DATASET",
            help="Images that thresholds should be reached on; embeds them.",
        ),
    ] = None,
    embed: Annotated[
        bool, typer.Option("--embed", help="Load the model for texts that the store lacks.")
    ] = False,
    store: StoreOption = None,
    no_store: NoStoreOption = False,
    explain: Annotated[
        str | None,
        typer.Option(
            metavar="CODE", callback=_explain, is_eager=True, help="Say what a code means, and end."
        ),
    ] = None,
) -> None:
    """Check policy files: every problem at once, each with its place and what to do.

    What makes a file invalid is an error; what is doubtful is a warning or an info, and can be
    suppressed by a comment with a reason: # lint: ignore CODE: reason.
    """
    settings = load_settings()
    if no_store:
        store = passing_store_folder()
    reference = model or settings.model
    policies, problems = read_policies(files, reference)
    for policy in policies:
        _print_valid(policy, reference)
    linted = [_linted(policy, reference) for policy in policies]
    try:
        linted = with_vectors(linted, settings, store, embed=embed or on is not None)
        if on is not None:
            linted = list(_with_highest(linted, on, settings, store))
    except PolicyError as error:  # what only the model itself knows, such as the tokens of a prompt
        problems += error.problems
    findings = [*invalid_findings(problems), *lint_policies(linted)]
    _print_unchecked(linted)
    shown = [finding for finding in findings if finding.code not in (ignore or ())]
    print_findings(shown, format)
    if any(reaches(finding.level, fail_on) for finding in shown):
        raise typer.Exit(1)


def _print_valid(policy: Policy, reference: str) -> None:
    labels = f"{len(policy.labels)} label{'s' * (len(policy.labels) != 1)}"
    unfitted = policy.unfitted_by_name(policy.model or reference)
    said = f"; {unfitted}" if unfitted else ""
    note(f"{policy.id}: valid, version {policy.version}, {labels}{said}")


def _linted(policy: Policy, reference: str) -> LintedPolicy:
    """Returns a policy with what lies beside its file: its examples, and its last commit."""
    path = Path(policy.file.path)
    if not path.is_file():  # standard input
        return LintedPolicy(policy, reference)
    return LintedPolicy(policy, reference, path.parent, _committed(path))


def _committed(path: Path) -> Policy | None:
    """Returns the policy of a file's last commit; None where there is none, or it was invalid."""
    content = text_at_revision(path, "HEAD")
    try:
        return None if content is None else parse_policy(content, f"HEAD:{path}")
    except PolicyError:
        return None


def _with_highest(
    linted: list[LintedPolicy], on: Path, settings: Settings, store: Path | None
) -> Iterator[LintedPolicy]:
    """Yields policies with how high their labels score on images; those of one model together."""
    from audit.commands.options import DatasetOptions, ReadingOptions
    from audit.commands.reached import highest_scores

    for reference in dict.fromkeys(each.decided_by for each in linted):
        group = [each for each in linted if each.decided_by == reference]
        options = DatasetOptions(
            dataset=on,
            model=reference,
            store=store or settings.store,
            reading=ReadingOptions(skip_bad=True),
            classifiers=settings.classifiers,
            device=settings.device,
            dtype=settings.dtype,
            runtime=settings.runtime,
            offline=settings.offline,
            frames=settings.frames,
            views=str(settings.views),
        )
        named = {str(place): each.policy for place, each in enumerate(group)}
        highest: dict[str, HighestScores] = highest_scores(options, named)
        for place, each in enumerate(group):
            yield replace(each, highest=highest[str(place)])


def _print_unchecked(linted: Iterable[LintedPolicy]) -> None:
    """Says which rules could not look, and what lets them."""
    remedies = {"vectors": "--embed", "highest": "--on FOLDER"}
    unchecked = dict.fromkeys(
        f"{rule.code} ({remedies[rule.needs]})"
        for each in linted
        for rule in LINT_RULES.values()
        if rule.needs in remedies and not rule.was_checked(each)
    )
    if unchecked:
        note(f"Not checked: {', '.join(unchecked)}")

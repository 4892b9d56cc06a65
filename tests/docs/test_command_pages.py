"""What the pages say of the two command lines is so, and nothing of them is left out."""

from __future__ import annotations

import inspect
import re
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import typer

from audit.commands import app as audit_app
from audit.gate.report import EXIT_CODES
from audit.metrics.thresholds import THRESHOLDS
from audit.metrics.variants import TEMPLATES
from moderation.commands import app as moderation_app
from moderation.commands import exit_codes
from moderation.commands.doctor import command as doctor
from moderation.settings import PREFIX, Settings
from tests.support.command_line import walk_commands
from tests.support.pages import (
    DOCS,
    PAGES,
    first_span,
    read_sections,
    section,
    spans,
    table,
    typed_commands,
)

PROGRAMS: dict[str, Any] = {
    "moderation": typer.main.get_command(moderation_app.app),
    "audit": typer.main.get_command(audit_app.app),
}
#: Where the commands of a program are described.
PAGE = {"moderation": "commands.md", "audit": "audit.md"}


COMMANDS = {
    name: command
    for program, app in PROGRAMS.items()
    for name, command in walk_commands(app, program)
}
#: Only these of the audit's lack the options that a section of their own describes.
OWN_OPTIONS_ONLY = (
    "audit gates",
    "audit import",
    "audit datasets list",
    "audit datasets info",
    "audit datasets balance",
)
#: These also audit predictions of other systems, by options that have a page of their own.
OF_PREDICTIONS = ("audit run", "audit compare", "audit gate")


def commands_of(program: str) -> dict[str, Any]:
    return {name: each for name, each in COMMANDS.items() if name.split()[0] == program}


def parameters(command: Any, kind: str | None = None) -> list[Any]:
    return [
        param
        for param in command.params
        if "--help" not in param.opts and kind in (None, param.param_type_name)
    ]


def names(param: Any) -> set[str]:
    """Returns what is typed for an option, or what an argument is called."""
    if param.param_type_name == "option":
        return {*param.opts, *param.secondary_opts}
    return {(param.metavar or param.name.upper()) + ("..." if param.nargs == -1 else "")}


def rows_of(name: str) -> list[dict[str, str]]:
    """Returns the rows of a command's arguments and options, their name as `name`."""
    page = PAGE[name.split()[0]]
    headings = [name]
    if name.startswith("audit ") and name not in OWN_OPTIONS_ONLY:
        headings.append("Options of every audit")
    places = [(page, heading) for heading in headings]
    if name in OF_PREDICTIONS:
        places.append(("predictions.md", "Options of predictions"))
    found = []
    for page, heading in places:
        prose = section(page, heading).prose
        if head := re.search(r"^\| (argument|option)", prose, re.MULTILINE):
            rows = table(prose[head.start() :])
            [column, *_] = rows[0]
            found += [{**row, "name": row[column]} for row in rows]
    return found


def described(name: str) -> dict[str, dict[str, str]]:
    """Returns the rows by each name of their arguments and options."""
    return {span.split()[0]: row for row in rows_of(name) for span in spans(row["name"])}


def test_the_walk_finds_the_commands() -> None:
    some = {"moderation scan", "moderation policy lint", "audit run", "audit datasets info"}
    assert some <= set(COMMANDS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_page_has_a_section_for_every_command_and_no_other_of(program: str) -> None:
    headings = [part.heading for part in read_sections(DOCS / PAGE[program])]
    listed = [heading for heading in headings if heading.startswith(f"{program} ")]
    assert sorted(listed) == sorted(commands_of(program))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_has_every_argument_and_option_and_no_other_of(name: str) -> None:
    listed = [span.split()[0] for row in rows_of(name) for span in spans(row["name"])]
    real = [each for param in parameters(COMMANDS[name]) for each in names(param)]
    assert sorted(listed) == sorted(real)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_says_what_is_required_and_the_defaults_of(name: str) -> None:
    rows = described(name)
    for param in parameters(COMMANDS[name]):
        row = rows[names(param).pop()]
        assert (row["default"] == "required") == param.required
        if param.default is False:
            assert row["default"] == "off"
        elif param.default is not None and not param.required:
            assert row["default"] == f"`{getattr(param.default, 'value', param.default)}`"


def choices(param: Any) -> set[str]:
    """Returns the words that an option may have, where they are few; typer has no public way."""
    annotation = param.type_descriptor.annotation
    found: set[str] = set()
    for kind in (annotation, *get_args(annotation)):
        if get_origin(kind) is Literal:
            found |= {*get_args(kind)}
        elif inspect.isclass(kind) and issubclass(kind, StrEnum):
            found |= {str(word) for word in kind}
    return found


def test_choices_are_found() -> None:
    found = {
        p.opts[0]: choices(p)
        for name in ("moderation submit", "moderation scan")
        for p in parameters(COMMANDS[name], "option")
    }
    fail_on = {
        name: choices(param)
        for name in ("moderation scan", "moderation policy lint")
        for param in parameters(COMMANDS[name], "option")
        if "--fail-on" in param.opts
    }
    assert fail_on == {
        "moderation scan": {"review", "block"},
        "moderation policy lint": {"error", "warning", "info"},
    }
    assert found["--queue"] == {"interactive", "bulk"}
    assert found["--model"] == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_has_every_choice_of(name: str) -> None:
    rows = described(name)
    for param in parameters(COMMANDS[name], "option"):
        if "--format" not in param.opts:
            row = rows[param.opts[0]]
            text = row["meaning"] + (row["default"] if name.startswith("audit ") else "")
            assert choices(param) <= set(spans(text))


def test_the_commands_page_has_the_formats_of_every_command() -> None:
    formats = {first_span(r, "format"): r for r in table(section("commands.md", "Formats").prose)}
    real = {
        name.removeprefix("moderation "): choices(param)
        for name, command in commands_of("moderation").items()
        for param in parameters(command, "option")
        if "--format" in param.opts
    }
    assert set(formats) == set().union(*real.values())
    for name, taken in real.items():
        assert taken == {
            form
            for form, row in formats.items()
            if row["commands"].startswith("all") or name in spans(row["commands"])
        }


def test_the_guide_counts_the_default_templates_and_thresholds() -> None:
    words = {9: "nine", 15: "fifteen"}
    rows = described("audit ablate")
    assert rows["--template"]["default"] == words[len(TEMPLATES)]
    assert rows["--threshold"]["default"] == words[len(THRESHOLDS)]


def test_the_commands_page_has_the_options_of_moderation_itself() -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    for param in parameters(PROGRAMS["moderation"], "option"):
        assert any(f"`moderation {option}`" in text for option in names(param))


def test_the_pages_have_every_exit_code() -> None:
    common = {0, exit_codes.FINDINGS, exit_codes.USAGE, exit_codes.UNEXPECTED}
    common.add(exit_codes.INTERRUPTED)
    codes = {"commands.md": common, "audit.md": common | {*EXIT_CODES.values()}}
    for page, real in codes.items():
        rows = table(section(page, "Exit codes").prose)
        assert [int(row["code"]) for row in rows] == sorted(real)
    prose = section("audit.md", "audit gate").prose
    assert "Exits with 0 for pass, 1 for fail, 4 for insufficient data" in prose


def test_the_commands_page_has_every_check_of_doctor() -> None:
    rows = table(section("commands.md", "moderation doctor").prose, "check |")
    assert set(doctor.CHECKS) <= {row["check"] for row in rows}


# Variables


def variables(program: str) -> dict[str, list[str]]:
    """Returns the variables of every option; typer makes those that we do not name."""
    return {
        f"{command} {max(param.opts, key=len).lstrip('-')}": [param.envvar]
        if isinstance(param.envvar, str)
        else param.envvar or ["_".join((*command.upper().split(), param.name.upper()))]
        for command, found in commands_of(program).items()
        for param in parameters(found, "option")
    }


def known_variables() -> set[str]:
    own = {name for program in PROGRAMS for found in variables(program).values() for name in found}
    return own | {PREFIX + name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_every_variable_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(rf"\b(?:AUDIT_|{PREFIX})[A-Z_]*[A-Z]\b", text)) <= known_variables()


def test_variables_of_options_are_found() -> None:
    assert {f"{PREFIX}SCAN_FORMAT", f"{PREFIX}SCAN_FAIL_ON", "AUDIT_OFFLINE"} <= known_variables()


def test_variables_of_options_are_called_as_the_commands_page_says() -> None:
    of_audits = [found for found in variables("audit").values() if len(found) > 1]
    as_audits = ("moderation evaluate ", "moderation policy diff ")
    for option, found in variables("moderation").items():
        shared = option.startswith(as_audits) and found in of_audits
        assert shared or found == [re.sub("[ -]", "_", option.upper())]


def test_the_guide_has_every_variable_that_falls_back_on_a_setting() -> None:
    rows = table(section("audit.md", "Options as variables").prose)
    listed = {(first_span(r, "variable"), first_span(r, "falls back on")) for r in rows}
    real = {tuple(found[:2]) for found in variables("audit").values() if len(found) > 1}
    assert listed == real


# What is typed on the pages


def test_typed_commands_are_found_in_prose_and_in_blocks() -> None:
    found = list(typed_commands(DOCS / "commands.md", "moderation"))
    assert ["demo"] in found
    assert ["policy", "lint", "-"] in found
    assert ["policy", "test"] not in found
    found = list(typed_commands(DOCS / "audit.md", "audit"))
    assert ["datasets", "list"] in found
    assert any("--add" in words for words in found)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_every_command_that_is_named_exists(page: Path, program: str) -> None:
    for words in typed_commands(page, program):
        command, rest = PROGRAMS[program], list(words)
        while rest and hasattr(command, "commands") and re.fullmatch(r"\w[\w-]*", rest[0]):
            assert rest[0] in command.commands, f"{program} {' '.join(words)}"
            command = command.commands[rest.pop(0)]
        known = {"--help", *(each for param in command.params for each in names(param))}
        given = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert given <= known, f"{program} {' '.join(words)}"

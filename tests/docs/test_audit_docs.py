"""What of the audit is undocumented, and what pages say of it that is not so, fails here."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

import audit
from audit import errors
from audit.commands import app as cli
from audit.commands import gate as gate_command
from audit.datasets.adapters import ADAPTERS
from audit.gate.checks import Check
from audit.gate.limits import LIMITS, Limits, load_limits
from audit.metrics.thresholds import THRESHOLDS
from audit.metrics.variants import TEMPLATES
from audit.results import ablation_rows, results
from audit.results import rows as result_rows
from moderation.commands import exit_codes
from moderation.errors import ModerationError
from tests.conftest import ROOT
from tests.docs.test_docs import (
    DOCS,
    PAGES,
    SHELL,
    choices,
    first_span,
    names,
    parents,
    read_sections,
    section,
    spans,
    table,
    walk,
    words_of,
)

EVERY_PAGE = [*PAGES, *sorted((ROOT / "examples" / "audit_gate").glob("*.md"))]
ROOT_COMMAND: Any = typer.main.get_command(cli.app)
COMMANDS = {name.replace("moderation", "audit", 1): c for name, c in walk(ROOT_COMMAND)}
SHARED_OPTIONS = "Options of every audit"
OWN_OPTIONS_ONLY = ("audit datasets list", "audit datasets info")


# Commands and options


def option_rows(heading: str) -> list[dict[str, str]]:
    """Returns the rows of a section's table of arguments and options, with their name."""
    prose = section("audit.md", heading).prose
    head = re.search(r"^\| (argument|option)", prose, re.MULTILINE)
    assert head, heading
    rows = table(prose[head.start() :])
    [column, *_] = rows[0]
    return [{**row, "name": row[column]} for row in rows]


def rows_of(command: str) -> list[dict[str, str]]:
    shared = [] if command in OWN_OPTIONS_ONLY else option_rows(SHARED_OPTIONS)
    return [*option_rows(command), *shared]


def parameters(command: str) -> list[Any]:
    return [p for p in COMMANDS[command].params if "--help" not in p.opts]


def test_the_guide_has_a_section_for_every_command_and_no_other() -> None:
    assert {"audit run", "audit datasets info"} <= set(COMMANDS)
    headings = [part.heading for part in read_sections(DOCS / "audit.md")]
    assert sorted(h for h in headings if h.startswith("audit ")) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_guide_has_every_argument_and_option_and_no_other_of(command: str) -> None:
    described = [s.split()[0] for row in rows_of(command) for s in spans(row["name"])]
    expected: list[str] = []
    for param in parameters(command):
        if param.param_type_name == "option":
            expected += names(param)
        else:
            expected.append(param.metavar + ("..." if param.nargs == -1 else ""))
    assert sorted(described) == sorted(expected)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_guide_has_what_is_required_the_defaults_and_the_choices_of(command: str) -> None:
    rows = {s.split()[0].rstrip("."): row for row in rows_of(command) for s in spans(row["name"])}
    for param in parameters(command):
        row = rows[param.opts[0] if param.param_type_name == "option" else param.metavar]
        assert (row["default"] == "required") == param.required
        if param.default not in (None, False) and not param.required:
            assert row["default"] == f"`{getattr(param.default, 'value', param.default)}`"
        if param.default is False:
            assert row["default"] == "off"
        if param.opts[0] != "--format":
            assert choices(param) <= set(spans(row["default"] + row["meaning"]))


def test_the_guide_counts_the_default_templates_and_thresholds() -> None:
    words = {9: "nine", 15: "fifteen"}
    rows = {first_span(row, "name").split()[0]: row["default"] for row in rows_of("audit ablate")}
    assert rows["--template"] == words[len(TEMPLATES)]
    assert rows["--threshold"] == words[len(THRESHOLDS)]


def typed_commands(page: Path) -> Iterator[list[str]]:
    """Yields the words of every `audit ...` on a page."""
    for part in read_sections(page):
        lines = [line for b in part.blocks if b.language in SHELL for line in b.text.split("\n")]
        for text in [*spans(part.prose), *lines]:
            for piece in re.split(r"\||&&|;|\$\(|> ", text) if '"' not in text else [text]:
                words = words_of(piece)
                if words and words[0] == "audit":
                    yield words[1:]


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: page.parent.name + "/" + page.name)
def test_every_audit_command_that_is_named_exists(page: Path) -> None:
    for words in typed_commands(page):
        command, rest = ROOT_COMMAND, list(words)
        while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
            assert rest[0] in command.commands, words
            command = command.commands[rest.pop(0)]
        known = {opt for param in command.params for opt in names(param)} | {"--help"}
        assert {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)} <= known, words


def test_typed_commands_are_found() -> None:
    found = list(typed_commands(DOCS / "audit.md"))
    assert ["datasets", "list"] in found
    assert any("--add" in words for words in found)


def variables() -> dict[str, list[str]]:
    """Returns the variables of every option; typer makes those that we do not name."""
    found: dict[str, list[str]] = {}
    for command in COMMANDS:
        for param in parameters(command):
            made = ["_".join((*command.upper().split(), param.name.upper()))]
            if param.param_type_name == "option":
                found[f"{command} {param.name}"] = param.envvar or made
    return found


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: page.parent.name + "/" + page.name)
def test_every_variable_of_the_audit_that_is_named_exists(page: Path) -> None:
    named = set(re.findall(r"\bAUDIT_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))
    assert named <= {name for found in variables().values() for name in found}


def test_the_guide_has_every_variable_that_falls_back_on_a_setting() -> None:
    rows = table(section("audit.md", "Options as variables").prose)
    told = {(first_span(r, "variable"), first_span(r, "falls back on")) for r in rows}
    real = {(found[0], found[1]) for found in variables().values() if len(found) > 1}
    assert told == real


def test_the_guide_has_every_exit_code() -> None:
    rows = table(section("audit.md", "Exit codes").prose)
    known = (exit_codes.FINDINGS, exit_codes.USAGE, exit_codes.UNEXPECTED)
    codes = {0, *known, exit_codes.INTERRUPTED, *gate_command.EXIT_CODES.values()}
    assert [int(row["code"]) for row in rows] == sorted(codes)
    prose = section("audit.md", "audit gate").prose
    assert "Exits with 0 for pass, 1 for fail, 4 for insufficient data" in prose


# Datasets, limits, errors


def test_the_guide_has_every_adapter_with_what_it_takes_and_its_licence() -> None:
    rows = {first_span(r, "adapter"): r for r in table(section("audit.md", "Layouts").prose)}
    assert list(rows) == list(ADAPTERS)
    options = {"columns": "--column"}
    for name, adapter in ADAPTERS.items():
        assert rows[name]["licence"] == adapter.licence
        assert rows[name]["benign"] == ("yes" if adapter.benign else "no")
        taken = {options.get(option, f"--{option}") for option in adapter.takes}
        assert set(spans(rows[name]["also takes"])) == taken


def test_the_guide_has_every_key_of_a_limits_file_with_its_default() -> None:
    rows = table(section("audit.md", "Limits file").prose)
    assert [first_span(row, "key") for row in rows] == list(Limits.model_fields)
    for row in rows:
        field = Limits.model_fields[first_span(row, "key")]
        default = "[]" if field.default == () else field.default
        required = "required" if field.is_required() else str(default or "none").lower()
        assert row["default"].strip("`") == required


def test_the_limits_on_the_page_and_in_the_example_are_accepted(tmp_path: Path) -> None:
    [block] = [b for b in section("audit.md", "Limits file").blocks if b.language == "yaml"]
    file = tmp_path / "limits.yaml"
    file.write_text(block.text, encoding="utf-8")
    assert load_limits(file).by == [("race",), ("gender",), ("race", "gender")]
    assert load_limits(ROOT / "examples" / "audit_gate" / "limits.yaml").regression == 0.02


def test_the_method_has_every_limit_of_the_gate() -> None:
    [rows] = [
        table(part.prose[part.prose.index("| limit |") :])
        for part in read_sections(DOCS / "audit-method.md")
        if part.heading == "The gate"
    ]
    assert [first_span(row, "limit") for row in rows] == list(LIMITS)


AUDIT_ERRORS = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value)
    and issubclass(value, Exception)
    and value.__module__ == "audit.errors"
}


def test_the_errors_page_has_every_error_of_the_audit_and_no_other() -> None:
    part = section("errors.md", "In the audit")
    told = {first_span(row, "error") for row in table(part.prose)}
    warned = {name for name, value in AUDIT_ERRORS.items() if issubclass(value, Warning)}
    assert told == set(AUDIT_ERRORS) - warned
    assert warned <= set(spans(part.prose))
    [tree] = part.blocks
    real = {n: e.__base__.__name__ for n, e in AUDIT_ERRORS.items() if e.__base__ and n in told}
    assert {n: p or ModerationError.__name__ for n, p in parents(tree.text).items()} == real


# Results


RECORDS: dict[str, type[BaseModel]] = {
    name: value
    for module in (results, result_rows, ablation_rows)
    for name, value in vars(module).items()
    if inspect.isclass(value) and issubclass(value, result_rows.Record) and name != "Record"
}


@pytest.mark.parametrize("name", [*RECORDS, "Check"])
def test_the_reference_has_every_field_and_no_other_of(name: str) -> None:
    rows = table(section("audit-results.md", name).prose)
    told = [field for row in rows for field in spans(row["field"])]
    check = [field.name for field in dataclasses.fields(Check)]
    assert sorted(told) == sorted(RECORDS[name].model_fields if name in RECORDS else check)


def test_the_reference_has_a_section_for_every_record_and_no_other() -> None:
    headings = {part.heading for part in read_sections(DOCS / "audit-results.md")}
    assert {h for h in headings if re.fullmatch(r"[A-Z]\w+", h)} == {*RECORDS, "Check"}


# The rest


def test_the_guide_names_everything_that_is_public() -> None:
    part = section("audit.md", "In Python")
    text = "\n".join([part.prose, *(block.text for block in part.blocks)])
    assert {name for name in audit.__all__ if not re.search(rf"\b{name}\b", text)} == set()


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: page.parent.name + "/" + page.name)
def test_no_page_names_a_path_of_one_machine_or_promises_what_an_audit_cannot(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"\.\./shared|/(tmp|home|root)/", text)
    assert not re.search(r"unbiased|debias|fair model", text, re.IGNORECASE)


def test_the_help_of_the_command_line_leads_to_pages_that_are_there() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "audit", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    pages = re.findall(r"docs/[\w-]+\.md", done.stdout)
    assert pages
    assert all((ROOT / page).is_file() for page in pages)

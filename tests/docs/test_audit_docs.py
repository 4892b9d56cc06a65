"""What the pages say of the audit is so, and nothing of it is left out."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

import audit
from audit import errors
from audit.commands.app import app
from audit.datasets.adapters import ADAPTERS
from audit.gate.checks import Check
from audit.gate.limits import LIMITS, Limits, load_limits
from audit.results import ablation_rows, adjusted_rows, results, robustness_rows
from audit.results import rows as result_rows
from moderation.errors import ModerationError
from tests.conftest import ROOT
from tests.support.pages import (
    DOCS,
    PAGES,
    exceptions,
    first_span,
    parents,
    read_sections,
    section,
    spans,
    table,
)

# Datasets, limits, errors


def test_the_guide_has_every_adapter_with_what_it_takes_and_its_licence() -> None:
    rows = {first_span(r, "adapter"): r for r in table(section("audit.md", "Layouts").prose)}
    assert list(rows) == list(ADAPTERS)
    options = {"columns": "--column"}
    for name, adapter in ADAPTERS.items():
        assert rows[name]["licence"] == adapter.licence
        assert rows[name]["benign"] == ("yes" if adapter.benign else "no")
        taken = {options.get(option, f"--{option.replace('_', '-')}") for option in adapter.takes}
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
    rows = table(section("audit-method.md", "The gate").prose, "limit |")
    assert [first_span(row, "limit") for row in rows] == list(LIMITS)


AUDIT_ERRORS = exceptions(errors)


def test_the_errors_page_has_every_error_of_the_audit_and_no_other() -> None:
    part = section("errors.md", "In the audit")
    listed = {first_span(row, "error") for row in table(part.prose)}
    warned = {name for name, value in AUDIT_ERRORS.items() if issubclass(value, Warning)}
    assert listed == set(AUDIT_ERRORS) - warned
    assert warned <= set(spans(part.prose))
    [tree] = part.blocks
    real = {n: e.__base__.__name__ for n, e in AUDIT_ERRORS.items() if e.__base__ and n in listed}
    assert {n: p or ModerationError.__name__ for n, p in parents(tree.text).items()} == real


# Results


RECORDS: dict[str, type[BaseModel]] = {
    name: value
    for module in (results, result_rows, ablation_rows, adjusted_rows, robustness_rows)
    for name, value in vars(module).items()
    if inspect.isclass(value) and issubclass(value, result_rows.Record) and name != "Record"
}


@pytest.mark.parametrize("name", [*RECORDS, "Check"])
def test_the_reference_has_every_field_and_no_other_of(name: str) -> None:
    rows = table(section("audit-results.md", name).prose)
    listed = [field for row in rows for field in spans(row["field"])]
    keys = {"status": "answer"}  # the one field whose key is another word
    check = [keys.get(field.name, field.name) for field in dataclasses.fields(Check)]
    assert sorted(listed) == sorted(RECORDS[name].model_fields if name in RECORDS else check)


def test_the_reference_has_a_section_for_every_record_and_no_other() -> None:
    headings = {part.heading for part in read_sections(DOCS / "audit-results.md")}
    assert {h for h in headings if re.fullmatch(r"[A-Z]\w+", h)} == {*RECORDS, "Check"}


# The rest


def test_the_guide_names_everything_that_is_public() -> None:
    part = section("audit.md", "In Python")
    text = "\n".join([part.prose, *(block.text for block in part.blocks)])
    assert {name for name in audit.__all__ if not re.search(rf"\b{name}\b", text)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_no_page_names_a_path_of_one_machine_or_promises_what_an_audit_cannot(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"\.\./shared|/(tmp|home|root)/", text)
    assert not re.search(r"unbiased|debias|fair model", text, re.IGNORECASE)


def test_the_help_of_the_command_line_leads_to_pages_that_are_there() -> None:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["--help"])
    pages = re.findall(r"docs/[\w-]+\.md", done.output)
    assert pages
    assert all((ROOT / page).is_file() for page in pages)

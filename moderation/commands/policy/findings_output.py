"""Prints the findings of lint: for people, programs, annotations on GitHub, and code scanning."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from moderation.commands.output import note, print_json, say
from moderation.policy.lint.explanation import PAGE
from moderation.policy.lint.finding import INVALID, LEVELS, Level, LintFinding
from moderation.policy.lint.registry import CODES

FindingsFormat = Literal["text", "table", "json", "github", "sarif"]

_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_SARIF_LEVELS: dict[Level, str] = {"error": "error", "warning": "warning", "info": "note"}
_GITHUB_LEVELS: dict[Level, str] = {"error": "error", "warning": "warning", "info": "notice"}


def print_findings(findings: Sequence[LintFinding], form: FindingsFormat) -> None:
    """Prints findings, and counts them by level on standard error."""
    if form == "json":
        valid = all(finding.code != INVALID for finding in findings)
        print_json({"valid": valid, "findings": [each._asdict() for each in findings]})
    elif form == "sarif":
        print_json(_sarif_log(findings))
    else:
        for finding in findings:
            say(_github_line(finding) if form == "github" else finding)
    if findings:
        note(_counted_levels(findings))


def _counted_levels(findings: Sequence[LintFinding]) -> str:
    counts = [(level, sum(each.level == level for each in findings)) for level in LEVELS]
    return ", ".join(
        f"{count} {level}{'s' * (count > 1 and level != 'info')}"
        for level, count in counts
        if count
    )


def _github_line(finding: LintFinding) -> str:
    """Returns a finding as a workflow command, which GitHub shows beside the line."""
    place = {"file": finding.path, "line": finding.line or 1, "col": finding.column or 1}
    properties = {**place, "title": f"{finding.code} ({PAGE})"}
    shown = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in properties.items())
    message = _escaped(f"{finding.message}. {finding.remedy}")
    return f"::{_GITHUB_LEVELS[finding.level]} {shown}::{message}"


def _escaped(value: object, more: str = "") -> str:
    """Returns a text with the signs that end a part of a workflow command written out."""
    return "".join(f"%{ord(sign):02X}" if sign in f"%\r\n{more}" else sign for sign in str(value))


def _sarif_log(findings: Sequence[LintFinding]) -> dict[str, Any]:
    """Returns findings as a SARIF 2.1.0 log.

    Source: docs.oasis-open.org/sarif/sarif/v2.1.0, sections 3.13 to 3.49.
    """
    codes = list(CODES)
    driver = {
        "name": "evenhand",
        "version": version("evenhand"),
        "rules": [_sarif_rule(code) for code in codes],
    }
    results = [_sarif_result(finding, codes.index(finding.code)) for finding in findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _sarif_rule(code: str) -> dict[str, Any]:
    level, title = CODES[code]
    return {
        "id": code,
        "shortDescription": {"text": title},
        "help": {"text": f"{PAGE}#{code}, or moderation policy lint --explain {code}"},
        "defaultConfiguration": {"level": _SARIF_LEVELS[level]},
    }


def _sarif_result(finding: LintFinding, place_of_rule: int) -> dict[str, Any]:
    region = {"startLine": finding.line or 1, "startColumn": finding.column or 1}
    location = {"artifactLocation": {"uri": _uri(finding.path)}, "region": region}
    return {
        "ruleId": finding.code,
        "ruleIndex": place_of_rule,
        "level": _SARIF_LEVELS[finding.level],
        "message": {"text": f"{finding.message}. {finding.remedy}"},
        "locations": [{"physicalLocation": location}],
    }


def _uri(path: str) -> str:
    """Returns a file as a URI: relative where it lies below this folder, as code hosts need it."""
    file = Path(path)
    if file.is_absolute():
        if not file.is_relative_to(Path.cwd()):
            return file.as_uri()
        file = file.relative_to(Path.cwd())
    return quote(os.fsencode(file.as_posix()))

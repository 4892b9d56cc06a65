"""What became of a policy's examples and labels -> lines for people, JSON, and a file of JUnit."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any, Literal, NamedTuple

from moderation.commands.policy.example_runs import ExampleRun
from moderation.commands.policy.steering import SteeringRun
from moderation.policy import Policy
from moderation.policy.yaml_source import Location
from moderation.visible_text import one_line, shown_name

Status = Literal["passed", "failed", "error", "skipped"]


class TestedCase(NamedTuple):
    """One thing that was tested, as it is printed.

    Attributes:
        policy: the id of its policy.
        path: of the policy's file; `line` and `column` are those of the example, or of the label.
        kind: `example`, or `steering` for a label that is left out.
        name: of the case.
        status: what became of it.
        message: what was found, and what was expected where that is something else.
        seen: more about it, as plain data.
    """

    policy: str
    path: str
    line: int
    column: int
    kind: Literal["example", "steering"]
    name: str
    status: Status
    message: str
    seen: dict[str, Any]

    @property
    def text(self) -> str:
        """The case on a line."""
        where = f"{shown_name(self.path)}:{self.line}:{self.column}"
        status = self.status.upper() if self.status in ("failed", "error") else self.status
        return one_line(f"{where}: {status}: {self.name}: {self.message}")

    def to_json(self) -> dict[str, Any]:
        """Returns the case as plain data."""
        fields = self._asdict()
        seen = fields.pop("seen")
        return {**fields, **seen}


def example_case(run: ExampleRun) -> TestedCase:
    """Returns an example as it is printed."""
    judged = run.judged
    status: Status = "passed" if run.passes else "failed" if judged else "error"
    decided = judged.decided_by if judged else None
    seen = {
        "image": run.example.image,
        "sha256": run.example.sha256,
        "expected": run.example.expect.model_dump(mode="json"),
        "found": judged
        and {
            "action": judged.action,
            "label": decided and decided.label,
            "score": decided and decided.score,
            "doubts": list(judged.doubts),
        },
    }
    message = run.error or run.failure or (judged.words if judged else "")
    name = shown_name(run.name)
    return _case(run.policy, ("examples", run.place), "example", name, status, message, seen)


def steering_case(run: SteeringRun) -> TestedCase:
    """Returns a label that was left out as it is printed."""
    status: Status = "skipped" if run.skipped else "passed" if run.passes else "failed"
    count = len(run.own)
    changed = f"{count} example{'s' * (count != 1)} change{'s' * (count == 1)}"
    seen = {
        "label": run.label.id,
        "examples": [each.name for each in run.own],
        "stayed": [each.run.name for each in run.stayed],
    }
    message = run.skipped or run.failure or changed
    where, name = ("labels", run.place, "id"), f"without {run.label.id}"
    return _case(run.policy, where, "steering", name, status, message, seen)


def _case(
    policy: Policy,
    location: Location,
    kind: Literal["example", "steering"],
    name: str,
    status: Status,
    message: str,
    seen: dict[str, Any],
) -> TestedCase:
    path, place = policy.file.path, policy.place(location)
    return TestedCase(policy.id, path, *place, kind, name, status, message, seen)


def counted_cases(cases: Iterable[TestedCase]) -> str:
    """Returns in words how many cases became what."""
    counts = Counter(case.status for case in cases)
    words: dict[Status, str] = {
        "passed": "passed",
        "failed": "failed",
        "error": f"error{'s' * (counts['error'] != 1)}",
        "skipped": "skipped",
    }
    return ", ".join(f"{counts[status]} {word}" for status, word in words.items() if counts[status])


def junit_xml(cases: Sequence[TestedCase], model: str) -> bytes:
    """Returns cases as a file of JUnit, a suite for each policy's file.

    Args:
        cases: those of a file beside each other.
        model: what decided, in words.
    """
    root = ET.Element("testsuites", _counts(cases))
    del root.attrib["skipped"]  # strict readers know it of a suite alone
    for path in dict.fromkeys(case.path for case in cases):
        own = [case for case in cases if case.path == path]
        name = f"{own[0].policy} ({shown_name(path)})"
        suite = ET.SubElement(root, "testsuite", {"name": name, **_counts(own), "time": "0"})
        properties = ET.SubElement(suite, "properties")
        ET.SubElement(properties, "property", {"name": "model", "value": one_line(model)})
        for case in own:
            _add_junit_case(suite, case)
    ET.indent(root)
    content = BytesIO()
    ET.ElementTree(root).write(content, encoding="utf-8", xml_declaration=True)
    return content.getvalue() + b"\n"


def _add_junit_case(suite: ET.Element, case: TestedCase) -> None:
    place = {"file": shown_name(case.path), "line": str(case.line)}
    words = {"classname": f"{case.policy}.{case.kind}", "name": one_line(case.name), "time": "0"}
    element = ET.SubElement(suite, "testcase", {**words, **place})
    if case.status != "passed":
        tag = {"failed": "failure"}.get(case.status, case.status)
        found = ET.SubElement(element, tag, {"message": one_line(case.message)})
        if case.status != "skipped":
            found.set("type", case.kind)
            found.text = case.text


def _counts(cases: Sequence[TestedCase]) -> dict[str, str]:
    counts = Counter(case.status for case in cases)
    return {
        "tests": str(len(cases)),
        "failures": str(counts["failed"]),
        "errors": str(counts["error"]),
        "skipped": str(counts["skipped"]),
    }

"""What a gate finds, as Markdown for a pull request, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from audit.gate.checks import Check, Status, worst_status
from audit.gate.limits import Limits
from audit.results.formatting import escaped, percent
from audit.results.results import Header
from audit.results.rows import null_if_undefined
from moderation.visible_text import json_text

SCHEMA_VERSION = 1

_TITLES: dict[Status, str] = {
    "pass": "Pass: the policy is shown to keep to every limit",
    "fail": "Fail: the policy is shown to break a limit",
    "insufficient data": "Insufficient data: keeping to the limits is not shown",
}
_NAMES = {
    "worst_group_rate": "rate of any group, at most",
    "gap": "difference of two groups, at most",
    "ratio": "ratio of two groups' rates, at most",
    "pass_ratio": "ratio of two groups' pass rates, at least",
    "regression": "rise of any group over the baseline, at most",
}
_RATIOS = ("ratio", "pass_ratio")


@dataclass(frozen=True)
class GateReport:
    """What a gate finds, and of what."""

    header: Header
    limits: Limits
    checks: tuple[Check, ...]

    @property
    def status(self) -> Status:
        """The status over all checks."""
        return worst_status(self.checks)

    def to_json(self) -> str:
        """Returns the status with every check; what is undefined is null."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "answer": self.status,
            "checks": [
                # The key is older than the name of the field.
                {
                    "answer" if name == "status" else name: null_if_undefined(value)
                    for name, value in asdict(check).items()
                }
                for check in self.checks
            ],
            "limits": self.limits.model_dump(mode="json"),
            "header": self.header.model_dump(mode="json"),
        }
        return json_text(content, indent=1) + "\n"

    def to_markdown(self) -> str:
        """Returns the status as a table that fits a comment on a pull request."""
        new, *baseline = self.header.policies
        dataset, model = self.header.dataset, self.header.model
        against = f" against {escaped(baseline[0].name)}" if baseline else ""
        lines = [
            f"### {_TITLES[self.status]}",
            "",
            f"`{escaped(new.name)}` version {new.version} ({new.sha256[:12]}){against}, "
            f"{escaped(self.limits.metric)} on {dataset.n:,} images of {escaped(dataset.name)}, "
            f"model {escaped(model.id)} ({model.fingerprint}).",
            "",
            "| | limit | by | allowed | nearest to it | value [95 % interval] | smallest n |",
            "|---|---|---|---|---|---|---|",
            *map(_gate_report_row, self.checks),
            "",
            *_gate_report_reasons(self.checks),
            *_gate_report_ignored(self.limits),
            "Pass needs the whole interval of every group within the limit; fail needs one of them "
            "beyond it, corrected for how many there are. Anything else is too little data.",
        ]
        return "\n".join(lines) + "\n"


def _gate_report_row(check: Check) -> str:
    figures = (check.allowed, check.value, check.low, check.high)
    allowed, value, low, high = (_gate_report_figure(check.limit, figure) for figure in figures)
    cells = (
        f"**{check.status}**",
        _NAMES[check.limit],
        escaped(check.by),
        allowed,
        escaped(check.group),
        f"{value} [{low}, {high}]",
        f"{check.n:,}",
    )
    return f"| {' | '.join(cells)} |"


def _gate_report_figure(limit: str, value: float) -> str:
    if math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "no limit"
    return f"{value:.2f}" if limit in _RATIOS else percent(value, 2)


def _gate_report_ignored(limits: Limits) -> list[str]:
    if not limits.ignored_groups:
        return []
    named = ", ".join(map(escaped, limits.ignored_groups))
    return [f"Checked against no limit, as the limits file says: {named}.", ""]


def _gate_report_reasons(checks: Sequence[Check]) -> list[str]:
    reasons = [
        f"- {_NAMES[check.limit]}, by {escaped(check.by)}: {escaped(check.reason)}."
        for check in checks
        if check.reason
    ]
    return [*reasons, ""] if reasons else []

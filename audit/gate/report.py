"""What a gate finds, as Markdown for a pull request, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from audit.datasets.dataset import Groups
from audit.gate.checks import Check, Status, worst_status
from audit.gate.limits import Limits
from audit.gate.reasons import gate_figure, gate_interval, gate_level, some_named
from audit.results.formatting import escaped, images
from audit.results.results import Header
from audit.results.rows import null_if_undefined
from moderation.visible_text import brief, json_text

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
    "recall_floor": "true positive rate of any group, at least",
    "recall_gap": "difference of two groups' true positive rates, at most",
}


@dataclass(frozen=True)
class LeftOut:
    """Images of a group that were left out, so that nothing is known of them.

    Attributes:
        by: the sensitive feature or intersection.
        group: the group; empty for images whose group is not known.
        left_out: how many.
        n: images of the group that are there.
    """

    by: str
    group: str
    left_out: int
    n: int


def left_out_rows(part: Groups) -> Iterator[LeftOut]:
    """Yields the groups of which images were left out, and last those whose group is not known."""
    counts = zip(part.names, part.left_out, part.sizes.tolist(), strict=False)  # () for none
    yield from (LeftOut(part.by, name, lost, n) for name, lost, n in counts if lost)
    if part.unplaced:
        yield LeftOut(part.by, "", part.unplaced, 0)


@dataclass(frozen=True)
class GateReport:
    """What a gate finds, and of what.

    Attributes:
        header: what was audited, and how.
        limits: what was checked.
        checks: one for each limit and feature.
        left_out: the groups of which images were left out.
        no_label: where the truth matters, the classes that no label means, and how many images
            have each.
    """

    header: Header
    limits: Limits
    checks: tuple[Check, ...]
    left_out: tuple[LeftOut, ...] = ()
    no_label: Mapping[str, int] = field(default_factory=dict)

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
            "left_out": [asdict(row) for row in self.left_out],
            "no_label": dict(self.no_label),
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
            f"{escaped(self.limits.metric)} on {images(dataset.n)} of {escaped(dataset.name)}, "
            f"model {escaped(model.id)} ({model.fingerprint}).",
            "",
            "| | limit | by | allowed | nearest to it | value [interval] | smallest n |",
            "|---|---|---|---|---|---|---|",
            *map(_gate_report_row, self.checks),
            "",
            *_gate_report_reasons(self.checks),
            *_gate_report_left_out(self.left_out),
            *_gate_report_no_label(self.no_label),
            *_gate_report_ignored(self.limits),
            "Pass needs the whole 95 % interval of every group within the limit; fail needs one of "
            "them beyond it at a level that is corrected for how many there are. Anything else is "
            "too little data.",
        ]
        return "\n".join(lines) + "\n"


def _gate_report_row(check: Check) -> str:
    interval = gate_interval(check.limit, check.low, check.high)
    cells = (
        f"**{check.status}**",
        _NAMES[check.limit],
        escaped(check.by),
        gate_figure(check.limit, check.allowed),
        escaped(check.group),
        f"{gate_figure(check.limit, check.value)} {interval} at {gate_level(check.level)}"
        if check.n
        else "undefined",
        f"{check.n:,}",
    )
    return f"| {' | '.join(cells)} |"


def _gate_report_left_out(rows: Sequence[LeftOut]) -> list[str]:
    if not rows:
        return []
    named = [
        f"{escaped(row.group)} ({escaped(row.by)}) {row.left_out:,} of {row.left_out + row.n:,}"
        if row.group
        else f"of unknown group ({escaped(row.by)}) {row.left_out:,}"
        for row in rows
    ]
    return [f"Images left out, and allowed for in the intervals: {', '.join(named)}.", ""]


def _gate_report_no_label(classes: Mapping[str, int]) -> list[str]:
    if not classes:
        return []
    most_first = sorted(classes, key=lambda name: (-classes[name], name))
    named = [f"{escaped(brief(name, 100))} (n = {classes[name]:,})" for name in most_first]
    return [
        f"No label means these classes of y_true, so it is not known what the policy should say of "
        f"them: {some_named(named, 'class', 'classes')}. Say what they mean with "
        "--truth CLASS=LABEL, or CLASS=allow.",
        "",
    ]


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

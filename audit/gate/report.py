"""What a gate finds, as Markdown for a pull request, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from audit.datasets.groups import Groups
from audit.gate.checks import Check, Status, worst_status
from audit.gate.limits import Limits
from audit.gate.reasons import gate_figure, gate_interval, gate_level, some_named
from audit.gate.runs import Answer, CheckAnswer, GateQuestion, GateRun
from audit.gate.spending import Standing
from audit.results.cautions import source_cautions
from audit.results.formatting import escaped, images
from audit.results.results import Header
from audit.results.rows import null_if_undefined
from moderation.visible_text import brief, json_text

SCHEMA_VERSION = 1

#: Only what passes may be merged; what fails and what has too little data differ in the remedy.
EXIT_CODES: dict[Answer, int] = {"pass": 0, "fail": 1, "insufficient data": 4, "no pass": 4}

_TITLES: dict[Answer, str] = {
    "pass": "Pass: the {noun} is shown to keep to every limit",
    "fail": "Fail: the {noun} is shown to break a limit",
    "insufficient data": "Insufficient data: keeping to the limits is not shown",
    "no pass": "No pass: the {noun} is not shown to keep to every limit",
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
        standing: which of the recorded gates on its dataset this is; None without a record.
    """

    header: Header
    limits: Limits
    checks: tuple[Check, ...]
    left_out: tuple[LeftOut, ...] = ()
    no_label: Mapping[str, int] = field(default_factory=dict)
    standing: Standing | None = None

    @property
    def status(self) -> Status:
        """The status over all checks."""
        return worst_status(self.checks)

    @property
    def withheld(self) -> bool:
        """Whether no more is said than pass or no pass."""
        return self.standing is not None and not self.standing.figures

    @property
    def answer(self) -> Answer:
        """The status as far as it is said."""
        return "no pass" if self.withheld and self.status != "pass" else self.status

    @property
    def exit_code(self) -> int:
        """The code with which a program ends that says the answer."""
        return EXIT_CODES[self.answer]

    def run_of(self, asked: GateQuestion) -> GateRun:
        """Returns the run for a record; of what is withheld it has nothing either."""
        shown = () if self.withheld else self.checks
        return GateRun(
            **asked.model_dump(),
            level=self.header.confidence,
            spending=self.standing is not None and self.standing.spending,
            figures_shown=not self.withheld,
            answer=self.answer,
            checks=tuple(
                CheckAnswer(limit=check.limit, by=check.by, answer=check.status) for check in shown
            ),
            exit_code=self.exit_code,
        )

    def to_json(self) -> str:
        """Returns the answer with every check; what is undefined is null."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "answer": self.answer,
            "checks": [self._check_as_json(check) for check in self.checks],
            "left_out": [asdict(row) for row in self.left_out],
            "no_label": dict(self.no_label),
            "limits": self.limits.model_dump(mode="json"),
            "standing": self.standing and self.standing.as_json(),
            "header": self.header.model_dump(mode="json"),
        }
        return json_text(content, indent=1) + "\n"

    def _check_as_json(self, check: Check) -> dict[str, Any]:
        # The key is older than the name of the field.
        row = {
            "answer" if name == "status" else name: null_if_undefined(value)
            for name, value in asdict(check).items()
        }
        return {key: row[key] for key in _SAID_OF_WITHHELD} if self.withheld else row

    def to_markdown(self) -> str:
        """Returns the answer as a table that fits a comment on a pull request."""
        new, *baseline = self.header.policies
        dataset, model = self.header.dataset, self.header.model
        version = "" if new.version is None else f" version {new.version}"
        by_what = (
            f"model {escaped(model.id)} ({model.fingerprint})"
            if model and not self.header.recording
            else f"features recorded as of {escaped(model.id)}"
            if model
            else f"predictions of {escaped(brief(new.path))}"
        )
        against = f" against {escaped(baseline[0].name)}" if baseline else ""
        lines = [
            f"### {_TITLES[self.answer].format(noun=self.header.noun)}",
            "",
            f"`{escaped(new.name)}`{version} ({new.sha256[:12]}){against}, "
            f"{escaped(self.limits.metric)} on {images(dataset.n)} of {escaped(dataset.name)}, "
            f"{by_what}.",
            "",
            *([self.standing.text, ""] if self.standing else []),
            *(_withheld_table(self.checks) if self.withheld else _checks_table(self.checks)),
            "",
            *_gate_report_reasons(self.checks, withheld=self.withheld),
            *_gate_report_left_out(self.left_out),
            *_gate_report_no_label(self.no_label),
            *_gate_report_ignored(self.limits),
            *(f"{escaped(caution)}\n" for caution in source_cautions(self.header)),
            _WITHHELD if self.withheld else self._rule,
        ]
        return "\n".join(lines) + "\n"

    @property
    def _rule(self) -> str:
        return (
            f"Pass needs the whole {gate_level(self.header.confidence)} interval of every group "
            "within the limit; fail needs one of them beyond it at a level that is corrected for "
            "how many there are. Anything else is too little data."
        )


#: What is said of a check of which the answer is withheld; nothing of it depends on the policy.
_SAID_OF_WITHHELD = ("limit", "by", "allowed", "metric", "obstacle")

_WITHHELD = (
    "No figure, group or limit is named that decides, since an edit that follows it is fitted to "
    "these images: mend what is gated on other ones. --show-figures names them, and ends what is "
    "promised of all gates on this dataset."
)


def _checks_table(checks: Sequence[Check]) -> list[str]:
    return [
        "| | limit | by | allowed | nearest to it | value [interval] | smallest n |",
        "|---|---|---|---|---|---|---|",
        *map(_gate_report_row, checks),
    ]


def _withheld_table(checks: Sequence[Check]) -> list[str]:
    rows = [
        f"| {_NAMES[check.limit]} | {escaped(check.by)} | "
        f"{gate_figure(check.limit, check.allowed)} |"
        for check in checks
    ]
    return ["| checked, and not told by itself | by | allowed |", "|---|---|---|", *rows]


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
        f"No label means these classes of y_true, so it is not known what should be said of "
        f"them: {some_named(named, 'class', 'classes')}. Say what they mean with "
        "--truth CLASS=LABEL, or CLASS=allow.",
        "",
    ]


def _gate_report_ignored(limits: Limits) -> list[str]:
    if not limits.ignored_groups:
        return []
    named = ", ".join(map(escaped, limits.ignored_groups))
    return [f"Checked against no limit, as the limits file says: {named}.", ""]


def _gate_report_reasons(checks: Sequence[Check], *, withheld: bool) -> list[str]:
    """Lists why there is too little data, or, of what is withheld, why no policy can pass."""
    said = [(check, check.obstacle if withheld else check.reason) for check in checks]
    reasons = [
        f"- {_NAMES[check.limit]}, by {escaped(check.by)}: {escaped(reason)}."
        for check, reason in said
        if reason
    ]
    return [*reasons, ""] if reasons else []

"""Which gate on a dataset a run is, at what level it is checked, and what its pass is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import comb
from typing import Any

from audit.gate.reasons import gate_level
from audit.gate.runs import GateQuestion, GateRun
from audit.results.formatting import percent
from audit.statistics.intervals import LEVEL

#: The chance, at most, that a gate passes a policy that breaks one of its limits: each must be
#: shown to be kept by the one bound of an interval.
FALSE_PASS = round((1 - LEVEL) / 2, 12)

#: The smallest error for which it was measured what the intervals of a gate keep of it.
_SMALLEST = 1e-9


def spent_level(number: int, passes: int) -> float:
    """Returns the level of the number-th gate on a dataset, after so many that passed.

    Its error is the FALSE_PASS / (number (number + 1)) of a sum that converges to FALSE_PASS,
    shared by all the ways in which so many of the earlier gates could have passed. So whatever
    is gated next because of their answers is allowed for. Where it is too small for any
    interval, the level is 1, at which nothing passes.
    """
    ways = comb(number - 1, passes)
    error = FALSE_PASS * float(Fraction(1, number * (number + 1) * ways))
    return 1 - 2 * error if error >= _SMALLEST else 1.0


@dataclass(frozen=True)
class Standing:
    """Which of the gates on its dataset a run is.

    Attributes:
        number: of this gate; one that is run again keeps its number.
        of: how many gates there are with it.
        passes: how many before it passed.
        spending: whether the level is spent.
        figures: whether this run shows figures of the dataset.
        seen: how many earlier runs on the dataset showed some.
    """

    number: int
    of: int
    passes: int
    spending: bool
    figures: bool
    seen: int

    @classmethod
    def after(
        cls, earlier: Sequence[GateRun], asked: GateQuestion, *, spend: bool, figures: bool
    ) -> Standing:
        """Returns the standing of a run, which is to be added to earlier ones."""
        on_dataset = [run for run in earlier if run.on_dataset_of(asked)]
        gates = list(dict.fromkeys(run.gate_sha256 for run in on_dataset))
        if asked.gate_sha256 not in gates:
            gates.append(asked.gate_sha256)
        place = gates.index(asked.gate_sha256)
        passed = {run.gate_sha256 for run in on_dataset if run.answer == "pass"}
        return cls(
            number=place + 1,
            of=len(gates),
            passes=len(passed.intersection(gates[:place])),
            spending=spend,
            figures=figures,
            seen=sum(run.figures_shown for run in on_dataset),
        )

    @property
    def level(self) -> float:
        """The level at which this gate is checked."""
        return spent_level(self.number, self.passes) if self.spending else LEVEL

    @property
    def bound(self) -> float:
        """What the chance of a false pass of so many gates may add up to."""
        return FALSE_PASS if self.spending else min(1.0, self.number * FALSE_PASS)

    @property
    def holds(self) -> bool:
        """Whether the promise of spending holds, as far as the record tells."""
        return self.spending and not self.figures and not self.seen

    def as_json(self) -> dict[str, Any]:
        """Returns the standing as a gate's JSON has it."""
        return {**asdict(self), "level": self.level, "bound": self.bound, "holds": self.holds}

    @property
    def text(self) -> str:
        """The standing in words."""
        which = f"Gate {self.number:,} of {self.of:,} on this dataset, by the record"
        if not self.spending:
            return f"{which}. {self._plain_text}"
        passed = f", after {_passes(self.passes)}" if self.passes else ""
        return (
            f"{which}, so it is checked at {gate_level(self.level)}{passed}: what breaks "
            f"a limit passes here with a chance of {_chance((1 - self.level) / 2)} at most. "
            f"{self._promise}"
        )

    @property
    def _plain_text(self) -> str:
        one = percent(FALSE_PASS)
        if self.number == 1:
            return (
                f"What breaks a limit passes with a chance of {one} at most. Each further gate "
                "here, until one passes, adds as much."
            )
        return (
            f"A pass after {self.number:,} tries is worth less: if each of these broke a "
            f"limit, one of them would pass with a chance of up to {percent(self.bound)}, where a "
            f"first one has {one}; with more, where they were edited after figures of this "
            f"dataset. From the first gate on a dataset on, --spend holds it at {one} for all "
            "together."
        )

    @property
    def _promise(self) -> str:
        one = percent(FALSE_PASS)
        if not self.holds:
            who = "This run shows" if self.figures else f"{_runs(self.seen)} on this dataset showed"
            return (
                f"{who} figures, so nothing is promised of all gates together: a policy that is "
                "edited after them is fitted to these images. Gate the next ones on another "
                "dataset."
            )
        promise = (
            f"Of all policies that are ever gated so on this dataset the chance that one passes "
            f"falsely is {one} at most, if they were fixed beforehand"
        )
        edited = (
            "of those that were edited after answers alone, as much for each pass"
            if self.passes
            else "and up to the first pass also if each was edited after answers alone"
        )
        return (
            f"{promise}, {edited}. It does not hold for who saw figures of these images elsewhere."
        )


def gate_numbers(runs: Sequence[GateRun]) -> list[int]:
    """Returns of each run of a record which of the gates on its dataset it is."""
    numbers: list[int] = []
    # By what tells a dataset: its first run, and the place of each gate on it so far.
    known: dict[tuple[str, str, str], tuple[GateRun, dict[str, int]]] = {}
    for i, run in enumerate(runs):
        dataset = run.dataset, run.images_sha256, run.dataset_sha256
        if dataset not in known:
            before = (each.gate_sha256 for each in runs[:i] if each.on_dataset_of(run))
            known[dataset] = run, {gate: n for n, gate in enumerate(dict.fromkeys(before), 1)}
        for first, places in known.values():
            if first.on_dataset_of(run):
                places.setdefault(run.gate_sha256, len(places) + 1)
        numbers.append(known[dataset][1][run.gate_sha256])
    return numbers


def _chance(error: float) -> str:
    """Formats a small chance in percent, with three digits that count."""
    return f"{100 * error:.3g} %"


def _passes(n: int) -> str:
    return "one pass" if n == 1 else f"{n:,} passes"


def _runs(n: int) -> str:
    return "An earlier run" if n == 1 else f"{n:,} earlier runs"

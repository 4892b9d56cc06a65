"""How far the strongest claim of a report holds if annotations are wrong, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from audit.results.finding import Finding
from audit.results.formatting import group_named, images
from audit.results.gap_sentences import done_to, gap_prefix, often
from audit.results.robustness_rows import DistinctClaim, LabelNoise, TippingPoint
from audit.results.rows import Difference

#: Of the shares of annotations that are replaced, the one that a summary names, in words.
_SAID, _IN_WORDS = 0.1, "one in ten annotations"


def _claim_key(row: TippingPoint | LabelNoise | DistinctClaim) -> tuple[str, str, str, str]:
    return row.policy, row.by, row.metric, row.group


class ClaimsHold(NamedTuple):
    """How far what is claimed of groups against all others holds."""

    tipping_points: Sequence[TippingPoint] = ()
    label_noise: Sequence[LabelNoise] = ()
    distinct: Sequence[DistinctClaim] = ()

    def of_claim(self, policy: str, claim: Difference) -> ClaimsHold:
        """Returns the rows of what is claimed of the same group under a policy."""
        key = (policy, claim.by, claim.metric, claim.group)
        return ClaimsHold(
            [row for row in self.tipping_points if _claim_key(row) == key],
            [row for row in self.label_noise if _claim_key(row) == key],
            [row for row in self.distinct if _claim_key(row) == key],
        )

    def without_policy(self) -> list[dict[str, Any]]:
        """Returns the figures of all rows, to tell whether two policies have the same."""
        return [row.model_dump(exclude={"policy"}) for rows in self for row in rows]


def robustness_findings(top: Difference, holds: ClaimsHold, *, several: bool) -> Iterator[Finding]:
    """Yields how far a claim on a group against all others holds, where that is known.

    Args:
        top: the claim.
        holds: of all claims.
        several: whether the summary is of several policies, so that the sentence names its own.
    """
    own = holds.of_claim(top.policy, top)
    if not own.tipping_points:
        return
    policies = [
        name
        for name in dict.fromkeys(row.policy for row in holds.tipping_points)
        if holds.of_claim(name, top).without_policy() == own.without_policy()
    ]
    prefix = gap_prefix(" and ".join(policies), top.by, several=several)
    falls = ", or if ".join(map(_falls_if, own.tipping_points))
    noise = "".join(
        f"; with {_IN_WORDS} of {row.by} made wrong at random it stands in {row.stands:,} "
        f"of {row.redraws:,} tries"
        for row in own.label_noise
        if (row.noise, row.replaced) == ("group", _SAID)
    )
    once = "".join(_counted_once(row, top) for row in own.distinct)
    text = (
        f"{prefix}, the claim that {group_named(top.group)} is {done_to(top.metric)} {often(top)} "
        f"than all others no longer stands if {falls}{noise}.{once}"
    )
    yield Finding(text, claimed=True)


def _falls_if(row: TippingPoint) -> str:
    """Returns how many annotations would have to be wrong, and in which way."""
    own, counted = row.images.endswith("of_group"), row.images.startswith("counted")
    whose = group_named(row.group) if own else "other groups"
    which = f"{row.fewest:,} of the {images(row.of)} of {whose}"
    are = "is" if row.of == 1 else "are"
    done = "flagged as such" if row.metric.startswith("category:") else done_to(row.metric)
    which += f" that {are} {'' if counted else 'not '}{done}"
    if row.noise == "truth":
        return f"{which} {'has' if row.fewest == 1 else 'have'} a wrong truth"
    belong = "belongs" if row.fewest == 1 else "belong"
    return f"{which} {belong} to {'other groups' if own else group_named(row.group)}"


def _counted_once(row: DistinctClaim, claim: Difference) -> str:
    """Returns whether a claim stands without near-duplicates, if any images go."""
    if row.n + row.others_n == claim.reference_n:
        return ""
    return (
        f" Where near-duplicates count once, it {'stands' if row.stands else 'no longer stands'}: "
        f"{row.count:,} of {row.n:,} against {row.others_count:,} of {row.others_n:,}."
    )

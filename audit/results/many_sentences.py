"""What is said of many systems together, where a sentence on each would fill pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from audit.datasets.groups import CROSS, OVERALL
from audit.metrics.rates import FALSE_POSITIVE, MISCLASSIFIED, TRUE_POSITIVE
from audit.results.finding import CORRECTED, Finding
from audit.results.formatting import group_named, images, of_10000
from audit.results.gap_sentences import done_to
from audit.results.results import Header
from audit.results.rows import Gap, Rate

#: Up to this many systems are named in a sentence.
_NAMED = 5


def many_findings(header: Header, rates: Sequence[Rate], gaps: Sequence[Gap]) -> Iterator[Finding]:
    """Yields what systems do most and least, and under how many groups are claimed to differ.

    Args:
        header: of the report.
        rates: of all systems.
        gaps: of all systems, with what is claimed.
    """
    yield from _most_and_least(header, rates)
    metrics = dict.fromkeys((header.harm, MISCLASSIFIED, FALSE_POSITIVE, TRUE_POSITIVE))
    single = [by for by in header.by if CROSS not in by] or header.by
    for metric in metrics:
        for by in single:
            own = [gap for gap in gaps if (gap.by, gap.metric) == (by, metric)]
            claimed = sorted((gap for gap in own if gap.claim), key=_by_size)
            if claimed:
                yield Finding(_claimed_of_many(header, claimed, len(own)), claimed=True)
            elif own and metric == header.harm:
                text = (
                    f"By {by}, under none of {len(own):,} {header.nouns} is it shown that groups "
                    f"differ in the share {done_to(metric)}, {CORRECTED}."
                )
                yield Finding(text, claimed=False)


def _most_and_least(header: Header, rates: Sequence[Rate]) -> Iterator[Finding]:
    whole = [r for r in rates if (r.by, r.metric) == (OVERALL, header.harm) and r.rate is not None]
    if len(whole) < 2:
        return
    whole.sort(key=lambda rate: rate.rate or 0.0)
    least, most = (_counted(whole[place]) for place in (0, -1))
    done = done_to(header.harm)
    text = f"Of {len(whole):,} {header.nouns}, the fewest images are {done} under {least}, and the "
    yield Finding(f"{text}most under {most}.", claimed=True)


def _counted(rate: Rate) -> str:
    share = f"{of_10000(rate.rate)} of every 10,000"
    return f"{rate.policy} ({rate.count:,} of {images(rate.n)}: {share})"


def _by_size(gap: Gap) -> tuple[float, float]:
    """Returns a key that sorts gaps, the surely widest first."""
    return -(gap.difference_low or 0.0), -(gap.difference or 0.0)


def _claimed_of_many(header: Header, claimed: Sequence[Gap], compared: int) -> str:
    """Returns under how many systems groups are claimed to differ, and where most."""
    first, n = claimed[0], len(claimed)
    [(worst, times)] = Counter(gap.worst for gap in claimed).most_common(1)
    named = "; ".join(
        f"{gap.policy} ({group_named(gap.worst or '')}: {gap.worst_count:,} of {gap.worst_n:,}, "
        f"{group_named(gap.best or '')}: {gap.best_count:,} of {gap.best_n:,})"
        for gap in claimed[:_NAMED]
    )
    more = f" and {n - _NAMED:,} more" if n > _NAMED else ""
    highest = f", {group_named(worst or '')} has the highest rate under {times:,} of these"
    return (
        f"By {first.by}, groups are shown to differ in the share {done_to(first.metric)} under "
        f"{n:,} of {compared:,} {header.nouns}{highest if n > 1 else ''}. As counted: "
        f"{named}{more}."
    )

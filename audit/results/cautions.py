"""What to be careful of in the figures of an audit or of a gate, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from audit.metrics.rates import FALSE_POSITIVE, MISCLASSIFIED, TRUE_POSITIVE
from audit.results.results import DatasetRecord, Header, PolicyRecord
from audit.results.rows import Correction, Rate
from moderation.visible_text import brief


def cautions(
    header: Header, rates: Iterable[Rate], tested: Correction, *, claimed: bool
) -> Iterator[str]:
    """Yields how to read the ranges, and what makes the figures of a report less than they look."""
    allows = ""
    if claimed and tested.hypotheses > 1:
        allows = (
            f"; that of the first finding is wider, as it allows for all {tested.hypotheses:,} "
            "differences that were tested"
        )
    yield f"Brackets hold the range in which the true figure probably lies (95 %){allows}."
    if header.harm == MISCLASSIFIED:
        yield "Which label is right is as the dataset's annotators perceived it."
    elif not header.dataset.benign:
        yield _caution_of_truth(rates)
    yield from source_cautions(header)


def _caution_of_truth(rates: Iterable[Rate]) -> str:
    """Returns what a flag does not say where some images should be flagged."""
    if any(rate.metric in (TRUE_POSITIVE, FALSE_POSITIVE) and rate.n for rate in rates):
        return (
            "Some of these images should be flagged, of some groups perhaps more: only wrong and "
            "missed flags are errors."
        )
    return "It is not known which of these images should be flagged, so a flag may be right."


def source_cautions(header: Header) -> Iterator[str]:
    """Yields what is to be known of the model and of the policies: a stand-in, or tuned on this."""
    if header.is_of_starter:
        yield "The model is starter, a small stand-in for trying out: its figures are not CLIP's."
    for policy in header.policies:
        if policy.unfitted:
            yield f"{policy.name} is {policy.unfitted}: its figures are of those thresholds here."
        if name := tuned_on(policy, header.dataset):
            yield (
                f"The wording or the thresholds of {policy.name} were chosen on {brief(name)}, as "
                "its file says, and these images are from it: expect more flags on other images."
            )


def tuned_on(policy: PolicyRecord, dataset: DatasetRecord) -> str:
    """Returns what a policy's file calls the dataset, where it was tuned or fitted on it."""
    names = (dataset.name, dataset.name.rpartition(":")[2], dataset.adapter)
    known = {_slug(name) for name in (*names, dataset.sha256, dataset.images_sha256)}
    known.discard("")  # of a name of signs alone
    named = (*policy.tuned_on, *(policy.fitted.data if policy.fitted else ()))
    return next((name for name in named if _slug(name) in known), "")


def _slug(name: str) -> str:
    return re.sub(r"[\W_]+", "-", name.casefold()).strip("-")

"""What to be careful of in the figures of an audit or of a gate, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator

from audit.results.results import DatasetRecord, Header, PolicyRecord
from moderation.visible_text import brief


def cautions(header: Header) -> Iterator[str]:
    """Yields what makes the figures of a report less than they look."""
    if header.model.id == "starter":
        yield "The model is starter, a small stand-in for trying out: its figures are not CLIP's."
    for policy in header.policies:
        if name := tuned_on(policy, header.dataset):
            yield (
                f"The wording or the thresholds of {policy.name} were chosen on {brief(name)}, as "
                "its file says, and these images are of it: expect more flags on others."
            )


def tuned_on(policy: PolicyRecord, dataset: DatasetRecord) -> str:
    """Returns what a policy's file calls the dataset, where it says that it was tuned on it."""
    names = (dataset.name, dataset.name.rpartition(":")[2], dataset.adapter)
    known = {_slug(name) for name in (*names, dataset.sha256, dataset.images_sha256)}
    known.discard("")  # of a name of signs alone
    return next((name for name in policy.tuned_on if _slug(name) in known), "")


def _slug(name: str) -> str:
    return re.sub(r"[\W_]+", "-", name.casefold()).strip("-")

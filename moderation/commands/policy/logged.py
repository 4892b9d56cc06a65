"""What an edited policy would have decided on the images of the decision log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from moderation.commands.output import track
from moderation.policy import Policy
from moderation.settings import Settings

if TYPE_CHECKING:
    from moderation.decision_log.reconsideration import DecideByFeatures, Reconsidered


def reconsidered_log(
    old: Policy,
    new: Policy,
    settings: Settings,
    *,
    model: str | None,
    store: Path | None,
    no_store: bool,
    since: datetime | None,
) -> list[Reconsidered]:
    """Returns what the new policy says of the images that the old one's id decided on.

    Each image counts once, by the newest decision on it.

    Args:
        old: whose id the decisions are of, in any of its versions.
        new: that decides instead.
        settings: where the log is, and what is looked at here.
        model: wins over what the new policy names; None where that is what the log's ran on.
        store: folder of the embedding store; None takes that of the settings, or of the user.
        no_store: takes no features.
        since: leaves out what was decided before.

    Raises:
        LogUnavailable: there is no log, or it does not answer. LogError: it is damaged.
        ModelError: the new policy's texts need the model, and it cannot be loaded.
    """
    from moderation.decision_log.decisions import (
        WantedDecisions,
        count_decisions,
        find_decisions,
        newest_of_images,
    )
    from moderation.decision_log.log import open_log
    from moderation.decision_log.reconsideration import reconsider
    from moderation.decision_log.replay import decisions_to_replay

    wanted = WantedDecisions(policy=old.id, since=since)
    named = model or new.model
    with (
        open_log(settings, make=False) as log,
        _stored_decisions(new, settings, named, store=store, no_store=no_store) as by_features,
    ):
        total = count_decisions(log.database, wanted)
        rows = track(find_decisions(log.database, wanted), total, "Deciding again")
        known = decisions_to_replay(log.database, newest_of_images(rows))
        return list(reconsider(known, new, model=named, by_features=by_features))


@contextmanager
def _stored_decisions(
    new: Policy, settings: Settings, model: str | None, *, store: Path | None, no_store: bool
) -> Iterator[DecideByFeatures]:
    """Yields what decides by features of the embedding store."""
    if no_store:
        yield lambda *_: "--no-store leaves its features out"
        return
    from moderation.decision_log.stored_decisions import StoredDecisions
    from moderation.encoders.options import ModelOptions
    from moderation.features import EmbeddingStore
    from moderation.features.location import store_folder
    from moderation.features.stored_models import StoredModels
    from moderation.images.looks import Looking

    looking = Looking(settings.frames, settings.views)
    kept = EmbeddingStore(store_folder(store or settings.store))
    options = ModelOptions.of(settings)
    with StoredModels(kept, options, looking, classifiers=settings.classifiers) as models:
        yield StoredDecisions(new, models, model or settings.model).decide


def log_notes(found: list[Reconsidered], old: Policy) -> Iterator[str]:
    """Yields how the decisions were decided again, and why some were not."""
    ways = Counter(each.way for each in found)
    other = sum(each.before.policy.sha256 != old.sha256 for each in found)
    yield f"{len(found)} images of the log, each by its newest decision under the id {old.id}"
    if other:
        yield (
            f"{other} of them were decided by another version than OLD: what changes is counted "
            "from what was answered"
        )
    if ways["features"]:
        yield f"{ways['features']} were decided again by features of the embedding store"
    if ways["deciding look"]:
        yield (
            f"{ways['deciding look']} have several looks, of which only the one that decided is in "
            "the log: the edited policy may find more in the others"
        )
    for reason, count in Counter(each.reason for each in found if each.reason).most_common():
        yield f"{count} could not be decided again: {reason}"

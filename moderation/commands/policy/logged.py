"""What an edited policy would have decided on the images of the decision log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from audit.plurals import counted
from moderation.commands.output import track
from moderation.policy import Policy
from moderation.settings import Settings

if TYPE_CHECKING:
    from audit.flips.flips import Flips
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
        yield StoredDecisions(new, models, model).decide


def logged_flips(found: list[Reconsidered], old: Policy, former: Mapping[str, str]) -> Flips:
    """Returns which images of the log get another action.

    Args:
        found: the log's decisions, decided again.
        old: the policy whose id they are of.
        former: the old ids of labels that were renamed, by the new one.
    """
    from audit.flips.flips import Flip, Flips, action_matrix, changed_labels

    known = [(each, action, each.after) for each in found if (action := each.action) and each.after]
    flips = [
        Flip(
            each.before.image_sha256,
            each.before.image_sha256,
            each.before.action,
            action,
            changed_labels(each.before.labels, after.labels, former),
        )
        for each, action, after in known
        if action != each.before.action
    ]
    return Flips(
        n=len(known),
        matrix=action_matrix((each.before.action, action) for each, action, _ in known),
        flips=tuple(flips),
        notes=tuple(_log_notes(found, old)),
        left_out=tuple(
            (each.before.image_sha256, each.reason) for each in found if each.after is None
        ),
    )


def _log_notes(found: list[Reconsidered], old: Policy) -> Iterator[str]:
    """Yields how the decisions were decided again, and why some were not."""
    ways = Counter(each.way for each in found)
    images = counted(len(found), "image")
    yield f"{images} of the log, each by its newest decision under the id {old.id}"
    if other := sum(each.before.policy.sha256 != old.sha256 for each in found):
        yield (
            f"{other} decided by another version than OLD: before is what was answered, "
            "whichever version it was"
        )
    if stored := ways["features"]:
        yield f"{stored} decided again by features of the embedding store"
    if several := ways["deciding look"]:
        yield (
            f"{several} with several looks, of which the log has the one that decided: NEW may "
            "find more in the others"
        )
    for reason, count in Counter(each.reason for each in found if each.reason).most_common():
        yield f"{count} not decided again: {reason}"

"""Many images at once -> their verdicts: scored and decided as the matrices of each policy.

What an image gets does not depend, in any digit, on which others it is decided with.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from moderation.encoders.encoder import Float32s
from moderation.errors import ModerationError
from moderation.messages import Verdict
from moderation.scoring.served import DecidedLook, ServedPolicy
from moderation.scoring.sighted import SeenImages
from moderation.scoring.timer import Timer
from moderation.scoring.verdict import make_verdict

#: What a policy says of an image, or why it says nothing.
_Decided = DecidedLook | ModerationError


def batch_verdicts(
    seen: Sequence[SeenImages], request_ids: Sequence[str], timers: Sequence[Timer]
) -> list[tuple[Verdict, ...] | ModerationError]:
    """Returns for each image a verdict of each of its policies, or why it gets none.

    Args:
        seen: the images.
        request_ids: go into their verdicts.
        timers: get what deciding takes, which all images take together.
    """
    start = time.perf_counter()
    decided = _decided_batch(seen)
    seconds = time.perf_counter() - start
    for timer in timers:
        timer.add("decide", seconds)
    return [
        _verdicts_on_one(*each) for each in zip(seen, decided, request_ids, timers, strict=True)
    ]


def _decided_batch(seen: Sequence[SeenImages]) -> list[list[_Decided]]:
    """Returns for each image what each of its policies says of it, in their order."""
    decided: list[dict[int, _Decided]] = [{} for _ in seen]
    # By identity: two pipelines may have policies of one name.
    groups: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for image, (sighted, _) in enumerate(seen):
        for place, policy in enumerate(sighted.policies):
            groups[id(policy)].append((image, place))
    for places in groups.values():
        first, at = places[0]
        policy = seen[first].sighted.policies[at]
        images = [seen[image].features for image, _ in places]
        for (image, place), each in zip(places, _decided_by(policy, images), strict=True):
            decided[image][place] = each
    return [[places[place] for place in sorted(places)] for places in decided]


def _decided_by(
    policy: ServedPolicy, images: Sequence[Mapping[str, Float32s]]
) -> Sequence[_Decided]:
    """Returns what a policy says of each image; a batch that fails is tried image by image."""
    try:
        return policy.decide(images)
    except ModerationError as error:
        if len(images) == 1:
            return [error]
        return [each for image in images for each in _decided_by(policy, [image])]


def _verdicts_on_one(
    seen: SeenImages, decided: Sequence[_Decided], request_id: str, timer: Timer
) -> tuple[Verdict, ...] | ModerationError:
    verdicts = []
    for policy, each in zip(seen.sighted.policies, decided, strict=True):
        if isinstance(each, ModerationError):
            return each
        verdict = make_verdict(
            policy.basis.policy,
            each.decision,
            seen=seen.sighted.sights[each.reference].seen(each.look),
            conditions=policy.basis.conditions,
            model=policy.basis.model,
            request_id=request_id,
            image_sha256=seen.sighted.image_sha256,
            timings=timer.seconds,
        )
        verdicts.append(verdict)
    return tuple(verdicts)

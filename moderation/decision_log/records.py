"""What goes into the decision log and comes out of it; frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from moderation.errors import ModerationError
from moderation.messages import Verdict

#: Why a request was set aside, instead of a verdict.
#:
#: request      it can never succeed: an unknown policy, a reference that is not allowed
#: message      it is no request of a version that is read here, or too large
#: image        its file is refused: damaged, too large, of a type that is not read
#: decoder      its file crashes the decoder, or takes too long in it
#: unavailable  its file could not be fetched, however often it was tried
#: deliveries   workers died with it in hand, more often than is allowed
#: model        the model failed on it
#: fault        the program failed on it, however often it was tried
Reason = Literal[
    "request", "message", "image", "decoder", "unavailable", "deliveries", "model", "fault"
]


@dataclass(frozen=True)
class Submission:
    """A request as the log keeps it.

    Attributes:
        request_id: the host's.
        request_sha256: of what it asks for, so that an id which is used twice is noticed.
        reference_kind: path, url, key or bytes; "" where it could not be read.
        reference: where the image is, without user, password, query and fragment; "" for bytes.
        policies: ids.
        queue: interactive or bulk.
        sent_at: when the host sent it, in Unix seconds; None where it did not say.
    """

    request_id: str
    request_sha256: str
    reference_kind: str
    reference: str
    policies: tuple[str, ...]
    queue: str
    sent_at: float | None


@dataclass(frozen=True)
class Decided:
    """The final answer to a request: a verdict for each policy, in the order of the request."""

    request_id: str
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class Quarantined:
    """The final answer to a request that got no verdict: why, and the error that the host gets."""

    request_id: str
    quarantine_id: str
    reason: Reason
    error: ModerationError


Answer = Decided | Quarantined

"""The names of what lies in Redis beside the two queues and the results; one place for all.

evenhand.hand: tag -> the message that a worker has taken, as it lay in its queue. A tag is
WORKER:NUMBER:QUEUE. evenhand.hand.due: tag -> when it goes back although its worker lives (Unix
time, by the clock of Redis). evenhand.hand.held: tags of what a worker has and has not begun.
evenhand.worker.NAME: there while that worker lives. evenhand.later.QUEUE: message -> when it goes
back to its queue. evenhand.bytes: of what hosts of ours submitted and nobody has answered.
evenhand.withdrawn.ID: there for as long as a host's request for it may be under way.
evenhand.quarantined: what `quarantine retry` sends again.
"""

from __future__ import annotations

from moderation.messages import QUEUES, QueueName

HAND, DUE, HELD = "evenhand.hand", "evenhand.hand.due", "evenhand.hand.held"
#: What begins the key of each worker.
WORKER = "evenhand.worker."
LATER: dict[QueueName, str] = {
    "interactive": "evenhand.later.interactive",
    "bulk": "evenhand.later.bulk",
}
BYTES = "evenhand.bytes"
#: What begins the key of each request that was withdrawn.
WITHDRAWN = "evenhand.withdrawn."
#: There while nobody else need look for what workers left.
SWEPT = "evenhand.swept"
#: Requests, when they came, and the bytes of all.
QUARANTINED = ("evenhand.quarantined", "evenhand.quarantined.at", "evenhand.quarantined.bytes")
#: What hosts of a former version enter: requests, their bytes, in whose hand they are, and when
#: each was last sent or taken.
FORMER = (
    "evenhand.accepted",
    "evenhand.accepted.bytes",
    "evenhand.in_hand",
    "evenhand.accepted.at.interactive",
    "evenhand.accepted.at.bulk",
)


def room_keys(queue: QueueName) -> list[str]:
    """Returns the keys that say whether there is room for a message to a queue."""
    (other,) = (key for name, key in QUEUES.items() if name != queue)
    return [QUEUES[queue], BYTES, HAND, *LATER.values(), other]

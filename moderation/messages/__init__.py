"""What crosses the wire between a host and a worker; plain JSON, versioned, frozen once parsed.

The shapes are documented in docs/messages.md for hosts that do not have this package.
"""

from moderation.messages.queues import QUEUES, QueueName
from moderation.messages.reference import ImageReference
from moderation.messages.request import (
    EMBED_TASK_NAME,
    REQUEST_ID,
    TASK_NAME,
    EmbeddingRequest,
    ModerationRequest,
)
from moderation.messages.response import (
    Action,
    EmbeddingResponse,
    LabelScore,
    ModelStamp,
    ModerationResponse,
    PolicyStamp,
    Rendition,
    Severity,
    Unfitted,
    Verdict,
    strictest_action,
)

__all__ = [
    "EMBED_TASK_NAME",
    "QUEUES",
    "REQUEST_ID",
    "TASK_NAME",
    "Action",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "ImageReference",
    "LabelScore",
    "ModelStamp",
    "ModerationRequest",
    "ModerationResponse",
    "PolicyStamp",
    "QueueName",
    "Rendition",
    "Severity",
    "Unfitted",
    "Verdict",
    "strictest_action",
]

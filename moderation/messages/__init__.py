"""What crosses the wire between a host and a worker; plain JSON, versioned, frozen once parsed.

The shapes are documented in docs/messages.md for hosts that do not have this package.
"""

from moderation.messages.lanes import BULK_QUEUE, INTERACTIVE_QUEUE, Lane, Lanes
from moderation.messages.reference import ImageReference, parse_reference
from moderation.messages.request import (
    EMBED_TASK_NAME,
    REQUEST_ID,
    TASK_NAME,
    EmbeddingRequest,
    ModerationRequest,
    parse_embedding_request,
    parse_request,
)
from moderation.messages.response import (
    Action,
    EmbeddingResponse,
    LabelScore,
    ModelStamp,
    ModerationResponse,
    PolicyStamp,
    Score,
    Severity,
    Verdict,
    parse_embedding_response,
    parse_response,
    strictest_action,
)

__all__ = [
    "BULK_QUEUE",
    "EMBED_TASK_NAME",
    "INTERACTIVE_QUEUE",
    "REQUEST_ID",
    "TASK_NAME",
    "Action",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "ImageReference",
    "LabelScore",
    "Lane",
    "Lanes",
    "ModelStamp",
    "ModerationRequest",
    "ModerationResponse",
    "PolicyStamp",
    "Score",
    "Severity",
    "Verdict",
    "parse_embedding_request",
    "parse_embedding_response",
    "parse_reference",
    "parse_request",
    "parse_response",
    "strictest_action",
]

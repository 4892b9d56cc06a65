"""What a host asks of a worker; docs/messages.md shows it to hosts without this package."""

from __future__ import annotations

import re
import uuid
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from moderation.messages.message import Message, parse
from moderation.messages.reference import ImageReference

TASK_NAME = "moderation.moderate"
EMBED_TASK_NAME = "moderation.embed"

#: What a request may be called: printable ASCII without spaces.
REQUEST_ID = re.compile(r"[!-~]{1,128}")

_PolicyName = Annotated[str, Field(pattern=f"^{REQUEST_ID.pattern}$")]


class ModerationRequest(Message):
    """One image and the policies to hold it against; the image is embedded once for all of them."""

    schema_version: Literal[1] = 1
    request_id: str = Field(
        default_factory=lambda: str(uuid.uuid4()), pattern=f"^{REQUEST_ID.pattern}$"
    )
    image: ImageReference
    policies: tuple[_PolicyName, ...] = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _no_policy_twice(self) -> Self:
        if len(set(self.policies)) != len(self.policies):
            raise ValueError("a policy is named twice")
        return self


class EmbeddingRequest(Message):
    """One image to embed with one of the models that a worker has loaded."""

    schema_version: Literal[1] = 1
    request_id: str = Field(
        default_factory=lambda: str(uuid.uuid4()), pattern=f"^{REQUEST_ID.pattern}$"
    )
    image: ImageReference
    model: str = Field(
        min_length=1, max_length=1000, description="As the worker's --model or policies name it."
    )


def parse_request(message: Any) -> ModerationRequest:
    """Returns the request in `message`, a plain JSON value.

    Raises:
        RequestError: it is not a request of a version that this package reads.
    """
    return parse(ModerationRequest, message)


def parse_embedding_request(message: Any) -> EmbeddingRequest:
    """Returns the request in `message`, a plain JSON value.

    Raises:
        RequestError: it is not a request of a version that this package reads.
    """
    return parse(EmbeddingRequest, message)

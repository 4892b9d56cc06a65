"""What a host asks of a worker; docs/messages.md shows it to hosts without this package."""

from __future__ import annotations

import re
import uuid
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from moderation.messages.message import Message
from moderation.messages.reference import ImageReference

TASK_NAME = "moderation.moderate"
EMBED_TASK_NAME = "moderation.embed"

#: What the id of a request may be: printable ASCII without spaces.
REQUEST_ID = re.compile(r"[!-~]{1,128}")

_PolicyName = Annotated[str, Field(pattern=f"^{REQUEST_ID.pattern}$")]


class _Request(Message):
    """What every request says."""

    schema_version: Literal[1] = 1
    request_id: str = Field(
        default_factory=lambda: str(uuid.uuid4()), pattern=f"^{REQUEST_ID.pattern}$"
    )
    image: ImageReference


class ModerationRequest(_Request):
    """One image and the policies to hold it against; the image is embedded once for all of them."""

    policies: tuple[_PolicyName, ...] = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _no_policy_requested_twice(self) -> Self:
        if len(set(self.policies)) != len(self.policies):
            raise ValueError("a policy is named twice")
        return self


class EmbeddingRequest(_Request):
    """One image to embed with one of the models that a worker has loaded."""

    model: str = Field(
        min_length=1, max_length=1000, description="As the worker's --model or policies name it."
    )

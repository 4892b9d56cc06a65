"""What crosses the wire between a host and a worker; plain JSON, versioned, frozen once parsed.

The shapes are documented in docs/messages.md for hosts that do not have this package.
"""

from __future__ import annotations

import base64
import builtins
import re
import uuid
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from moderation.errors import RequestError, WorkerError
from moderation.image_texts import LocationText, PathText
from moderation.visible_text import shown_name

TASK_NAME = "moderation.moderate"
EMBED_TASK_NAME = "moderation.embed"
INTERACTIVE_QUEUE = "moderation.interactive"
BULK_QUEUE = "moderation.bulk"

#: What a request may be called: printable ASCII without spaces.
REQUEST_ID = re.compile(r"[!-~]{1,128}")

Action = Literal["allow", "review", "block"]
Severity = Literal["low", "medium", "high", "critical"]
_MILDEST_FIRST: tuple[Action, ...] = ("allow", "review", "block")
Score = Annotated[float, Field(ge=0.0, le=1.0)]
_PolicyName = Annotated[str, Field(pattern=f"^{REQUEST_ID.pattern}$")]
#: Problems of a message that are told, and characters of a key that somebody else chose.
_TOLD, _KEY = 5, 40


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_Shape = TypeVar("_Shape", bound=_Message)


class _Answer(_Message):
    """Part of an answer; a host reads past fields that a newer worker adds."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ImageReference(_Message):
    """Where one image is: exactly one of a path, a URL, an fsspec key, or its bytes."""

    path: PathText | None = Field(None, description="Absolute path as the worker sees it.")
    url: LocationText | None = Field(None, description="http or https URL.")
    key: LocationText | None = Field(None, description="fsspec URL: s3://bucket/name.jpg.")
    # Never repeated: a reference shows up in error reports, and an image must not.
    bytes: Base64Bytes | None = Field(None, repr=False, description="The file itself, base64.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"one of path, url, key or bytes, not {len(given)}")
        return self

    @classmethod
    def of_bytes(cls, content: builtins.bytes) -> Self:
        """Returns the reference that carries a file's content itself."""
        return cls(bytes=base64.b64encode(content))

    @property
    def kind(self) -> Literal["path", "url", "key", "bytes"]:
        """Which of the four it is."""
        if self.path is not None:
            return "path"
        if self.url is not None:
            return "url"
        return "key" if self.key is not None else "bytes"


class ModerationRequest(_Message):
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


class PolicyStamp(_Answer):
    """Which policy decided; `sha256` is of its content."""

    id: str
    version: int
    sha256: str


class ModelStamp(_Answer):
    """Which model scored: hashes of its weights (`fingerprint`) and of how pixels go in."""

    id: str
    revision: str
    fingerprint: str
    preprocessing: str
    dtype: str
    device: str
    runtime: str = "torch"  # as it was before workers said so


class LabelScore(_Answer):
    """What one label of the policy got.

    `similarity` is a cosine in [-1, 1]; `score` lies in [0, 1] by the policy's scoring rule.
    `outcome` is what the label asks for: `action`, or review between its two thresholds, or None.
    """

    label: str
    category: str | None
    action: Action | None
    severity: Severity | None
    similarity: float
    score: Score
    threshold: Score | None
    review_threshold: Score | None
    fired: bool
    outcome: Action | None


class Verdict(_Answer):
    """What one policy says of one image; the same image, policy and model give the same verdict."""

    schema_version: Literal[1] = 1
    request_id: str
    decision_id: str | None = Field(
        None, description="Its row in the decision log, where it has one."
    )
    image_sha256: str
    frame: int = Field(0, ge=0, description="Which of the frames looked at decided.")
    action: Action
    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, Score]
    policy: PolicyStamp
    model: ModelStamp
    labels: tuple[LabelScore, ...]
    timings: dict[str, float] = Field(description="Seconds by step.")

    @property
    def reasons(self) -> tuple[LabelScore, ...]:
        """The labels that ask for review or block, highest score first."""
        asking = [label for label in self.labels if label.outcome in ("review", "block")]
        return tuple(sorted(asking, key=lambda label: -label.score))


class ModerationResponse(_Answer):
    """The answer to one request: a verdict for each policy, in the order of the request."""

    schema_version: Literal[1] = 1
    request_id: str
    verdicts: tuple[Verdict, ...]


class EmbeddingRequest(_Message):
    """One image to embed with one of the models that a worker has loaded."""

    schema_version: Literal[1] = 1
    request_id: str = Field(
        default_factory=lambda: str(uuid.uuid4()), pattern=f"^{REQUEST_ID.pattern}$"
    )
    image: ImageReference
    model: str = Field(
        min_length=1, max_length=1000, description="As the worker's --model or policies name it."
    )


class EmbeddingResponse(_Answer):
    """An image's feature: `width` little-endian float32 numbers, a row of unit length."""

    schema_version: Literal[1] = 1
    request_id: str
    image_sha256: str
    model: ModelStamp
    feature: Base64Bytes = Field(repr=False)
    width: int = Field(ge=1)

    @model_validator(mode="after")
    def _as_wide_as_it_says(self) -> Self:
        if len(self.feature) != 4 * self.width:
            raise ValueError(f"{len(self.feature)} bytes for {self.width} numbers")
        return self


def strictest_action(verdicts: Iterable[Verdict]) -> Action:
    """Returns the most severe action of several verdicts on one image: block, review, allow.

    Raises:
        ValueError: there is no verdict, which must not be taken for allow.
    """
    return max((verdict.action for verdict in verdicts), key=_MILDEST_FIRST.index)


def parse_response(message: Any) -> ModerationResponse:
    """Returns the response in `message`, a plain JSON value.

    Raises:
        WorkerError: it is not a response of a version that this package reads.
    """
    return _parse_response(ModerationResponse, message)


def parse_embedding_response(message: Any) -> EmbeddingResponse:
    """Returns the response in `message`, a plain JSON value.

    Raises:
        WorkerError: it is not a response of a version that this package reads.
    """
    return _parse_response(EmbeddingResponse, message)


def _parse_response(shape: type[_Shape], message: Any) -> _Shape:
    try:
        return shape.model_validate(message)
    except ValidationError as error:
        raise WorkerError(
            f"the worker answered in a shape that cannot be read ({error.error_count()} problems)",
            "response",
            "Run the same version of evenhand on host and worker",
        ) from error


def parse_reference(message: Any) -> ImageReference:
    """Returns the reference in `message`, a plain JSON value.

    Raises:
        RequestError: it is none.
    """
    return _parse_request(ImageReference, message)


def parse_request(message: Any) -> ModerationRequest:
    """Returns the request in `message`, a plain JSON value.

    Raises:
        RequestError: it is not a request of a version that this package reads.
    """
    return _parse_request(ModerationRequest, message)


def parse_embedding_request(message: Any) -> EmbeddingRequest:
    """Returns the request in `message`, a plain JSON value.

    Raises:
        RequestError: it is not a request of a version that this package reads.
    """
    return _parse_request(EmbeddingRequest, message)


def _parse_request(shape: type[_Shape], message: Any) -> _Shape:
    try:
        return shape.model_validate(message)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        told = [_told(problem) for problem in problems[:_TOLD]]
        if len(problems) > _TOLD:
            told.append(f"and {len(problems) - _TOLD} more")
        wrong = "; ".join(told)
        raise RequestError(wrong, "request", "docs/messages.md shows the message") from error


def _told(problem: ErrorDetails) -> str:
    """Returns a problem in words; it may hold keys that were sent, and never a value."""
    keys = [str(key) for key in problem["loc"]]
    place = ".".join(shown_name(key if len(key) <= _KEY else f"{key[:_KEY]}...") for key in keys)
    return f"{place or 'message'}: {problem['msg'].removeprefix('Value error, ')}"

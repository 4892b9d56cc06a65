"""What a worker answers: verdicts, or a feature, with the stamps of what made them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError, model_validator

from moderation.errors import WorkerError

Action = Literal["allow", "review", "block"]
Severity = Literal["low", "medium", "high", "critical"]
_MILDEST_FIRST: tuple[Action, ...] = ("allow", "review", "block")
#: Why a policy's thresholds are not known to fit a model.
Unfitted = Literal["no-record", "other-model", "other-preprocessing"]
Score = Annotated[float, Field(ge=0.0, le=1.0)]


class _Response(BaseModel):
    """Part of a response; a host passes over fields that a newer worker adds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def read(cls, message: Any) -> Self:
        """Returns the response in a plain JSON value.

        Raises:
            WorkerError: it is not a response of a version that this package reads.
        """
        try:
            return cls.model_validate(message)
        except ValidationError as error:
            problems = f"{error.error_count()} problem{'s' * (error.error_count() != 1)}"
            raise WorkerError(
                f"the worker answered in a shape that cannot be read ({problems})",
                "response",
                "Run the same version of evenhand on host and worker",
            ) from error


class PolicyStamp(_Response):
    """Which policy decided; `sha256` is of its content."""

    id: str
    version: int
    sha256: str


class ModelStamp(_Response):
    """Which model scored: hashes of its weights (`fingerprint`) and of how pixels go in."""

    id: str
    revision: str
    fingerprint: str
    preprocessing: str
    dtype: str
    device: str
    runtime: str = "torch"  # workers that do not name it had no other

    @property
    def described(self) -> str:
        """The stamped model in words, with what must be known of it wherever it runs."""
        text = f"{self.id} (revision {self.revision}, {self.dtype} on {self.device})"
        if self.id == "starter":
            text += ", a small stand-in for trying out: its figures are not CLIP's"
        return text


class LabelScore(_Response):
    """What one label of the policy got, as a response has it.

    `similarity` is a cosine in [-1, 1]; `score` lies in [0, 1] by the policy's scoring rule.
    `outcome` is what the label asks for: `action`, or review between its two thresholds, or None.
    `negatives` are the cosines of its look-alikes, in the order of the policy. Where a `classifier`
    scores it (the file's name and the beginning of its hash), `similarity` is the score itself.
    `prompt` is that of its prompts which is most similar to what decided, where the label fired.
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
    negatives: tuple[float, ...] = ()
    classifier: str | None = None
    prompt: str | None = None  # workers that do not say it did not look


class Rendition(_Response):
    """The picture that was judged, as a file: for the host to serve in place of the upload.

    `name` is its name in the folder of renditions, `sha256` that of its bytes; sides in pixels.
    """

    sha256: str
    name: str
    format: Literal["webp", "jpeg", "png"]
    width: int
    height: int


class Verdict(_Response):
    """What one policy says of one image; the same image, policy and model give the same verdict."""

    schema_version: Literal[1] = 1
    request_id: str
    decision_id: str | None = Field(None, description="Its row in the decision log, if it has one.")
    image_sha256: str
    frame: int = Field(0, ge=0, description="The frame of an animation that decided.")
    box: tuple[int, int, int, int] | None = Field(
        None,
        description="The part of the picture that decided: left, top, right, bottom, in pixels.",
    )
    background: Literal["white", "dark"] = Field(
        "white", description="What was behind the transparent parts where it decided."
    )
    looks: int = Field(1, ge=1, description="How many squares of it were looked at.")
    exhaustive: bool = Field(True, description="Whether no frame was passed over.")
    oddities: tuple[str, ...] = Field((), description="What viewers read differently in the file.")
    doubts: tuple[str, ...] = Field(
        (), description="What sends the file to review by the worker's settings."
    )
    rendition: Rendition | None = Field(
        None, description="The picture that was judged, if the worker wrote it."
    )
    action: Action
    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, Score]
    policy: PolicyStamp
    unfitted: bool | None = Field(
        None,
        description="Whether the policy's thresholds were set on another model, or nobody says on "
        "which; null of a worker that did not look.",
    )
    model: ModelStamp
    labels: tuple[LabelScore, ...]
    timings: dict[str, float] = Field(description="Seconds by step.")

    @property
    def reasons(self) -> tuple[LabelScore, ...]:
        """The labels of the verdict that ask for review or block, highest score first."""
        asking = [label for label in self.labels if label.outcome in ("review", "block")]
        return tuple(sorted(asking, key=lambda label: -label.score))


class ModerationResponse(_Response):
    """The response to one request: a verdict for each policy, in the order of the request."""

    schema_version: Literal[1] = 1
    request_id: str
    verdicts: tuple[Verdict, ...]


class EmbeddingResponse(_Response):
    """The features of an image, one for each look at it: rows of unit length, the first one first.

    A row is `width` little-endian float32 numbers.
    """

    schema_version: Literal[1] = 1
    request_id: str
    image_sha256: str
    model: ModelStamp
    looking: str = Field(
        pattern=r"^frames=\d+ views=(auto|\d+)$",
        description="How much of a file is looked at, by the worker's settings.",
    )
    looks: int = Field(ge=1, description="How many squares of it were looked at.")
    features: Base64Bytes = Field(repr=False)
    width: int = Field(ge=1)

    @model_validator(mode="after")
    def _as_long_as_response_says(self) -> Self:
        if len(self.features) != 4 * self.width * self.looks:
            told = f"{len(self.features)} bytes for {self.looks} rows of {self.width} numbers"
            raise ValueError(told)
        return self


def strictest_action(verdicts: Iterable[Verdict]) -> Action:
    """Returns the most severe action in a response's verdicts on one image: block, review, allow.

    Raises:
        ValueError: there is no verdict, which must not be taken for allow.
    """
    return max((verdict.action for verdict in verdicts), key=_MILDEST_FIRST.index)

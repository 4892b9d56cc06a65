"""What is claimed of recorded features, and what their recording states of itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    ValidationError,
)

from audit.errors import AuditError
from moderation.visible_text import utf8

#: The version of the folder's layout.
SCHEMA_VERSION = 1

#: Where a template has the word.
_WORD = "{word}"

_Text = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=1000), AfterValidator(utf8)
]


def with_word(template: str, word: str) -> str:
    """Returns the prompt that a template makes of a word; {} stands for {word}."""
    return template.replace(_WORD if _WORD in template else "{}", word)


def _checked_template(template: str | None) -> str | None:
    if template is not None and max(template.count(_WORD), template.count("{}")) != 1:
        raise ValueError("a template has one {word}, where the word belongs")
    return template


class ModelClaims(BaseModel):
    """What whoever imports features says of them; nothing here can be checked.

    Attributes:
        model_id: the model that made the features.
        logit_scale: what it multiplies cosines by: 100 for CLIP.
        logit_bias: what it adds to them, for a model of sigmoid scores.
        template: how words became the texts whose features are recorded, as "a photo of a {word}".
        source: where the features come from.
        licence: the terms under which they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: Annotated[_Text, StringConstraints(min_length=1, max_length=200)]
    logit_scale: Annotated[FiniteFloat, Field(gt=0)]
    logit_bias: FiniteFloat | None = None
    template: Annotated[str | None, AfterValidator(_checked_template)] = None
    source: _Text = ""
    licence: _Text = ""

    @classmethod
    def of(cls, **claimed: Any) -> ModelClaims:
        """Returns claims once they are checked.

        Raises:
            AuditError: one cannot be.
        """
        try:
            return cls(**claimed)
        except ValidationError as error:
            found = error.errors()[0]
            name, why = str(found["loc"][0]), found["msg"].removeprefix("Value error, ")
            what = f"{name} cannot be {found['input']!r}"
            raise AuditError(what, "claims of the features", why) from error


class HashedFile(BaseModel):
    """A file by its name and hash."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str


class RecordingStatement(BaseModel):
    """What `recording.json` holds: the claims, and what was found when they were made.

    Attributes:
        schema_version: of the folder's layout.
        claims: what was said of the features.
        created: time of the import in UTC, ISO 8601.
        imported_by: the program and its version.
        imported_from: the files that were read.
        n: how many images have a feature.
        d: how wide it is.
        dtype: of its entries, as they are kept.
        unit_length: whether the features came at unit length; otherwise they were brought to it.
        texts: how many texts have features; 0 where none were recorded.
        features_sha256: hash of all features, whatever their order.
        files: the hash of each other file of the recording.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    claims: ModelClaims
    created: str
    imported_by: str
    imported_from: tuple[HashedFile, ...]
    n: Annotated[int, Field(ge=1)]
    d: Annotated[int, Field(ge=1)]
    dtype: Literal["float16", "float32"]
    unit_length: bool
    texts: Annotated[int, Field(ge=0)] = 0
    features_sha256: str
    files: tuple[HashedFile, ...]

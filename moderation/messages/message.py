"""What all messages share: plain JSON, frozen once parsed, and no key that is not known."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from moderation.errors import RequestError
from moderation.visible_text import shown_name

#: Problems of a message that are told, and characters of a key that somebody else chose.
_TOLD, _KEY = 5, 40


class Message(BaseModel):
    """Part of a message that a worker reads; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


_Shape = TypeVar("_Shape", bound=Message)


def parse(shape: type[_Shape], message: Any) -> _Shape:
    """Returns the message of a shape in a plain JSON value.

    Raises:
        RequestError: it is not one of a version that this package reads.
    """
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

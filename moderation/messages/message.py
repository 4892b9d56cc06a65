"""What all messages share: plain JSON, frozen once parsed, without unknown keys."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from moderation.errors import RequestError
from moderation.visible_text import shown_name

#: How many problems of a message are named, and how much of a key that somebody else chose.
_NAMED, _KEY = 5, 40


class Message(BaseModel):
    """Part of a message that a worker reads; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, message: Any) -> Self:
        """Returns the message in a plain JSON value.

        Raises:
            RequestError: it is not a message of a version that this package reads.
        """
        try:
            return cls.model_validate(message)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            named = [_problem_of_message(problem) for problem in problems[:_NAMED]]
            if len(problems) > _NAMED:
                named.append(f"and {len(problems) - _NAMED} more")
            wrong = "; ".join(named)
            raise RequestError(wrong, "request", "docs/messages.md shows the message") from error


def _problem_of_message(problem: ErrorDetails) -> str:
    """Returns a problem of a message in words: with keys that were sent, but never a value."""
    keys = [str(key) for key in problem["loc"]]
    place = ".".join(shown_name(key if len(key) <= _KEY else f"{key[:_KEY]}...") for key in keys)
    return f"{place or 'message'}: {problem['msg'].removeprefix('Value error, ')}"

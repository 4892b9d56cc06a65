"""Every error says what, where and what to do, and survives the way through the queue."""

from __future__ import annotations

import inspect
import json
import pickle

import pytest

from moderation import errors
from moderation.errors import ModerationError, PolicyError, RequestError, TransientError

CLASSES = [
    member
    for _, member in inspect.getmembers(errors, inspect.isclass)
    if issubclass(member, ModerationError)
]


def _example(cls: type[ModerationError]) -> ModerationError:
    if issubclass(cls, PolicyError):
        return cls([("p.yaml", 3, 5, "unknown key 'x'", "Remove it")])
    return cls("it broke", "here", "Mend it")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_is_rebuilt_from_its_args_after_json(cls: type[ModerationError]) -> None:
    error = _example(cls)
    rebuilt = cls(*json.loads(json.dumps(error.args)))
    assert type(rebuilt) is cls
    assert str(rebuilt) == str(error)
    assert vars(rebuilt) == vars(error)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_survives_pickle(cls: type[ModerationError]) -> None:
    error = _example(cls)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_the_docstring_tree_names_every_class_under_its_parent() -> None:
    lines = [line for line in (errors.__doc__ or "").splitlines() if "  " in line]
    indents = {line.split()[0]: len(line) - len(line.lstrip()) for line in lines if line.strip()}
    for cls in CLASSES:
        assert cls.__name__ in indents
        if cls is not ModerationError:
            assert cls.__base__ is not None
            assert indents[cls.__name__] == indents[cls.__base__.__name__] + 2


def test_only_the_transient_family_is_retried_and_requests_are_not_in_it() -> None:
    assert issubclass(errors.ImageUnavailable, TransientError)
    assert not issubclass(errors.ImageError, TransientError)
    assert issubclass(errors.ImageError, RequestError)


def test_an_error_says_where_what_and_what_to_do() -> None:
    assert str(RequestError("too large", "photo.jpg", "Shrink it")) == (
        "photo.jpg: too large. Shrink it"
    )
    assert str(RequestError("too large")) == "too large"

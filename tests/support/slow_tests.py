"""Which tests are slow: those that start something, known by the names that their code reaches."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import CodeType
from typing import Any

import pytest

#: What starts a process (a server, a worker, decoders, a command, a browser) or loads a model.
STARTERS = frozenset(
    {
        "DecoderPool",
        "EmbeddedRedis",
        "EmbeddedWorker",
        "LocalServer",
        "load_encoder",
        "subprocess",
        "sync_playwright",
    }
)


def starts_something(test: pytest.Function, shared: dict[str, Any]) -> bool:
    """Returns whether a test, a fixture of it, or a helper of the tests uses one of STARTERS.

    Args:
        test: as pytest collected it.
        shared: the names of conftest.py, where fixtures of several files are.
    """
    if hasattr(test, "callspec") and test.callspec.params.get("database_url") == "postgresql":
        return True
    names = {**shared, **vars(test.module)}
    given = [names[name] for name in test.fixturenames if name in names]
    seen: set[int] = set()
    return any(_reaches(value, seen) for value in (test.function, *given))


def _reaches(value: Any, seen: set[int]) -> bool:
    """Returns whether the code of a function or class of the tests names one of STARTERS."""
    value = inspect.unwrap(value) if callable(value) else value
    if id(value) in seen or not getattr(value, "__module__", "").startswith("tests."):
        return False
    seen.add(id(value))
    if inspect.isclass(value):
        bases = {base.__name__ for base in value.__mro__}
        return bool(bases & STARTERS) or any(_reaches(m, seen) for m in vars(value).values())
    if not inspect.isfunction(value):
        return False
    names = set(_names_in_code(value.__code__))
    known = value.__globals__
    return bool(names & STARTERS) or any(
        _reaches(known[name], seen) for name in names if name in known
    )


def _names_in_code(code: CodeType) -> Iterator[str]:
    """Yields the names that code uses, and the functions within it."""
    yield from code.co_names
    yield from code.co_varnames[: code.co_argcount]  # fixtures, by name
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in_code(constant)

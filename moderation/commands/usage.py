"""Errors of usage, which repeat what was typed: a shell may have put names of files there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from moderation.visible_text import lines

#: The common class of wrong usage, which typer has from click, or as its own in later versions.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class Commands(TyperGroup):
    """All commands of a command line; its errors hold nothing that a terminal obeys."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Reads the options before the command."""
        with _written_out():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Reads a command's own options, and runs it."""
        with _written_out():
            return super().invoke(ctx)


@contextmanager
def _written_out() -> Iterator[None]:
    try:
        yield
    except _UsageError as error:
        error.message = lines(error.message)  # type: ignore[attr-defined]
        raise

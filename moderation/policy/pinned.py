"""A policy's file with more examples in it: the edit, checked before anything is written."""

from __future__ import annotations

import codecs
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moderation.errors import RequestError
from moderation.policy.files import parse_policy
from moderation.policy.schema import Example, Expectation, Policy
from moderation.policy.yaml_edits import YamlText
from moderation.whole_file import whole_file


def pinned_policy(
    policy: Policy, content: bytes, added: Sequence[Example], changed: Mapping[int, Expectation]
) -> tuple[bytes, Policy]:
    """Returns the file of a policy with other examples, all else as it was, and what it says.

    Args:
        policy: as it was read from `content`.
        content: of its file.
        added: examples that come after those that it has.
        changed: what examples of it expect from now on, by their places.

    Raises:
        RequestError: a comment would be lost, or the file would not say what is meant.
        PolicyError: the file would be too large.
    """
    path = policy.file.path
    bom = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
    text = YamlText(content.removeprefix(bom).decode())
    examples = list(policy.examples)
    for place, expect in changed.items():
        try:
            text.replace(("examples", place, "expect"), _plain(expect))
        except ValueError as error:
            at = policy.place(("examples", place, "expect"))
            where = f"{path}:{at.line}:{at.column}"
            raise RequestError(str(error), where, "Edit this example by hand") from error
        examples[place] = examples[place].model_copy(update={"expect": expect})
    if added:
        text.append("examples", [_plain(example) for example in added])
    edited = bom + text.text.encode()
    found = parse_policy(edited, path)
    meant = policy.model_copy(update={"examples": (*examples, *added)})
    if found.content != meant.content:
        raise RequestError(
            "the file has a layout in which this example cannot be added",
            path,
            "Add it by hand; the file is as it was",
        )
    return edited, found


def write_policy(path: Path, content: bytes, *, before: bytes) -> None:
    """Writes a policy's file, whole or not at all; permissions, and a link to it, stay.

    Args:
        path: of the file.
        content: that it gets.
        before: what it is known to hold.

    Raises:
        RequestError: it cannot be written, or somebody else has changed it.
    """
    place = Path(os.path.realpath(path))
    try:
        with whole_file(place) as file:
            shutil.copymode(place, file.name)
            file.write(content)
            if place.read_bytes() != before:
                what = "the file was changed by something else just now, and is left so"
                raise RequestError(what, str(path), "Run the command again")
    except OSError as error:
        raise RequestError(f"cannot be written: {error.strerror}", str(path)) from error


def _plain(record: Example | Expectation) -> dict[str, Any]:
    return record.model_dump(mode="json", exclude_none=True)

"""`moderation policy pin`: pictures become examples of a policy, in its own file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from moderation.commands.command_line import examples
from moderation.commands.image_paths import find_images, read_image
from moderation.commands.output import note, say
from moderation.errors import ImageError, RequestError
from moderation.messages import Action
from moderation.messages.image_signatures import HEAD_BYTES, has_image_signature
from moderation.policy import Example, Expectation, Policy, find_policy, parse_policy
from moderation.policy.lint.expectations import impossible
from moderation.policy.pinned import pinned_policy, write_policy
from moderation.settings import load_settings
from moderation.visible_text import shown_name

EPILOG = examples(
    "moderation policy pin knife.jpg -p my.yaml --expect block --label knife",
    "moderation policy pin pictures/cats -p my.yaml --expect allow",
    "moderation policy pin knife.jpg -p my.yaml --expect review --replace",
)


class _Picture(NamedTuple):
    """An image to pin, and what it is called in the policy's file."""

    sha256: str
    example: Example


def pin(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE", help="Images or folders of them; - reads a list of paths."),
    ],
    policy: Annotated[str, typer.Option("--policy", "-p", help="Policy file; it is edited.")],
    expect: Annotated[Action, typer.Option(help="The action that a verdict must have.")],
    label: Annotated[
        str | None, typer.Option(metavar="ID", help="The label that must fire.")
    ] = None,
    sha256: Annotated[
        bool, typer.Option("--sha256", help="Name images by their hashes, and not by their paths.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let examples that expect something else expect this.")
    ] = False,
) -> None:
    """Write images into a policy's file as examples, with what a verdict on them must say.

    All other lines of the file stay as they are. `moderation policy test` runs the examples.
    """
    content, found = _read_file(policy)
    expected = Expectation(action=expect, label=label)
    _refuse_impossible(found, expected)
    images, limit = find_images(paths), load_settings().max_image_bytes
    folder = Path(policy).parent
    pictures = [_picture(path, folder, expected, limit, sha256) for path in images.images]
    known = _known_examples(found, folder)
    distinct: dict[str, Example] = {}
    for picture in pictures:
        distinct.setdefault(picture.sha256, picture.example)
    new = [example for digest, example in distinct.items() if digest not in known]
    there = [known[digest] for digest in distinct if digest in known]
    changed = [place for place in there if _is_changed(found, place, expected, replace=replace)]
    if new or changed:
        changes = dict.fromkeys(changed, expected)
        edited, after = pinned_policy(found, content, new, changes)
        write_policy(Path(policy), edited, before=content)
        for place in changed:
            _say_example(after, place, "replaced")
        for place in range(len(found.examples), len(after.examples)):
            _say_example(after, place, "pinned")
    if copies := len(pictures) - len(distinct):
        note(f"Left out, as the same bytes under another name: {copies}")
    images.note()


def _read_file(name: str) -> tuple[bytes, Policy]:
    """Returns the content of a policy's file, and the policy; both of one moment.

    Raises:
        RequestError: it is a shipped policy, or cannot be read. PolicyError: it is invalid.
    """
    path = Path(name)
    if not path.exists() and find_policy(name) != path:
        remedy = f"Copy it and pin to the copy: {find_policy(name)}"
        raise RequestError(f"{name} is a shipped policy, which is not edited", "--policy", remedy)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RequestError(f"cannot be read: {error.strerror}", name, "Name a file") from error
    return content, parse_policy(content, name)


def _refuse_impossible(policy: Policy, expected: Expectation) -> None:
    if expected.label is None:
        return
    labels = {label.id: label for label in policy.labels}
    if expected.label not in labels:
        acting = ", ".join(label.id for label in policy.labels if label.acts)
        what = f"{policy.id} has no label {expected.label}"
        raise RequestError(what, "--label", f"Its acting labels are: {acting}")
    if why := impossible(labels[expected.label], expected):
        raise RequestError(why, "--label", "Expect what the label asks for, or leave it out")


def _is_changed(policy: Policy, place: int, expected: Expectation, *, replace: bool) -> bool:
    """Returns whether an example will expect something else; says where it does so already.

    Raises:
        RequestError: it would, and that was not asked for.
    """
    if policy.examples[place].expect == expected:
        _say_example(policy, place, "is there already")
        return False
    if not replace:
        raise _contradiction(policy, place)
    return True


def _picture(
    path: Path, folder: Path, expected: Expectation, limit: int, by_hash: bool
) -> _Picture:
    """Returns an image as an example; it is read, and not decoded."""
    content = read_image(path, limit)
    if not has_image_signature(content[:HEAD_BYTES]):
        raise ImageError("this is not an image", shown_name(str(path)))
    digest = hashlib.sha256(content).hexdigest()
    if by_hash:
        return _Picture(digest, Example(sha256=digest, expect=expected))
    named = Path(os.path.relpath(path, folder)).as_posix()
    if not named.isprintable():
        what = "this name cannot be written in a policy's file"
        raise RequestError(what, shown_name(named), "Rename the file, or use --sha256")
    return _Picture(digest, Example(image=named, expect=expected))


def _known_examples(policy: Policy, folder: Path) -> dict[str, int]:
    """Returns the places of a policy's examples by the hashes of their images, if these are there.

    The first counts, where several are of one image.
    """
    return {digest: place for place, digest in reversed([*_example_hashes(policy, folder)])}


def _example_hashes(policy: Policy, folder: Path) -> Iterator[tuple[int, str]]:
    for place, example in enumerate(policy.examples):
        if example.sha256 is not None:
            yield place, example.sha256
        elif (file := folder / (example.image or "")).is_file():
            yield place, hashlib.sha256(file.read_bytes()).hexdigest()


def _contradiction(policy: Policy, place: int) -> RequestError:
    at = policy.place(("examples", place))
    what = f"this image is an example already, and expects {policy.examples[place].expect.words}"
    where = f"{policy.file.path}:{at.line}:{at.column}"
    return RequestError(what, where, "--replace lets it expect what you say; nothing was written")


def _say_example(policy: Policy, place: int, what: str) -> None:
    at, example = policy.place(("examples", place)), policy.examples[place]
    name = shown_name(example.image or f"sha256 {example.sha256}")
    where = f"{shown_name(policy.file.path)}:{at.line}:{at.column}"
    say(f"{where}: {what}: {name}, expects {example.expect.words}")

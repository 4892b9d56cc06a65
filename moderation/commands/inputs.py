"""What several commands take: images from paths and folders, policies by file or name."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from moderation.errors import ImageError
from moderation.formats import SUFFIXES
from moderation.output import Format
from moderation.policy import Policy, find_policy, load_policies

PathsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH", help="Images or folders of them; - reads a list of paths from stdin."
    ),
]
FormatOption = Annotated[Format, typer.Option(help="How to print results.")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        help="starter, a folder, or hub-id[@revision]; wins over the policies' own and over "
        "MODERATION_MODEL."
    ),
]


def find_images(paths: Iterable[str]) -> list[Path]:
    """Returns the files of `paths` in order; folders are searched through, sorted.

    Raises:
        typer.BadParameter: a path does not exist, or there is no image at all.
    """
    images: list[Path] = []
    for path in map(Path, listed(paths)):
        if path.is_dir():
            inside = (file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
            images += sorted(file for file in inside if file.is_file())
        elif path.exists():
            images.append(path)
        else:
            raise typer.BadParameter(f"there is no file or folder {path}", param_hint="PATH")
    if not images:
        raise typer.BadParameter(
            f"no image ({', '.join(SUFFIXES)}) in {', '.join(paths)}", param_hint="PATH"
        )
    return images


def listed(paths: Iterable[str]) -> Iterator[str]:
    """Yields the paths; in the place of - those that standard input lists, one a line."""
    for path in paths:
        if path == "-":
            yield from (line.strip() for line in sys.stdin if line.strip())
        else:
            yield path


def find_policies(names: Iterable[str], *, model: str) -> dict[str, Policy]:
    """Returns the policies of files, folders or shipped names, by id.

    Raises:
        PolicyError: with everything that is wrong in any of them.
    """
    return load_policies([find_policy(name) for name in names], model=model)


def read_image(image: Path, max_image_bytes: int) -> bytes:
    """Returns the content of an image file.

    Raises:
        ImageError: it cannot be read, or is larger than `max_image_bytes`.
    """
    try:
        with image.open("rb") as file:
            content = file.read(max_image_bytes + 1)
    except OSError as error:
        raise ImageError(f"it cannot be read: {error.strerror}", str(image)) from error
    if len(content) > max_image_bytes:
        raise ImageError(
            f"the image is over the limit of {max_image_bytes} bytes",
            str(image),
            "Raise MODERATION_MAX_IMAGE_BYTES",
        )
    return content

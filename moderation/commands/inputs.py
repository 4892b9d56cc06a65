"""What several commands take: images from paths and folders, policies by file or name."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from moderation.image import SUFFIXES
from moderation.output import Format
from moderation.policy import Policy, find_policy, load_policies

PathsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH", help="Images or folders of them; - reads a list of paths from stdin."
    ),
]
FormatOption = Annotated[
    Format, typer.Option("--format", envvar="MODERATION_FORMAT", help="How to print results.")
]
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
    for path in map(Path, _listed(paths)):
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


def _listed(paths: Iterable[str]) -> Iterable[str]:
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

"""`moderation store info|prune`: which features of images and texts are kept, and their removal."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moderation.commands.command_line import command_group, examples
from moderation.commands.options import StoreOption, TableOrJsonOption
from moderation.commands.output import note, print_json, print_table, track
from moderation.errors import RequestError, StoreError
from moderation.settings import load_settings
from moderation.visible_text import shown_name

if TYPE_CHECKING:
    from moderation.features.contents import StoredSpace
    from moderation.features.pruning import Chosen, Removal

app = command_group("See which features of images and texts are kept, and remove them.")

_COLUMNS = ("of", "model", "looked at", "number", "rows", "files", "size", "written")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@app.command(
    epilog=examples("moderation store info", "moderation store info --store kept/ --format json")
)
def info(store: StoreOption = None, format: TableOrJsonOption = "table") -> None:
    """Show what the embedding store holds: of which model, looked at how, how much.

    Exits with 1 where it cannot be read what a file holds; features are checked when they are used.
    """
    from moderation.features.contents import read_contents

    root = _store_root(store)
    contents = read_contents(root)
    spaces = contents.spaces
    refused = [str(error) for error in contents.refused]
    if format == "json":
        print_json(
            {"store": str(root), "spaces": list(map(_space_row, spaces)), "refused": refused}
        )
    elif spaces:
        print_table(_COLUMNS, list(map(_printed_space, spaces)))
    size = sum(space.size for space in spaces)
    where = shown_name(str(root))
    note(f"{_shown_size(size)} in {where}" if spaces else f"nothing is in {where}")
    for line in refused:
        note(f"error: {line}")
    if refused:
        raise typer.Exit(1)


@app.command(
    epilog=examples(
        "moderation store prune --image holiday.jpg",
        "moderation store prune --older-than 90 --dry-run",
        "moderation store prune --all --yes",
    )
)
def prune(
    image: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Only of this image: its file, or the file's sha256."),
    ] = None,
    older_than: Annotated[
        int | None,
        typer.Option(
            metavar="DAYS", min=0, max=100_000, help="Only what was written so many days ago."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Only of this model: its id, id@revision or fingerprint."),
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    store: StoreOption = None,
    format: TableOrJsonOption = "table",
) -> None:
    """Remove features from the embedding store's files, for good; others may read it meanwhile.

    Of several options, all must hold.
    """
    from moderation.features.contents import read_contents

    chosen = _chosen(image, older_than, model, every=all)
    root = _store_root(store)
    contents = read_contents(root)
    if chosen.keys is not None and contents.refused:  # the image may be in there
        raise contents.refused[0]
    removals = chosen.removals(contents)
    damaged = [Path(error.where) for error in contents.refused] if all else []
    _print_removals(root, removals, format)
    for path in damaged:
        note(f"damaged: {shown_name(str(path))}")
    if dry_run:
        note("nothing was removed: --dry-run")
        return
    if (removals or damaged) and not yes:
        typer.confirm("Remove them for good?", abort=True, err=True)
    _carry_out(root, chosen, removals, damaged)


def _print_removals(root: Path, removals: Sequence[Removal], format: str) -> None:
    """Prints what is removed, by space."""
    from moderation.features.contents import counted_spaces

    gone = [removal.as_file for removal in removals]
    spaces = list(counted_spaces(gone))
    if format == "json":
        print_json({"store": str(root), "removed": [_space_row(space) for space in spaces]})
    elif spaces:
        print_table(_COLUMNS[:6], [_printed_space(space)[:6] for space in spaces])
    else:
        note(f"nothing of the kind is in {shown_name(str(root))}")


def _carry_out(
    root: Path, chosen: Chosen, removals: Sequence[Removal], damaged: Sequence[Path]
) -> None:
    from moderation.features.pruning import chosen_descriptions, remove_unfinished_files

    try:
        for removal in track(removals, len(removals), "Removing"):
            removal.carry_out()
        for path in (*damaged, *chosen_descriptions(root, chosen)):
            path.unlink(missing_ok=True)
        remove_unfinished_files(root)
    except OSError as error:
        what = f"features cannot be removed ({error.strerror or error})"
        raise StoreError(what, str(root), "Make it a folder that can be written to") from error
    if removals:
        rows = sum(removal.rows for removal in removals)
        note(f"removed {rows} row{'s' * (rows != 1)} from {shown_name(str(root))}")


def _chosen(
    images: list[str] | None, older_than: int | None, model: str | None, *, every: bool
) -> Chosen:
    """Returns which features are meant.

    Raises:
        RequestError: nothing says which, or --all and something else. BadParameter: no such image.
    """
    from moderation.features.pruning import Chosen

    named = bool(images) or older_than is not None or model is not None
    if named == every:
        remedy = "Give --image, --older-than or --model; or --all alone"
        raise RequestError("it is not clear which features are meant", "store prune", remedy)
    before = None
    if older_than is not None:
        before = datetime.now(UTC) - timedelta(days=older_than)
    return Chosen(before, model, frozenset(map(_image_key, images)) if images else None)


def _image_key(image: str) -> bytes:
    """Returns the key of an image by its file or hash.

    Raises:
        typer.BadParameter: it is neither.
    """
    if _SHA256.fullmatch(image) and not Path(image).exists():
        return bytes.fromhex(image)
    try:
        with Path(image).open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        what = f"{shown_name(image)} is neither a file that can be read ({error.strerror})"
        raise typer.BadParameter(f"{what} nor a sha256", param_hint="--image") from error


def _store_root(named: Path | None) -> Path:
    from moderation.features.location import store_folder

    return store_folder(named or load_settings().store)


def _space_row(counted: StoredSpace) -> dict[str, object]:
    """Returns a space as JSON has it."""
    numbers = {name: getattr(counted, name) for name in ("keys", "rows", "files", "size")}
    return {**asdict(counted.space), **numbers, "written": counted.written.isoformat()}


def _printed_space(counted: StoredSpace) -> tuple[str, ...]:
    space = counted.space
    looking = "" if space.looking == "none" else space.looking
    numbers = (str(counted.keys), str(counted.rows), str(counted.files))
    written = f"{counted.written:%Y-%m-%d}"
    return (space.kind, space.model, looking, *numbers, _shown_size(counted.size), written)


def _shown_size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"

"""What several commands take: a dataset, and how it is read."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from audit.datasets.adapters import LoadOptions


class TextOrJson(StrEnum):
    """How to print."""

    TABLE = "table"
    JSON = "json"


DatasetArgument = Annotated[
    Path, typer.Argument(metavar="DATASET", help="Folder of images, or file of annotations.")
]
AdapterOption = Annotated[
    str | None,
    typer.Option(help="How the dataset lies on disk: a name of `audit datasets list`."),
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="KEY=NAME",
        help="Column NAME of a table is KEY: image, y_true, id, sha256, or a sensitive feature. "
        "Repeatable.",
    ),
]
ImagesOption = Annotated[
    Path | None, typer.Option(help="Folder below which the annotations name images.")
]
TruthOption = Annotated[
    list[str] | None,
    typer.Option(
        "--truth",
        metavar="CLASS=LABEL",
        help="Class of y_true is that label or category of the policies, or allow. Repeatable.",
    ),
]
SkipBadOption = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out rows with something wrong; they are listed.")
]
RepairOption = Annotated[
    bool, typer.Option("--repair", help="Put ages right that a spreadsheet turned into dates.")
]
BenignOption = Annotated[
    bool | None,
    typer.Option(
        "--benign/--not-benign",
        help="Whether nothing in any image should be flagged; else as the adapter has it.",
    ),
]
FormatOption = Annotated[TextOrJson, typer.Option(help="How to print.")]


def parse_options(
    *,
    column: Iterable[str] | None = None,
    images: Path | None = None,
    truth: Iterable[str] | None = None,
    skip_bad: bool = False,
    repair: bool = False,
    benign: bool | None = None,
) -> LoadOptions:
    """Returns how a dataset is read, from the options as they are typed.

    Raises:
        typer.BadParameter: a pair is no KEY=VALUE, or names its key twice.
    """
    from audit.datasets.adapters import LoadOptions

    return LoadOptions(
        columns=_pairs(column or (), "--column"),
        images=images,
        truth=_pairs(truth or (), "--truth"),
        benign=benign,
        skip_bad=skip_bad,
        repair=repair,
    )


def _pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        key, _, value = (part.strip() for part in text.partition("="))
        if not key or not value:
            raise typer.BadParameter(f"{text} is not of the form KEY=VALUE", param_hint=option)
        if key in pairs:
            raise typer.BadParameter(f"{key} is named twice", param_hint=option)
        pairs[key] = value
    return pairs

"""The options that several commands share, declared once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from audit.commands.inputs import (
    AdapterOption,
    BenignOption,
    ColumnOption,
    ImagesOption,
    RepairOption,
    SkipBadOption,
    TruthOption,
)


class Dtype(StrEnum):
    """Number format of a model."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Runtime(StrEnum):
    """What runs a model on images."""

    AUTO = "auto"
    TORCH = "torch"
    OPENVINO = "openvino"


ModelOption = Annotated[
    str | None,
    typer.Option(
        envvar=["AUDIT_MODEL", "MODERATION_MODEL"],
        help="The model that your workers run: starter, a folder, or hub-id[@revision]. Wins over "
        "what the policies name.",
    ),
]
StoreOption = Annotated[
    Path | None,
    typer.Option(help="Folder where features are kept; else one in the user's cache."),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        envvar=["AUDIT_DEVICE", "MODERATION_DEVICE"],
        help="torch device: auto, cpu, cuda, cuda:1, ...",
    ),
]
DtypeOption = Annotated[
    Dtype,
    typer.Option(envvar=["AUDIT_DTYPE", "MODERATION_DTYPE"], help="Number format of the model."),
]
RuntimeOption = Annotated[
    Runtime,
    typer.Option(
        envvar=["AUDIT_RUNTIME", "MODERATION_RUNTIME"], help="What runs the model on images."
    ),
]
OfflineOption = Annotated[
    bool,
    typer.Option(
        "--offline",
        envvar=["AUDIT_OFFLINE", "MODERATION_OFFLINE"],
        help="Never ask the model hub.",
    ),
]


@dataclass(frozen=True)
class DatasetOptions:
    """What every audit is asked of: a dataset, a model, a store."""

    dataset: Annotated[
        Path,
        typer.Option(
            "--dataset", "-d", metavar="PATH", help="Folder of images, or file of annotations."
        ),
    ]
    model: ModelOption = None
    store: StoreOption = None
    adapter: AdapterOption = None
    column: ColumnOption = None
    images: ImagesOption = None
    truth: TruthOption = None
    skip_bad: SkipBadOption = False
    repair: RepairOption = False
    benign: BenignOption = None
    device: DeviceOption = "auto"
    dtype: DtypeOption = Dtype.AUTO
    runtime: RuntimeOption = Runtime.AUTO
    offline: OfflineOption = False


@dataclass(frozen=True)
class SubjectOptions(DatasetOptions):
    """The same, with the groups to look at."""

    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Sensitive feature, or several with commas between for their intersection. "
            "Repeatable; else each, and each pair."
        ),
    ] = None

    @property
    def features(self) -> list[tuple[str, ...]] | None:
        """The features and intersections of --by; None for the default."""
        if not self.by:
            return None
        return [tuple(part.strip() for part in text.split(",")) for text in self.by]


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Returns the command with the fields of its `options` as options of its own.

    So that they are declared once; typer reads them from the signature.
    """
    hints = get_type_hints(command, include_extras=True)
    record = hints["options"]
    names = [field.name for field in fields(record)]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        options = record(**{name: given.pop(name) for name in names})
        command(options=options, **given)

    own = [
        parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
        for parameter in inspect.signature(command).parameters.values()
        if parameter.name != "options"
    ]
    parameters = [*own, *_parameters(record)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _parameters(record: type) -> list[inspect.Parameter]:
    """Returns the fields of a record of options as keyword parameters."""
    hints = get_type_hints(record, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(record)
    ]

"""Options that several commands take, each declared once: a dataset, a model, a report."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from audit.errors import AuditError
from moderation.commands.options import NoStoreOption

if TYPE_CHECKING:
    from audit.datasets.adapters import LoadOptions
    from moderation.images.looks import Looking
    from moderation.images.views import Views
    from moderation.policy import Policy

PoliciesArgument = Annotated[
    list[str], typer.Argument(metavar="POLICY", help="Policy files, or names of shipped ones.")
]
SomePoliciesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="POLICY", help="Policy files, or names of shipped ones; none with --predictions."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Folder for the report: report.html, report.md, results.json, *.csv."
    ),
]
KOption = Annotated[int, typer.Option(min=1, help="How many images come first.")]
DesiredOption = Annotated[
    Literal["equal", "dataset"],
    typer.Option(help="Share that each group should have: equal, or that of the dataset."),
]
RepairOption = Annotated[
    bool, typer.Option("--repair", help="Put ages right that a spreadsheet turned into dates.")
]
AsWrittenOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FEATURE",
        help="Take its values as written: case tells groups apart, and NA, None or unknown is "
        "a group. Repeatable.",
    ),
]
#: As `moderation.encoders.options` has them, which knows no command line.
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Runtime = Literal["auto", "torch", "openvino"]

#: Frames and views that a worker can be set to, at most.
_MOST = 64


def _parsed_views(text: str) -> Views:
    if text == "auto":
        return "auto"
    if text.isdecimal() and 1 <= int(text) <= _MOST:
        return int(text)
    raise typer.BadParameter(f"{text!r} is neither auto nor a number from 1 to {_MOST}")


def _checked_views(text: str) -> str:
    _parsed_views(text)
    return text


@dataclass(frozen=True)
class ReadingOptions:
    """How a dataset is read, as it is typed."""

    adapter: Annotated[
        str | None,
        typer.Option(help="How the dataset lies on disk: a name of `audit datasets list`."),
    ] = None
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=NAME",
            help="Column NAME of a table is KEY: image, y_true, id, sha256, or a sensitive "
            "feature. Repeatable.",
        ),
    ] = None
    images: Annotated[
        Path | None, typer.Option(help="Folder below which the annotations name images.")
    ] = None
    truth: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS=LABEL",
            help="Class of y_true is that label or category of the policies, or allow. Repeatable.",
        ),
    ] = None
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave out rows with something wrong; they are listed."),
    ] = False
    repair: RepairOption = False
    as_written: AsWrittenOption = None
    benign: Annotated[
        bool | None,
        typer.Option(
            "--benign/--not-benign",
            help="Whether nothing in any image should be flagged; by default as the adapter says.",
        ),
    ] = None

    def load_options(self) -> LoadOptions:
        """Returns these options as the library takes them.

        Raises:
            typer.BadParameter: a pair is not KEY=VALUE, or a key is named twice.
        """
        from audit.datasets.adapters import LoadOptions
        from audit.datasets.spelling import composed

        return LoadOptions(
            columns=option_pairs(self.column or (), "--column"),
            images=self.images,
            truth=option_pairs(self.truth or (), "--truth"),
            benign=self.benign,
            skip_bad=self.skip_bad,
            repair=self.repair,
            as_written=frozenset(map(composed, self.as_written or ())),
        )


@dataclass(frozen=True)
class DatasetOptions:
    """What every audit is asked of: a dataset, a model, an embedding store."""

    dataset: Annotated[
        Path | None,
        typer.Option(
            "--dataset", "-d", metavar="PATH", help="Folder of images, or file of annotations."
        ),
    ] = None
    model: Annotated[
        str | None,
        typer.Option(
            envvar=["AUDIT_MODEL", "MODERATION_MODEL"],
            help="The model that your workers run: starter, a folder, or hub-id[@revision]. Wins "
            "over what the policies name.",
        ),
    ] = None
    store: Annotated[
        Path | None,
        typer.Option(
            envvar=["AUDIT_STORE", "MODERATION_STORE"],
            help="Folder of stored features; by default one in the user's cache.",
        ),
    ] = None
    no_store: NoStoreOption = False
    reading: ReadingOptions = ReadingOptions()
    classifiers: Annotated[
        Path | None,
        typer.Option(
            envvar=["AUDIT_CLASSIFIERS", "MODERATION_CLASSIFIERS"],
            help="Folder of the ONNX files that policies name as classifiers.",
        ),
    ] = None
    device: Annotated[
        str,
        typer.Option(
            envvar=["AUDIT_DEVICE", "MODERATION_DEVICE"],
            help="torch device: auto, cpu, cuda, cuda:1, ...",
        ),
    ] = "auto"
    dtype: Annotated[
        Dtype,
        typer.Option(
            envvar=["AUDIT_DTYPE", "MODERATION_DTYPE"], help="Number format of the model."
        ),
    ] = "auto"
    runtime: Annotated[
        Runtime,
        typer.Option(
            envvar=["AUDIT_RUNTIME", "MODERATION_RUNTIME"], help="What runs the model on images."
        ),
    ] = "auto"
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            envvar=["AUDIT_OFFLINE", "MODERATION_OFFLINE"],
            help="Never ask the model hub.",
        ),
    ] = False
    frames: Annotated[
        int,
        typer.Option(
            min=1,
            max=_MOST,
            envvar=["AUDIT_FRAMES", "MODERATION_FRAMES"],
            help="Frames of an animation to look at; name what your workers do.",
        ),
    ] = 16
    views: Annotated[
        str,
        typer.Option(
            metavar="auto|N",
            callback=_checked_views,
            envvar=["AUDIT_VIEWS", "MODERATION_VIEWS"],
            help="Parts of a picture to look at; name what your workers do.",
        ),
    ] = "auto"

    @property
    def named_dataset(self) -> Path:
        """The dataset, which all audits but those of predictions need.

        Raises:
            typer.BadParameter: none is named.
        """
        if self.dataset is None:
            raise typer.BadParameter("name a dataset", param_hint="--dataset")
        return self.dataset

    @property
    def looking(self) -> Looking:
        """How much of each file is looked at."""
        from moderation.images.looks import Looking

        return Looking(self.frames, _parsed_views(self.views))

    def chosen_model(self, policies: Collection[Policy]) -> str:
        """Returns the reference of the one model that these options or the policies name.

        Raises:
            AuditError: no model is named, or the policies name several.
        """
        named = sorted({policy.model for policy in policies if policy.model})
        without = [policy.id for policy in policies if not policy.model]
        if self.model:
            return self.model
        if len(named) == 1 and not without:
            return named[0]
        if len(named) > 1:
            what = f"the policies name {', '.join(named)}"
        elif named:
            others = ", ".join(without)
            what = f"{others} leaves the model open, and another policy names {named[0]}"
        else:
            what = "no model is named"
        remedy = "Name the one that your workers run, such as --model starter"
        raise AuditError(what, "--model", remedy)


@dataclass(frozen=True)
class SubjectOptions(DatasetOptions):
    """The same, with the groups to look at."""

    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Sensitive feature, or several with commas between for their intersection. "
            "Repeatable; by default each, and each pair."
        ),
    ] = None

    @property
    def sensitive_features(self) -> list[tuple[str, ...]] | None:
        """The sensitive features and intersections of --by; None for the default."""
        if not self.by:
            return None
        return [tuple(part.strip() for part in text.split(",")) for text in self.by]


def option_pair(text: str, form: str, option: str) -> tuple[str, str]:
    """Returns the two sides of KEY=VALUE, which `option` writes as `form`.

    Raises:
        typer.BadParameter: a side is missing.
    """
    key, _, value = (part.strip() for part in text.partition("="))
    if not key or not value:
        raise typer.BadParameter(f"{text} is not of the form {form}", param_hint=option)
    return key, value


def option_pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """Returns KEY=VALUE pairs as they were typed for an option.

    Raises:
        typer.BadParameter: a pair is not KEY=VALUE, or a key is named twice.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        key, value = option_pair(text, "KEY=VALUE", option)
        if key in pairs:
            raise typer.BadParameter(f"{key} is named twice", param_hint=option)
        pairs[key] = value
    return pairs

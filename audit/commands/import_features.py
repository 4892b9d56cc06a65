"""`audit import`: features that others computed, as a dataset without images."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from audit.commands.options import AsWrittenOption, RepairOption, option_pairs
from audit.plurals import counted
from audit.results.formatting import images
from moderation.commands.command_line import examples
from moderation.commands.options import takes_options
from moderation.commands.output import note, say, working

if TYPE_CHECKING:
    from audit.recordings.claims import ModelClaims
    from audit.recordings.feature_import import FeatureImport

EPILOG = examples(
    "audit import features.npy --labels labels.csv --column id=file --column race=race "
    "--model-id ViT-B-32 --logit-scale 100 --out faces/",
    "audit import embeddings/ --column id=image_path --column skin_tone=monk --model-id ViT-L-14 "
    "--logit-scale 100 --texts prompts.parquet --out people/",
    "audit import rows.parquet --labels people.csv --join key --column id=key --column age=age "
    "--model-id siglip --logit-scale 117.3 --logit-bias -12.9 --out people/",
)


@dataclass(frozen=True)
class ClaimOptions:
    """What is said of the features, which nobody can check."""

    model_id: Annotated[str, typer.Option(metavar="NAME", help="The model that made the features.")]
    logit_scale: Annotated[
        float, typer.Option(help="What it multiplies cosines by: 100 for OpenAI's CLIP.")
    ]
    logit_bias: Annotated[
        float | None, typer.Option(help="What it adds to them, for a SigLIP model.")
    ] = None
    template: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="How the words of --texts became texts, such as 'a photo of a {word}'.",
        ),
    ] = None
    source: Annotated[str | None, typer.Option(help="Where the features come from.")] = None
    licence: Annotated[str | None, typer.Option(help="The terms that they are under.")] = None

    def claims(self) -> ModelClaims:
        """Returns these options as the library takes them.

        Raises:
            AuditError: one cannot be.
        """
        from audit.recordings.claims import ModelClaims

        told = {name: claim for name, claim in asdict(self).items() if claim is not None}
        return ModelClaims.of(**told)


@dataclass(frozen=True)
class LabelOptions:
    """Which annotations belong to the features, and how they are read."""

    labels: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="CSV, Parquet or Arrow file of annotations, row by row as the features; by "
            "default they lie beside these. Repeatable.",
        ),
    ] = None
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=NAME",
            help="Column NAME of the annotations is KEY: id, y_true, or a sensitive feature. "
            "Repeatable.",
        ),
    ] = None
    join: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Column of ids beside the features: --labels belong to them by id, in any order.",
        ),
    ] = None
    vector: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column of the features; by default the only one."),
    ] = None
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave out rows with something wrong; they are counted."),
    ] = False
    repair: RepairOption = False
    as_written: AsWrittenOption = None
    benign: Annotated[
        bool | None,
        typer.Option(
            "--benign/--not-benign", help="Whether nothing should be flagged; by default not so."
        ),
    ] = None


@dataclass(frozen=True)
class TextFileOptions:
    """Which texts are recorded with the features."""

    texts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Features of texts: .npz or .npy with --words, Parquet or Arrow, or a "
            "clip-retrieval folder for its captions.",
        ),
    ] = None
    words: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Texts of a .npy, one a line or in CSV or JSON; words of a .npz, a list for each "
            "array in JSON.",
        ),
    ] = None
    text_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Array of a .npz to take; the first named wins where a text stands in several. "
            "Repeatable; by default all.",
        ),
    ] = None
    text_column: Annotated[
        str, typer.Option(metavar="NAME", help="Column of texts, in a file that has columns.")
    ] = "text"


@dataclass(frozen=True)
class KeptOptions:
    """How features are kept."""

    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the recording; it must not be there.")
    ]
    normalise: Annotated[
        bool,
        typer.Option(
            "--normalise", help="Features may have any length, and are brought to unit length."
        ),
    ] = False
    storage: Annotated[
        Literal["float16", "float32"] | None,
        typer.Option(help="How they are kept; by default as they come, as float32 at most."),
    ] = None


@takes_options
def import_(
    features: Annotated[
        list[Path],
        typer.Argument(
            metavar="FEATURES",
            help=".npy, Parquet or Arrow files of features, in order; or one folder that "
            "clip-retrieval wrote.",
        ),
    ],
    claims: ClaimOptions,
    kept: KeptOptions,
    labels: LabelOptions,
    texts: TextFileOptions,
) -> None:
    """Record features that others computed, as a dataset that needs no images and no model.

    Every row is checked. What is said of the model stands in each report; nobody can check it.
    """
    from audit.recordings.feature_import import import_features

    asked = _feature_import(features, claims, kept, labels, texts)
    with working("Reading features ..."):
        recording = import_features(asked, kept.out)
    for text in recording.dataset.notes:
        note(text)
    if not recording.dataset.sensitive_features:
        note("No sensitive feature is named with --column, so there are no rates by group")
    stated = recording.stated
    words = f" and {counted(stated.texts, 'text')}" if stated.texts else ""
    say(f"{images(stated.n)}{words} in {kept.out}, {stated.d:,} numbers each as {stated.dtype}")
    model = "" if stated.texts else f" --model {shlex.quote(stated.claims.model_id)}"
    say(f"Audit it with --dataset {shlex.quote(str(kept.out))}{model}")


def _feature_import(
    features: list[Path],
    claims: ClaimOptions,
    kept: KeptOptions,
    labels: LabelOptions,
    texts: TextFileOptions,
) -> FeatureImport:
    from audit.datasets.adapters import LoadOptions
    from audit.datasets.spelling import composed
    from audit.recordings.feature_import import FeatureImport
    from audit.recordings.text_features import TextOptions

    if texts.texts is None and (texts.words or texts.text_set):
        raise typer.BadParameter("whose features they are is not said", param_hint="--texts")
    return FeatureImport(
        features,
        option_pairs(labels.column or (), "--column"),
        claims.claims(),
        labels=labels.labels or (),
        join=labels.join,
        vector=labels.vector,
        texts=texts.texts,
        text_options=TextOptions(texts.words, texts.text_set or (), texts.text_column),
        storage=kept.storage,
        normalise=kept.normalise,
        reading=LoadOptions(
            benign=labels.benign,
            skip_bad=labels.skip_bad,
            repair=labels.repair,
            as_written=frozenset(map(composed, labels.as_written or ())),
        ),
    )

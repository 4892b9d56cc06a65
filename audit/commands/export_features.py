"""`audit export`: a dataset's features with their annotations, for others to read."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from audit.commands.opening import (
    names_recording,
    open_features,
    open_policies,
    open_recording,
)
from audit.commands.options import DatasetOptions
from audit.errors import AuditError
from audit.plurals import counted
from audit.results.formatting import images
from moderation.commands.command_line import examples
from moderation.commands.options import takes_options
from moderation.commands.output import say, working

if TYPE_CHECKING:
    from audit.audits.audited import Named
    from audit.recordings.claims import ModelClaims
    from audit.recordings.feature_export import ExportedFeatures
    from moderation.policy import Policy

EPILOG = examples(
    "audit export -d faces/ --layout parquet --out exported/",
    "audit export -d fairface/ --model starter --views 1 --policy my.yaml --out recorded/",
)


@takes_options
def export(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the files; it must not be there.")
    ],
    layout: Annotated[
        Literal["npy", "clip-retrieval", "parquet", "arrow", "recording"],
        typer.Option(help="How they lie in it; recording is what `audit import` makes."),
    ] = "recording",
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="Policy whose prompts go along, with the model's features of them. Repeatable; of "
            "recorded features, all texts go along."
        ),
    ] = None,
    storage: Annotated[
        Literal["float16", "float32"] | None,
        typer.Option(help="How features are written; by default as they are stored."),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Where the images come from.")] = None,
    licence: Annotated[
        str | None, typer.Option(help="The terms that the features are under.")
    ] = None,
    *,
    options: DatasetOptions,
) -> None:
    """Write a dataset's features and annotations, so that others can audit them without images.

    Images without stored features are embedded first. Each image must have one look: with
    `--frames 1 --views 1` it has.
    """
    from audit.recordings.claims import ModelClaims
    from audit.recordings.feature_export import ExportedFeatures, export_features
    from audit.recordings.recording_folder import refuse_full_folder

    refuse_full_folder(out)
    if names_recording(options):
        if policy:
            what = "all texts of a recording go along"
            raise typer.BadParameter(what, param_hint="--policy")
        recording = open_recording(options)
        said = recording.stated.claims
        parts = ExportedFeatures(recording.dataset, recording.features, said, recording.texts)
    else:
        parts = _embedded_features(options, open_policies(policy or (), options.model))
    told = {name: text for name, text in (("source", source), ("licence", licence)) if text}
    exported = parts._replace(claims=ModelClaims.of(**{**parts.claims.model_dump(), **told}))
    with working("Writing features ..."):
        export_features(exported, out, layout, storage)
    texts = exported.texts
    words = f" and {counted(len(texts.texts), 'text')}" if texts else ""
    say(f"{images(len(exported.dataset))}{words} in {out}")
    if layout != "recording":
        say(f"What must be said of them on import: {_claims_typed(exported.claims)}")


def _embedded_features(options: DatasetOptions, named: Named[Policy]) -> ExportedFeatures:
    """Returns the features of images, and of the prompts of policies.

    Raises:
        AuditError: an image got several looks.
    """
    from audit.audits.recorded_prompts import prompts_of
    from audit.recordings.claims import ModelClaims
    from audit.recordings.feature_export import ExportedFeatures
    from audit.recordings.text_features import RecordedTexts

    policies = named.policies.values()
    with open_features(options, policies, None) as (embedded, encoder):
        if several := embedded.seen_repeatedly:
            what = f"{images(several)} got several looks, and one feature each can be exported"
            raise AuditError(what, embedded.dataset.name, "Add --frames 1 --views 1")
        texts = prompts_of(policies)
        recorded = RecordedTexts(texts, encoder.text_features(texts)) if texts else None
        claims = ModelClaims.of(
            model_id=encoder.stamp.id,
            logit_scale=encoder.logit_scale,
            logit_bias=encoder.logit_bias,
        )
        return ExportedFeatures(embedded.dataset, embedded.features, claims, recorded)


def _claims_typed(claims: ModelClaims) -> str:
    """Returns the options of `audit import` that say of features what is said of them here.

    But for the template, which the texts went through already.
    """
    told = claims.model_dump(exclude={"template"}, exclude_none=True)
    return shlex.join(
        word
        for name, value in told.items()
        if value != ""
        for word in (f"--{name.replace('_', '-')}", str(value))
    )

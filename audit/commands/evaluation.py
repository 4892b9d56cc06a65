"""What an evaluation is asked of: labelled pictures, policies and models; and what they say."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audit.commands.opening import (
    names_recording,
    open_embedded,
    open_encoder,
    open_outputs,
    open_policies,
    say_embedded,
)
from audit.commands.options import DatasetOptions
from audit.errors import AuditError
from moderation.commands.output import track

if TYPE_CHECKING:
    from audit.audits.audited import Named
    from audit.embedding.dataset_features import EmbeddedDataset
    from audit.evaluation.claimed_names import ClaimedNames
    from audit.evaluation.evaluated_system import EvaluatedSystem
    from audit.evaluation.labelled_dataset import LabelledDataset
    from moderation.encoders.encoder import TextEncoder
    from moderation.policy import Policy


def _whole_variable(context: typer.Context, models: list[str] | None) -> list[str] | None:
    """A variable names one model, whose path may have spaces, where typer would split it."""
    source = context.get_parameter_source("models")
    if source is None or source.name != "ENVIRONMENT":
        return models
    return [os.environ.get("AUDIT_MODEL") or os.environ["MODERATION_MODEL"]]


@dataclass(frozen=True)
class EvaluationOptions(DatasetOptions):
    """The options of a dataset, with several models in the place of one."""

    model: str | None = field(default=None, init=False)
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            envvar=["AUDIT_MODEL", "MODERATION_MODEL"],
            callback=_whole_variable,
            help="Model that your workers run: starter, a folder, or hub-id[@revision]. Wins over "
            "what the policies name. Repeatable: each policy on each model.",
        ),
    ] = None


def open_labelled(
    folder: Path | None, options: EvaluationOptions, named: Named[Policy]
) -> LabelledDataset:
    """Returns the pictures with what people say of them, each once.

    Raises:
        DatasetError: with everything that is wrong with them, or no label has a name of theirs.
    """
    from audit.datasets.adapters import load_dataset
    from audit.evaluation.claimed_names import ClaimedNames
    from audit.evaluation.labelled_dataset import labelled_by_class

    if (folder is None) == (options.dataset is None):
        raise typer.BadParameter("name a folder or table, or --dataset", param_hint="FOLDER")
    reading = options.reading.load_options()
    labels = tuple(label for policy in named.policies.values() for label in policy.labels)
    claimed = ClaimedNames(labels, reading.truth)
    if folder is not None:
        _refuse_for_dataset_alone(options)
        found = _open_by_label(folder, options, claimed)
        _refuse_unknown_alone(found)
        return found.merged(claimed, track, skip_bad=reading.skip_bad)
    plain = replace(reading, truth={})
    dataset = load_dataset(options.named_dataset, adapter=options.reading.adapter, options=plain)
    found = labelled_by_class(dataset, claimed)
    _refuse_unknown_alone(found)
    return found


def _refuse_unknown_alone(found: LabelledDataset) -> None:
    """Refuses pictures of which nothing is known, before any of them is embedded."""
    from audit.errors import DatasetError
    from audit.evaluation.labelled_images import UNKNOWN

    if (found.images.marks == UNKNOWN).all():
        what = "of no picture it is said what it shows"
        remedy = "Give some a label or category, or say with --truth what their classes mean"
        raise DatasetError.of(found.dataset.source, what, remedy)


def _refuse_for_dataset_alone(options: EvaluationOptions) -> None:
    """Refuses options that would do nothing to a folder or table of labels."""
    reading = options.reading
    given = {
        "--adapter": reading.adapter is not None,
        "--benign": reading.benign is not None,
        "--repair": reading.repair,
        "--as-written": bool(reading.as_written),
    }
    for name, is_given in given.items():
        if is_given:
            raise typer.BadParameter("it is for --dataset", param_hint=name)


def _open_by_label(
    path: Path, options: EvaluationOptions, claimed: ClaimedNames
) -> LabelledDataset:
    """Returns the pictures of a folder with a folder for each label, or of a table."""
    from audit.datasets.adapters.csv_and_parquet import is_table
    from audit.errors import DatasetError
    from audit.evaluation.label_folders import labelled_by_folder
    from audit.evaluation.label_table import labelled_by_table

    reading = options.reading.load_options()
    if is_table(path):
        return labelled_by_table(path, claimed, reading)
    if not path.is_dir():
        what = "it is neither a folder, nor a CSV or Parquet file"
        raise DatasetError.of(path, what, "Name a folder with a folder for each label, or a table")
    for name, given in (("--column", reading.columns), ("--images", reading.images)):
        if given:
            raise typer.BadParameter("it is for a table, and this is a folder", param_hint=name)
    return labelled_by_folder(path, claimed, reading)


def said_by_systems(
    labelled: LabelledDataset, options: EvaluationOptions, named: Named[Policy]
) -> tuple[LabelledDataset, list[EvaluatedSystem]]:
    """Returns the pictures that all models could read, and what each policy on each model says.

    Raises:
        AuditError: no model is named for a policy. DatasetError: images are wrong.
        ModelError: a model cannot be loaded. PolicyError: a classifier cannot be used.
    """
    if options.dataset is not None and names_recording(options):
        return labelled, _said_of_recording(labelled, options, named)
    chosen = _policies_by_model(options, named)
    several = len(chosen) > 1
    found: list[EvaluatedSystem] = []
    for reference, policies in chosen.items():
        labelled, said = _said_under_model(labelled, options, reference, policies, several)
        found = [*found, *said]
        if any(len(each.scores) != len(labelled.dataset) for each in found):
            what = f"{reference} cannot read an image that another model reads"
            raise AuditError(what, str(labelled.dataset.source), "Leave this image out")
    return labelled, found


def _policies_by_model(
    options: EvaluationOptions, named: Named[Policy]
) -> dict[str, Named[Policy]]:
    """Returns the policies of each model: all on each that is named, or each on its own."""
    from audit.audits.audited import Named

    if options.models:
        return dict.fromkeys(options.models, named)
    by_model: dict[str, list[str]] = {}
    for name, policy in named.policies.items():
        by_model.setdefault(options.chosen_model([policy]), []).append(name)
    return {
        model: Named({n: named.policies[n] for n in own}, {n: named.paths[n] for n in own})
        for model, own in by_model.items()
    }


def _said_under_model(
    labelled: LabelledDataset,
    options: EvaluationOptions,
    reference: str,
    named: Named[Policy],
    several: bool,
) -> tuple[LabelledDataset, list[EvaluatedSystem]]:
    from audit.datasets.dataset import IMAGE_ID
    from audit.evaluation.labelled_dataset import LabelledDataset

    with open_encoder(options, reference) as encoder:
        embedded = open_embedded(options, labelled.dataset, encoder)
        say_embedded(embedded, encoder)
        embedded = open_outputs(options, embedded, named.policies.values())
        said = _said_by_policies(embedded, encoder, named, f", {reference}" if several else "")
    ids = embedded.dataset.table[IMAGE_ID].to_list()
    return LabelledDataset(embedded.dataset, labelled.images.take(ids)), said


def _said_of_recording(
    labelled: LabelledDataset, options: EvaluationOptions, named: Named[Policy]
) -> list[EvaluatedSystem]:
    """Returns what policies say of recorded features, by recorded texts.

    Raises:
        PolicyError: a prompt is not recorded.
    """
    from audit.embedding.recorded_encoder import RecordedEncoder, embedded_recording
    from audit.recordings.recording import read_recording

    if options.models:
        raise typer.BadParameter("recorded features have their own", param_hint="--model")
    reading = replace(options.reading.load_options(), truth={})
    recording = read_recording(labelled.dataset.source, reading)
    encoder = RecordedEncoder(recording)
    return _said_by_policies(embedded_recording(recording), encoder, named, "")


def _said_by_policies(
    embedded: EmbeddedDataset, encoder: TextEncoder, named: Named[Policy], suffix: str
) -> list[EvaluatedSystem]:
    """Returns what policies say of the pictures of a dataset, each by its name and a suffix."""
    from audit.audits.subject import Subject
    from audit.evaluation.evaluated_system import EvaluatedSystem
    from audit.results.cautions import source_cautions

    subject = Subject.of(embedded, encoder, ())
    cautions = tuple(source_cautions(subject.header(named)))
    about = dict(_described(named))
    return [
        EvaluatedSystem.of_policy(
            each,
            name=each.name + suffix,
            about=f"{about[each.name]}, on {encoder.stamp.described}",
            cautions=cautions,
        )
        for each in subject.predict(named.policies)
    ]


def _described(named: Named[Policy]) -> Iterator[tuple[str, str]]:
    paths: Mapping[str, str] = named.paths
    for name, policy in named.policies.items():
        where = "" if paths[name] == name else f"{paths[name]}, "
        yield name, f"{where}version {policy.version}, {policy.sha256[:12]}"


def open_evaluated_policies(names: list[str], options: EvaluationOptions) -> Named[Policy]:
    """Returns the policies to evaluate.

    Raises:
        PolicyError: with everything that is wrong in any of them.
    """
    return open_policies(names, options.models[0] if options.models else None)

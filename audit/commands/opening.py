"""Opens what the options of an audit name: policies, dataset, embedding store, encoder."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from shlex import join
from typing import TYPE_CHECKING

from audit.commands.options import DatasetOptions
from audit.errors import AuditError
from audit.plurals import counted
from audit.results.formatting import images
from moderation.commands.output import note, track, working
from moderation.commands.passing_store import passing_store_folder
from moderation.encoders.cores import usable
from moderation.errors import PolicyError, PolicyProblem
from moderation.policy import Policy, find_policy, load_policy
from moderation.visible_text import utf8

if TYPE_CHECKING:
    from audit.audits.audited import Named
    from audit.audits.subject import Subject
    from audit.datasets.dataset import Dataset
    from audit.embedding.dataset_features import EmbeddedDataset
    from audit.recordings.recording import Recording
    from moderation.encoders.encoder import TextEncoder
    from moderation.features import EmbeddingStore, Storage, StoredEncoder

#: Threads that decode ahead of the encoder.
_THREADS = 2 * usable()


def open_policies(names: Sequence[str], model: str | None) -> Named[Policy]:
    """Returns the policies of files, by the names that a report calls them; they may share an id.

    Raises:
        PolicyError: with everything that is wrong in any of them.
    """
    policies: list[Policy] = []
    problems: list[PolicyProblem] = []
    for name in names:
        try:
            policies.append(load_policy(find_policy(name), model=model))
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(problems)
    from audit.audits.audited import Named

    return Named.of(policies, map(utf8, names))


def open_dataset(options: DatasetOptions) -> Dataset:
    """Returns the dataset as it is annotated, and prints its notes.

    Its images are not read yet.

    Raises:
        DatasetError: with everything that is wrong with its annotations.
    """
    from audit.datasets.adapters import load_dataset

    reading = options.reading
    dataset = load_dataset(
        options.named_dataset, adapter=reading.adapter, options=reading.load_options()
    )
    for text in dataset.notes:
        note(text)
    return dataset


def open_pictures(options: DatasetOptions) -> Dataset:
    """Returns the pictures of a dataset, or of any folder."""
    from audit.datasets.adapters.pictures import is_plain_folder, load_pictures

    path, reading = options.named_dataset, options.reading
    if reading.adapter is not None or not is_plain_folder(path):
        return open_dataset(options)
    dataset = load_pictures(path, reading.load_options())
    for text in dataset.notes:
        note(text)
    return dataset


def open_store(options: DatasetOptions) -> EmbeddingStore:
    """Returns the embedding store; by default that of the user, or one that keeps nothing."""
    from moderation.features import EmbeddingStore
    from moderation.features.location import store_folder

    if options.no_store:
        return EmbeddingStore(passing_store_folder())
    return EmbeddingStore(store_folder(options.store))


@contextmanager
def open_encoder(options: DatasetOptions, reference: str) -> Iterator[StoredEncoder]:
    """Yields the model of an audit and names it; loads it only where the store is not enough.

    Raises:
        ModelError: it cannot be loaded. StoreError: the store is damaged, or cannot be written.
    """
    from moderation.encoders.options import ModelOptions
    from moderation.features import StoredEncoder

    how = ModelOptions(options.device, options.dtype, options.offline, options.runtime)
    with working("Looking for the model ..."):
        encoder = StoredEncoder(reference, how, open_store(options))
    with encoder:
        note(f"Model: {encoder.stamp.described}")
        yield encoder


def open_embedded(
    options: DatasetOptions,
    dataset: Dataset,
    encoder: StoredEncoder,
    storage: Storage = "float32",
) -> EmbeddedDataset:
    """Returns a dataset with its features; images without any are embedded in this process.

    Raises:
        DatasetError: images are wrong. ModelError: the model cannot be loaded, or failed.
        StoreError: the store is damaged, or cannot be written.
    """
    from audit.embedding.dataset_features import embed_dataset, embed_here

    embedded = embed_dataset(
        dataset,
        encoder.stamp,
        encoder.store,
        embed_here(encoder, threads=_THREADS),
        looking=options.looking,
        storage=storage,
        skip_bad=options.reading.skip_bad,
        track=track,
    )
    say_new_notes(dataset, embedded.dataset)
    return embedded


def say_new_notes(before: Dataset, after: Dataset) -> None:
    """Prints what a dataset is noted for that it was not before."""
    for text in after.notes[len(before.notes) :]:
        note(text)


def say_embedded(embedded: EmbeddedDataset, encoder: StoredEncoder) -> None:
    """Prints how many images were embedded now, where the others are from, and what was seen."""
    n = len(embedded.dataset)
    note(f"{images(n)}; {embedded.embedded} embedded now, the rest from {encoder.store.root}")
    note(seen_of_dataset(embedded))


def seen_of_dataset(embedded: EmbeddedDataset) -> str:
    """Returns in words how much of a dataset's images was looked at."""
    several = embedded.seen_repeatedly
    return f"Looked at: {embedded.looking.text}; {images(several)} got more than one look"


@contextmanager
def open_features(
    options: DatasetOptions, policies: Collection[Policy], by: Sequence[Sequence[str]] | None
) -> Iterator[tuple[EmbeddedDataset, TextEncoder]]:
    """Yields a dataset with its features, embedded or recorded, and what embeds texts for it."""
    from audit.datasets.chosen_groups import chosen_groups
    from audit.embedding.recorded_encoder import embedded_recording

    if names_recording(options):
        recording = open_recording(options)
        chosen_groups(recording.dataset, by)
        with _open_texts(options, recording) as texts:
            yield embedded_recording(recording), texts
        return
    dataset = open_dataset(options)
    chosen_groups(dataset, by)  # a misspelt one must not cost the time of embedding
    with open_encoder(options, options.chosen_model(policies)) as encoder:
        embedded = open_embedded(options, dataset, encoder)
        say_embedded(embedded, encoder)
        yield embedded, encoder


def names_recording(options: DatasetOptions) -> bool:
    """Returns whether the dataset is one of recorded features."""
    from audit.recordings.recording import is_recording

    adapter = options.reading.adapter
    return adapter == "recorded" or (adapter is None and is_recording(options.named_dataset))


def open_recording(options: DatasetOptions) -> Recording:
    """Returns recorded features, and prints what is claimed of them.

    Raises:
        DatasetError: the recording is damaged. AuditError: another model is named than it claims.
    """
    from audit.recordings.recording import read_recording

    recording = read_recording(options.named_dataset, options.reading.load_options())
    stated = recording.stated
    claimed = stated.claims.model_id
    if options.model not in (None, claimed):
        what = f"the features are claimed to be of {claimed}, and {options.model} is named"
        remedy = "Name that one, or none; AUDIT_MODEL and MODERATION_MODEL name one too"
        raise AuditError(what, "--model", remedy)
    for text in recording.dataset.notes:
        note(text)
    texts = counted(stated.texts, "text")
    note(f"{images(stated.n)} and {texts} recorded, claimed to be of {claimed}; no image is there")
    return recording


@contextmanager
def _open_texts(options: DatasetOptions, recording: Recording) -> Iterator[TextEncoder]:
    """Yields the recorded texts; where there are none, the model that is claimed and named.

    Raises:
        AuditError: no texts are recorded, and no model is named, or it is not that of the features.
    """
    from audit.embedding.recorded_encoder import RecordedEncoder

    if recording.texts is not None or options.model is None:
        yield RecordedEncoder(recording)
        return
    with open_encoder(options, options.model) as encoder:
        claims, width = recording.stated.claims, encoder.text_features(["a photo"]).shape[1]
        claimed = (recording.stated.d, claims.logit_scale, claims.logit_bias)
        found = (width, encoder.logit_scale, encoder.logit_bias)
        if [f"{each or 0:.4g}" for each in claimed] != [f"{each or 0:.4g}" for each in found]:
            names = "features of {} numbers, logit scale {}, logit bias {}"
            what = f"the model has {names.format(*found)}; recorded were {names.format(*claimed)}"
            raise AuditError(what, options.model, "Import the features of this model")
        yield encoder


@contextmanager
def open_subject(
    options: DatasetOptions,
    policies: Collection[Policy],
    *,
    by: Sequence[Sequence[str]] | None = None,
    seed: int = 0,
    near_duplicates: float = 0.0,
) -> Iterator[Subject]:
    """Yields what an audit looks at, with every image embedded.

    Args:
        options: of the dataset, the model and the embedding store.
        policies: of the audit; they may name the model.
        by: sensitive features and intersections; None takes each, and each pair.
        seed: of every random choice.
        near_duplicates: the cosine from which two images are; 0 looks for none.

    Raises:
        DatasetError: annotations or images are wrong, or there is no such sensitive feature.
        ModelError: the model cannot be loaded. PolicyError: a classifier cannot be used.
        StoreError: the store is damaged, or cannot be written.
    """
    from audit.audits.subject import Subject

    with open_features(options, policies, by) as (embedded, encoder):
        command = utf8(join(["audit", *sys.argv[1:]]))
        if embedded.recording is None:
            embedded = open_outputs(options, embedded, policies)
        subject = Subject.of(
            embedded, encoder, by, seed=seed, command=command, near_duplicates=near_duplicates
        )
        say_new_notes(embedded.dataset, subject.dataset)
        yield subject


def open_outputs(
    options: DatasetOptions, embedded: EmbeddedDataset, policies: Collection[Policy]
) -> EmbeddedDataset:
    """Returns a dataset with what the classifiers of policies give for its images, if any do.

    Raises:
        PolicyError: a classifier cannot be used. DatasetError: images have changed.
        StoreError: the store is damaged, or cannot be written.
    """
    if not any(policy.classified_labels for policy in policies):
        return embedded
    from audit.embedding.classifier_outputs import embed_outputs

    return embed_outputs(
        embedded,
        policies,
        open_store(options),
        options.classifiers,
        threads=_THREADS,
        track=track,
    )

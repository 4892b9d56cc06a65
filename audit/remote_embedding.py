"""Datasets embedded by the workers of a queue, where one machine is too small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from audit.dataset import Dataset
from audit.embedding import Embed, Embedded
from audit.errors import AuditError
from audit.references import read_bytes
from moderation.embeddings import FeatureSpace
from moderation.errors import ImageError
from moderation.messages import ModelStamp
from moderation.remote import embed_on_workers, feature_row


def workers_stamp(dataset: Dataset, model: str, broker_url: str | None = None) -> ModelStamp:
    """Returns what the workers' model is, from their answer to the first image they can read.

    Raises:
        AuditError: they can read none. BrokerUnavailable, VerdictTimeout: no worker answers.
    """
    images = ((str(row), read_bytes(reference)) for row, reference in enumerate(dataset.references))
    with closing(
        embed_on_workers(images, model=model, broker_url=broker_url, in_flight=1)
    ) as answers:
        for _, answer in answers:
            if not isinstance(answer, ImageError):
                return answer.model
    raise AuditError("no image of it can be read", dataset.name, "Look at `audit datasets info`")


def embed_remotely(model: str, stamp: ModelStamp, broker_url: str | None = None) -> Embed:
    """Returns what embeds on the workers of a queue; each worker must have the model of `stamp`."""
    space = FeatureSpace.of_images(stamp)

    def embed(dataset: Dataset, rows: Sequence[int], hashes: Sequence[str]) -> Iterator[Embedded]:
        images = ((str(row), read_bytes(dataset.references[row])) for row in rows)
        with closing(embed_on_workers(images, model=model, broker_url=broker_url)) as answers:
            for row, answer in answers:
                if isinstance(answer, ImageError):
                    yield Embedded(int(row), answer)
                    continue
                if FeatureSpace.of_images(answer.model) != space:
                    raise AuditError(
                        "the workers do not have one model between them",
                        f"model {model}",
                        "Run the same weights with the same MODERATION_DTYPE on all of them",
                    )
                yield Embedded(int(row), feature_row(answer))

    return embed

"""Datasets embedded by the workers of a queue, where one machine is too small."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

from audit.datasets.content import image_problem, row_problem
from audit.datasets.dataset import Dataset
from audit.datasets.references import read_bytes
from audit.embedding.dataset_features import CHANGED, Embed, Embedded
from audit.errors import AuditError, RowProblem
from moderation.client.embedding import embed_on_workers, feature_row
from moderation.encoders.encoder import Float32s
from moderation.errors import ImageError
from moderation.features.store import FeatureSpace
from moderation.messages import EmbeddingResponse, ModelStamp


def workers_stamp(dataset: Dataset, model: str, broker_url: str | None = None) -> ModelStamp:
    """Returns what the workers' model is, from their answer to the first image they can read.

    Raises:
        AuditError: they can read none. BrokerUnavailable, VerdictTimeout: no worker answers.
    """
    # What is wrong with an image is told when the dataset is embedded.
    images = _contents(dataset, range(len(dataset)), [])
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
        unread: list[Embedded] = []
        images = _contents(dataset, rows, unread)
        with closing(embed_on_workers(images, model=model, broker_url=broker_url)) as answers:
            for key, answer in answers:
                row = int(key)
                yield Embedded(row, _checked(dataset, row, hashes[row], answer, space))
        yield from unread

    return embed


def _contents(
    dataset: Dataset, rows: Iterable[int], unread: list[Embedded]
) -> Iterator[tuple[str, bytes]]:
    """Yields each image that can be read, under its row; puts the others on the list."""
    for row in rows:
        try:
            content = read_bytes(dataset.references[row])
        except OSError as error:
            unread.append(Embedded(row, image_problem(dataset, row, error)))
            continue
        yield str(row), content


def _checked(
    dataset: Dataset,
    row: int,
    sha256: str,
    answer: EmbeddingResponse | ImageError,
    space: FeatureSpace,
) -> Float32s | RowProblem:
    """Returns the (d,) feature in an answer, if it is of the image that was hashed.

    Raises:
        AuditError: it is of another model.
    """
    if isinstance(answer, ImageError):
        return image_problem(dataset, row, answer)
    if FeatureSpace.of_images(answer.model) != space:
        raise AuditError(
            "the workers do not have one model between them",
            f"model {answer.model.id}",
            "Run the same weights with the same MODERATION_DTYPE on all of them",
        )
    if answer.image_sha256 != sha256:
        return row_problem(dataset, row, CHANGED)
    return feature_row(answer)

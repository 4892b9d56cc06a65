"""Datasets -> image features from the workers of a queue, for when one machine is too small."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

from audit.datasets.dataset import Dataset
from audit.datasets.image_problems import image_problem
from audit.datasets.image_references import read_reference
from audit.embedding.dataset_features import CHANGED, Embed, EmbeddedImage
from audit.errors import AuditError
from moderation.client.embedding import embed_on_workers, feature_rows
from moderation.errors import ImageError
from moderation.features import FeatureSpace
from moderation.images.looks import DEFAULT_LOOKING, Looking
from moderation.messages import EmbeddingResponse, ModelStamp


def remote_stamp(
    dataset: Dataset,
    model: str,
    broker_url: str | None = None,
    *,
    looking: Looking = DEFAULT_LOOKING,
) -> ModelStamp:
    """Returns the stamp of the remote workers' model, from a response to one readable image.

    Raises:
        AuditError: no image can be read, or the worker looks at more or less of a file.
        BrokerUnavailable, VerdictTimeout: no worker responds.
    """
    # What is wrong with an image is said when the dataset is embedded.
    images = _remote_images(dataset, range(len(dataset)), [])
    with closing(
        embed_on_workers(images, model=model, broker_url=broker_url, in_flight=1)
    ) as responses:
        for _, response in responses:
            if not isinstance(response, ImageError):
                _refuse_other_looking(response, looking)
                return response.model
    raise AuditError("no image of it can be read", dataset.name, "Look at `audit datasets info`")


def embed_remotely(model: str, stamp: ModelStamp, broker_url: str | None = None) -> Embed:
    """Returns what embeds on the remote workers of a queue, each with the model of `stamp`."""

    def remote_features(
        dataset: Dataset, rows: Sequence[int], hashes: Sequence[str], looking: Looking
    ) -> Iterator[EmbeddedImage]:
        unread: list[EmbeddedImage] = []
        images = _remote_images(dataset, rows, unread)
        with closing(embed_on_workers(images, model=model, broker_url=broker_url)) as responses:
            for key, response in responses:
                row = int(key)
                if isinstance(response, ImageError):
                    yield EmbeddedImage(row, image_problem(dataset, row, response))
                    continue
                _refuse_other_looking(response, looking)
                _refuse_other_model(response, stamp, looking)
                changed = response.image_sha256 != hashes[row]
                wrong = image_problem(dataset, row, CHANGED) if changed else None
                yield EmbeddedImage(row, wrong or feature_rows(response))
        yield from unread

    return remote_features


def _remote_images(
    dataset: Dataset, rows: Iterable[int], unread: list[EmbeddedImage]
) -> Iterator[tuple[str, bytes]]:
    """Yields each image that can be read, by its index; puts the others on the list."""
    for row in rows:
        try:
            content = read_reference(dataset.references[row])
        except OSError as error:
            unread.append(EmbeddedImage(row, image_problem(dataset, row, error)))
            continue
        yield str(row), content


def _refuse_other_looking(response: EmbeddingResponse, looking: Looking) -> None:
    if response.looking != looking.text:
        raise AuditError(
            f"a worker looks at {response.looking} of a file, and this audit at {looking.text}",
            f"model {response.model.id}",
            "Set MODERATION_FRAMES and MODERATION_VIEWS alike on all workers, and name the same "
            "with --frames and --views",
        )


def _refuse_other_model(response: EmbeddingResponse, stamp: ModelStamp, looking: Looking) -> None:
    theirs = FeatureSpace.of_images(response.model, looking)
    if theirs != FeatureSpace.of_images(stamp, looking):
        raise AuditError(
            "the workers do not all have the same model",
            f"model {response.model.id}",
            "Run the same weights with the same MODERATION_DTYPE on all of them",
        )

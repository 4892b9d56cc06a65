"""Datasets -> image features: from the store, and from the model for what is not there yet.

Shapes: n images, d feature width.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np

from audit.content import image_hashes, leave_out, row_problem
from audit.dataset import Dataset
from audit.errors import DatasetError, RowProblem
from audit.references import Reference, read_bytes
from moderation.classifier import Encoder, Floats
from moderation.embeddings import EmbeddingStore, Features, FeatureSpace, Storage
from moderation.errors import ImageError, ModerationError
from moderation.image import Pixels, Preprocessing, decode, preprocess
from moderation.messages import ModelStamp

T = TypeVar("T")

#: Images that go through the encoder together.
_BATCH = 32
#: Batches that are decoded ahead of the encoder.
_AHEAD = 2

#: Shows progress: (items, how many there are, what is done to them) -> the items.
Track = Callable[[Iterable[T], int, str], Iterator[T]]


class Embedded(NamedTuple):
    """The features of one image of a dataset, or why there are none."""

    row: int
    features: Floats | ModerationError


#: Embeds the images of a dataset at some indexes; may give them in any order.
Embed = Callable[[Dataset, Sequence[int], Sequence[str]], Iterator[Embedded]]


@dataclass(frozen=True)
class EmbeddedDataset:
    """A dataset with the features of its images.

    Attributes:
        dataset: n images; those that had to be left out are gone from it.
        features: (n, d) rows of unit length.
        sha256: (n,) hash of each image's content.
        embedded: how many of them went through the model now.
    """

    dataset: Dataset
    features: Floats
    sha256: tuple[str, ...]
    embedded: int

    @property
    def images_sha256(self) -> str:
        """Hash of all images, whatever their order."""
        return hashlib.sha256("".join(sorted(self.sha256)).encode()).hexdigest()


def embed_dataset(
    dataset: Dataset,
    stamp: ModelStamp,
    store: EmbeddingStore,
    embed: Embed,
    *,
    storage: Storage = "float32",
    skip_bad: bool = False,
    track: Track[Embedded] | None = None,
) -> EmbeddedDataset:
    """Returns the features of a dataset's images; only images that are new go through the model.

    What is embedded is kept, also where it ends by an exception or Ctrl-C.

    Args:
        dataset: the images.
        stamp: of the model whose features they are.
        store: where they are kept.
        embed: embeds what is missing; `embed_here` in this process.
        storage: how new features are kept.
        skip_bad: leaves out images with something wrong, in place of an error.
        track: shows progress.

    Raises:
        DatasetError: images are missing, not as annotated, there twice, or cannot be decoded.
        ModelError: the model failed. StoreError: a file of the store is damaged.
    """
    hashes, problems = image_hashes(dataset)
    with store.open(FeatureSpace.of_images(stamp), storage) as features:
        missing = _missing(features, hashes)
        found = embed(dataset, missing, hashes)
        for each in track(found, len(missing), "Embedding") if track and missing else found:
            if isinstance(each.features, ModerationError):
                problems.append(_refused(dataset, each.row, each.features))
            else:
                features.add([hashes[each.row]], each.features[np.newaxis])
    if problems and not skip_bad:
        raise DatasetError(problems)
    rest, kept = leave_out(dataset, problems) if problems else (dataset, range(len(dataset)))
    of_rest = tuple(hashes[i] for i in kept)
    rows, _ = features.get(of_rest)
    return EmbeddedDataset(rest, rows, of_rest, len(missing))


def _missing(features: Features, hashes: Sequence[str]) -> list[int]:
    """Returns the indexes of the images without a feature; of equal images the first alone."""
    known = [sha256 for sha256 in dict.fromkeys(hashes) if sha256]
    _, found = features.get(known)
    wanted = {sha256 for sha256, there in zip(known, found, strict=True) if not there}
    first = {sha256: index for index, sha256 in reversed(list(enumerate(hashes)))}
    return sorted(first[sha256] for sha256 in wanted)


def _refused(dataset: Dataset, index: int, error: ModerationError) -> RowProblem:
    if not isinstance(error, ImageError):
        raise error
    return row_problem(dataset, index, f"the image cannot be decoded: {error.what}")


def embed_here(encoder: Encoder, *, max_pixels: int = 50_000_000, threads: int = 4) -> Embed:
    """Returns what embeds in this process: threads decode ahead, and batches go to the encoder."""

    def embed(
        dataset: Dataset, indexes: Sequence[int], hashes: Sequence[str]
    ) -> Iterator[Embedded]:
        if not indexes:  # so that a model that is not needed is not loaded
            return
        how = encoder.preprocessing
        with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
            jobs = (
                (i, pool.submit(_pixels, dataset.references[i], how, max_pixels)) for i in indexes
            )
            try:
                for batch in _ahead(jobs, _BATCH * _AHEAD):
                    yield from _encode(encoder, batch)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    return embed


Decoding = tuple[int, Future[Pixels]]


def _ahead(jobs: Iterator[Decoding], most: int) -> Iterator[list[Decoding]]:
    """Yields batches, in order, while up to `most` images are being decoded."""
    waiting = deque(islice(jobs, most))
    while waiting:
        batch = [waiting.popleft() for _ in range(min(_BATCH, len(waiting)))]
        yield batch
        waiting.extend(islice(jobs, len(batch)))


def _pixels(reference: Reference, how: Preprocessing, max_pixels: int) -> Pixels:
    return preprocess(decode(read_bytes(reference), max_pixels=max_pixels), how)


def _encode(encoder: Encoder, batch: Sequence[Decoding]) -> Iterator[Embedded]:
    squares: list[Pixels] = []
    indexes: list[int] = []
    for index, decoding in batch:
        try:
            squares.append(decoding.result())
            indexes.append(index)
        except ImageError as error:
            yield Embedded(index, error)
    if squares:
        rows = encoder.image_features(np.stack(squares))
        yield from (Embedded(index, row) for index, row in zip(indexes, rows, strict=True))

"""Datasets -> image features: from the store, or from the model where the store has none yet.

Shapes: n images, m looks at them, v of these at one image, d feature width.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from audit.datasets.dataset import Dataset
from audit.datasets.image_problems import Track, image_hashes, image_problem, leave_out_images
from audit.datasets.image_references import read_reference
from audit.errors import DatasetError, RowProblem
from audit.recordings.claims import RecordingStatement
from moderation.encoders.encoder import Float32s, ImageModel, Rows
from moderation.errors import ImageError
from moderation.features import EmbeddingStore, Features, FeatureSpace, Storage
from moderation.images.looks import DEFAULT_LOOKING, Looking, Pixels, Sight
from moderation.images.pixels import Preprocessing, read_sights
from moderation.messages import ModelStamp
from moderation.scoring.classified import ModelRows

#: Images that are decoded together, and squares that go through the encoder together.
_BATCH = 32
#: Batches that are decoded ahead of the encoder.
_AHEAD = 2

#: What is wrong with an image whose content no longer has the hash that was read first.
CHANGED = "the image changed while it was being embedded"


class EmbeddedImage(NamedTuple):
    """The (v, d) features of the looks at one image of a dataset, or why it has none."""

    row: int
    found: Float32s | RowProblem


#: Embeds the images of a dataset at some indexes, and yields them in any order. The hashes are of
#: all n images; the content of each must still have its hash. All are looked at alike.
Embed = Callable[[Dataset, Sequence[int], Sequence[str], Looking], Iterator[EmbeddedImage]]


@dataclass(frozen=True)
class EmbeddedDataset:
    """A dataset with the features of its images.

    Attributes:
        dataset: n images, without those that had to be left out.
        features: (m, d) rows of unit length, those of the looks at one image beside each other;
            of a recording they are as they are stored, in a file.
        sha256: (n,) hash of each image's content; () where there are no images.
        embedded: how many of them went through the model this time.
        rounded: how many of them have features that are stored as float16.
        looks: (n,) how many of the rows each image has; None where each has one.
        looking: how much of each file was looked at.
        recording: what a recording states of the features, where they were not made of images.
        outputs: what classifiers of policies give for the images, by `model_key`.
    """

    dataset: Dataset
    features: Rows
    sha256: tuple[str, ...]
    embedded: int
    rounded: int
    looks: npt.NDArray[np.intp] | None = None
    looking: Looking = field(default_factory=Looking)
    recording: RecordingStatement | None = None
    outputs: Mapping[str, ModelRows] = field(default_factory=dict)

    def __post_init__(self) -> None:
        looks = np.ones(len(self.dataset), np.intp) if self.looks is None else self.looks
        fit = len(looks) == len(self.dataset) and looks.sum() == len(self.features)
        if not fit or looks.min() < 1:  # otherwise an image would get the features of another
            what = f"{len(self.features)} features of {len(self.dataset)} images"
            raise ValueError(f"{what} are not one or more for each")

    @property
    def seen_repeatedly(self) -> int:
        """How many images got more than one look."""
        return 0 if self.looks is None else int((self.looks > 1).sum())

    @property
    def images_sha256(self) -> str:
        """Hash of all images, or of all recorded features, whatever their order."""
        if self.recording is not None:
            return self.recording.features_sha256
        return hashlib.sha256("".join(sorted(self.sha256)).encode()).hexdigest()


def embed_dataset(
    dataset: Dataset,
    stamp: ModelStamp,
    store: EmbeddingStore,
    embed: Embed,
    *,
    looking: Looking = DEFAULT_LOOKING,
    storage: Storage = "float32",
    skip_bad: bool = False,
    track: Track | None = None,
) -> EmbeddedDataset:
    """Returns the features of a dataset's images; only new images go through the model.

    Features are stored as they come, so that Ctrl-C loses none. What is wrong with the files
    themselves is raised before any image is embedded.

    Args:
        dataset: the images.
        stamp: of the model that the features are of.
        store: where the features are stored.
        embed: embeds the images that have no features yet; `embed_here` does it in this process.
        looking: how much of each file is looked at; by default as a worker does by default.
        storage: the number format of new features.
        skip_bad: leaves out images with something wrong, instead of raising an error.
        track: shows progress.

    Raises:
        DatasetError: images are missing, not those stated, changed or undecodable, or many are
            there twice.
        ModelError: the model failed. StoreError: the store is damaged, or cannot be written.
    """
    hashes, problems = image_hashes(dataset, track)
    if problems and not skip_bad:
        raise DatasetError(problems)
    dataset, kept = leave_out_images(dataset, hashes, problems)
    hashes, problems = tuple(hashes[i] for i in kept), []
    with store.open(FeatureSpace.of_images(stamp, looking), storage) as features:
        missing = [i for i, known in enumerate(features.has(hashes)) if not known]
        if missing:
            store.refuse_unwritable()
            found = embed(dataset, missing, hashes, looking)
            found = track(found, len(missing), "Embedding") if track else found
            problems += store_features(features, hashes, found)
    if problems and not skip_bad:
        raise DatasetError(problems)
    rest, kept = leave_out_images(dataset, hashes, problems)
    of_rest = tuple(hashes[i] for i in kept)
    embedded = len(set(missing).intersection(kept))
    rows, looks = features.get_every(of_rest)
    rounded = features.rounded(of_rest)
    return EmbeddedDataset(rest, rows, of_rest, embedded, rounded, looks, looking)


def store_features(
    features: Features, hashes: Sequence[str], found: Iterable[EmbeddedImage]
) -> Iterator[RowProblem]:
    """Stores features as they come, and yields what is wrong with the other images."""
    for each in found:
        if isinstance(each.found, RowProblem):
            yield each.found
        else:
            features.add([hashes[each.row]], each.found, [len(each.found)])


def embed_here(encoder: ImageModel, *, max_pixels: int = 50_000_000, threads: int = 4) -> Embed:
    """Returns what makes the features of a dataset in this process: threads decode ahead."""

    def local_features(
        dataset: Dataset, indexes: Sequence[int], hashes: Sequence[str], looking: Looking
    ) -> Iterator[EmbeddedImage]:
        if not indexes:  # a model that is not needed must not be loaded
            return
        look = partial(read_sights, looking=looking, max_pixels=max_pixels)
        prepare = partial(_dataset_pixels, dataset, hashes, encoder.preprocessing, look)
        with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
            jobs = ((index, pool.submit(prepare, index)) for index in indexes)
            try:
                for batch in _decoded_batches(jobs, _BATCH * _AHEAD):
                    yield from _batch_features(encoder, batch)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    return local_features


Decoding = tuple[int, Future[Pixels | RowProblem]]


def _decoded_batches(jobs: Iterator[Decoding], most: int) -> Iterator[list[Decoding]]:
    """Yields batches, in order, while up to `most` images are being decoded."""
    waiting = deque(islice(jobs, most))
    while waiting:
        batch = [waiting.popleft() for _ in range(min(_BATCH, len(waiting)))]
        yield batch
        waiting.extend(islice(jobs, len(batch)))


def _dataset_pixels(
    dataset: Dataset,
    hashes: Sequence[str],
    how: Preprocessing,
    look: Callable[[bytes, Sequence[Preprocessing]], list[Sight]],
    index: int,
) -> Pixels | RowProblem:
    """Returns (v, h, w, 3) pixels of an image for the encoder, or what is wrong with the image."""
    try:
        content = read_reference(dataset.references[index])
        # It is read again, maybe hours after it was hashed, and stored for good under that hash.
        if hashlib.sha256(content).hexdigest() != hashes[index]:
            return image_problem(dataset, index, CHANGED)
        [sight] = look(content, [how])
        return sight.squares
    except (OSError, ImageError) as error:
        return image_problem(dataset, index, error)


def _batch_features(encoder: ImageModel, batch: Sequence[Decoding]) -> Iterator[EmbeddedImage]:
    decoded = {index: decoding.result() for index, decoding in batch}
    squares = {i: found for i, found in decoded.items() if not isinstance(found, RowProblem)}
    for index, found in decoded.items():
        if isinstance(found, RowProblem):
            yield EmbeddedImage(index, found)
    if squares:
        every = np.concatenate(list(squares.values()))
        parts = (every[start : start + _BATCH] for start in range(0, len(every), _BATCH))
        rows = np.concatenate([encoder.image_features(part) for part in parts])
        ends = np.cumsum([len(each) for each in squares.values()])[:-1]
        yield from map(EmbeddedImage, squares, np.split(rows, ends))

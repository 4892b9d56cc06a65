"""Models in a process of their own: the same features as in this one, whatever becomes of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from moderation.encoders.classifiers.loading import load_classifiers
from moderation.encoders.encoder import Encoder, Float32s, ImageModel
from moderation.encoders.hardware import still_computes
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.encoders.remote import RemoteEncoder, RemoteModel
from moderation.errors import EncoderFailed, ModelError, TransientError
from moderation.images.looks import Pixels
from moderation.policy import parse_policy
from moderation.scoring.batching import Batcher
from moderation.worker.processes.encoder_server import serve_encoders
from tests.support.encoder_process import EncoderProcesses
from tests.support.onnx_files import classified_policy, described, mean_colours, write_onnx
from tests.support.stub_encoder import StubEncoder

TEXTS = ["a photo of a cat", "a photo of a dog, in the rain", "Straße"]


def squares(n: int, side: int = 8, seed: int = 0) -> Pixels:
    """Returns n squares of noise, none of them black."""
    return np.random.default_rng(seed).integers(1, 256, (n, side, side, 3), np.uint8)


@contextmanager
def served(
    folder: Path,
    seen: list[int] | None = None,
    on_failure: Callable[[], None] = lambda: None,
    classifiers: Mapping[str, ImageModel] | None = None,
    **encoders: Encoder,
) -> Iterator[Path]:
    address = folder / "encoders"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(address))
    listening.listen()
    observe = None if seen is None else (lambda model, count: seen.append(count))
    with serve_encoders(
        listening, encoders, classifiers=classifiers, observe=observe, on_failure=on_failure
    ):
        yield address


def test_a_model_elsewhere_is_the_model(tmp_path: Path, toy_clip: Path) -> None:
    here = load_encoder(str(toy_clip), ModelOptions())
    height, width = here.preprocessing.crop
    assert height == width
    pixels = squares(5, height)
    with (
        served(tmp_path, toy=here) as address,
        closing(RemoteEncoder(address, "toy")) as there,
    ):
        for name in ("stamp", "preprocessing", "context_length", "logit_scale", "logit_bias"):
            assert getattr(there, name) == getattr(here, name), name
        assert there.preprocessing.fingerprint == here.stamp.preprocessing
        np.testing.assert_array_equal(there.image_features(pixels), here.image_features(pixels))
        np.testing.assert_array_equal(there.text_features(TEXTS), here.text_features(TEXTS))
        assert there.count_tokens(TEXTS) == here.count_tokens(TEXTS)


def test_a_classifier_elsewhere_is_the_classifier_and_no_encoder(tmp_path: Path) -> None:
    sha256 = write_onnx(mean_colours(), tmp_path / "colours.onnx")
    asked = parse_policy(classified_policy(described(sha256)), "mixed.yaml")
    [(key, here)] = load_classifiers([asked], tmp_path, threads=1).items()
    pixels = squares(5)
    with (
        served(tmp_path, classifiers={key: here}) as address,
        closing(RemoteModel(address, key)) as there,
    ):
        assert (there.stamp, there.preprocessing) == (here.stamp, here.preprocessing)
        np.testing.assert_array_equal(there.image_features(pixels), here.image_features(pixels))
        with pytest.raises(ModelError, match="it takes no texts"):
            RemoteEncoder(address, key)


def test_lines_that_start_ask_for_texts_once(tmp_path: Path) -> None:
    encoder = StubEncoder()
    with served(tmp_path, stub=encoder) as address:
        for _ in range(3):
            with closing(RemoteEncoder(address, "stub")) as line:
                np.testing.assert_array_equal(
                    line.text_features(TEXTS), StubEncoder().text_features(TEXTS)
                )
    assert encoder.texts_encoded == len(TEXTS)


def test_many_lines_get_their_own_rows(tmp_path: Path) -> None:
    """Among them a batch larger than a socket's memory."""
    batches: list[int] = []

    def asked(seed: int) -> bool:
        pixels = squares(1 + 37 * seed % 90, 64, seed)
        with closing(RemoteEncoder(address, "stub")) as line:
            found = [line.image_features(pixels) for _ in range(5)]
        return all((each == StubEncoder().image_features(pixels)).all() for each in found)

    with (
        served(tmp_path, batches, stub=StubEncoder()) as address,
        ThreadPoolExecutor(8) as threads,
    ):
        assert all(threads.map(asked, range(16)))
    assert sum(batches) == sum(5 * (1 + 37 * seed % 90) for seed in range(16))
    assert max(batches) <= 16  # what suits a CPU


class _Failing(StubEncoder):
    """Fails on a batch with a white image; its feature of a grey one is not finite."""

    def image_features(self, pixels: Pixels) -> Float32s:
        if any((square == 255).all() for square in pixels):
            raise RuntimeError("white")
        rows = super().image_features(pixels)
        rows[[bool((square == 128).all()) for square in pixels]] = np.nan
        return rows


def test_an_image_that_fails_fails_alone(tmp_path: Path) -> None:
    good = squares(6)
    white, grey = np.full((1, 8, 8, 3), 255, np.uint8), np.full((1, 8, 8, 3), 128, np.uint8)
    with (
        served(tmp_path, stub=_Failing()) as address,
        closing(RemoteEncoder(address, "stub")) as line,
        Batcher(line.image_features, batch_size=16) as batcher,
    ):
        futures = [batcher.put(each[None]) for each in good]
        bad = [batcher.put(white), batcher.put(grey)]
        rows = np.concatenate([future.result() for future in futures])
        np.testing.assert_array_equal(rows, StubEncoder().image_features(good))
        with pytest.raises(EncoderFailed, match="white"):
            bad[0].result()
        with pytest.raises(ModelError, match="not finite"):
            bad[1].result()


def test_whoever_serves_hears_of_an_encoder_that_fails(tmp_path: Path) -> None:
    """A device may be gone for good; an image that is refused says nothing of the device."""
    heard: list[str] = []
    with (
        served(tmp_path, on_failure=lambda: heard.append("failed"), stub=_Failing()) as address,
        closing(RemoteEncoder(address, "stub")) as line,
    ):
        with pytest.raises(ModelError):
            line.image_features(np.full((1, 8, 8, 3), 128, np.uint8))
        assert heard == []
        with pytest.raises(EncoderFailed):
            line.image_features(np.full((1, 8, 8, 3), 255, np.uint8))
    assert heard == ["failed"]


def test_a_device_is_asked_whether_it_computes() -> None:
    assert still_computes("cpu")
    assert not still_computes("cuda:99")


def test_a_model_that_is_not_loaded_is_an_error(tmp_path: Path) -> None:
    with (
        served(tmp_path, stub=StubEncoder()) as address,
        pytest.raises(ModelError, match="other: the encoder process has not loaded it"),
    ):
        RemoteEncoder(address, "other")


def test_without_an_encoder_process_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="no encoder process is there"):
        RemoteEncoder(tmp_path / "nobody", "stub")


def test_an_encoder_process_that_hangs_is_reported_and_the_next_one_answers(
    tmp_path: Path,
) -> None:
    good = squares(3)
    with EncoderProcesses(tmp_path) as processes:
        hangs: list[int] = []

        def end() -> None:
            hangs.append(processes.started)
            processes.end()

        with closing(
            RemoteEncoder(processes.address, "stub", on_hang=end, longest_seconds=2.0)
        ) as line:
            processes.stop()
            np.testing.assert_array_equal(
                line.image_features(good[:1]), StubEncoder().image_features(good[:1])
            )
    assert hangs == [1]


def test_encoder_processes_die(tmp_path: Path) -> None:
    """Of nothing in particular, of an image among others, and for a model that has changed."""
    changes: list[str] = []
    with (
        EncoderProcesses(tmp_path) as processes,
        closing(
            RemoteEncoder(processes.address, "stub", on_change=lambda: changes.append("changed"))
        ) as line,
    ):
        good = squares(6)
        np.testing.assert_array_equal(line.image_features(good), StubEncoder().image_features(good))
        processes.end()
        # With several images it is not asked again: each is, alone.
        with Batcher(line.image_features, batch_size=16) as batcher:
            black = np.zeros((1, 8, 8, 3), np.uint8)
            bad = batcher.put(black)
            futures = [batcher.put(each[None]) for each in good]
            with pytest.raises(ModelError, match="3 encoder processes ended"):
                bad.result()
            rows = np.concatenate([future.result() for future in futures])
        np.testing.assert_array_equal(rows, StubEncoder().image_features(good))
        assert processes.started >= 4
        processes.scale = 20.0
        processes.end()
        with pytest.raises(TransientError, match="the model has changed"):
            line.image_features(good[:1])
        assert changes == ["changed"]


def test_an_image_ends_three_encoder_processes_however_it_comes(tmp_path: Path) -> None:
    with (
        EncoderProcesses(tmp_path) as processes,
        closing(RemoteEncoder(processes.address, "stub")) as line,
    ):
        black, good = np.zeros((1, 8, 8, 3), np.uint8), squares(1)
        with pytest.raises(EncoderFailed, match="the encoder process ended"):
            line.image_features(np.concatenate([black, good]))
        with pytest.raises(ModelError, match="3 encoder processes ended"):
            line.image_features(black)
        np.testing.assert_array_equal(line.image_features(good), StubEncoder().image_features(good))
        assert processes.started == 4


def test_the_image_of_one_line_costs_no_other_line_an_image(tmp_path: Path) -> None:
    """All of them lie in the way of the image that ends encoder processes, one after the other."""
    with EncoderProcesses(tmp_path) as processes, ThreadPoolExecutor(5) as threads:
        lines = [RemoteEncoder(processes.address, "stub") for _ in range(5)]
        is_over = threading.Event()

        def ask(line: RemoteEncoder) -> int:
            count = 0
            while not is_over.is_set():
                good = squares(1, seed=count)
                expected = StubEncoder().image_features(good)
                np.testing.assert_array_equal(line.image_features(good), expected)
                count += 1
            return count

        others = [threads.submit(ask, line) for line in lines[1:]]
        with pytest.raises(ModelError, match="3 encoder processes ended"):
            lines[0].image_features(np.zeros((1, 8, 8, 3), np.uint8))
        is_over.set()
        assert all(other.result() for other in others)
        assert processes.started == 4
        for line in lines:
            line.close()

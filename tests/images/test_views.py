"""The views that cover a picture: nothing of it is left out, and plain pictures get one."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from moderation.images.looks import Looking
from moderation.images.pixels import Preprocessing, preprocess, read_sights
from moderation.images.views import Views, most_views, picture_views
from tests.support.hostile_files import saved

CLIP = Preprocessing(32, (32, 32), "bicubic", 1 / 255, (0.5,) * 3, (1.0,) * 3)
SHAPES = [(640, 480), (480, 640), (400, 400), (640, 360), (360, 640), (900, 300), (300, 1200)]
LONG = [(6000, 300), (10, 3000), (1, 500)]


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (400, 400), (1023, 768)])
def test_a_picture_up_to_4_to_3_has_one_view(size: tuple[int, int]) -> None:
    [view] = picture_views((0, 0, *size), "auto")
    assert view.box == (0, 0, *size)
    assert not view.is_whole


@pytest.mark.parametrize("size", [*SHAPES, *LONG])
@pytest.mark.parametrize("views", ["auto", 1, 2, 3, 5, 8, 12, 40, 64])
def test_views_stay_in_the_picture_and_their_number(size: tuple[int, int], views: Views) -> None:
    box = (7.0, 3.0, 7.0 + size[0], 3.0 + size[1])
    found = picture_views(box, views)
    assert 1 <= len(found) <= most_views(views)
    assert len(set(found)) == len(found)
    for view in found:
        assert box[0] - 1e-9 <= view.box[0] < view.box[2] <= box[2] + 1e-9
        assert box[1] - 1e-9 <= view.box[1] < view.box[3] <= box[3] + 1e-9


@pytest.mark.parametrize("size", [*SHAPES[3:], *LONG])
@pytest.mark.parametrize("views", ["auto", 8, 12, 40])
def test_all_of_a_long_picture_is_in_some_part_of_it(size: tuple[int, int], views: Views) -> None:
    _, whole, *parts = picture_views((0, 0, *size), views)
    assert whole.box == (0, 0, *size)
    seen = np.zeros(size[::-1], bool)
    middle = (max(size) - min(size)) / 2
    across, down = (middle, 0, middle + size[1], size[1]), (0, middle, size[0], middle + size[0])
    for box in [across if size[0] > size[1] else down, *(part.box for part in parts)]:
        left, top, right, bottom = box
        seen[int(np.floor(top)) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))] = True
    assert seen.all()


@pytest.mark.parametrize(
    ("ratio", "count"), [(16 / 9, 4), (2, 4), (3, 4), (4, 6), (5, 6), (7, 8), (9, 10), (30, 11)]
)
def test_a_long_picture_has_as_many_views_as_cover_it(ratio: float, count: int) -> None:
    assert len(picture_views((0, 0, 300 * ratio, 300), "auto")) == count
    assert len(picture_views((0, 0, 300, 300 * ratio), "auto")) == count


def test_the_views_are_what_they_say_and_the_first_is_the_models_own() -> None:
    values = np.random.default_rng(0).integers(0, 255, (96, 288, 3)).astype(np.uint8)
    image = Image.fromarray(values)
    content = saved(image, "PNG")
    [sight] = read_sights(content, [CLIP], Looking(1, "auto"), max_pixels=10**6)
    [before] = read_sights(content, [CLIP], max_pixels=10**6)
    assert len(sight.looks) == len(picture_views((0, 0, 288, 96), "auto")) == 4
    np.testing.assert_array_equal(sight.squares[0], before.squares[0])
    np.testing.assert_array_equal(sight.squares[0], preprocess(image, CLIP))
    assert sight.looks[0].box == (96, 0, 192, 96)
    assert sight.looks[1].box == (0, 0, 288, 96)
    for look, square in zip(sight.looks[2:], sight.squares[2:], strict=True):
        assert (look.box[2] - look.box[0], look.box[3] - look.box[1]) == (96, 96)
        shown = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC, look.box))
        np.testing.assert_array_equal(square, shown)
    bars = sight.squares[1]
    assert (bars[[0, -1]] == 128).all()
    assert not (bars[16] == 128).all()


def test_boxes_are_of_the_upright_picture_whatever_size_a_jpeg_is_decoded_to() -> None:
    image = Image.new("RGB", (1800, 600), "navy")
    image.paste("gold", (0, 0, 600, 600))
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(image, "JPEG", exif=exif)
    [sight] = read_sights(content, [CLIP], Looking(1, "auto"), max_pixels=10**7)
    assert sight.looks[0].box == (0, 600, 600, 1200)
    assert sight.looks[1].box == (0, 0, 600, 1800)
    gold = np.array([250, 215, 0])
    by_box = dict(zip((look.box for look in sight.looks), sight.squares, strict=True))
    assert abs(by_box[(0, 0, 600, 600)].mean(axis=(0, 1)) - gold).max() < 12


@pytest.mark.parametrize("size", [(1, 2), (2, 1), (3, 3), (1, 500), (500, 1)])
@pytest.mark.parametrize("views", ["auto", 1, 64])
def test_every_box_has_a_pixel_of_the_picture(size: tuple[int, int], views: Views) -> None:
    values = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    content = saved(Image.fromarray(values), "PNG")
    [sight] = read_sights(content, [CLIP], Looking(1, views), max_pixels=10**6)
    for look in sight.looks:
        assert 0 <= look.box[0] < look.box[2] <= size[0]
        assert 0 <= look.box[1] < look.box[3] <= size[1]


def test_equal_squares_are_looked_at_once() -> None:
    content = saved(Image.new("RGB", (900, 300), (128, 128, 128)), "PNG")
    [sight] = read_sights(content, [CLIP], Looking(1, "auto"), max_pixels=10**6)
    assert len(sight.looks) == 1


@pytest.mark.parametrize("looking", [Looking(), Looking(16, "auto"), Looking(64, 12)])
def test_what_was_looked_at_is_read_back_from_its_words(looking: Looking) -> None:
    assert Looking.parse(looking.text) == looking


@pytest.mark.parametrize("text", ["", "frames=1", "frames=x views=1", "frames=1 views=1 more"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not say"):
        Looking.parse(text)

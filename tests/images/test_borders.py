"""What lies within borders of one colour or blur is looked at as if it were the picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from moderation.images.borders import content_box
from moderation.images.looks import Looking
from moderation.images.pixels import Preprocessing, preprocess, read_sights
from moderation.images.views import Views, most_views, picture_views
from tests.support.hostile_files import saved

CLIP = Preprocessing(32, (32, 32), "bicubic", 1 / 255, (0.5,) * 3, (1.0,) * 3)
SIZE, INNER = (640, 480), (200, 150)


def _photograph(size: tuple[int, int]) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 255, (size[1] // 8, size[0] // 8, 3))
    return Image.fromarray(values.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)


def _within(border: str, at: tuple[int, int], size: tuple[int, int] = SIZE) -> Image.Image:
    """Returns a picture with detail at a place within a border."""
    photograph = _photograph(INNER)
    if border == "blur":
        image = photograph.resize(size).filter(ImageFilter.GaussianBlur(60))
    elif border == "gradient":
        image = Image.linear_gradient("L").resize(size).convert("RGB")
    else:
        image = Image.new("RGB", size, border)
    image.paste(photograph, at)
    return image


@pytest.mark.parametrize("border", ["white", "black", "teal", "blur", "gradient"])
@pytest.mark.parametrize("at", [(0, 0), (220, 165), (440, 330)])
def test_content_is_found_within_its_border(border: str, at: tuple[int, int]) -> None:
    found = content_box(_within(border, at), (0, 0, *SIZE))
    assert found is not None
    for place, meant in zip(found, (*at, at[0] + INNER[0], at[1] + INNER[1]), strict=True):
        assert abs(place - meant) <= 3 * 640 / 160


@pytest.mark.parametrize("border", ["white", "teal", "blur"])
def test_the_noise_of_a_jpeg_is_no_content(border: str) -> None:
    content = saved(_within(border, (220, 165)), "JPEG", quality=50)
    [sight] = read_sights(content, [CLIP], Looking(1, "auto"), max_pixels=10**6)
    assert len(sight.looks) == 2
    np.testing.assert_allclose(sight.looks[1].box, (245, 165, 395, 315), atol=12)  # its square


@pytest.mark.parametrize(
    "image",
    [
        _photograph(SIZE),
        Image.new("RGB", SIZE, "white"),
        Image.linear_gradient("L").resize(SIZE).convert("RGB"),
        Image.new("RGB", (2000, 1), "white"),
        _within("white", (0, 0), (220, 170)),
    ],
)
def test_a_picture_that_is_mostly_content_or_has_none_is_left_as_it_is(image: Image.Image) -> None:
    assert content_box(image, (0, 0, *image.size)) is None


def test_a_box_within_an_image_is_what_is_looked_at() -> None:
    image = Image.new("RGB", (900, 700), "red")
    image.paste(_within("white", (220, 165)), (100, 50))
    found = content_box(image, (100.0, 50.0, 740.0, 530.0))
    assert found is not None
    np.testing.assert_allclose(found, (320, 215, 520, 365), atol=12)


def test_content_is_looked_at_beside_all_that_was_looked_at_before() -> None:
    image = _within("white", (440, 330))
    [before] = read_sights(saved(image, "PNG"), [CLIP], max_pixels=10**6)
    [sight] = read_sights(saved(image, "PNG"), [CLIP], Looking(1, "auto"), max_pixels=10**6)
    np.testing.assert_array_equal(sight.squares[0], before.squares[0])
    assert len(sight.looks) == 2
    content = content_box(image, (0, 0, *SIZE))
    np.testing.assert_array_equal(sight.squares[1], preprocess(image, CLIP, content))


def test_with_one_view_borders_stay() -> None:
    content = saved(_within("white", (440, 330)), "PNG")
    [sight] = read_sights(content, [CLIP], Looking(1, 1), max_pixels=10**6)
    assert len(sight.looks) == 1


def test_white_on_transparent_has_its_content_on_dark() -> None:
    image = Image.new("RGBA", SIZE, (255, 255, 255, 0))
    image.paste(Image.new("RGBA", INNER, (255, 255, 255, 255)), (220, 165))
    [sight] = read_sights(saved(image, "PNG"), [CLIP], Looking(1, "auto"), max_pixels=10**6)
    assert [look.background for look in sight.looks] == ["white", "dark", "dark"]
    np.testing.assert_allclose(sight.looks[2].box[:2], (245, 165), atol=12)


@pytest.mark.parametrize("views", ["auto", 1, 2, 3, 5, 12, 64])
@pytest.mark.parametrize("size", [(640, 480), (1800, 600), (300, 2400)])
def test_views_of_content_keep_to_the_number(size: tuple[int, int], views: Views) -> None:
    inside = (10.0, 20.0, 200.0, 90.0)
    found = picture_views((0, 0, *size), views, inside)
    assert len(found) <= most_views(views)
    assert found[0].box == (0, 0, *size)
    assert (inside in [view.box for view in found]) == (views != 1)

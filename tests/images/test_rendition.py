"""What was judged, as a file of its own: made by the real decoder in its locked process."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from moderation.errors import ImageError
from moderation.images.decode.child import DecodeLimits
from moderation.images.decode.pool import DecoderPool
from moderation.images.looks import Sight
from moderation.images.oddities.finding import oddities
from moderation.images.pixels import Preprocessing, decode
from moderation.images.rendition import RenditionFile, RenditionForm
from moderation.policy import find_policy, load_policies
from moderation.scoring.pipeline_loading import load_pipeline
from moderation.settings import load_settings
from tests.support.hostile_files import chunk, saved
from tests.support.waiting import PATIENCE_SECONDS

FORMS = [RenditionForm(), RenditionForm("jpeg"), RenditionForm("png")]
CLIP = Preprocessing(224, (224, 224), "bicubic", 1 / 255, (0.5,) * 3, (0.5,) * 3)
LIMITS = DecodeLimits(50_000_000, 4, PATIENCE_SECONDS)
RED, BLUE, GREEN, GREY = ((200, 0, 0), (0, 0, 200), (0, 160, 0), (90, 90, 90))


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(2, LIMITS) as made:
        yield made


def sight(pool: DecoderPool, content: bytes, form: RenditionForm) -> Sight:
    [seen] = pool.sights(content, [CLIP], form=form)
    return seen


def rendition(pool: DecoderPool, content: bytes, form: RenditionForm) -> RenditionFile:
    made = sight(pool, content, form).rendition
    assert made is not None
    return made


def opened(file: RenditionFile) -> Image.Image:
    image = Image.open(io.BytesIO(file.content))
    image.load()
    return image


def frames(content: bytes) -> list[tuple[tuple[int, ...], int]]:
    """Returns the colour in the middle and the milliseconds of each frame."""
    found = []
    with Image.open(io.BytesIO(content)) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            pixel = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
            assert isinstance(pixel, tuple)
            found.append((pixel, round(image.info.get("duration", 0))))
    return found


def animation(kind: str, *shown: tuple[tuple[int, ...], int], mode: str = "RGB") -> bytes:
    pictures = [Image.new(mode, (48, 32), colour) for colour, _ in shown]
    times = [time for _, time in shown]
    how: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    return saved(
        pictures[0], kind, save_all=True, append_images=pictures[1:], duration=times, loop=1, **how
    )


def near(colour: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return max(abs(a - b) for a, b in zip(colour, wanted, strict=True)) <= 6


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.format)
def test_a_photograph_looks_as_what_was_judged(
    form: RenditionForm, pool: DecoderPool, photographs: list[Path]
) -> None:
    for path in (path for path in photographs if path.suffix != ".gif"):
        content = path.read_bytes()
        made = rendition(pool, content, form)
        image, judged = opened(made), decode(content, max_pixels=LIMITS.max_pixels)
        assert (image.format, image.mode) == (form.format.upper(), "RGB")
        assert image.size == made.size == judged.size
        lost = np.asarray(image, float) - np.asarray(judged, float)
        assert np.mean(lost**2) <= (0 if form.format == "png" else 255**2 / 10**3)  # 30 dB
        assert oddities(made.content) == ()
        assert len(made.content) <= form.most_bytes
        again, first = (sight(pool, each, form).squares for each in (made.content, content))
        apart = np.abs(again.astype(int) - first.astype(int)).mean()
        assert apart <= (0 if form.format == "png" else 3)


def test_renditions_get_the_verdicts_of_their_photographs(objects: Path) -> None:
    """The photographs are small, so the model sees what an encoder lost; larger ones average it."""
    policies = load_policies([find_policy("weapons")], model="starter")
    settings = load_settings(model="starter")
    photographs = sorted(objects.rglob("*.jpg"))[::9]
    changed: list[str] = []
    with load_pipeline(settings, policies, form=RenditionForm()) as pipeline:
        served = pipeline.served(policies)
        for path in photographs:
            made: list[RenditionFile] = []
            content = path.read_bytes()
            [before] = pipeline.moderate(content, served, request_id="a", publish=made.append)
            assert (before.rendition is None) == (before.action == "block") == (made == [])
            for file in made:
                [after] = pipeline.moderate(file.content, served, request_id="b")
                assert after.oddities == ()
                changed += [path.name] * (after.action != before.action)
    assert len(changed) <= 0.03 * len(photographs), changed


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.format)
def test_nothing_of_the_file_but_its_picture_is_left(
    form: RenditionForm, pool: DecoderPool
) -> None:
    """Turned, with metadata, comments, a profile, a second picture and a program behind it."""
    picture = Image.new("RGB", (60, 40), RED)
    picture.paste(BLUE, (0, 0, 30, 40))
    exif = Image.Exif()
    exif[0x112], exif[0x10F] = 6, "camera 5417"
    mark = b"camera 5417"
    options: dict[str, Any] = {"exif": exif, "comment": mark, "quality": 95, "dpi": (72, 72)}
    content = saved(picture, "MPO", save_all=True, append_images=[picture.rotate(180)], **options)
    made = rendition(pool, content + mark, form)
    image = opened(made)
    assert image.size == (40, 60)  # upright
    assert near(image.convert("RGB").getpixel((20, 10)), BLUE)  # type: ignore[arg-type]
    assert mark not in made.content
    assert getattr(image, "n_frames", 1) == 1
    assert not {"exif", "icc_profile", "xmp", "comment", "dpi"} & image.info.keys()
    assert oddities(made.content) == ()
    assert oddities(content + mark) != ()


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.format)
def test_transparent_parts_are_white(form: RenditionForm, pool: DecoderPool) -> None:
    picture = Image.new("RGBA", (64, 64), (*RED, 0))
    picture.paste((*BLUE, 255), (0, 0, 32, 64))
    seen = sight(pool, saved(picture), form)
    assert {look.background for look in seen.looks} == {"white", "dark"}
    assert seen.rendition is not None
    image = opened(seen.rendition)
    assert image.mode == "RGB"
    assert near(image.getpixel((8, 32)), BLUE)  # type: ignore[arg-type]
    assert near(image.getpixel((56, 32)), (255, 255, 255))  # type: ignore[arg-type]


def test_a_picture_is_shrunk_to_its_longest_side_and_never_enlarged(
    pool: DecoderPool, coffee: Image.Image
) -> None:
    """A JPEG is decoded at a fraction of its size, but to no less than its rendition has."""
    large = coffee.resize((3000, 2000), Image.Resampling.LANCZOS)
    for side, size in (
        (2000, (2000, 1333)),
        (1400, (1400, 933)),
        (64, (64, 43)),
        (9999, (3000, 2000)),
    ):
        form = RenditionForm("png", side)
        for kind in ("JPEG", "WEBP"):
            content = saved(large, kind, quality=95)
            image = opened(rendition(pool, content, form))
            assert image.size == size
            whole = decode(content, max_pixels=LIMITS.max_pixels)
            wanted = whole.resize(size, Image.Resampling.BICUBIC)
            lost = np.asarray(image, float) - np.asarray(wanted, float)
            assert np.mean(lost**2) < 255**2 / 10**3.8  # 38 dB
    strip = saved(Image.new("RGB", (9000, 3), RED))
    assert opened(rendition(pool, strip, RenditionForm(side=300))).size == (300, 1)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
@pytest.mark.parametrize("form", [FORMS[0], FORMS[2]], ids=lambda form: form.format)
def test_an_animation_shows_its_frames_for_their_times(
    form: RenditionForm, kind: str, pool: DecoderPool
) -> None:
    content = animation(kind, (RED, 500), (BLUE, 40), (RED, 200), (GREEN, 1000))
    made = rendition(pool, content, form)
    found = frames(made.content)
    # Each picture once: blue stays until the next picture that was not shown before.
    assert [time for _, time in found] == [500, 240, 1000]
    assert all(
        near(each, colour) for (each, _), colour in zip(found, (RED, BLUE, GREEN), strict=True)
    )
    assert opened(made).info["loop"] == 0
    assert oddities(made.content) == ()


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.format)
def test_no_frame_is_shown_that_was_not_looked_at(form: RenditionForm, pool: DecoderPool) -> None:
    shades = [(20 * n, 255 - 20 * n, 128) for n in range(12)]
    content = animation("PNG", *((shade, 100) for shade in shades))
    seen = sight(pool, content, form)
    assert seen.rendition is not None
    looked_at = [look.frame for look in seen.looks]
    assert len(looked_at) == 4
    assert not seen.is_exhaustive
    found = frames(seen.rendition.content)
    shown = looked_at if form.format != "jpeg" else looked_at[:1]
    assert len(found) == len(shown)
    for (colour, _), frame in zip(found, shown, strict=True):
        assert near(colour, shades[frame])
    if form.format != "jpeg":
        assert sum(time for _, time in found) == 1200


def test_frames_that_are_equal_on_white_are_one_still_picture(pool: DecoderPool) -> None:
    """A file announced as animated would be shown with controls, or refused where none may be."""
    content = animation("PNG", ((255, 255, 255, 255), 70), ((255, 255, 255, 0), 90), mode="RGBA")
    assert len({look.frame for look in sight(pool, content, FORMS[2]).looks}) == 2
    for form in FORMS:
        assert getattr(opened(rendition(pool, content, form)), "n_frames", 1) == 1


@pytest.mark.parametrize("form", [FORMS[0], FORMS[2]], ids=lambda form: form.format)
def test_times_that_no_file_can_hold_are_cut(form: RenditionForm, pool: DecoderPool) -> None:
    hours = struct.pack(">HH", 65_535, 1)
    content = animation("PNG", (RED, 100), (BLUE, 100))
    at = content.index(b"fcTL") + 4
    data = bytearray(content[at : at + 26])
    data[20:24] = hours
    content = content[: at - 8] + chunk(b"fcTL", bytes(data)) + content[at + 30 :]
    found = frames(rendition(pool, content, form).content)
    assert [time for _, time in found] == [65_535, 100]


def test_many_large_frames_are_shrunk_to_their_budget(pool: DecoderPool) -> None:
    pictures = [Image.effect_noise((400, 300), 80).convert("RGB") for _ in range(4)]
    content = saved(pictures[0], "PNG", save_all=True, append_images=pictures[1:], duration=100)
    for name in ("webp", "png"):
        form = RenditionForm(name, 300, 100)
        assert opened(rendition(pool, content, form)).size == (300, 225)
        small = form._replace(side=64)
        made = rendition(pool, content, small)
        assert made.size == (64, 48)
        assert len(made.content) <= small.most_bytes
    eight = [Image.effect_noise((300, 300), 80).convert("RGB") for _ in range(8)]
    content = saved(eight[0], "PNG", save_all=True, append_images=eight[1:], duration=100)
    with DecoderPool(1, LIMITS._replace(frames=8)) as more:
        seen = sight(more, content, RenditionForm("png", 300))
    assert seen.rendition is not None
    width, height = seen.rendition.size
    assert (len(frames(seen.rendition.content)), width == height) == (8, True)
    assert 8 * width * height <= 4 * 300**2 < 8 * (width + 1) * (height + 1)


def test_the_largest_picture_fits_into_the_memory_of_a_decoder(pool: DecoderPool) -> None:
    largest = Image.linear_gradient("L").resize((7071, 7071)).convert("RGBA")
    largest.putalpha(100)
    content = saved(largest, "WEBP", method=0, quality=30)
    assert rendition(pool, content, RenditionForm("webp", 16_383)).size == (7071, 7071)


def test_a_decoder_without_memory_for_a_rendition_refuses_the_image() -> None:
    content = saved(Image.new("L", (7000, 7000)), "PNG")
    form = RenditionForm("webp", 16_383)
    with DecoderPool(1, LIMITS._replace(memory=560_000_000)) as pool:
        assert pool.sights(content, [CLIP])
        with pytest.raises(ImageError, match=r"memory|cannot be written"):
            pool.sights(content, [CLIP], form=form)
        assert pool.sights(content, [CLIP])


@pytest.mark.parametrize("form", [*FORMS, RenditionForm("jpeg", 16_383, 1)])
def test_a_form_is_read_back_from_its_text(form: RenditionForm) -> None:
    assert RenditionForm.parse(form.text) == form


@pytest.mark.parametrize("text", ["", "none", "webp", "gif:1:1", "webp:2000:85 ", "webp:-1:85"])
def test_a_text_that_is_no_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="renditions"):
        RenditionForm.parse(text)

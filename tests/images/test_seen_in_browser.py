"""What is judged, compared pixel by pixel with what a browser draws of the same file."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from moderation.images.colours import BACKGROUNDS, on_background
from moderation.images.pixels import decode_rgb
from tests.conftest import ROOT
from tests.support.seen_avif import avif_files
from tests.support.seen_files import seen_files
from tests.support.seen_pixels import pixel_files
from tests.support.seen_profiles import profile_files

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SEEN = ROOT.parent / "shared" / "data" / "seen"

#: Files there whose trick is in their later frames.
MOVING = ("apng", "gif")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH"),
]

#: No value of any pixel, of 255, may be further off than this, nor their mean. Without opacity none
#: is off by more than 1.
TOLERANCE, MEAN_TOLERANCE = 3, 0.8

_SIZE = """() => document.images[0].decode().then(
    () => [document.images[0].naturalWidth, document.images[0].naturalHeight], () => null)"""

Shown = npt.NDArray[np.int16]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--force-color-profile=srgb"]
        )
        yield browser.new_page()
        browser.close()


def drawn(page: Page, name: str, content: bytes, colour: str) -> Shown | None:
    """Returns the (h, w, 3) values that a browser draws on a page; None where it draws nothing."""
    kind = name.rpartition(".")[2].replace("jpg", "jpeg")
    address = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    style = f"margin:0;background:{colour}"
    page.set_content(f'<body style="{style}"><img style="display:block" src="{address}">')
    if (size := page.evaluate(_SIZE)) is None:
        return None
    width, height = size
    page.set_viewport_size({"width": width, "height": height})
    shot = page.screenshot(clip={"x": 0, "y": 0, "width": width, "height": height})
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), np.int16)


def faults(page: Page, name: str, content: bytes) -> Iterator[str]:
    """Yields where the browser and the decoder part on a file."""
    rgb = decode_rgb(content, max_pixels=1_000_000)
    for background in BACKGROUNDS:
        judged = np.asarray(on_background(rgb, background), np.int16)
        seen = drawn(page, name, content, BACKGROUNDS[background])
        if seen is None:
            yield f"{name}: it draws nothing"
            continue
        if seen.shape != judged.shape:
            yield f"{name} on {background}: {seen.shape} and {judged.shape}"
            continue
        off = abs(seen - judged)
        if off.max() > TOLERANCE or off.mean() > MEAN_TOLERANCE:
            yield f"{name} on {background}: off by {off.max()}, {off.mean():.2f} on average"


def test_a_browser_draws_what_is_judged(page: Page, coffee: Image.Image) -> None:
    photograph = coffee.resize((96, 64))
    files = seen_files(photograph)
    files |= dict([*pixel_files(), *profile_files(photograph), *avif_files(photograph)])
    found = [fault for name, content in files.items() for fault in faults(page, name, content)]
    assert found == []


@pytest.mark.skipif(not SEEN.is_dir(), reason="../shared/data/seen is absent")
def test_a_browser_draws_what_is_judged_of_the_pictures_that_once_were_not(page: Page) -> None:
    paths: list[Path] = [path for path in SEEN.iterdir() if not path.name.startswith(MOVING)]
    assert paths
    found = [fault for path in paths for fault in faults(page, path.name, path.read_bytes())]
    assert found == []

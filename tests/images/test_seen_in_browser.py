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
from tests.images.test_frames import CHROMIUM as CHROMIUM_FRAMES
from tests.images.test_frames import LETTERS
from tests.support.seen_avif import avif_files
from tests.support.seen_files import seen_files
from tests.support.seen_pixels import pixel_files
from tests.support.seen_profiles import profile_files

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SEEN = ROOT.parent / "shared" / "data" / "seen"

#: Types of animations, by how they begin.
KINDS = {b"GIF8": "image/gif", b"\x89PNG": "image/png", b"RIFF": "image/webp"}

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

#: Draws every frame of an animation, and returns its values.
_FRAMES = """async ([kind, text]) => {
    const data = Uint8Array.from(atob(text), each => each.charCodeAt(0));
    const decoder = new ImageDecoder({type: kind, data});
    await decoder.tracks.ready;
    await decoder.completed;
    const found = [];
    for (let at = 0; at < decoder.tracks.selectedTrack.frameCount; at++) {
        const {image} = await decoder.decode({frameIndex: at});
        const [width, height] = [image.displayWidth, image.displayHeight];
        const pen = new OffscreenCanvas(width, height).getContext("2d");
        pen.drawImage(image, 0, 0);
        found.push(Array.from(pen.getImageData(0, 0, width, height).data));
    }
    return found;
}"""

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


def test_frames_that_were_recorded_are_those_that_a_browser_shows_today(page: Page) -> None:
    address = "https://localhost/"  # only pages of a trusted origin get the decoder
    page.route(address, lambda route: route.fulfill(body="", content_type="text/html"))
    page.goto(address)
    found = {}
    for name, (content, _) in CHROMIUM_FRAMES.items():
        kind = next(kind for start, kind in KINDS.items() if content.startswith(start))
        text = base64.b64encode(content).decode()
        frames = page.evaluate(_FRAMES, [kind, text])
        found[name] = [letters(np.array(frame, np.uint8)) for frame in frames]
    assert found == {name: shown for name, (_, shown) in CHROMIUM_FRAMES.items()}


def letters(values: npt.NDArray[np.uint8]) -> str:
    """Returns the colours of a frame as `test_frames` writes them."""
    return "".join(LETTERS[(r, g, b, a)] for r, g, b, a in values.reshape(-1, 4).tolist())

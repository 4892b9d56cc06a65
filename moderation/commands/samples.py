"""The photographs that scikit-image ships in its wheel, for a first try without a download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from moderation.commands.image_paths import find_images
from moderation.errors import SettingsError

#: Drawings, masks and charts that scikit-image keeps beside the photographs.
_NO_PHOTOGRAPHS = {
    "chessboard_GRAY.png",
    "chessboard_RGB.png",
    "logo.png",
    "phantom.png",
    "horse.png",
    "color.png",
}


def sample_photographs() -> list[Path]:
    """Returns the photographs that scikit-image ships.

    Raises:
        SettingsError: it is not installed.
    """
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise SettingsError(
            "there are no sample photographs, which come with scikit-image",
            "this machine",
            "Run `pip install 'evenhand[demo]'`; `moderation demo` also takes --images FOLDER",
        )
    folder = Path(spec.origin).parent / "data"
    inside = find_images([str(folder)]).images
    return [path for path in inside if path.name not in _NO_PHOTOGRAPHS]

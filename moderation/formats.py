"""Untrusted bytes -> an opened image of an accepted format, not yet decoded; or an ImageError.

Imports Pillow alone, and pillow-heif where it is installed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import AvifImagePlugin, Image, UnidentifiedImageError

from moderation.errors import ImageError

# A decoder is one process a core; by default libavif starts a thread a core in each.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

try:
    import pillow_heif
except ImportError:  # the extra `heic` is not installed
    READS_HEIF = False
else:
    # Thumbnails and the like are not read: they can show something else than the image.
    pillow_heif.register_heif_opener(
        thumbnails=False, depth_images=False, aux_images=False, decode_threads=1
    )
    READS_HEIF = True

#: What is decoded, by content and not by name; nothing that can hold a script.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", *(("HEIF",) if READS_HEIF else ()))

#: File names that `scan` picks up in a folder.
SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".bmp"),
    *((".heic", ".heif") if READS_HEIF else ()),
)

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

_REMEDY = "Send a whole JPEG, PNG, WebP, GIF, AVIF or BMP file"


@contextmanager
def opened(content: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """Opens the image in `content`, at its first frame and not yet decoded.

    Raises:
        ImageError: it is no image of an accepted format, or has too many pixels; and, whatever a
            decoder raises inside the block, it is damaged.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            refuse_too_large(image.size, max_pixels)
            yield image
    except UnidentifiedImageError as error:
        raise _unidentified(content) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("the image has far too many pixels", "image", _REMEDY) from error
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError("the image does not fit into memory", "image", _REMEDY) from error
    except Exception as error:  # on damaged files Pillow's decoders raise whatever they stumble on
        raise ImageError(f"the image is damaged ({error})", "image", _REMEDY) from error


def refuse_too_large(size: tuple[int, int], max_pixels: int) -> None:
    """Raises ImageError where (width, height) have more than `max_pixels` together."""
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            f"{width} x {height} pixels are over the limit of {max_pixels}",
            "image",
            "Send a smaller image, or raise MODERATION_MAX_IMAGE_PIXELS",
        )


def _unidentified(content: bytes) -> ImageError:
    if not READS_HEIF and content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS:
        remedy = "Install pillow-heif where images are decoded: pip install 'evenhand[heic]'"
        return ImageError("HEIC images are not read here", "image", f"{remedy}. Else: {_REMEDY}")
    return ImageError(f"this is no image of type {', '.join(FORMATS)}", "image", _REMEDY)

"""Untrusted bytes -> an opened image of an accepted format, not yet decoded; or an ImageError.

Imports only Pillow, and pillow-heif where it is installed.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from PIL import AvifImagePlugin, Image, UnidentifiedImageError
from PIL.BmpImagePlugin import BmpImageFile
from PIL.PngImagePlugin import PngImageFile

from moderation.errors import ImageError
from moderation.images import jpeg_segments, png_chunks
from moderation.images.avif_data import avif_data
from moderation.images.bmp_pixels import refuse_misread_bmp
from moderation.images.boxes import has_strange_track, shown_properties
from moderation.images.confinement import confined_memory, too_large_for_memory
from moderation.images.png_pixels import (
    png_header,
    refuse_damaged_pixels,
    refuse_missing_colours,
    spread_colour_key,
)
from moderation.images.polyglots import second_nature
from moderation.images.profiles import PROFILE, counting_profile
from moderation.images.video_range import VIDEO_RANGE, video_range
from moderation.images.webp_pixels import RIFF, refuse_hidden_opacity, with_opacity

# Each core has a decoder process, and in each libavif would start a thread for every core.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

try:
    import pillow_heif
except ImportError:  # the extra `heic` is not installed
    READS_HEIF = False
else:
    # Thumbnails and the like are not read: they can show something other than the image.
    pillow_heif.register_heif_opener(
        thumbnails=False, depth_images=False, aux_images=False, decode_threads=1
    )
    READS_HEIF = True

#: What is decoded, judged by content and not by name; no format that can hold a script.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", *(("HEIF",) if READS_HEIF else ()))

#: A file whose name ends so is taken for an image whatever it holds.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".avif", ".bmp"),
    *((".heic", ".heif") if READS_HEIF else ()),
)

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

_REMEDY = "Send a whole JPEG, PNG, WebP, GIF, AVIF or BMP file"

#: What Pillow imports only when a file needs it, apart from its common plugins.
_LATE_IMPORTS = (
    "ImageColor",
    "ImagePalette",
    "MpoImagePlugin",
    "TiffImagePlugin",
    "WebPImagePlugin",
)

#: Pixels of a run-length encoded BMP. Pillow unpacks it in Python at 80 ns a pixel, even for pixels
#: that no byte of the file encodes; such files date from the 1990s, for the screens of that time.
MOST_RLE_PIXELS = 4_000_000

_RLE = (BmpImageFile.COMPRESSIONS["RLE8"], BmpImageFile.COMPRESSIONS["RLE4"])

#: Bytes that a pixel takes in the most costly case: an animated WebP with an alpha channel.
_MEMORY_A_PIXEL = 27

#: What C libraries say where Python would raise MemoryError. Some call the image damaged instead.
_OUT_OF_MEMORY = re.compile(
    r"out of memory|memory alloc|insufficient memory|bad_alloc", re.IGNORECASE
)

#: What Pillow says of a WebP that is damaged or too large, before it says how large it is.
_UNOPENED_WEBP = "could not create decoder object"

#: What decoders say of a file that ends too early. The rest of what they say is not passed on: it
#: names their own parts, and strangers read it.
_CUT_OFF = re.compile("file is truncated|Truncated File Read|Truncated data|not enough image data")


def load_format_plugins() -> None:
    """Imports all that opening an image may need, so that nothing is imported later."""
    Image.preinit()
    for name in _LATE_IMPORTS:
        import_module(f"PIL.{name}")


@contextmanager
def opened(content: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """Opens an image of an accepted format, at its first frame and not yet decoded.

    Raises:
        ImageError: it is not an image of an accepted format, or is also something active, or has
            too many pixels, or costs more than its pixels should; or it is damaged, whatever a
            decoder raises inside the block.
    """
    pixels = 0
    try:
        file = io.BytesIO(_checked_format(content, max_pixels))
        with Image.open(file, formats=FORMATS) as image:
            refuse_too_large(image.size, max_pixels)
            pixels = image.width * image.height
            if isinstance(image, BmpImageFile) and image.info["compression"] in _RLE:
                _refuse_large_rle_bmp(image.size)
            if image.format == "BMP":
                refuse_misread_bmp(content, image.mode)
            if also := second_nature(content):
                remedy = "Send the image alone, as an image editor saves it"
                raise ImageError(f"the file is also {also}", "image", remedy)
            if image.format == "AVIF":
                _refuse_misread_avif(content)
                image.info[VIDEO_RANGE] = video_range(content)
            if image.format == "PNG":
                spread_colour_key(image, png_header(content)[2])
            image.info[PROFILE] = counting_profile(content, image)
            yield image
    except UnidentifiedImageError as error:
        raise _unknown_format(content) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("the image has far too many pixels", "image", _REMEDY) from error
    except ImageError:
        raise
    except MemoryError as error:
        raise too_large_for_memory() from error
    except Exception as error:  # on damaged files Pillow raises all kinds of errors
        if _UNOPENED_WEBP in str(error):
            pixels = max_pixels
        lacks_memory = pixels * _MEMORY_A_PIXEL > confined_memory()
        if lacks_memory or _OUT_OF_MEMORY.search(str(error)):
            raise too_large_for_memory() from error
        why = " (it ends too early)" if _CUT_OFF.search(str(error)) else ""
        raise ImageError(f"the image is damaged{why}", "image", _REMEDY) from error


def load(image: Image.Image, content: bytes) -> None:
    """Decodes an opened image of that content, whole.

    Raises:
        ValueError: it has pixels that are not in the file; see also what `opened` raises.
    """
    image.load()
    if isinstance(image, PngImageFile):  # and not a frame that was drawn of several
        refuse_damaged_pixels(image, content)
    elif image.format == "WEBP":
        refuse_hidden_opacity(image, content)
    elif image.mode == "P":
        refuse_missing_colours(image)


def _checked_format(content: bytes, max_pixels: int) -> bytes:
    """Returns what the decoder is given; refuses what costs it too much, before it looks."""
    if content.startswith(jpeg_segments.START):
        jpeg_segments.refuse_costly_jpeg(content, max_pixels)
    if content.startswith(png_chunks.START):
        return png_chunks.png_without_notes(content)
    return with_opacity(content) if content.startswith(RIFF) else content


def _refuse_misread_avif(content: bytes) -> None:
    """Refuses an AVIF that Pillow shows otherwise than browsers do."""
    if any(box.kind == b"clap" for box in shown_properties(content)):
        raise ImageError("the AVIF is cropped (clap)", "image", "Crop its pixels instead")
    if has_strange_track(content):
        what = "the AVIF has a track that is neither of colours nor of opacity"
        raise ImageError(what, "image", "Save it again with an image program")
    if avif_data(content).is_multiplied:
        what = "the AVIF's colours are multiplied by its opacity (prem)"
        raise ImageError(what, "image", "Save it again without that option")


def refuse_too_large(size: tuple[int, int], max_pixels: int) -> None:
    """Refuses an image, whatever its format, whose width times height is over `max_pixels`."""
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            f"{width} x {height} pixels are over the limit of {max_pixels}",
            "image",
            "Send a smaller image, or raise MODERATION_MAX_IMAGE_PIXELS",
        )


def _refuse_large_rle_bmp(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MOST_RLE_PIXELS:
        what = f"{width} x {height} pixels are over the limit of {MOST_RLE_PIXELS} for an RLE BMP"
        raise ImageError(what, "image", "Save it as PNG, or as a BMP that is not compressed")


def _unknown_format(content: bytes) -> ImageError:
    if not READS_HEIF and content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS:
        remedy = "Install pillow-heif where images are decoded: pip install 'evenhand[heic]'"
        return ImageError("HEIC images are not read here", "image", f"{remedy}. Or: {_REMEDY}")
    return ImageError(f"this is not an image of type {', '.join(FORMATS)}", "image", _REMEDY)

"""What viewers read differently is named, and ordinary files have no oddity."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import get_args

import pytest
from PIL import Image

from moderation.images.formats import FORMATS
from moderation.images.oddities.finding import oddities
from moderation.images.oddities.names import ORDINARY, Oddity
from tests.conftest import ROOT
from tests.support.hostile_files import box, chunk, saved, segment
from tests.support.seen_avif import with_codes_in_data

SIX = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x112, 3, 1, 6, 0, 0)
THREE = SIX.replace(b"\1\0\0\0\6", b"\1\0\0\0\3")
LONG_SIX = SIX.replace(b"\x12\1\3", b"\x12\1\4")
XMP = b'http://ns.adobe.com/xap/1.0/\0<a tiff:Orientation="6"/>'
#: As programs write it: the text as it is, then bytes that lead back to an empty block.
GIF_XMP = b"!\xff\x0bXMP DataXMP" + XMP + b"\1" + bytes(range(255, -1, -1)) + b"\0"
MP4 = box(b"ftyp", b"mp42\0\0\0\0mp42") + box(b"mdat", bytes(90) + b"film")


def picture(size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.linear_gradient("L").resize(size).convert("RGB")


def icc(space: bytes = b"RGB ", *tags: bytes) -> bytes:
    body = bytes(16) + space + bytes(108) + struct.pack(">I", len(tags))
    return body + b"".join(tag + struct.pack(">II", 128, 4) for tag in tags)


def densities(across: int, down: int) -> bytes:
    """Returns EXIF data that state pixels an inch."""
    entries = [struct.pack("<HHII", tag, 5, 1, at) for tag, at in ((0x11A, 38), (0x11B, 46))]
    values = struct.pack("<IIII", across, 1, down, 1)
    return b"II*\0" + struct.pack("<IH", 8, 2) + b"".join(entries) + bytes(4) + values


def packed(profile: bytes) -> bytes:
    return b"x\0\0" + zlib.compress(profile)


def png(before: bytes = b"", after: bytes = b"", end: bytes = b"", plain: bytes = b"") -> bytes:
    plain = plain or saved(picture(), "PNG")
    pixels, last = plain.index(b"IDAT") - 4, plain.rindex(b"IEND") - 4
    return plain[:pixels] + before + plain[pixels:last] + after + plain[last:] + end


def primaries(*values: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values)))


def jpeg(*segments: tuple[int, bytes], end: bytes = b"") -> bytes:
    plain = saved(picture(), "JPEG")
    return plain[:2] + b"".join(segment(*each) for each in segments) + plain[2:] + end


def animation() -> bytes:
    others = [picture().rotate(90 * i) for i in (1, 2)]
    return saved(picture(), "PNG", save_all=True, append_images=others)


def webp(extra: bytes = b"", *, width: int = 64, end: bytes = b"") -> bytes:
    image = saved(picture(), "WEBP", lossless=True)[12:]
    head = b"VP8X" + struct.pack("<II", 10, 8) + (width - 1).to_bytes(3, "little") + b"\x2f\0\0"
    body = b"WEBP" + head + image + extra
    return b"RIFF" + struct.pack("<I", len(body)) + body + end


def riff(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def bmp(space: bytes, gamma: float = 0) -> bytes:
    gammas = struct.pack("<III", *[int(gamma * 65_536)] * 3)
    head = struct.pack("<IiiHHIIiiII", 124, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0)
    head += bytes(16) + space + bytes(36) + gammas + bytes(16)
    return b"BM" + struct.pack("<IHHI", 142, 0, 0, 138) + head + bytes(4)


def avif(transfer: int) -> bytes:
    plain = saved(picture(), "AVIF", quality=50)
    at = plain.index(b"nclx") + 6
    return plain[:at] + struct.pack(">H", transfer) + plain[at + 2 :]


def boxed(*properties: bytes, items: bytes = b"", more: bytes = b"") -> bytes:
    """Returns the boxes of an AVIF whose picture, number 1, has these properties."""
    whole = bytes(4)
    owned = struct.pack(">IHB", 1, 1, len(properties)) + bytes(range(1, len(properties) + 1))
    container = box(b"ipco", b"".join(properties))
    about = box(b"iprp", container + box(b"ipma", whole + owned))
    listed = box(b"iinf", whole + struct.pack(">H", 2) + items)
    head = box(b"pitm", whole + b"\0\1") + listed + about + more
    return box(b"ftyp", b"avif\0\0\0\0avif") + box(b"meta", whole + head)


def item(number: int, kind: bytes = b"av01", *, hidden: int = 0) -> bytes:
    return box(b"infe", bytes((2, 0, 0, hidden)) + struct.pack(">HH", number, 0) + kind + b"\0")


def colours(primaries: int, transfer: int) -> bytes:
    return box(b"colr", b"nclx" + struct.pack(">HHHB", primaries, transfer, 6, 128))


def clap(width: int) -> bytes:
    return box(b"clap", struct.pack(">8I", width, 1, 48, 1, 0, 1, 0, 1))


def avif_with_exif(exif: bytes) -> bytes:
    """Returns an AVIF whose EXIF data state a turn and whose boxes do not."""
    other = SIX.replace(b"\x12\1\3", b"\0\1\3")
    content = saved(picture(), "AVIF", exif=other)
    assert other in content
    return content.replace(other, exif)


PROFILE = box(b"colr", b"prof" + icc())
SIZE = box(b"ispe", struct.pack(">III", 0, 64, 48))
EXIF = bytes(4) + SIX
#: An item of EXIF data, which lie inside the description.
NOTED = {
    "items": item(2, b"Exif"),
    "more": box(b"idat", EXIF)
    + box(
        b"iloc",
        bytes((1, 0, 0, 0, 0x44, 0)) + struct.pack(">5HII", 1, 2, 1, 0, 1, 0, len(EXIF)),
    ),
}
ADOBE = b"Adobe\0\x64" + bytes(4)

PIECE = b"ICC_PROFILE\0"
GIF = saved(picture(), "GIF")
FRAME = GIF.index(b"\x2c\0\0\0\0") + 5
SCREEN = GIF[:6] + struct.pack("<HH", 32, 48) + GIF[10:]
SOF = struct.pack(">BHHB", 8, 8, 8, 1) + b"\1\x11\0"
ANIMATED = animation()
APART = ANIMATED.replace(ANIMATED[(at := ANIMATED.index(b"fcTL") - 4) : at + 38], b"", 1)
HURT = ANIMATED.rindex(b"fdAT") + 8

ODD: dict[str, tuple[bytes, set[str]]] = {
    "iCCP twice": (png(chunk(b"iCCP", packed(icc())) * 2), {"two-profiles"}),
    "cICP beside iCCP": (
        png(chunk(b"cICP", bytes((9, 14, 0, 1))) + chunk(b"iCCP", packed(icc()))),
        {"two-profiles"},
    ),
    "cICP of PQ": (png(chunk(b"cICP", bytes((9, 16, 0, 1)))), {"hdr"}),
    "gAMA of 3": (png(chunk(b"gAMA", struct.pack(">I", 300_000))), {"extreme-gamma"}),
    "gAMA of 0": (png(chunk(b"gAMA", bytes(4))), {"extreme-gamma"}),
    **{
        f"late {kind.decode()}": (png(after=chunk(kind, bytes(4))), {"late-chunk"})
        for kind in (b"iCCP", b"cICP", b"gAMA", b"cHRM", b"sRGB")
    },
    "late eXIf": (png(after=chunk(b"eXIf", SIX)), {"unread-orientation"}),
    "two eXIf": (png(chunk(b"eXIf", SIX) + chunk(b"eXIf", THREE)), {"orientation-conflict"}),
    "eXIf of LONG": (png(chunk(b"eXIf", LONG_SIX)), {"orientation-conflict"}),
    "PNG with XMP": (png(chunk(b"iTXt", XMP)), {"unread-orientation"}),
    "primaries beyond colours": (
        png(primaries(0.31, 0.33, 1, 0, 0, 1, 0, 0)),
        {"extreme-primaries"},
    ),
    "red and blue exchanged": (
        png(primaries(0.31, 0.33, 0.15, 0.06, 0.3, 0.6, 0.64, 0.33)),
        {"extreme-primaries"},
    ),
    "wrong checksum": (
        png(chunk(b"gAMA", struct.pack(">I", 45_455))[:-1] + b"?"),
        {"damaged-chunk"},
    ),
    "PNG and more": (png(end=b"and more"), {"trailing-data"}),
    "RGB tables": (png(chunk(b"iCCP", packed(icc(b"RGB ", b"A2B0")))), {"table-profile"}),
    "CMYK profile": (png(chunk(b"iCCP", packed(icc(b"CMYK")))), {"profile-of-other-colours"}),
    "acTL twice": (
        png(chunk(b"acTL", struct.pack(">II", 2, 0)), plain=ANIMATED),
        {"two-animation-headers"},
    ),
    "default image apart": (APART, {"default-image-apart"}),
    "damaged frame": (
        ANIMATED[:HURT] + b"\0\0\0\0" + ANIMATED[HURT + 4 :],
        {"damaged-chunk", "damaged-frame"},
    ),
    "ICC part missing": (jpeg((0xE2, PIECE + b"\1\2" + icc())), {"two-profiles"}),
    "ICC twice": (jpeg(*[(0xE2, PIECE + b"\1\1" + icc())] * 2), {"two-profiles"}),
    "EXIF blocks differ": (
        jpeg((0xE1, b"Exif\0\0" + SIX), (0xE1, b"Exif\0\0" + THREE)),
        {"orientation-conflict"},
    ),
    "XMP turns": (jpeg((0xE1, XMP)), {"unread-orientation"}),
    "two frames": (jpeg((0xC0, SOF)), {"sizes-disagree"}),
    "pixels six times as wide as high": (
        jpeg((0xE1, b"Exif\0\0" + densities(12, 72))),
        {"unequal-densities"},
    ),
    "bytes between segments": (
        (whole := jpeg())[:20] + b"hello" + whole[20:],
        {"damaged-chunk"},
    ),
    "JPEG and more": (jpeg(end=b"and more"), {"trailing-data"}),
    "JPEG and another": (jpeg(end=jpeg()), {"several-pictures", "trailing-data"}),
    "MPO": (
        saved(picture(), "MPO", save_all=True, append_images=[picture((32, 24))]),
        {"several-pictures"},
    ),
    "WebP and more": (webp(end=b"and more"), {"trailing-data"}),
    "WebP on another canvas": (webp(width=65), {"sizes-disagree"}),
    "WebP with EXIF": (webp(riff(b"EXIF", SIX)), {"unread-orientation"}),
    "WebP with XMP": (webp(riff(b"XMP ", XMP)), {"unread-orientation"}),
    "WebP with two profiles": (webp(riff(b"ICCP", icc()) * 2), {"two-profiles"}),
    "GIF and more": (GIF + b"and more", {"trailing-data"}),
    "GIF with XMP": (GIF[:-1] + GIF_XMP + b";", {"unread-orientation"}),
    "GIF outside its screen": (SCREEN, {"sizes-disagree"}),
    "BMP with a profile": (bmp(b"DEBM"), {"bmp-profile"}),
    "BMP of gamma 9": (bmp(bytes(4), 9), {"extreme-gamma"}),
    "Adobe against JFIF": (jpeg((0xEE, ADOBE + b"\0")), {"two-profiles"}),
    "WebP still beside frames": (webp(riff(b"ANMF", bytes(16))), {"default-image-apart"}),
    "two colr profiles": (boxed(PROFILE, PROFILE), {"two-profiles"}),
    "colr linear beside a profile": (boxed(PROFILE, colours(1, 8)), {"two-profiles"}),
    "two nclx": (boxed(colours(1, 13), colours(9, 1)), {"two-profiles"}),
    "clap": (boxed(SIZE, clap(40)), {"clean-aperture"}),
    "EXIF and no boxes": (avif_with_exif(SIX), {"unread-orientation"}),
    "EXIF against a box": (boxed(box(b"irot", b"\1"), **NOTED), {"unread-orientation"}),
    "XMP against a box": (
        saved(picture(), "AVIF", xmp=XMP.replace(b"6", b"3"), exif=SIX),
        {"unread-orientation"},
    ),
    "AVIF of another size": (
        (plain := saved(picture(), "AVIF"))[: (at := plain.index(b"ispe") + 8)]
        + struct.pack(">II", 65, 48)
        + plain[at + 8 :],
        {"sizes-disagree"},
    ),
    "AVIF whose data have other codes": (
        with_codes_in_data(saved(picture((96, 64)), "AVIF", subsampling="4:4:4"), 12, 13),
        {"two-profiles"},
    ),
    "AVIF whose box has another matrix": (
        (plain := saved(picture(), "AVIF"))[: (at := plain.index(b"nclx") + 8)]
        + struct.pack(">H", 9)
        + plain[at + 2 :],
        {"two-profiles"},
    ),
    "two shown items": (boxed(items=item(1) + item(2)), {"several-pictures"}),
    "AVIF of PQ in its box alone": (avif(16), {"hdr", "two-profiles"}),
    "AVIF and more": (saved(picture(), "AVIF") + b"and more", {"trailing-data"}),
}

PLAIN: dict[str, bytes] = {
    "pixels as wide as high": jpeg((0xE1, b"Exif\0\0" + densities(300, 300))),
    **{form: saved(picture(), form) for form in FORMATS},
    "animated PNG": ANIMATED,
    "animated WebP": saved(
        picture(), "WEBP", save_all=True, append_images=[picture().rotate(90)], duration=9
    ),
    "sRGB": png(chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 45_455))),
    "P3 by primaries": png(primaries(0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)),
    "ProPhoto by primaries": png(
        primaries(0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001)
    ),
    "WebP with plain XMP": webp(riff(b"XMP ", XMP.replace(b"6", b"1"))),
    "AVIF with XMP": saved(picture(), "AVIF", xmp=XMP, exif=SIX),
    "linear": png(chunk(b"gAMA", struct.pack(">I", 100_000))),
    "turned PNG": png(chunk(b"eXIf", SIX)),
    "turned JPEG": jpeg((0xE1, b"Exif\0\0" + SIX), (0xE1, XMP)),
    "profile in two parts": jpeg((0xE2, PIECE + b"\1\2" + icc()), (0xE2, PIECE + b"\2\2more")),
    "padded JPEG": jpeg(end=bytes(1000)),
    "motion photo": jpeg(end=MP4),
    "Samsung's list": jpeg(end=b"\0\0\1\x0a\x0e\0\0\0Image_UTC_Data1SEFH\0\0SEFT"),
    "BMP of gamma 2.2": bmp(bytes(4), 2.2),
    "Adobe beside JFIF": jpeg((0xEE, ADOBE + b"\1")),
    "EXIF as a box": boxed(box(b"irot", b"\3"), **NOTED),
    "box alone": boxed(box(b"irot", b"\3")),
    "clap of rounding": boxed(SIZE, clap(62)),
    "nclx beside its profile": boxed(PROFILE, colours(12, 13)),
    "a hidden item": boxed(items=item(1) + item(2, hidden=1)),
    "turned AVIF": saved(picture(), "AVIF", exif=SIX),
}

#: How each program writes a photograph; {} is the photograph, {out} the new file.
PROGRAMS = {
    "gm png": "gm convert {} {out}.png",
    "gm gif": "gm convert {} {out}.gif",
    "ffmpeg png": "ffmpeg -v error -i {} {out}.png",
    "ffmpeg webp": "ffmpeg -v error -i {} {out}.webp",
    "ffmpeg bmp": "ffmpeg -v error -i {} {out}.bmp",
    "vips jpeg": "vips copy {} {out}.jpg",
    "jpegtran": "jpegtran -rotate 90 -copy all -outfile {out}.jpg {}",
    "cwebp": "cwebp -quiet -metadata all {} -o {out}.webp",
    "cwebp lossless": "cwebp -quiet -lossless {} -o {out}.webp",
    "avifenc": "avifenc -s 9 {} {out}.avif",
    "heif-enc": "heif-enc {} -o {out}.heic",
    "exiftool": "exiftool -q -Artist=x -Orientation#=6 -o {out}.jpg {}",
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_named(name: str) -> None:
    content, names = ODD[name]
    assert set(oddities(content)) == names


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_ordinary_has_no_oddity(name: str) -> None:
    assert oddities(PLAIN[name]) == ()


@pytest.mark.parametrize("cut", [10, 30, 100, 300])
@pytest.mark.parametrize("name", [*ODD, *PLAIN])
def test_a_file_that_is_cut_raises_nothing(name: str, cut: int) -> None:
    content = ODD[name][0] if name in ODD else PLAIN[name]
    names = oddities(content[:cut])
    assert set(names) <= set(get_args(Oddity))


def test_the_names_are_sorted_documented_and_some_are_ordinary() -> None:
    names = get_args(Oddity)
    assert list(names) == sorted(set(names))
    assert set(names) > ORDINARY
    page = (ROOT / "docs" / "oddities.md").read_text()
    assert [name for name in names if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("apng-damaged-middle-frame.png", ("damaged-frame",)),
        ("apng-default-image-apart.png", ("default-image-apart",)),
        ("jpeg-xmp-orientation-6.jpg", ("unread-orientation",)),
        ("png-cicp-and-iccp.png", ("two-profiles",)),
        ("png-gama-decoy.png", ("extreme-gamma",)),
        ("png-grey-with-rgb-profile.png", ("profile-of-other-colours",)),
        ("plain.png", ()),
    ],
)
def test_files_that_passed_for_another_picture_are_named(
    name: str, found: tuple[str, ...], objects: Path
) -> None:
    assert oddities((objects.parents[1] / "seen" / name).read_bytes()) == found


def test_photographs_have_no_oddity(objects: Path, faces: Path) -> None:
    paths = [*objects.rglob("*.jpg"), *faces.rglob("*.jpg")]
    assert len(paths) == 875
    assert {path.name for path in paths if oddities(path.read_bytes())} == set()


@pytest.mark.parametrize("program", PROGRAMS)
def test_photographs_that_a_program_wrote_have_no_oddity(
    program: str, objects: Path, tmp_path: Path
) -> None:
    if shutil.which(PROGRAMS[program].split()[0]) is None:
        pytest.skip(f"there is no {program.split()[0]} on the PATH")
    for i, path in enumerate(sorted(objects.rglob("*.jpg"))[::35]):
        command = [part.format(path, out=tmp_path / str(i)) for part in PROGRAMS[program].split()]
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    written = sorted(tmp_path.iterdir())
    assert len(written) == 5
    assert {path.name: oddities(path.read_bytes()) for path in written} == {
        path.name: () for path in written
    }

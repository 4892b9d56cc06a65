"""Hostile files: none crashes a decoder, or makes it slow, large or wrong for the next image."""

from __future__ import annotations

import ctypes
import io
import random
import re
import resource
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from moderation.errors import DecodingFailed, ImageError
from moderation.images.decode.child import Limits
from moderation.images.decode.pool import DecoderPool
from moderation.images.formats import FORMATS
from moderation.images.pixels import Pixels, Preprocessing, read_squares
from moderation.images.polyglots import second_nature
from moderation.settings import Settings
from tests.conftest import ROOT
from tests.support.hostile_files import (
    TINY_FRAME,
    Hostile,
    corpus,
    gif,
    picture,
    png,
    saved,
    seeds,
    zipped,
)
from tests.support.waiting import PATIENCE_SECONDS

LIMITS = Limits(max_pixels=50_000_000, frames=4, seconds=PATIENCE_SECONDS, memory=2_000_000_000)
#: Of the processor, which says how dear a file is on a busy machine too.
_MOST_SECONDS = 10.0
HOW = Preprocessing(32, (32, 32), "bicubic", 1 / 255, (0.5,) * 3, (0.5,) * 3)
CORPUS = corpus()
#: What a decoder may keep of all that it has seen: eight profiles, and what the allocator holds.
_MOST_KEPT = 200_000_000


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    """One process, so that each file meets what the one before has left."""
    with DecoderPool(1, LIMITS) as pool_:
        pool_.start()
        pool_.wait_until_ready()
        yield pool_


@pytest.fixture(scope="module")
def good() -> tuple[bytes, Pixels]:
    """A good file, and its pixels."""
    content = seeds()["palette PNG"]
    [pixels] = read_squares(content, [HOW], max_pixels=LIMITS.max_pixels)
    return content, pixels


def _process(pool: DecoderPool) -> psutil.Process:
    process = pool._decoders[0]._process
    assert process is not None
    return psutil.Process(process.pid)


def _busy(pool: DecoderPool) -> float:
    """Returns how many seconds of a processor the process has had."""
    times = _process(pool).cpu_times()
    return times.user + times.system


def _look(pool: DecoderPool, content: bytes) -> str:
    """Returns what became of a file, and holds its pixels or its error to what they must be."""
    try:
        [squares] = pool.squares(content, [HOW])
    except DecodingFailed as error:
        return f"failed: {error}"
    except ImageError as error:
        _assert_tellable(error)
        return "refused"
    assert squares.dtype == np.uint8
    assert 1 <= len(squares) <= LIMITS.frames
    assert squares.shape[1:] == (32, 32, 3)
    return "read"


def _assert_tellable(error: ImageError) -> None:
    """A stranger is told what, where and what to do; no path, address, object or traceback."""
    assert error.where == "image"
    assert error.remedy
    assert error.what.isprintable()
    assert len(error.what) < 300
    if "damaged" in error.what:  # nothing of what a library says of it
        assert re.fullmatch(r"the image is damaged( \(it ends too early\))?", error.what)
    assert not re.search(r"/|\\|0x|object at|Traceback|Errno|site-packages", error.what)


def test_the_corpus_is_large_distinct_and_the_same_at_every_run() -> None:
    names = [hostile.name for hostile in CORPUS]
    assert len(set(names)) == len(names) >= 200
    assert [hostile.name for hostile in corpus()] == names
    some = random.Random(5).sample(CORPUS, 40)
    assert [hostile.make() for hostile in some] == [hostile.make() for hostile in some]
    for form in FORMATS:
        assert sum(form.lower() in name.lower() for name in names) >= 20, form


@pytest.mark.parametrize("hostile", CORPUS, ids=[hostile.name for hostile in CORPUS])
def test_a_hostile_file_is_read_or_refused_and_the_next_image_is_read(
    hostile: Hostile, pool: DecoderPool, good: tuple[bytes, Pixels]
) -> None:
    before, busy_before = _process(pool).pid, _busy(pool)
    became = _look(pool, hostile.make())
    assert became in (("read", "refused") if hostile.must == "either" else (hostile.must,))
    content, pixels = good
    np.testing.assert_array_equal(pool.squares(content, [HOW])[0], pixels)
    assert _process(pool).pid == before
    assert _busy(pool) - busy_before < _MOST_SECONDS


FLOODS = {
    "JPEG of 20,000 scans that is not progressive": "more than 100 scans, the most for its size",
    "JPEG of 100,000 scans": "more than 100 scans, the most for its size",
    "JPEG of 45 scans of 49 million pixels": "more than 40 scans, the most for its size",
    "JPEG that says it is arithmetic": "is coded arithmetically",
    "JPEG with EXIF data in 100,000 segments": "more than 500 segments before its first scan",
    "JPEG with a million fill bytes": "more than 100000 bytes that belong to nothing",
    "JPEG with a MB between its segments": "more than 100000 bytes that belong to nothing",
    "PNG of 200,001 chunks": "more than 200000 chunks",
    "BMP of 49 million pixels in a row of RLE": "over the limit of 4000000 for an RLE BMP",
    "BMP of 49 million pixels in an RLE of 4 bits": "over the limit of 4000000 for an RLE BMP",
}


@pytest.mark.parametrize("name", FLOODS)
def test_what_would_cost_much_more_than_its_pixels_is_refused_by_its_name(
    name: str, pool: DecoderPool
) -> None:
    [flood] = [hostile for hostile in CORPUS if hostile.name == name]
    with pytest.raises(ImageError, match=FLOODS[name]) as caught:
        pool.squares(flood.make(), [HOW])
    assert re.match("Save (it as PNG|the image again)", caught.value.remedy)


def test_a_decoder_is_no_larger_after_hostile_files(pool: DecoderPool) -> None:
    some = [hostile.make() for hostile in random.Random(6).sample(CORPUS, 60)]
    for content in some:
        _look(pool, content)
    before, process = _process(pool).memory_info().rss, _process(pool).pid
    for content in some * 3:
        _look(pool, content)
    assert _process(pool).pid == process
    assert _process(pool).memory_info().rss - before < 30_000_000
    assert _process(pool).memory_info().rss < _MOST_KEPT


SLOW = {
    "pixels": lambda: png(7000, 7000, depth=16, colour=6, pixels=_zeros(7000 * (7000 * 8 + 1))),
    "frames": lambda: gif((3000, 3000), (b"!\xf9\4\x0d\0\0\1\0" + TINY_FRAME) * 600),
}


@pytest.mark.parametrize("kind", SLOW)
def test_a_file_that_takes_too_long_fails_and_its_process_ends(
    kind: str, good: tuple[bytes, Pixels]
) -> None:
    content = SLOW[kind]()
    with DecoderPool(1, LIMITS._replace(seconds=0.3)) as pool:
        pool.start()
        pool.wait_until_ready()
        process = _process(pool)
        with pytest.raises(DecodingFailed, match=r"longer than 0\.3 s") as caught:
            pool.squares(content, [HOW])
        _assert_tellable(caught.value)
        assert not process.is_running()
        pool._decoders[0]._limits = LIMITS
        np.testing.assert_array_equal(pool.squares(good[0], [HOW])[0], good[1])


def test_an_image_that_ends_the_decoder_twice_has_failed() -> None:
    with DecoderPool(1, LIMITS) as pool:
        content = SLOW["pixels"]()
        with ThreadPoolExecutor(1) as threads:
            answer = threads.submit(pool.squares, content, [HOW] * 1000)  # a minute of work
            killed: set[int] = set()
            while not answer.done():
                killed |= _kill_if_decoding(pool, killed)
                time.sleep(0.01)
        error = answer.exception()
    assert isinstance(error, DecodingFailed)
    assert error.what == "decoding it crashes the decoder"
    assert len(killed) == 2


def _kill_if_decoding(pool: DecoderPool, killed: set[int]) -> set[int]:
    """Kills the process once it has had some time on the processor; returns whom it killed."""
    process = pool._decoders[0]._process
    if process is None or process.pid in killed or process.poll() is not None:
        return set()
    try:
        busy = sum(psutil.Process(process.pid).cpu_times()[:2])
    except psutil.NoSuchProcess:
        return set()
    if busy < 1:
        return set()
    process.kill()
    return {process.pid}


def test_good_images_among_hostile_ones_get_their_own_pixels() -> None:
    chance = random.Random(8)
    quick = [hostile for hostile in CORPUS if _is_small(hostile)]
    mixed: list[bytes] = [hostile.make() for hostile in chance.sample(quick, 150)]
    expected = {
        content: read_squares(content, [HOW], max_pixels=LIMITS.max_pixels, frames=LIMITS.frames)[0]
        for content in seeds().values()
    }
    jobs = mixed + list(expected) * 10
    chance.shuffle(jobs)
    with DecoderPool(2, LIMITS) as pool:

        def decode(content: bytes) -> Pixels | None:
            try:
                return pool.squares(content, [HOW])[0]
            except ImageError:
                return None

        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(decode, jobs))
    good = [
        (content, got) for content, got in zip(jobs, answers, strict=True) if content in expected
    ]
    assert len(good) >= len(expected) * 10
    for content, got in good:
        assert got is not None
        np.testing.assert_array_equal(got, expected[content])


# What a decoder may use

#: AVIF and HEIF take long to make so large; what is left out else asks for the same memory.
_DEAR_KINDS = ("CMYK JPEG", "PNG", "WEBP", "lossless WEBP", "GIF", "BMP")


@pytest.mark.parametrize("kind", _DEAR_KINDS)
def test_an_image_that_needs_more_memory_is_refused_and_the_process_stays(
    kind: str, good: tuple[bytes, Pixels]
) -> None:
    content = _large(kind)
    with DecoderPool(1, LIMITS._replace(memory=200_000_000)) as pool:
        np.testing.assert_array_equal(pool.squares(good[0], [HOW])[0], good[1])
        before = _process(pool).pid
        with pytest.raises(ImageError, match="does not fit into memory") as caught:
            pool.squares(content, [HOW])
        assert "MODERATION_DECODER_MEMORY_BYTES" in caught.value.remedy
        assert not isinstance(caught.value, DecodingFailed)
        np.testing.assert_array_equal(pool.squares(good[0], [HOW])[0], good[1])
        assert _process(pool).pid == before


def _large(kind: str) -> bytes:
    """Returns a small file of that kind that is a large image."""
    side, colour = (6000, 6000), (9, 99, 199)
    match kind.split()[-1]:
        case "JPEG":
            return saved(Image.new("CMYK", side), "JPEG", progressive=True)
        case "WEBP":
            image = Image.new("RGBA", side, colour)
            return saved(image, "WEBP", method=0, lossless=kind.startswith("lossless"))
        case "BMP":
            return saved(Image.new("1", side), "BMP")
        case "GIF":
            return saved(Image.new("RGB", side, colour).quantize(4), "GIF")
        case form:
            return saved(Image.new("RGBA", side, colour), form)


def test_the_largest_images_fit_into_the_memory_that_decoders_get_by_default() -> None:
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert Limits(1, 1, 1.0).memory == LIMITS.memory == defaults["decoder_memory_bytes"]
    assert LIMITS.max_pixels == defaults["max_image_pixels"]
    colours = Image.new("RGBA", (7071, 7071), (9, 99, 199, 50))
    files = {
        "PNG": saved(colours, "PNG", compress_level=1),
        "16-bit PNG": png(7071, 7071, depth=16, colour=6, pixels=_zeros(7071 * (7071 * 8 + 1))),
        "JPEG": saved(colours.convert("CMYK"), "JPEG", progressive=True),
        "WEBP": saved(colours, "WEBP", lossless=True, method=0, quality=0),
    }
    with DecoderPool(1, LIMITS) as pool:
        for content in files.values():
            assert pool.squares(content, [HOW])[0].shape == (1, 32, 32, 3)


def _zeros(size: int) -> bytes:
    return zlib.compress(bytes(size), 1)


def test_a_decoder_has_its_limits_before_it_has_a_file(pool: DecoderPool) -> None:
    process = _process(pool)
    assert process.rlimit(resource.RLIMIT_AS) == (LIMITS.memory, LIMITS.memory)
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):
        assert process.rlimit(limit) == (0, 0)
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE)
    assert process.num_threads() == 1


CONFINED = """
import os, socket, subprocess, sys
from moderation.images.confinement import confine
kept = open(sys.argv[1], "a")
confine(2_000_000_000)
for act in (
    lambda: open(sys.argv[1]),
    lambda: open(sys.argv[1] + ".new", "w"),
    lambda: (kept.write("more"), kept.flush()),
    lambda: socket.socket(),
    lambda: socket.socketpair(),
    lambda: os.pipe(),
    lambda: os.memfd_create("x"),
    lambda: (os.close(0), open(sys.argv[1])),
    lambda: subprocess.run(["/bin/true"]),
    lambda: bytearray(3_000_000_000),
):
    try:
        act()
        print("done")
    except (OSError, MemoryError) as error:
        print("refused")
"""

LOCKED = """
import os, sys
from moderation.images.confinement import confine
confine(2_000_000_000)
for act in (
    lambda: os.unlink(sys.argv[1]),
    lambda: os.rename(sys.argv[1], sys.argv[1] + ".new"),
    lambda: os.mkdir(sys.argv[1] + ".folder"),
    lambda: os.symlink("/", sys.argv[1] + ".link"),
    lambda: os.kill(os.getppid(), 0),
    lambda: os.execv("/bin/true", ["true"]),
):
    try:
        act()
        print("done")
    except OSError as error:
        print("refused")
"""


def _run(program: str, path: Path) -> list[str]:
    path.write_text("content")
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, cwd=ROOT
    )
    assert path.read_text() == "content"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    return done.stdout.split()


def test_a_confined_process_opens_writes_and_starts_nothing(tmp_path: Path) -> None:
    assert _run(CONFINED, tmp_path / "file") == ["refused"] * 10


def test_a_confined_process_changes_no_file_where_the_kernel_has_landlock(tmp_path: Path) -> None:
    version = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)
    if version < 6:
        pytest.skip(f"the kernel's Landlock is of version {version}, and signals need 6")
    assert _run(LOCKED, tmp_path / "file") == ["refused"] * 6


IMPORTS = """
import resource, sys  # as confining it does
from pathlib import Path
import moderation.images.decode.child
from moderation.errors import ImageError
from moderation.images.formats import load_plugins
from moderation.images.pixels import Preprocessing, read_squares
load_plugins()
before = set(sys.modules)
how = Preprocessing(32, (32, 32), "bicubic", 1 / 255, (0.5,) * 3, (0.5,) * 3)
for path in Path(sys.argv[1]).iterdir():
    content = path.read_bytes()
    try:
        read_squares(content, [how], max_pixels=1_000_000, frames=3)
    except ImageError:
        pass
print(len(before), *(set(sys.modules) - before))
"""


def test_decoding_imports_nothing_once_it_has_begun(tmp_path: Path) -> None:
    files = [*seeds().values(), *(hostile.make() for hostile in CORPUS if _is_small(hostile))]
    for number, content in enumerate(files):
        (tmp_path / str(number)).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    count, *late = done.stdout.split()
    assert int(count) > 100
    assert late == []


def _is_small(hostile: Hostile) -> bool:
    return not re.search(r"million|vast|zeros|MB|bomb|scans|50,000", hostile.name)


# Files that are images and something else


def test_a_photograph_is_nothing_but_an_image(photographs: list[Path]) -> None:
    for path in photographs:
        assert second_nature(path.read_bytes()) is None


def test_no_labelled_photograph_is_something_else(objects: Path) -> None:
    paths = [
        path
        for path in objects.parents[1].rglob("*")
        if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".gif")
    ]
    assert len(paths) > 800
    assert {path.name for path in paths if second_nature(path.read_bytes())} == set()


@pytest.mark.parametrize(
    ("mark", "nature"),
    [
        (b"%PDF-1.7", "a PDF"),
        (b"<?PHP echo 1;", "a PHP script"),
        (b"<Script>", "an HTML page"),
        (b"<!doctype html>", "an HTML page"),
        (b"<html lang=en>", "an HTML page"),
        (b"<svg\n", "an SVG drawing"),
        ("<svg ".encode("utf-16-le"), "an SVG drawing"),
        ("<script>".encode("utf-16-be"), "an HTML page"),
        (b"<IFRAME src=a>", "an HTML page"),
        (b"<img/src=a onerror=b>", "an HTML page"),
        (b"<?=`id`?>", "a PHP script"),
        (b"<?=system($_GET[0]);/*", "a PHP script"),
        (b"<? system($_GET[0]) ?>", "a PHP script"),
        (b"<?eval($_POST['a'])?>", "a PHP script"),
        (b"<?\n\t$f = 'system';", "a PHP script"),
        (b"<?xml;eval($_POST['a'])?>", "a PHP script"),
        (b"<%eval request(1)%>", "an ASP or JSP page"),
        (b'<%@ page import="java.io.*"', "an ASP or JSP page"),
    ],
)
def test_what_else_a_file_is_is_found_within_its_first_1024_bytes(mark: bytes, nature: str) -> None:
    assert second_nature(bytes(990) + mark + b" ") == nature
    if nature not in ("a PHP script", "an ASP or JSP page"):
        assert second_nature(bytes(2048) + mark + b" ") is None


@pytest.mark.parametrize(
    "code",
    [
        b"<?pHp eval($_GET[0]);",
        b"__HALT_COMPILER(); ?>",
        b"<?=`$_GET[0]`?>",
        b"<?=$x?>",
        b"<?= f($x) ?>",
        b"<? system($_GET[0]);",
    ],
)
def test_php_is_found_near_both_ends_of_a_file(code: bytes) -> None:
    for content in (bytes(60_000) + code + bytes(200_000), bytes(200_000) + code + bytes(60_000)):
        assert second_nature(content) == "a PHP script"
    assert second_nature(bytes(70_000) + code + bytes(70_000)) is None


@pytest.mark.parametrize(
    "note",
    [
        b"<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>",
        b"<rdf:RDF><dc:format>image/svg+xml</dc:format>",
        b"PK\x05\x06" + bytes(18),
        b"PK\x03\x04 PK\x01\x02 PK\x05\x06",
        b"<scripture> <htmlish> <svga>",
        b'<?xml version="1.0" encoding="UTF-8"?><?adobe-xap-filters esc="CR"?>',
        b"\xff<?=\x80\x90 <% <?\n",
        b"\xff\xdb\0\x43\0" + b"<?=>@ABCDEFGHIJKLMNOPQRSTUVWXYZ".ljust(64, b"z"),
        b"BM" + bytes(52) + b"<%?<%<?&(*,.02468:<>@BDFHJLNPRTVXZ^`bdfhjlnprtvxz|~" * 10,
        b"<?xpacket end='w'?> printed by eval",
    ],
)
def test_what_only_looks_like_it_is_let_through(note: bytes) -> None:
    assert second_nature(bytes(100) + note) is None
    assert second_nature(note + bytes(100)) is None


def test_an_appended_zip_file_is_found_as_unpackers_find_it() -> None:
    image = saved(picture(), "JPEG")
    for content in (image + zipped(), image + zipped() + bytes(60_000)):
        assert zipfile.is_zipfile(io.BytesIO(content))
        assert second_nature(content) == "a ZIP file"


def test_a_refused_polyglot_is_told_what_it_is(pool: DecoderPool) -> None:
    with pytest.raises(ImageError, match="the file is also a ZIP file") as caught:
        pool.squares(seeds()["PNG"] + zipped(), [HOW])
    assert caught.value.where == "image"

"""Files that are an image and something else, and what only looks like it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from moderation.images.polyglots import second_nature
from tests.support.hostile_files import picture, saved, zipped


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

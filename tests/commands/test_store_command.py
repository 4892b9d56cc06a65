"""`moderation store`, and the store that scan, evaluate and audits share: real pictures."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from audit.commands.app import app as audit_app
from moderation.commands.app import app
from moderation.errors import StoreError
from tests.support.command_line import moderation, python

STARTER = ("--model", "starter")
COMMAND = """
import sys
from moderation.commands.app import app
try:
    app()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def pictures(objects: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of eight photographs in two folders, which are their labels."""
    folder = tmp_path_factory.mktemp("pictures")
    for kind, name in (("revolver", "handgun"), ("cup", "pass")):
        (folder / name).mkdir()
        for path in sorted((objects / kind).iterdir())[:4]:
            shutil.copy(path, folder / name)
    return folder


@pytest.fixture(scope="module")
def scanned(
    pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    """A store that a scan has filled, to be copied, and what the scan said."""
    store = tmp_path_factory.mktemp("scanned") / "store"
    done = scan(pictures, store)
    assert f"8 images: 8 embedded now, the rest from {store}\n" in done.stderr
    return store, without_times(list(map(json.loads, done.stdout.splitlines())))


def run(*words: str, code: int = 0, **given: Any) -> Any:
    """Returns the result of `moderation WORDS`, which exits with a code."""
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, words, **given)
    assert done.exit_code == code, done.output
    return done


def scan(pictures: Path, store: Path) -> Any:
    named = ("-p", "weapons", *STARTER, "--store", str(store), "--format", "jsonl")
    return run("scan", str(pictures), *named)


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "timings": None, "request_id": None} for row in rows]


@pytest.fixture
def store(scanned: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> Path:
    """A copy of the store that a scan has filled."""
    copy = tmp_path / "store"
    shutil.copytree(scanned[0], copy)
    return copy


def test_a_second_scan_says_the_same_and_loads_no_model_and_no_torch(
    pictures: Path, store: Path, scanned: tuple[Path, list[dict[str, Any]]]
) -> None:
    words = ["scan", str(pictures), "-p", "weapons", *STARTER, "--format", "jsonl"]
    done = python(COMMAND, *words, env={**os.environ, "MODERATION_STORE": str(store)})
    said = f"8 images: 0 embedded now, the rest from {store}; no model was loaded"
    assert done.stderr.splitlines()[-2:] == [said, "False"]
    assert without_times([json.loads(line) for line in done.stdout.splitlines()]) == scanned[1]


def test_evaluate_and_audit_take_what_scan_has_embedded(pictures: Path, store: Path) -> None:
    named = {"MODERATION_STORE": str(store)}
    evaluated = run("evaluate", str(pictures), "-p", "weapons", *STARTER, env=named)
    assert f"8 images; 0 embedded now, the rest from {store}" in evaluated.stderr
    words = ["embed", "-d", str(pictures), *STARTER]
    audited = CliRunner().invoke(audit_app, words, env=named)
    assert "8 images; 0 embedded now, 8 were there" in audited.stderr
    [picture, *_] = sorted(pictures.rglob("*.jpg"))
    explained = run("policy", "explain", str(picture), "-p", "weapons", *STARTER, env=named)
    assert f"1 image: 0 embedded now, the rest from {store}" in explained.stderr


def test_scan_takes_what_an_audit_has_embedded(pictures: Path, tmp_path: Path) -> None:
    named = (*STARTER, "--store", str(tmp_path / "store"))
    audited = CliRunner().invoke(audit_app, ["embed", "-d", str(pictures), *named])
    assert "8 images; 8 embedded now" in audited.stderr
    assert "8 images: 0 embedded now" in scan(pictures, tmp_path / "store").stderr


def test_no_store_keeps_nothing_and_says_nothing_of_it(pictures: Path, tmp_path: Path) -> None:
    named = {"MODERATION_STORE": str(tmp_path / "store")}
    [picture, *_] = sorted(pictures.rglob("*.jpg"))
    words = ("scan", str(picture), "-p", "weapons", *STARTER, "--no-store")
    done = run(*words, env=named)
    assert "embedded now" not in done.stderr
    assert not (tmp_path / "store").exists()


def test_a_named_store_that_cannot_be_written_is_refused(pictures: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.write_text("a file")
    done = moderation("scan", str(pictures), "-p", "weapons", *STARTER, "--store", str(store))
    assert done.returncode == 3
    assert "features cannot be kept there (it is not a folder)" in done.stderr


def test_where_the_users_own_store_cannot_be_written_scan_goes_on_without(
    pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "evenhand").write_text("a file")
    [picture, *_] = sorted(pictures.rglob("*.jpg"))
    variables = {"MODERATION_STORE": None, "XDG_CACHE_HOME": str(tmp_path), "COLUMNS": "200"}
    done = run("scan", str(picture), "-p", "weapons", *STARTER, env=variables)
    assert "1 result: 1" in done.stderr
    assert "features cannot be kept there" in done.stderr
    assert "so none are kept" in done.stderr


def test_features_that_are_damaged_end_a_scan_whatever_the_picture(
    pictures: Path, store: Path
) -> None:
    [path] = (store / "images").rglob("*.parquet")
    content = path.read_bytes()
    place = len(content) // 2  # among the features; the keys of 8 pictures take 256 bytes
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    words = ("scan", str(pictures), "-p", "weapons", *STARTER, "--store", str(store))
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, StoreError)
    assert (done.exception.where, done.stdout) == (str(path), "")
    assert done.exception.remedy == "Delete this file; its images are embedded again"


def test_info_says_what_is_kept(store: Path, tmp_path: Path) -> None:
    done = run("store", "info", "--store", str(store), "--format", "json")
    said = json.loads(done.stdout)
    assert (said["store"], said["refused"]) == (str(store), [])
    images, texts = said["spaces"]
    assert (images["kind"], images["model"], images["keys"]) == ("images", "starter", 8)
    assert (images["looking"], images["dtype"]) == ("frames=16 views=auto", "float32")
    assert images["rows"] >= images["keys"]
    assert texts["kind"] == "texts"
    assert images["size"] == sum(p.stat().st_size for p in (store / "images").rglob("*.parquet"))
    table = run("store", "info", env={"MODERATION_STORE": str(store)})
    columns = ["of", "model", "looked", "at", "number", "rows", "files", "size", "written"]
    assert table.stdout.split()[:9] == columns
    assert f"0.1 MB in {store}" in table.stderr
    nothing = run("store", "info", "--store", str(tmp_path / "nowhere"))
    assert nothing.stderr == f"nothing is in {tmp_path / 'nowhere'}\n"


def test_info_names_damaged_files_and_prune_removes_them_with_everything(store: Path) -> None:
    [path] = (store / "images").rglob("*.parquet")
    path.write_bytes(b"nonsense")
    named = ("--store", str(store))
    done = run("store", "info", *named, code=1)
    assert f"error: {path}: it is damaged" in done.stderr
    image = moderation("store", "prune", "--image", "0" * 64, "--yes", *named)
    assert image.returncode == 3
    assert str(path) in image.stderr
    for other in store.rglob("*.parquet"):
        if other != path:
            other.unlink()
    done = run("store", "prune", "--all", *named, code=1, input="n\n")
    assert f"damaged: {path}" in done.stderr
    assert path.exists()  # what is damaged alone is asked about too
    run("store", "prune", "--all", "--yes", *named)
    assert [each for each in store.rglob("*") if each.is_file()] == []


def test_prune_removes_an_image_for_good_once_it_is_asked_to(pictures: Path, store: Path) -> None:
    [picture, *_] = sorted(pictures.rglob("*.jpg"))
    key = hashlib.sha256(picture.read_bytes()).digest()
    named = ("--image", str(picture), "--store", str(store))

    def is_kept() -> bool:
        files = (store / "images").rglob("*.parquet")
        return any(key in path.read_bytes() for path in files)

    dry = run("store", "prune", *named, "--dry-run", "--format", "json")
    [removed] = json.loads(dry.stdout)["removed"]
    assert (removed["kind"], removed["keys"]) == ("images", 1)
    assert "nothing was removed: --dry-run" in dry.stderr
    run("store", "prune", *named, input="n\n", code=1)
    assert is_kept()
    run("store", "prune", *named, input="y\n")
    assert not is_kept()
    again = run("store", "prune", *named)
    assert again.stdout == ""
    assert "nothing of the kind" in again.stderr
    assert "8 images: 1 embedded now" in scan(pictures, store).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "not clear which features are meant"),
        (("--all", "--model", "starter"), "not clear which features are meant"),
        (("--image", "no-such.jpg"), "no-such.jpg is neither a file that can be read"),
        (("--older-than", "-1"), "Invalid value for '--older-than'"),
    ],
)
def test_prune_refuses_what_does_not_say_which(
    words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    done = moderation("store", "prune", *words, "--store", str(tmp_path))
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_an_age_beyond_the_calendar_is_refused(tmp_path: Path) -> None:
    words = ("store", "prune", "--older-than", "1000000", "--store", str(tmp_path))
    assert "less than or equal to 100000" in run(*words, code=2).output

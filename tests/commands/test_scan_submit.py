"""`moderation scan` and `moderation submit`: real photographs, real processes, the same rows."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from moderation.embedded_servers import EmbeddedWorker
from moderation.settings import Settings
from tests.conftest import POLICIES, ROOT, SHARED
from tests.support.command_line import is_plain, moderation, rows_of, unframed
from tests.support.policy_family import FAMILY, PARTS, comment_of, counts_said

STARTER = ("--model", "starter")
SEEN = SHARED / "data" / "seen"


@pytest.fixture
def env(settings: Settings, worker: EmbeddedWorker) -> dict[str, str]:
    """Variables that lead to a running worker."""
    return {"MODERATION_BROKER_URL": settings.broker_url.get_secret_value()}


@pytest.fixture(scope="module")
def scanned(objects: Path) -> list[dict[str, Any]]:
    """What shipped policies say of the labelled photographs."""
    policies = [word for name in ("weapons", *FAMILY) for word in ("-p", f"policies/{name}.yaml")]
    done = moderation("scan", str(objects), *policies, *STARTER, "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    return rows_of(done)


def test_scan_finds_weapons_and_leaves_everyday_objects_alone(
    scanned: list[dict[str, Any]],
) -> None:
    """The figures of the labelled photographs: 60 weapons, 75 everyday objects."""
    flagged = {"weapons": 0, "everyday": 0}
    rows = [row for row in scanned if row["policy"]["id"] == "weapons"]
    assert len(rows) == 175
    for row in rows:
        assert {"image", "flagged", "action", "policy", "labels"} <= set(row)
        name = Path(row["image"]).parent.name
        if name in ("revolver", "cannon"):
            flagged["weapons"] += row["flagged"]
        elif name not in ("dollar_bill", "Faces_easy"):
            flagged["everyday"] += row["flagged"]
    assert flagged["weapons"] >= 48
    assert flagged["everyday"] <= 3


def test_the_comments_of_shipped_policies_say_which_objects_they_flag(
    scanned: list[dict[str, Any]],
) -> None:
    for name in FAMILY:
        flagged = Counter(
            Path(row["image"]).parent.name
            for row in scanned
            if row["policy"]["id"] == name and row["flagged"]
        )
        said = f"Of 175 photographs of objects (Caltech 101) it flags {flagged.total()}"
        said += f": {counts_said(flagged)}." if flagged else "."
        assert said in comment_of(name)


def test_a_label_scores_in_the_standard_what_it_scores_in_its_own_file(
    scanned: list[dict[str, Any]],
) -> None:
    scores: dict[str, dict[tuple[str, str], float]] = {"whole": {}, "part": {}}
    for row in scanned:
        # Of several looks at an image, another one may decide for the whole than for a part.
        if row["looks"] > 1 or row["policy"]["id"] not in FAMILY:
            continue
        where = "part" if row["policy"]["id"] in PARTS else "whole"
        for label in row["labels"]:
            if label["action"] is not None:
                scores[where][row["image"], label["label"]] = label["score"]
    assert len(scores["whole"]) > 80 * 30
    # Texts are embedded in other batches, which moves the last digits.
    assert scores["whole"] == pytest.approx(scores["part"], abs=1e-5)


@pytest.mark.skipif(not SEEN.is_dir(), reason="../shared/data/seen is absent")
def test_scan_blocks_the_revolver_of_files_that_once_hid_it_or_refuses_them() -> None:
    done = moderation("scan", str(SEEN), "-p", "weapons", *STARTER, "--format", "jsonl")
    rows = {Path(row["image"]).name: row for row in rows_of(done)}
    refused = {name for name, row in rows.items() if "error" in row}
    assert refused == {"apng-damaged-middle-frame.png"}
    assert {row["action"] for name, row in rows.items() if name not in refused} == {"block"}
    assert len(rows) == 11


def test_scan_prints_every_format(photographs: list[Path]) -> None:
    paths = [str(path) for path in photographs if path.name in ("page.png", "coffee.png")]
    outputs = {
        form: moderation("scan", *paths, "-p", "document-privacy", *STARTER, "--format", form)
        for form in ("table", "json", "jsonl", "csv")
    }
    assert all(done.returncode == 0 for done in outputs.values())
    rows = json.loads(outputs["json"].stdout)
    assert [row["action"] for row in rows] == ["allow", "review"]
    stable = [{**row, "timings": None, "request_id": None} for row in rows]
    lines = rows_of(outputs["jsonl"])
    assert [{**row, "timings": None, "request_id": None} for row in lines] == stable
    table = list(csv.DictReader(io.StringIO(outputs["csv"].stdout)))
    assert [(row["action"], row["fired"]) for row in table] == [
        ("allow", ""),
        ("review", "page-of-text"),
    ]
    assert "page-of-text 0." in outputs["table"].stdout
    for done in outputs.values():
        assert "its figures are not CLIP's" in done.stderr


def test_scan_fails_on_the_action_of_fail_on(photographs: list[Path]) -> None:
    page = str(next(path for path in photographs if path.name == "page.png"))
    common = ("scan", page, "-p", "document-privacy", *STARTER)
    assert moderation(*common, "--fail-on", "block").returncode == 0
    assert moderation(*common, "--fail-on", "review").returncode == 1
    assert moderation(*common, env={"MODERATION_SCAN_FAIL_ON": "review"}).returncode == 1


def test_scan_writes_what_it_judged(photographs: list[Path], tmp_path: Path) -> None:
    paths = [str(path) for path in photographs if path.stem in ("coffee", "page", "cell")]
    options = ("-p", "document-privacy", *STARTER, "--format", "json")
    folder = tmp_path / "new" / "renditions"
    done = moderation("scan", *paths, *options, "--renditions", str(folder))
    rows = {Path(row["image"]).stem: row for row in json.loads(done.stdout)}
    assert {name: row["action"] for name, row in rows.items()} == {
        "coffee": "allow",
        "page": "review",
        "cell": "block",
    }
    written = {path.name for path in folder.iterdir()}
    assert written == {rows[name]["rendition"]["name"] for name in ("coffee", "page")}
    assert rows["cell"]["rendition"] is None
    (tmp_path / "file").touch()
    refused = moderation("scan", *paths, *options, "--renditions", str(tmp_path / "file"))
    assert refused.returncode == 2
    assert "the folder of renditions cannot be used (File exists)" in refused.stderr


def test_a_bad_image_is_reported_and_stops_no_other(
    photographs: list[Path], tmp_path: Path
) -> None:
    bad, empty = tmp_path / "bad.jpg", tmp_path / "empty.jpg"
    bad.write_bytes(b"\xff\xd8\xff not a photograph")
    empty.touch()
    paths = "\n".join(map(str, (bad, photographs[0], empty, photographs[1])))
    done = moderation("scan", "-", "-p", "weapons", *STARTER, "--format", "jsonl", stdin=paths)
    assert done.returncode == 1
    rows = rows_of(done)
    assert [row.get("error", {}).get("type") for row in rows] == [
        "ImageError",
        None,
        "ImageError",
        None,
    ]
    assert rows[0]["flagged"] is None
    assert "2 error" in done.stderr


def test_an_image_that_is_given_as_a_path_is_not_repeated_whole() -> None:
    done = moderation("scan", "-", "-p", "weapons", stdin="iVBORw0KGgo" * 10_000)
    assert done.returncode == 2
    assert "there is no file or folder iVBORw0KGgo" in unframed(done.stderr)
    assert len(done.stderr) < 2_000


#: Names that act on a terminal, look like others, or are not UTF-8, and how they are shown.
NAMES = {
    b"a\x1b[1A\x1b[2K.png": r"a\x1b[1A\x1b[2K.png",
    b"b\r\nallow\x7f.png": r"b\r\nallow\x7f.png",
    "c\u202egnp.exe".encode(): r"c\u202egnp.exe",
    b"d-caf\xe9.jfif": r"d-caf\udce9.jfif",
    b"e\\x1b.png": r"e\\x1b.png",
}


@pytest.fixture
def named(photographs: list[Path], tmp_path: Path) -> Path:
    """A folder of one photograph under all these names, and of two other files."""
    page = next(path for path in photographs if path.name == "page.png")
    for name in NAMES:
        (tmp_path / os.fsdecode(name)).write_bytes(page.read_bytes())
    (tmp_path / "notes\x1b[2K.txt").write_text("words")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    return tmp_path


def test_no_name_acts_on_a_terminal_and_each_image_gets_its_verdict(named: Path) -> None:
    words = ("scan", str(named), "-p", "document-privacy", *STARTER, "--format")
    table, lines = moderation(*words, "table"), moderation(*words, "jsonl")
    for done in (table, lines):
        assert done.returncode == 0, done.stderr
        assert is_plain(done.stdout + done.stderr)
        assert "a link to nowhere: 1 (gone.png); no image: 1 (notes\\x1b[2K.txt)" in done.stderr
    for shown in NAMES.values():
        [line] = [line for line in table.stdout.splitlines() if f"/{shown} " in line]
        assert " review " in line
    assert [os.fsencode(Path(row["image"]).name) for row in rows_of(lines)] == [*NAMES]


def test_submit_sends_images_of_any_name_and_refuses_what_no_message_can_hold(
    named: Path, env: dict[str, str]
) -> None:
    words = ("submit", "-p", "document-privacy", "--format")
    done = moderation(*words, "table", str(named), env=env)
    assert done.returncode == 0, done.stderr
    assert is_plain(done.stdout + done.stderr)
    for shown in NAMES.values():
        assert f"/{shown} " in done.stdout
    listed = "\0".join(str(named / os.fsdecode(name)) for name in NAMES if b"\xe9" not in name)
    done = moderation(*words, "jsonl", "-", env=env, stdin=listed)
    assert [row["image"] for row in rows_of(done)] == listed.split("\0")
    odd = next(str(named / os.fsdecode(name)) for name in NAMES if b"\xe9" in name)
    done = moderation(*words, "jsonl", "--send", "path", odd, env=env)
    assert done.returncode == 1
    assert "is not UTF-8" in rows_of(done)[0]["error"]["message"]


def test_submit_gives_the_rows_of_scan(env: dict[str, str], photographs: list[Path]) -> None:
    paths = [str(path) for path in photographs[:6]]
    common = ("-p", str(POLICIES / "weapons.yaml"), "--format", "jsonl")
    scanned = rows_of(moderation("scan", *paths, *common, *STARTER))
    for send in ("bytes", "path"):
        submitted = moderation("submit", *paths, *common, "--send", send, env=env)
        assert submitted.returncode == 0, submitted.stderr
        for ours, theirs in zip(rows_of(submitted), scanned, strict=True):
            assert (ours["image"], ours["action"]) == (theirs["image"], theirs["action"])
            scores = [label["score"] for label in theirs["labels"]]
            assert [label["score"] for label in ours["labels"]] == pytest.approx(scores, abs=1e-3)


def test_submit_says_which_image_was_refused_and_keeps_the_order(
    env: dict[str, str], photographs: list[Path]
) -> None:
    env["MODERATION_MAX_IMAGE_BYTES"] = "700000"
    large = next(path for path in photographs if path.stat().st_size > 700_000)
    small = next(path for path in photographs if path.stat().st_size < 700_000)
    paths = [str(ROOT / "README.md"), str(small), "http://no.example/a.jpg", str(large)]
    words = ("submit", "-", "-p", "weapons", "--format", "jsonl")
    done = moderation(*words, env=env, stdin="\n".join(paths))
    assert done.returncode == 1
    assert [row["image"] for row in rows_of(done)] == paths
    assert [row.get("error", {}).get("type") for row in rows_of(done)] == [
        "ImageError",
        None,
        "RequestError",
        "ImageError",
    ]

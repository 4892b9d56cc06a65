"""`moderation policy explain`, on photographs and with the starter encoder."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.command_line import moderation
from tests.support.pages import section

FIRST_POLICY = section("policies.md", "A first policy").blocks[0].text
PAGE = section("commands.md", "moderation policy explain")


@pytest.fixture(scope="module")
def folder(photographs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's policy, its photographs, and a store of its own."""
    made = tmp_path_factory.mktemp("explain")
    (made / "photos-only.yaml").write_text(FIRST_POLICY)
    for photograph in photographs:
        if photograph.name in ("brick.png", "chelsea.png", "page.png"):
            shutil.copy(photograph, made)
    return made


def _explain(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return moderation(
        *("policy", "explain", *words, "-p", "photos-only.yaml", "--model", "starter"),
        *("--store", str(folder / "store")),
        cwd=folder,
        env=variables,
    )


def test_the_page_shows_what_is_printed(folder: Path) -> None:
    [shown] = [each.text for each in PAGE.blocks if each.text.startswith("$ ")]
    command, *lines = shown.split("\n")
    assert command == "$ moderation policy explain brick.png -p photos-only.yaml --model starter"
    done = _explain(folder, "brick.png")
    assert done.returncode == 0, done.stderr
    assert [line.rstrip() for line in done.stdout.rstrip().split("\n")] == lines
    assert "Model: starter" in done.stderr
    assert "photos-only is unfitted" in done.stderr


def test_a_terminal_of_ascii_gets_bars_of_ascii(folder: Path) -> None:
    done = _explain(folder, "brick.png", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "0.180   ####################  review instead" in done.stdout


def _edited(folder: Path, name: str, label: str, prompt: str) -> str:
    """Writes the page's policy without a prompt of a label; returns the file's name."""
    content = yaml.safe_load(FIRST_POLICY)
    for each in content["labels"]:
        if each["id"] == label:
            each["prompts"].remove(prompt)
    (folder / name).write_text(yaml.safe_dump(content))
    return name


def _scanned(folder: Path, *words: str) -> list[dict[str, Any]]:
    done = moderation(
        *("scan", *words, "--model", "starter", "--format", "json"),
        *("--store", str(folder / "store")),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def test_json_has_the_verdict_of_a_scan_and_what_scans_of_edited_files_say(folder: Path) -> None:
    images = ["brick.png", "chelsea.png", "page.png"]
    done = _explain(folder, *images, "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for row, scanned in zip(
        found, _scanned(folder, *images, "-p", "photos-only.yaml"), strict=True
    ):
        own = set(scanned) - {"labels", "request_id", "timings"}
        assert set(row) == own | {"labels", "decided_by", "nearest_context"}
        assert {name: row[name] for name in own} == {name: scanned[name] for name in own}
        for label, said in zip(row["labels"], scanned["labels"], strict=True):
            kept = ("label", "action", "similarity", "score", "fired", "outcome", "classifier")
            assert {name: label[name] for name in kept} == {name: said[name] for name in kept}
            assert said["prompt"] == (label["prompts"][0]["text"] if label["fired"] else None)
    text = {each["text"]: each for each in found[0]["labels"][0]["prompts"]}["a page of text"]
    file = _edited(folder, "edited.yaml", "page-of-text", "a page of text")
    [edited] = _scanned(folder, "brick.png", "-p", file)
    own = edited["labels"][0]
    assert text["without"] == {
        "action": "review",
        "decided_by": "page-of-text",
        "refused": "",
        "deciding_score": own["score"],
        "score": own["score"],
    }
    assert (edited["action"], found[0]["action"]) == ("review", "block")
    assert [found[1]["decided_by"], found[2]["decided_by"]] == [None, "page-of-text"]


def test_where_nothing_fires_the_nearest_label_is_shown_and_label_asks_for_others(
    folder: Path,
) -> None:
    shown = _explain(folder, "chelsea.png").stdout
    assert shown.startswith("chelsea.png: allow, no label asks for more\n")
    assert "No label fired. The nearest to its threshold:\n\npage-of-text (block)" in shown
    assert "review from 0.5: " in shown
    assert "The nearest context label:\n\nperson (context)" in shown
    assert "Without any one prompt or look-alike the decision is the same." in shown
    asked = _explain(folder, "chelsea.png", "--label", "animal").stdout
    assert "animal (context)" in asked
    assert "page-of-text (" not in asked
    unknown = _explain(folder, "chelsea.png", "--label", "persson")
    assert unknown.returncode == 2
    assert "photos-only has no label persson" in unknown.stderr
    assert "page-of-text, person, animal, object" in unknown.stderr


def test_a_bad_image_is_named_and_stops_no_other(folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad\x1b.png"
    bad.write_bytes(b"no image")
    done = _explain(folder, str(bad), "brick.png")
    assert done.returncode == 1
    assert r"bad\x1b.png: " in done.stdout
    assert "this is not an image" in done.stdout
    assert "brick.png: block" in done.stdout
    rows = json.loads(_explain(folder, str(bad), "brick.png", "--format", "json").stdout)
    assert [row["action"] for row in rows] == [None, "block"]
    assert rows[0]["error"]["type"] == "ImageError"

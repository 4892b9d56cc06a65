"""`moderation policy diff`: what an edit changes, in words, on pictures, and on the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.flips.flips import (
    EstimatedShare,
    Flip,
    Flips,
    GroupFlips,
    LabelChange,
    action_matrix,
)
from moderation.commands.policy.flips_output import flips_json, markdown_flips, print_flips
from moderation.decision_log.decisions import WantedDecisions, find_decisions
from moderation.decision_log.log import DecisionLog, open_log
from moderation.settings import load_settings
from tests.conftest import POLICIES
from tests.support.command_line import moderation
from tests.support.decision_samples import OTHER, decide_one
from tests.support.git_repository import commit_all, make_repository
from tests.support.pages import DOCS, block, section
from tests.support.policy_texts import VALID

EDITED = VALID.replace("0.8", "0.7").replace("a pistol", "a *pistol* <b>")


def test_words_are_printed_in_every_format(tmp_path: Path) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(VALID)
    new.write_text(EDITED)
    done = moderation("policy", "diff", str(old), str(new))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"small: version 1 ({old}) -> version 1 ({new})",
        "gun: prompt removed: 'a pistol'",
        "gun: prompt added: 'a *pistol* <b>'",
        "gun: threshold 0.8 -> 0.7 (stricter)",
        "The version is 1 in both: raise it, so that verdicts tell them.",
    ]
    found = json.loads(moderation("policy", "diff", str(old), str(new), "--format", "json").stdout)
    assert [change["kind"] for change in found["changes"]] == [
        *("prompt-removed", "prompt-added", "threshold"),
    ]
    assert found["changes"][2]["after"] == 0.7
    marked = moderation("policy", "diff", str(old), str(new), "--format", "markdown").stdout
    assert "- gun: prompt added: 'a \\*pistol\\* &lt;b&gt;'" in marked


def test_a_git_revision_of_either_side_is_read(tmp_path: Path) -> None:
    make_repository(tmp_path)
    file = tmp_path / "my.yaml"
    file.write_text(VALID)
    commit_all(tmp_path)
    file.write_text(EDITED)
    for old, new in (("HEAD:", "my.yaml"), ("HEAD:my.yaml", "my.yaml"), ("my.yaml", "HEAD:")):
        done = moderation("policy", "diff", old, new, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert ("0.8 -> 0.7 (stricter)" in done.stdout) == (new == "my.yaml")
        assert ("0.7 -> 0.8 (more lenient)" in done.stdout) == (new == "HEAD:")
    missing = moderation("policy", "diff", "HEAD:other.yaml", "my.yaml", cwd=tmp_path)
    assert missing.returncode == 2
    assert "there is no file 'other.yaml' at HEAD" in missing.stderr


def test_the_page_shows_what_is_printed(tmp_path: Path) -> None:
    make_repository(tmp_path)
    file = tmp_path / "photos-only.yaml"
    [example] = section("policies.md", "A first policy").blocks[:1]
    text = example.text
    file.write_text(text)
    commit_all(tmp_path)
    edited = text.replace("version: 1\ntitle", "version: 2\ntitle").replace("0.8,", "0.85,")
    label = '- {id: surface, prompts: ["a brick wall", "a pattern"]}'
    assert label in (DOCS / "policies.md").read_text()
    file.write_text(f"{edited.rstrip()}\n  {label}\n")
    shown = block("policies.md", "$ moderation policy diff HEAD: photos-only.yaml")
    done = moderation("policy", "diff", "HEAD:", "photos-only.yaml", cwd=tmp_path)
    assert done.stdout.splitlines() == shown.splitlines()[1:]


@pytest.fixture
def log(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DecisionLog]:
    monkeypatch.setenv("MODERATION_DATABASE_URL", database_url)
    with open_log(load_settings()) as opened:
        yield opened


def test_the_log_says_what_an_edit_would_have_changed(log: DecisionLog, tmp_path: Path) -> None:
    for number in range(30):
        decide_one(log, f"r{number}", image=f"image {number}", seed=number)
    decide_one(log, "other", image="other", policy=OTHER)
    rows = list(find_decisions(log.database, WantedDecisions(policy="weapons")))
    new = tmp_path / "new.yaml"
    text = (POLICIES / "weapons.yaml").read_text()
    new.write_text(text.replace(" threshold: 0.75", " threshold: 1.0"))
    done = moderation("policy", "diff", "weapons", str(new), "--log", "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["flips"]

    before = {row.image_sha256: row.action for row in rows}
    blocked = {image for image, action in before.items() if action == "block"}
    assert 0 < len(blocked) < 30
    assert found["n"] == 30
    assert {flip["image"] for flip in found["flips"]} == blocked
    assert all((flip["before"], flip["after"]) == ("block", "review") for flip in found["flips"])
    assert found["matrix"]["block"] == {"allow": 0, "review": len(blocked), "block": 0}
    changed = found["flips"][0]["labels"][0]
    assert (changed["before"], changed["after"]) == ("block", "review")
    assert changed["score_before"] == changed["score_after"] >= 0.75
    assert set(found["by_label"]) <= {"handgun", "long-gun"}

    failing = moderation("policy", "diff", "weapons", str(new), "--log", "--fail-on", "milder")
    assert failing.returncode == 1
    assert f"{len(blocked)} of 30 pictures" in failing.stdout
    assert "another action: 0 a stricter one" in failing.stdout
    assert "30 images of the log, each by its newest decision" in failing.stderr
    stricter = moderation("policy", "diff", "weapons", str(new), "--log", "--fail-on", "stricter")
    assert stricter.returncode == 0, stricter.stderr
    late = ("--since", "2100-01-01", "--format", "markdown")
    marked = moderation("policy", "diff", "weapons", str(new), "--log", *late).stdout
    assert "**No action changes, of 0 pictures.**" in marked
    assert "| block | 0 | 0 | 0 |" in marked


def test_new_texts_cannot_be_decided_on_by_the_log_alone(log: DecisionLog, tmp_path: Path) -> None:
    decide_one(log)
    new = tmp_path / "new.yaml"
    text = (POLICIES / "weapons.yaml").read_text()
    new.write_text(text.replace('"a pistol"', '"a derringer"'))
    looking = {"MODERATION_FRAMES": "1", "MODERATION_VIEWS": "1"}
    words = ("policy", "diff", "weapons", str(new), "--log", "--store", str(tmp_path))
    done = moderation(*words, env=looking)
    assert done.returncode == 0, done.stderr
    assert "1 not decided again: version 1 of the policy decided: it had not" in done.stderr
    assert "its features are not in the embedding store" in done.stderr
    assert "No action changes, of 0 pictures." in done.stdout


def test_options_of_the_log_need_it() -> None:
    for words in (("--fail-on", "flip"), ("--since", "2026-11-01")):
        done = moderation("policy", "diff", "weapons", "weapons", *words)
        assert done.returncode == 2
        assert "--log" in done.stderr
    done = moderation("policy", "diff", "weapons", "weapons", "--fail-on", "difference")
    assert done.returncode == 0, done.stderr


def test_flips_of_a_folder_are_those_of_two_scans(photographs: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("chelsea.png", "page.png", "rocket.jpg", "brick.png", "coffee.png"):
        [file] = [path for path in photographs if path.name == name]
        (folder / name).write_bytes(file.read_bytes())
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    text = section("policies.md", "A first policy").blocks[0].text
    old.write_text(text)
    label = '  - {id: surface, prompts: ["a brick wall", "a pattern"]}'
    new.write_text(f"{text.rstrip()}\n{label}\n".replace("threshold: 0.8", "threshold: 1.0"))

    def scanned(file: Path) -> dict[str, str]:
        words = ("-p", str(file), "--model", "starter", "--format", "jsonl")
        found = moderation("scan", str(folder), *words)
        rows = map(json.loads, found.stdout.splitlines())
        return {Path(row["image"]).name: row["action"] for row in rows if row["action"]}

    before, after = scanned(old), scanned(new)
    assert len(before) == 5
    flipped = {name: (was, after[name]) for name, was in before.items() if was != after[name]}
    assert len(flipped) >= 2
    page = tmp_path / "flips.html"
    words = ("--on", str(folder), "--model", "starter", "--format", "json", "--html", str(page))
    done = moderation("policy", "diff", str(old), str(new), *words, "--thumbnails")
    assert done.returncode == 0, done.stderr
    assert "5 images; 0 embedded now" in done.stderr
    found = json.loads(done.stdout)["flips"]
    assert {flip["image"]: (flip["before"], flip["after"]) for flip in found["flips"]} == flipped
    assert sum(sum(row.values()) for row in found["matrix"].values()) == found["n"] == 5
    [left_out] = found["left_out"]
    assert left_out["image"].endswith("broken.png")
    html = page.read_text()
    assert html.count("data:image/jpeg;base64,") == len(flipped)
    assert all(name in html for name in flipped)


def test_groups_are_printed_worst_first_and_few_pictures_are_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wide, narrow = EstimatedShare(0.5, -0.2, 0.9), EstimatedShare(0.1, 0.05, 0.15)
    undefined = EstimatedShare(float("nan"), float("nan"), float("nan"))
    groups = (
        GroupFlips("race", "a|b", 4, 2, 0, narrow, wide, wide, "too few pictures to say"),
        GroupFlips("race", "c", 400, 40, 0, narrow, narrow, narrow),
        GroupFlips("race", "d", 0, 0, 0, undefined, undefined, undefined),
    )
    change = LabelChange("gun", None, "block", 0.1, 0.9, "a gun")
    flip = Flip("a.jpg", None, "allow", "block", (change,))
    flips = Flips(
        404, action_matrix([("allow", "block")]), (flip,), groups, (), (("b.jpg", "it is damaged"),)
    )
    print_flips(flips)
    printed = capsys.readouterr()
    rows = [line for line in printed.out.splitlines() if "race: " in line]
    assert ["race: a|b" in rows[0], "race: c" in rows[1], "race: d" in rows[2]] == [True] * 3
    assert "Left out: b.jpg: it is damaged" in printed.err
    marked = "\n".join(markdown_flips(flips))
    assert "| race: a\\|b | 4 | 2 | 0 | 10\\.0 % | 50\\.0 % | \\+50.0 points" in marked
    assert "| race: d | 0 | 0 | 0 | undefined | undefined | undefined |" in marked
    assert "too few pictures to say" in marked
    assert "gun 0.100 -&gt; 0.900 'a gun'" in marked
    found = json.loads(json.dumps(flips_json(flips), allow_nan=False))
    assert [group["group"] for group in found["by_group"]] == ["a|b", "c", "d"]
    assert found["by_group"][2]["change"] == {"value": None, "low": None, "high": None}
    assert found["by_label"] == {"gun": ["a.jpg"]}


def test_one_flip_and_one_more_group_are_said_as_one() -> None:
    flip = Flip("a.jpg", None, "allow", "block", ())
    nothing = EstimatedShare(0.0, 0.0, 0.0)
    groups = [GroupFlips("race", name, 1, 1, 0, nothing, nothing, nothing) for name in "abcdef"]
    matrix = action_matrix([("allow", "block"), ("allow", "allow")])
    lines = list(markdown_flips(Flips(2, matrix, (flip,), tuple(groups))))
    assert "<summary>1 more group</summary>" in lines
    said = "**1 of 2 pictures gets another action: 1 a stricter one, 0 a milder one.**"
    assert said in lines

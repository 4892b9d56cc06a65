"""`moderation policy pin` and `policy test`: photographs as examples of policies."""

from __future__ import annotations

import hashlib
import json
import shutil
import xml.etree.ElementTree as ET
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from PIL import Image

from moderation.commands.app import app
from moderation.commands.exit_codes import WRONG_USAGE, exit_code
from moderation.policy import Example, Expectation, load_policy
from tests.support.command_line import moderation
from tests.support.onnx_files import described, mean_colours, write_onnx
from tests.support.pages import section

FIRST_POLICY = section("policies.md", "A first policy").blocks[0].text
#: What the page shows: a policy with examples, what is typed, and what comes of it.
PAGE = section("policies.md", "Examples in the file").blocks
#: Where its first example is.
LINE = FIRST_POLICY.count("\n") + 3
NAMES = ("brick.png", "chelsea.png", "page.png")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedding store that the tests of this file share."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def folder(photographs: list[Path], tmp_path: Path) -> Path:
    """A folder with the first policy of the page, and photographs beside it."""
    (tmp_path / "my.yaml").write_text(FIRST_POLICY + "\n")
    (tmp_path / "pictures").mkdir()
    for photograph in photographs:
        if photograph.name in NAMES:
            shutil.copy(photograph, tmp_path / "pictures")
    return tmp_path


class _Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def _moderation(*words: str, cwd: Path) -> _Done:
    """Returns what `moderation WORDS` does, in this process: to start many takes long."""
    out, err = StringIO(), StringIO()
    with chdir(cwd), redirect_stdout(out), redirect_stderr(err):
        code = exit_code(lambda: app(list(words)), wrong_usage=WRONG_USAGE)
    return _Done(code, out.getvalue(), err.getvalue())


def _pin(folder: Path, *words: str) -> _Done:
    return _moderation("policy", "pin", *words, "-p", "my.yaml", cwd=folder)


def _test(folder: Path, store: Path, *words: str) -> _Done:
    chosen = ("--model", "starter", *(() if "--no-store" in words else ("--store", str(store))))
    return _moderation("policy", "test", *words, *chosen, cwd=folder)


def _with_examples(folder: Path, *examples: dict[str, Any], **changes: Any) -> None:
    """Writes the first policy with examples and other changes."""
    content = yaml.safe_load(FIRST_POLICY) | {"examples": list(examples)} | changes
    (folder / "my.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def _example(image: str, action: str, label: str | None = None) -> dict[str, Any]:
    expect = {"action": action} | ({"label": label} if label else {})
    return {"image": f"pictures/{image}", "expect": expect}


def _scanned(folder: Path, store: Path, policy: str, *images: str) -> list[dict[str, Any]]:
    done = _moderation(
        *("scan", *(f"pictures/{name}" for name in images), "-p", policy, "--model", "starter"),
        *("--store", str(store), "--format", "json"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


@pytest.mark.slow
def test_pinned_pictures_are_tested_and_each_line_names_its_place(
    folder: Path, store: Path
) -> None:
    first, second = (words.split(" ")[3:] for words in PAGE[1].text.splitlines())
    done = _moderation("policy", "pin", *first, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    pinned = f"my.yaml:{LINE}:5: pinned: pictures/page.png, expects block by page-of-text\n"
    assert done.stdout == pinned
    done = _moderation("policy", "pin", *second, cwd=folder)
    assert done.stdout.count(": pinned: ") == 2
    assert (folder / "my.yaml").read_text() == f"{FIRST_POLICY}\n{PAGE[2].text}\n"
    done = _test(folder, store, "my.yaml", "--junit", "report.xml")
    assert done.returncode == 1
    label = FIRST_POLICY[: FIRST_POLICY.index("page-of-text")].count("\n") + 1
    assert PAGE[3].text == f"$ moderation policy test my.yaml --model starter\n{done.stdout[:-1]}"
    assert f"my.yaml:{LINE}:5: passed: pictures/page.png: block by page-of-text" in done.stdout
    assert "3 passed, 1 failed. Model: starter" in done.stderr
    _check_report(folder / "report.xml", label)
    # The author gives in, and the second test loads no model.
    done = _pin(folder, "pictures/brick.png", "--expect", "block", "--replace")
    assert done.stdout == (f"my.yaml:{LINE + 2}:5: replaced: pictures/brick.png, expects block\n")
    words = ("policy", "test", "--store", str(store), "--model", "starter")
    again = moderation(*words, cwd=folder)
    assert again.returncode == 0, again.stdout
    assert "0 embedded now" in again.stderr
    assert "no model was loaded" in again.stderr


def _check_report(report: Path, label: int) -> None:
    root = ET.parse(report).getroot()
    counts = {"tests": "4", "failures": "1", "errors": "0"}
    assert (root.tag, root.attrib) == ("testsuites", counts)
    [suite] = root
    own = {"name": "photos-only (my.yaml)", "time": "0", "skipped": "0"}
    assert suite.attrib == {**own, **counts}
    cases = suite.findall("testcase")
    assert [(case.get("classname"), case.get("name"), case.get("line")) for case in cases] == [
        ("photos-only.example", "pictures/page.png", str(LINE)),
        ("photos-only.example", "pictures/chelsea.png", str(LINE + 1)),
        ("photos-only.example", "pictures/brick.png", str(LINE + 2)),
        ("photos-only.steering", "without page-of-text", str(label)),
    ]
    assert {case.get("file") for case in cases} == {"my.yaml"}
    [failure] = suite.iter("failure")
    assert failure.get("message") == "expected allow, found block by page-of-text 0.839"
    assert failure.text is not None
    assert failure.text.startswith(f"my.yaml:{LINE + 2}:5: FAILED: ")


def test_an_example_is_decided_as_a_scan_decides_it_and_a_label_left_out_as_in_an_edited_file(
    folder: Path, store: Path
) -> None:
    letter = {
        "id": "letter",
        "prompts": ["a letter", "a written page"],
        "action": "review",
        "threshold": 0.4,
    }
    labels = yaml.safe_load(FIRST_POLICY)["labels"]
    examples = [
        _example("page.png", "block", "page-of-text"),
        _example("page.png", "block", "letter"),
        _example("brick.png", "block"),
        _example("chelsea.png", "allow"),
    ]
    _with_examples(folder, *examples, labels=[*labels, letter])
    done = _test(folder, store, "my.yaml", "--format", "json")
    found = json.loads(done.stdout)
    page, _, brick, cat, *steering = found["cases"]
    for case, row in zip(
        (page, brick, cat), _scanned(folder, store, "my.yaml", "page.png", *NAMES[:2]), strict=True
    ):
        assert case["found"]["action"] == row["action"]
        fired = [each for each in row["labels"] if each["label"] == case["found"]["label"]]
        assert [each["score"] for each in fired] == [case["found"]["score"]] * len(fired)
        as_expected = row["action"] == case["expected"]["action"]
        assert case["status"] == ("passed" if as_expected else "failed")
    assert [case["label"] for case in steering] == ["page-of-text", "letter"]
    # Without either label, the edited file says what the test said.
    for case, gone in zip(steering, ("page-of-text", "letter"), strict=True):
        kept = [label for label in (*labels, letter) if label["id"] != gone]
        _with_examples(folder, labels=kept)
        [row] = _scanned(folder, store, "my.yaml", "page.png")
        stayed = case["status"] == "failed"
        assert stayed == (row["action"] == "block")
    assert steering[1]["status"] == "failed"
    assert steering[1]["message"].startswith("pictures/page.png stays block by page-of-text 0.99")
    assert done.returncode == 1
    assert found["passed"] is False


def test_an_image_by_its_hash_comes_from_the_store_alone(folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "own-store"
    page = folder / "pictures" / "page.png"
    digest = hashlib.sha256(page.read_bytes()).hexdigest()
    done = _pin(folder, str(page), "--expect", "block", "--sha256")
    assert f"pinned: sha256 {digest}, expects block" in done.stdout
    shutil.copy(page, folder / "copy.png")
    done = _pin(folder, "pictures/page.png", "copy.png", "--expect", "block")
    assert "Left out, as the same bytes under another name: 1" in done.stderr
    assert f"is there already: sha256 {digest}, expects block" in done.stdout
    done = _test(folder, store, "my.yaml")
    assert done.returncode == 1
    error = f"ERROR: sha256 {digest}: the embedding store has no features of it by this model"
    assert error in done.stdout
    assert ": skipped: " not in done.stdout
    _scanned(folder, store, "my.yaml", "page.png")
    page.unlink()
    done = _test(folder, store, "my.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"passed: sha256 {digest}: block by page-of-text 0.998" in done.stdout
    assert "passed: without page-of-text: 1 example changes" in done.stdout
    assert error in _test(folder, store, "my.yaml", "--no-store").stdout


def test_what_cannot_be_run_is_an_error_and_stops_nothing_else(folder: Path, store: Path) -> None:
    (folder / "pictures" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    _with_examples(
        folder,
        _example("gone\u202e.png", "allow"),
        _example("bad.png", "allow"),
        _example("page.png", "review", "page-of-text"),
        _example("chelsea.png", "block", "page-of-text"),
    )
    done = _test(folder, store, "my.yaml", "--junit", "report.xml")
    assert done.returncode == 1
    gone, bad, page, cat, steering = done.stdout.splitlines()
    assert r"ERROR: pictures/gone\u202e.png: there is no such file" in gone
    assert "ERROR: pictures/bad.png: " in bad
    assert "FAILED: pictures/page.png: expected review by page-of-text, found block by " in page
    assert page.endswith("found block by page-of-text 0.998")
    assert "expected block by page-of-text, found allow; page-of-text has 0.368" in cat
    assert cat.endswith("and fires from 0.5")
    assert steering.endswith("skipped: without page-of-text: none of its examples passes")
    assert "2 failed, 2 errors, 1 skipped" in done.stderr
    [suites] = ET.parse(folder / "report.xml").getroot()
    assert [suites.get(name) for name in ("errors", "failures", "skipped")] == ["2", "2", "1"]
    assert [len([*suites.iter(tag)]) for tag in ("error", "failure", "skipped")] == [2, 2, 1]


def test_nothing_to_run_fails_with_the_remedy_and_loads_nothing(folder: Path, store: Path) -> None:
    done = _test(folder, store)
    assert (done.returncode, done.stdout) == (1, "")
    pin = "moderation policy pin IMAGE -p FILE --expect block"
    said = f"Without examples: photos-only. Add some: {pin}\n"
    assert done.stderr.endswith(said)
    (folder / "broken.yaml").write_text("schema_version: 1\n")
    done = _test(folder, store)
    assert done.returncode == 1
    assert "broken.yaml:1:1: the key 'id' is missing" in done.stderr


def test_pin_refuses_what_cannot_be_meant_and_leaves_the_file_alone(folder: Path) -> None:
    before = FIRST_POLICY + (
        "\nexamples:\n  - image: pictures/page.png  # ours\n    expect: {action: block}\n"
    )
    (folder / "my.yaml").write_text(before)
    (folder / "notes.txt").write_text("no image")
    (folder / "copy of page.png").write_bytes((folder / "pictures/page.png").read_bytes())
    (folder / "two\nlines.png").write_bytes((folder / "pictures/brick.png").read_bytes())
    place = f"my.yaml:{LINE}:5"
    for words, said in {
        ("copy of page.png", "--expect", "allow"): f"{place}: this image is an example already, "
        "and expects block",
        ("notes.txt", "--expect", "allow"): "notes.txt: this is not an image",
        ("two\nlines.png", "--expect", "allow"): r"two\nlines.png: this name cannot be written",
        ("pictures/brick.png", "--expect", "block", "--label", "page"): "no label page. Its acting "
        "labels are: page-of-text",
        ("pictures/brick.png", "--expect", "block", "--label", "animal"): "'animal' is a context "
        "label, which never fires",
        ("pictures/brick.png", "--expect", "allow", "--label", "page-of-text"): "where "
        "'page-of-text' fires, the action is not allow",
    }.items():
        done = _pin(folder, *words)
        assert done.returncode == 2
        assert said in done.stderr
        assert (folder / "my.yaml").read_text() == before
    done = _moderation(
        "policy", "pin", "pictures", "-p", "weapons", "--expect", "allow", cwd=folder
    )
    assert done.returncode == 2
    assert "weapons is a shipped policy, which is not edited. Copy it" in done.stderr


def test_the_labelled_photographs_become_examples_of_a_shipped_policys_copy(
    objects: Path, store: Path, tmp_path: Path
) -> None:
    text = Path("policies/weapons.yaml").read_bytes()
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "weapons.yaml").write_bytes(text)
    for name in ("revolver", "dalmatian"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for path in sorted((objects / name).iterdir())[:6]:
            shutil.copy(path, tmp_path / "pictures" / name)
    for name, words in {
        "revolver": ("--expect", "block", "--label", "handgun"),
        "dalmatian": ("--expect", "allow"),
    }.items():
        file = "policies/weapons.yaml"
        done = _moderation("policy", "pin", f"pictures/{name}", *words, "-p", file, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    written = (tmp_path / "policies" / "weapons.yaml").read_bytes()
    assert written.startswith(text + b"examples:\n")
    policy = load_policy(tmp_path / "policies" / "weapons.yaml")
    revolvers, dogs = (
        sorted((tmp_path / "pictures" / name).iterdir()) for name in ("revolver", "dalmatian")
    )
    assert policy.examples == (
        *(
            Example(
                image=f"../pictures/revolver/{path.name}",
                expect=Expectation(action="block", label="handgun"),
            )
            for path in revolvers
        ),
        *(
            Example(image=f"../pictures/dalmatian/{path.name}", expect=Expectation(action="allow"))
            for path in dogs
        ),
    )
    done = _test(tmp_path, store, "policies", "--format", "json")
    cases = json.loads(done.stdout)["cases"]
    examples = [case for case in cases if case["kind"] == "example"]
    done = _moderation(
        *("scan", "pictures/revolver", "pictures/dalmatian", "-p", "policies/weapons.yaml"),
        *("--model", "starter", "--store", str(store), "--format", "json"),
        cwd=tmp_path,
    )
    rows = json.loads(done.stdout)
    assert [case["found"]["action"] for case in examples] == [row["action"] for row in rows]
    assert "0 embedded now" in done.stderr


def test_a_label_of_a_classifier_is_left_out_too_and_doubts_stay(
    folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = write_onnx(mean_colours(), folder / "classifiers" / "colours.onnx")
    monkeypatch.setenv("MODERATION_CLASSIFIERS", str(folder / "classifiers"))
    labels = yaml.safe_load(FIRST_POLICY)["labels"]
    for colour, column in (("red", 0), ("blue", 2)):
        own: dict[str, Any] = {
            "output": {"column": column},
            "preprocessing": {"resize": 8 + column},
        }
        classifier = described(sha256, **own).model_dump(mode="json", exclude_none=True)
        Image.new("RGB", (64, 64), colour).save(folder / "pictures" / f"{colour}.png")
        wanted = {"action": "review", "threshold": 0.9, "classifier": classifier}
        labels.append({"id": colour, **wanted})
    labels[0] = {**labels[0], "threshold": 1.0, "review_threshold": 0.999}
    red = (folder / "pictures" / "red.png").read_bytes()
    (folder / "pictures" / "odd.png").write_bytes(red + b"more of it" * 500)
    _with_examples(
        folder,
        _example("red.png", "review", "red"),
        _example("odd.png", "review", "red"),
        _example("blue.png", "review", "blue"),
        labels=labels,
    )
    done = _test(folder, store, "my.yaml")
    lines = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    stays = lines.pop(3)
    assert lines == [
        "passed: pictures/red.png: review by red 1.000",
        "passed: pictures/odd.png: review by red 1.000",
        "passed: pictures/blue.png: review by blue 1.000",
        "passed: without blue: 1 example changes",
    ]
    why = "FAILED: without red: pictures/odd.png stays review for doubts about the file ("
    assert stays.startswith(why)

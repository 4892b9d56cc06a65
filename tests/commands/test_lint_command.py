"""`moderation policy lint`: its formats, exit codes, and what it reads beside the files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest

from moderation.policy.lint.registry import CODES
from tests.conftest import POLICIES, SHARED
from tests.support.command_line import moderation
from tests.support.git_repository import commit_all, make_repository
from tests.support.policy_texts import VALID

#: What SARIF 2.1.0 requires of the parts that are written.
#: Source: docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json.
SARIF = {
    "required": ["version", "runs"],
    "properties": {
        "version": {"enum": ["2.1.0"]},
        "runs": {
            "items": {
                "required": ["tool", "results"],
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "required": ["driver"],
                        "properties": {"driver": {"required": ["name", "rules"]}},
                    },
                    "results": {
                        "items": {
                            "required": ["message", "ruleId", "locations"],
                            "additionalProperties": False,
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": {"required": ["text"]},
                                "locations": {"type": "array", "minItems": 1},
                            },
                        }
                    },
                },
            }
        },
    },
}

DOUBTFUL = VALID.replace("a pistol", "a gun, not a toy")


@pytest.fixture
def doubtful(tmp_path: Path) -> Path:
    """A file with a negation and other doubtful texts, and a % and a comma in its name."""
    path = tmp_path / "50%, mine.yaml"
    path.write_text(DOUBTFUL)
    return path


@pytest.mark.slow
def test_text_and_json_name_findings_and_exit_by_their_level(doubtful: Path) -> None:
    done = moderation("policy", "lint", str(doubtful), "--ignore", "single-word")
    assert done.returncode == 0
    [line] = [line for line in done.stdout.splitlines() if "negation" in line]
    assert line.startswith(f"{doubtful}:10:24: 'not' does not take away")
    assert line.endswith("[warning: negation]")
    assert "Not checked: near-duplicate" in done.stderr
    strict = moderation("policy", "lint", str(doubtful), "--fail-on", "warning", "--format", "json")
    assert strict.returncode == 1
    found = json.loads(strict.stdout)
    assert found["valid"] is True
    [negation] = [each for each in found["findings"] if each["code"] == "negation"]
    assert (negation["level"], negation["line"], negation["column"]) == ("warning", 10, 24)
    alone = [each["code"] for each in found["findings"]]
    ignored = [word for code in set(alone) for word in ("--ignore", code)]
    assert moderation("policy", "lint", str(doubtful), "--fail-on", "info", *ignored).stdout == ""


@pytest.mark.slow
def test_github_shows_findings_beside_lines(doubtful: Path) -> None:
    done = moderation("policy", "lint", doubtful.name, "--format", "github", cwd=doubtful.parent)
    [line] = [line for line in done.stdout.splitlines() if "negation" in line]
    assert line.startswith(
        "::warning file=50%25%2C mine.yaml,line=10,col=24,title=negation (docs/lint.md)::'not' does"
    )
    assert {line.partition(" ")[0] for line in done.stdout.splitlines()} == {
        "::warning",
        "::notice",
    }


@pytest.mark.slow
def test_sarif_has_what_its_schema_requires(doubtful: Path) -> None:
    broken = doubtful.with_name("broken.yaml")
    broken.write_text(VALID.replace("0.8", "1.8"))
    files = (broken.name, str(doubtful), str(POLICIES / "weapons.yaml"))
    done = moderation("policy", "lint", *files, "--format", "sarif", cwd=doubtful.parent)
    assert done.returncode == 1
    log = json.loads(done.stdout)
    jsonschema.validate(log, SARIF)
    [run] = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(CODES)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    places = {
        each["ruleId"]: (
            each["level"],
            each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            each["locations"][0]["physicalLocation"]["region"],
        )
        for each in run["results"]
    }
    assert places["invalid"] == ("error", "broken.yaml", {"startLine": 12, "startColumn": 16})
    assert places["negation"] == (
        "warning",
        "50%25%2C%20mine.yaml",
        {"startLine": 10, "startColumn": 24},
    )


@pytest.mark.slow
def test_a_code_is_explained_and_an_unknown_one_refused() -> None:
    done = moderation("policy", "lint", "--explain", "negation")
    assert done.returncode == 0
    assert done.stdout.startswith("### `negation`\n\nWarning. ")
    assert "### `verdict-word`" not in done.stdout
    unknown = moderation("policy", "lint", "weapons", "--ignore", "negatoin")
    assert (unknown.returncode, "negation, " in " ".join(unknown.stderr.split())) == (2, True)
    never = moderation("policy", "lint", "weapons", "--ignore", "invalid")
    assert (never.returncode, "refused everywhere" in never.stderr) == (2, True)


@pytest.mark.slow
def test_files_are_compared_with_their_last_commit_and_with_each_other(tmp_path: Path) -> None:
    make_repository(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(VALID)
    commit_all(tmp_path)
    path.write_text(VALID.replace("threshold: 0.5", "threshold: 0.6"))
    (tmp_path / "second.yaml").write_text(VALID)
    done = moderation("policy", "lint", str(tmp_path))
    assert f"{path}:3:10: the policy differs from its last commit" in done.stdout
    assert "Raise it to 2 [warning: version-not-raised]" in done.stdout
    assert f"is also that of {tmp_path / 'second.yaml'}" in done.stdout
    assert done.stdout.count("version-not-raised") == 1


@pytest.mark.slow
def test_cases_that_went_wrong_are_refused_or_named() -> None:
    cases = SHARED / "data" / "cases"
    if not cases.is_dir():
        pytest.skip("the cases of ../shared/data are not here")
    done = moderation("policy", "lint", str(cases), "--format", "json")
    found = json.loads(done.stdout)
    named = {Path(each["path"]).stem for each in found["findings"] if each["level"] == "error"}
    assert (done.returncode, named) == (1, {"both", "comma-flow", "curly", "doubled", "octal"})


NEAR = """\
schema_version: 1
id: near
version: 1
title: Two labels of one thing
scoring: softmax
model: starter
labels:
  - {id: pistol, prompts: ["a pistol"], action: block, threshold: 0.999}
  - {id: handgun, prompts: ["a handgun"], action: review, threshold: 0.9}
  - {id: person, prompts: ["a person", "a portrait of a person"]}
  - {id: animal, prompts: ["an animal", "a pet"]}
"""


@pytest.mark.slow
def test_texts_are_compared_once_the_store_has_them_and_thresholds_on_images(
    tmp_path: Path, objects: Path
) -> None:
    path, store = tmp_path / "near.yaml", str(tmp_path / "store")
    path.write_text(NEAR)
    words = ("policy", "lint", str(path), "--store", store)
    before = moderation(*words)
    assert "shadowed-label" not in before.stdout
    assert "shadowed-label (--embed)" in before.stderr
    embedded = moderation(*words, "--embed")
    assert f"{path}:8:27: 'pistol' and 'handgun' compete, and are nearly one to starter" in (
        embedded.stdout
    )
    assert moderation(*words).stdout == embedded.stdout  # from the store
    cups = tmp_path / "cups"
    cups.mkdir()
    for image in sorted((objects / "cup").iterdir())[:2]:
        (cups / image.name).write_bytes(image.read_bytes())
    (cups / "notes.jpg").write_text("not an image")
    reached = moderation(*words, "--on", str(cups), "--fail-on", "warning")
    assert reached.returncode == 1
    assert f"{path}:8:67: no image of pictures:cups (n = 2) makes 'pistol' reach" in reached.stdout
    assert "2 images; 2 embedded now" in reached.stderr


def test_a_file_whose_name_is_not_text_has_its_bytes_in_sarif(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.yaml")
    (tmp_path / name).write_text(VALID)
    done = moderation("policy", "lint", name, "--format", "sarif", cwd=tmp_path)
    [run] = json.loads(done.stdout)["runs"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "%FF.yaml"

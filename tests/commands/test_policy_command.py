"""`moderation policy lint | show | schema`, and what other commands say of policies."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.conftest import POLICIES, ROOT
from tests.support.command_line import moderation
from tests.support.policy_texts import VALID, policy


def test_lint_reports_all_problems_and_exits_with_1(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(VALID.replace("title:", "titel:").replace("0.8", "1.8"))
    done = moderation("policy", "lint", str(broken), str(POLICIES / "weapons.yaml"))
    assert done.returncode == 1
    assert f"{broken}:4:1: unknown key 'titel'. Did you mean 'title'?" in done.stdout
    assert f"{broken}:12:16: labels[0].threshold" in done.stdout
    assert "weapons: valid" in done.stderr
    found = json.loads(moderation("policy", "lint", str(broken), "--format", "json").stdout)
    assert found["valid"] is False
    assert {"code", "level", "path", "line", "column", "message", "remedy"} == set(
        found["findings"][0]
    )


def test_lint_reads_standard_input() -> None:
    assert moderation("policy", "lint", "-", stdin=VALID).returncode == 0
    assert "<stdin>:1:1" in moderation("policy", "lint", "-", stdin="[]").stdout


def test_policies_of_a_folder_end_in_any_case_and_other_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.YAML").write_text(VALID)
    (tmp_path / "b.Yml").write_text(VALID.replace("id: small", "id: other", 1))
    (tmp_path / "c.yaml.bak\x1b").write_text(VALID)
    (tmp_path / "more").mkdir()
    done = moderation("policy", "lint", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "small: valid" in done.stderr
    assert "other: valid" in done.stderr
    assert rf"Passed over in {tmp_path}: c.yaml.bak\x1b, more" in done.stderr


def test_show_and_schema_print_what_they_say() -> None:
    shown = json.loads(moderation("policy", "show", "weapons", "--format", "json").stdout)
    assert (shown["id"], len(shown["sha256"])) == ("weapons", 64)
    assert "a revolver" in moderation("policy", "show", "weapons").stdout
    schema = json.loads(moderation("policy", "schema").stdout)
    assert schema == json.loads((ROOT / "moderation" / "policy" / "schema.json").read_text())


def test_show_says_what_a_label_is_not_what_scores_it_and_what_others_call_it(
    tmp_path: Path,
) -> None:
    content = policy(scoring="contrast").content
    gun, knife = content["labels"][:2]
    gun["negatives"] = ["a toy gun"]
    gun["taxonomy"] = {"openai": "violence", "rekognition": "Weapons"}
    del knife["prompts"]
    knife["classifier"] = {
        "file": "knives.onnx",
        "sha256": "ab" * 32,
        "output": {"column": 1},
        "preprocessing": {"resize": 224, "crop": [224, 224]},
    }
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(content))
    shown = " ".join(moderation("policy", "show", str(file)).stdout.split())
    for said in ("a gun; a pistol; not a toy gun", "classifier knives.onnx, output 1",
                 "label OpenAI Rekognition DSA gun violence Weapons"):  # fmt: skip
        assert said in shown
    done = moderation("policy", "lint", str(file), "--model", "starter")
    assert (done.returncode, "unfitted: the file does not say" in done.stderr) == (0, True)
    assert "unfitted" not in moderation("policy", "lint", "weapons", "--model", "starter").stderr
    other = moderation("policy", "lint", "weapons", "--model", "some/clip")
    assert "set with starter, and some/clip decides" in " ".join(other.stderr.split())


def test_two_versions_of_one_policy_are_refused_with_how_to_compare_them(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / f"{name}.yaml").write_text(VALID)
    policies = ("-p", str(tmp_path / "old.yaml"), "-p", str(tmp_path / "new.yaml"))
    done = moderation("scan", "README.md", *policies)
    assert done.returncode == 1
    assert f"is also that of {tmp_path / 'old.yaml'}" in done.stderr
    assert "`audit compare OLD NEW`" in done.stderr

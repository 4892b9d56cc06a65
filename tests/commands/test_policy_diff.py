"""`moderation policy diff`: what an edit changes, in words, on pictures, and on the log."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.command_line import moderation
from tests.support.git_repository import commit_all, make_repository
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

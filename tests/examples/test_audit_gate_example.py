"""The gate for pull requests, run for real in a git repository of its own."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.conftest import POLICIES, ROOT

EXAMPLE = ROOT / "examples" / "audit_gate"
#: Images of each gender: enough for a limit of 5 %, too few for a limit on race.
EACH = 120
LABELS = ("face", "headwear")

GENDER_ONLY = """
schema_version: 1
sensitive_features: [gender]
worst_group_rate: 0.05
regression: 0.05
"""


def shipped() -> str:
    return (POLICIES / "document-privacy.yaml").read_text(encoding="utf-8")


def without_labels() -> str:
    """Returns the shipped policy before it got its labels for faces."""
    policy = yaml.safe_load(shipped())
    policy["labels"] = [label for label in policy["labels"] if label["id"] not in LABELS]
    return yaml.safe_dump(policy)


@pytest.fixture(scope="module")
def dataset(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of the first faces of each gender."""
    folder = tmp_path_factory.mktemp("faces")
    (folder / "images").symlink_to(faces / "images")
    with (faces / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    taken: Counter[str] = Counter()
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        for row in rows:
            taken[row["gender"]] += 1
            if taken[row["gender"]] <= EACH:
                writer.writerow(row)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


class Repository(NamedTuple):
    """A git repository with the gate in it, and the variables that the gate goes by."""

    folder: Path
    environment: dict[str, str]

    def git(self, *words: str) -> None:
        who = ("-c", "user.name=Author", "-c", "user.email=author@example.com")
        command = ["git", *who, *words]
        subprocess.run(
            command, cwd=self.folder, env=self.environment, check=True, capture_output=True
        )

    def write(self, **policies: str) -> None:
        for name, text in policies.items():
            (self.folder / "policies" / f"{name}.yaml").write_text(text, encoding="utf-8")
        self.git("add", "--all")

    def gate(self, limits: str | None = GENDER_ONLY, base: str = "main") -> tuple[int, str]:
        """Returns the exit code of the gate against a base, and its summary."""
        environment = dict(self.environment)
        if limits is not None:
            file = self.folder.parent / "limits.yaml"
            file.write_text(limits, encoding="utf-8")
            environment["AUDIT_GATE_LIMITS"] = str(file)
        summary = self.folder.parent / "answer.md"
        command = [str(self.folder / ".github/audit/gate.sh"), base, str(summary)]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True
        )
        return done.returncode, summary.read_text(encoding="utf-8")


@pytest.fixture
def repository(tmp_path: Path, dataset: Path, store: Path) -> Repository:
    """A repository whose branch main holds one policy, and where the branch edit is checked out."""
    folder = tmp_path / "repository"
    (folder / "policies" / "variants").mkdir(parents=True)
    (folder / ".github" / "audit").mkdir(parents=True)
    for name in ("gate.sh", "limits.yaml"):
        shutil.copy(EXAMPLE / name, folder / ".github" / "audit" / name)
    own = {name: text for name, text in os.environ.items() if not name.startswith("AUDIT_")}
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {"AUDIT_MODEL": "starter", "AUDIT_GATE_DATASET": str(dataset)}
    variables |= {"AUDIT_GATE_STORE": str(store), "GIT_CONFIG_GLOBAL": os.devnull, "PATH": programs}
    made = Repository(folder, own | variables)
    made.git("init", "--quiet", "--initial-branch=main")
    made.write(privacy=without_labels())
    made.git("commit", "--quiet", "-m", "A policy")
    made.git("switch", "--quiet", "--create", "edit")
    return made


def test_an_edit_that_keeps_to_the_limits_passes(repository: Repository) -> None:
    repository.write(privacy=shipped())
    code, summary = repository.gate()
    assert (code, summary.splitlines()[0]) == (0, "<!-- audit-gate -->")
    assert "## policies/privacy.yaml" in summary
    assert "### Pass" in summary
    assert "| **pass** | rise of any group over the baseline, at most | gender |" in summary


def test_an_edit_that_breaks_a_limit_fails_also_beside_one_that_passes(
    repository: Repository,
) -> None:
    repository.write(privacy=shipped(), other=without_labels())
    repository.git("commit", "--quiet", "-m", "A second policy, and a better first one")
    code, summary = repository.gate()
    assert code == 1
    assert summary.index("### Fail") < summary.index("### Pass")
    assert "New, so it is its own baseline" in summary
    assert repository.gate(base="HEAD^1") == (code, summary)


def test_too_little_data_is_no_pass(repository: Repository) -> None:
    repository.write(privacy=shipped())
    code, summary = repository.gate(limits=None)
    assert code == 4
    assert "### Insufficient data" in summary
    assert "too few images of Black" in summary


def test_a_policy_that_is_refused_has_no_answer_and_fails(repository: Repository) -> None:
    repository.write(privacy="schema_version: 1\n")
    code, summary = repository.gate()
    assert code == 1
    assert "### No answer: exit code 1" in summary
    assert "    policies/privacy.yaml:1:1: the key 'id' is missing" in summary


def test_a_gate_that_cannot_answer_is_worse_than_one_that_fails(repository: Repository) -> None:
    repository.write(privacy=shipped())
    code, summary = repository.gate(limits="schema_version: 1\n")
    assert code == 2
    assert "the key 'sensitive_features' is missing" in summary


def test_a_renamed_policy_is_held_against_its_old_name(repository: Repository) -> None:
    repository.git("mv", "policies/privacy.yaml", "policies/documents.yaml")
    code, summary = repository.gate(GENDER_ONLY.replace("worst_group_rate: 0.05\n", ""))
    assert code == 0
    assert "## policies/documents.yaml" in summary
    assert "New, so it is" not in summary


def test_removed_policies_and_label_sets_for_audits_are_not_held(repository: Repository) -> None:
    repository.git("mv", "policies/privacy.yaml", "policies/variants/privacy.yaml")
    code, summary = repository.gate()
    assert (code, summary.splitlines()[-1]) == (0, "No policy changed.")


# The workflow


def workflow() -> Any:
    return yaml.safe_load((EXAMPLE / "audit-gate.yml").read_text(encoding="utf-8"))


def steps() -> list[dict[str, Any]]:
    [job] = workflow()["jobs"].values()
    return list(job["steps"])


def test_the_workflow_runs_the_gate_on_pull_requests_that_touch_policies() -> None:
    assert workflow()[True] == {"pull_request": {"paths": ["policies/**"]}}  # YAML reads on as true
    assert ".github/audit/gate.sh HEAD^1 audit-gate.md" in [step.get("run") for step in steps()]
    [checkout] = [s for s in steps() if s.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["fetch-depth"] == 2


def test_the_workflow_uses_no_other_actions() -> None:
    used = {step["uses"].split("@")[0] for step in steps() if "uses" in step}
    ours = {"actions/checkout", "actions/setup-python"}
    assert used == ours | {"actions/cache/restore", "actions/cache/save"}


def test_no_step_hides_that_the_gate_fails() -> None:
    text = (EXAMPLE / "audit-gate.yml").read_text(encoding="utf-8")
    assert "continue-on-error" not in text
    assert "${{" not in "".join(step.get("run", "") for step in steps())


@pytest.mark.parametrize(("known", "method"), [("", "POST"), ("17\n42", "PATCH")])
def test_the_workflow_posts_one_comment_and_replaces_it(
    tmp_path: Path, known: str, method: str
) -> None:
    [comment] = [step for step in steps() if step.get("name") == "Comment"]
    (tmp_path / "audit-gate.md").write_text("<!-- audit-gate -->\n", encoding="utf-8")
    gh = tmp_path / "gh"
    listing = f'*--paginate*) printf "%s" "{known}" ;;'
    gh.write_text(f'#!/bin/sh\ncase "$*" in {listing} *) echo "$*" >> said ;; esac\n')
    gh.chmod(0o755)
    programs = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    variables = {"PATH": programs, "GITHUB_REPOSITORY": "one/two", "NUMBER": "7"}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", comment["run"]]
    subprocess.run(command, cwd=tmp_path, env=variables, check=True)
    place = "comments/42" if known else "7/comments"
    assert (tmp_path / "said").read_text().split() == [
        *("api", "--silent", "--method", method, f"repos/one/two/issues/{place}"),
        *("--field", "body=@comment.md"),
    ]

"""Policies as git keeps them: of which revision, of which path, and what is said without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from moderation.errors import PolicyError, RequestError
from moderation.policy import load_policy
from moderation.policy.revision import (
    Revision,
    load_policy_or_revision,
    named_revision,
    text_at_revision,
)
from tests.support.git_repository import commit_all, git, make_repository
from tests.support.policy_texts import VALID

OLD, MIDDLE, NEW = (VALID.replace("\nversion: 1", f"\nversion: {n}").encode() for n in (7, 8, 9))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose policies/my.yaml has the versions 7 and 8 in commits and 9 in its file."""
    folder = tmp_path / "repository"
    make_repository(folder)
    file = folder / "policies" / "my.yaml"
    file.parent.mkdir()
    for content in (OLD, MIDDLE):
        file.write_bytes(content)
        commit_all(folder)
    git(folder, "tag", "--annotate", "v8", "--message", "Version 8")
    file.write_bytes(NEW)
    return folder


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("HEAD:policies/my.yaml", 8),
        ("main~1:policies/my.yaml", 7),
        ("HEAD~1:./policies/my.yaml", 7),
        ("v8:policies/my.yaml", 8),
        ("HEAD:", 8),
        ("HEAD~1:", 7),
        ("policies/my.yaml", 9),
    ],
)
def test_a_revision_names_the_policy_of_then(
    repository: Path, monkeypatch: pytest.MonkeyPatch, name: str, version: int
) -> None:
    monkeypatch.chdir(repository)
    assert load_policy_or_revision(name, Path("policies/my.yaml")).version == version


def test_the_new_file_names_the_repository_from_outside_of_one(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "of-a-hook"))
    new = repository / "policies" / "my.yaml"
    assert load_policy_or_revision("HEAD:policies/my.yaml", new).version == 8
    assert load_policy_or_revision("HEAD~1:", new).version == 7


def test_a_shipped_name_and_a_file_with_a_colon_are_no_revisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a:b.yaml").write_text(VALID)
    assert named_revision("weapons") is None
    assert named_revision("a:b.yaml") is None
    assert named_revision("a:c.yaml") == Revision("a", "c.yaml")
    assert load_policy_or_revision("weapons", Path()).id == "weapons"


def test_problems_of_an_older_policy_name_the_revision(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    file = Path("policies/my.yaml")
    file.write_text(VALID.replace("title:", "titel:"))
    commit_all(repository)
    file.write_text(VALID)
    with pytest.raises(PolicyError) as caught:
        load_policy_or_revision("HEAD:", file)
    assert "HEAD:policies/my.yaml:4:1: unknown key" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message", "remedy"),
    [
        ("HEAD:policies/other.yaml", "there is no file 'policies/other.yaml' at HEAD", "ls-tree"),
        ("HEAD:policies", "there is no file 'policies' at HEAD", "ls-tree"),
        ("HEAD~9:policies/my.yaml", "git does not know the revision 'HEAD~9'", "git log"),
        ("--help:policies/my.yaml", "git does not know the revision '--help'", "git log"),
        ("-p:", "git does not know the revision '-p'", "git log"),
        ("HEAD\nHEAD:policies/my.yaml", "a git revision is one line", "line ends"),
    ],
)
def test_what_git_does_not_have_is_said(
    repository: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str, remedy: str
) -> None:
    monkeypatch.chdir(repository)
    with pytest.raises(RequestError, match=message) as caught:
        load_policy_or_revision(name, Path("policies/my.yaml"))
    assert remedy in caught.value.remedy


def test_a_folder_without_a_repository_and_a_machine_without_git_are_said(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    file = tmp_path / "my.yaml"
    file.write_text(VALID)
    with pytest.raises(RequestError, match="is in no git repository"):
        load_policy_or_revision("HEAD:", file)
    assert text_at_revision(file, "HEAD") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequestError, match="the program git is not there"):
        load_policy_or_revision("HEAD:", file)
    assert text_at_revision(repository / "policies" / "my.yaml", "HEAD") is None


def test_text_at_a_revision_is_that_of_then_or_none(repository: Path) -> None:
    file = repository / "policies" / "my.yaml"
    assert text_at_revision(file, "HEAD") == MIDDLE
    assert text_at_revision(file, "HEAD~1") == OLD
    assert text_at_revision(file.with_name("new.yaml"), "HEAD") is None
    link = repository / "link.yaml"
    link.symlink_to(file)
    assert text_at_revision(link, "HEAD") == MIDDLE
    assert load_policy(link).version == 9


def test_a_repository_without_a_commit_has_no_older_text(tmp_path: Path) -> None:
    make_repository(tmp_path)
    file = tmp_path / "my.yaml"
    file.write_text(VALID)
    assert text_at_revision(file, "HEAD") is None


@pytest.mark.parametrize("path", ["\udcff.yaml", "a" * 5000])
def test_a_name_that_no_text_or_no_file_has_is_not_found(repository: Path, path: str) -> None:
    beside = repository / "policies" / "my.yaml"
    with pytest.raises(RequestError, match="there is no file"):
        load_policy_or_revision(f"HEAD:{path}", beside)
    assert text_at_revision(beside.with_name(path), "HEAD") is None

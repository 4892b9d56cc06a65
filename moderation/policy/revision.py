"""A policy as git keeps it: `HEAD:policies/weapons.yaml`, and what a file was at a revision.

The program `git` is asked for one blob, by its standard input: so no name is read as an option, and
no hook, filter, pager or text conversion of the repository runs.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from moderation.errors import RequestError
from moderation.policy.files import find_policy, load_policy, parse_policy
from moderation.policy.schema import Policy

_SECONDS = 20.0
#: What a hook of git sets for its own repository, which need not be that of the file.
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
#: No question on the terminal, no lock, nothing from the network, and words that are known.
_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "LC_ALL": "C",
}


class Revision(NamedTuple):
    """A file at a revision, as git writes it: `revision:path`; without a path, of another file."""

    revision: str
    path: str

    def __str__(self) -> str:
        return f"{self.revision}:{self.path}"


def named_revision(name: str) -> Revision | None:
    """Returns the revision that a name stands for; None where it is that of a file or policy."""
    revision, colon, path = name.partition(":")
    if not colon or not revision or _is_there(find_policy(name)):
        return None
    return Revision(revision, path)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long for a name of a file
        return False


def load_policy_or_revision(name: str, beside: Path, *, model: str | None = None) -> Policy:
    """Returns the policy of a file, of a shipped policy's name, or of a git revision.

    Args:
        name: such as `my.yaml`, `weapons`, `HEAD:policies/weapons.yaml` (from the top of the
            repository), `main~3:./my.yaml` (from this folder), or `HEAD:`, which is the file
            `beside` at that revision.
        beside: the file that it is compared with.
        model: as in `parse_policy`.

    Raises:
        PolicyError: with everything that is wrong in it.
        RequestError: git does not have it, or is not there.
    """
    if (wanted := named_revision(name)) is None:
        return load_policy(find_policy(name), model=model)
    if not wanted.path:
        content, wanted = _content_of_file(beside, wanted.revision)
    elif _is_in_repository(Path()):
        content = _content(Path(), wanted)
    else:
        content = _content(beside.resolve().parent, wanted)
    return parse_policy(content, str(wanted), model=model)


def text_at_revision(path: Path, revision: str) -> bytes | None:
    """Returns what a file was at a revision, such as HEAD; None where git has nothing to say of it.

    That is so where the file is not in the revision or in no repository, and where git is missing
    or refuses.
    """
    try:
        return _content_of_file(path, revision)[0]
    except RequestError:
        return None


def _content_of_file(path: Path, revision: str) -> tuple[bytes, Revision]:
    file = path.resolve()
    content = _content(file.parent, Revision(revision, f"./{file.name}"))
    return content, Revision(revision, str(path))


def _is_in_repository(folder: Path) -> bool:
    return _run_git(folder, ["rev-parse", "--git-dir"]).returncode == 0


def _content(folder: Path, wanted: Revision) -> bytes:
    """Returns the blob of a revision in the repository of a folder."""
    if "\n" in str(wanted):
        raise RequestError("a git revision is one line", str(wanted), "Name it without line ends")
    asked = f"{wanted.revision}^{{tree}}\n{wanted}\n".encode(errors="surrogateescape")
    answer = _run_git(folder, ["cat-file", "--batch"], asked)
    if answer.returncode != 0:
        raise _refusal(answer, folder, wanted)
    tree, rest = _first_object(answer.stdout)
    if tree is None:
        what = f"git does not know the revision '{wanted.revision}'"
        remedy = "Name a commit, branch or tag of this repository; `git log` lists commits"
        raise RequestError(what, str(wanted), remedy)
    found, _ = _first_object(rest)
    if found is None or found.kind != "blob":
        what = f"there is no file {wanted.path!r} at {wanted.revision}"
        remedy = (
            "Paths count from the top of the repository, and from this folder where they begin "
            f"with ./; `git ls-tree -r --name-only {wanted.revision}` lists them"
        )
        raise RequestError(what, str(wanted), remedy)
    return found.content


class _GitObject(NamedTuple):
    kind: str
    content: bytes


def _first_object(answer: bytes) -> tuple[_GitObject | None, bytes]:
    """Returns the first object of an answer, None where git does not have it; and what follows."""
    line, _, rest = answer.partition(b"\n")
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[2].isdigit():  # "... missing", "... ambiguous"
        return None, rest
    size = int(parts[2])
    return _GitObject(parts[1].decode(), rest[:size]), rest[size + 1 :]


def _refusal(
    answer: subprocess.CompletedProcess[bytes], folder: Path, wanted: Revision
) -> RequestError:
    said = answer.stderr.decode(errors="replace").strip().partition("\n")[0]
    if "not a git repository" in said:
        what = f"{folder.resolve()} is in no git repository"
        return RequestError(what, str(wanted), "Run it in the repository, or name a file as OLD")
    remedy = "See `git status` there; of a folder that somebody else owns, `git help config`, "
    return RequestError(f"git refuses: {said}", str(wanted), f"{remedy}under safe.directory")


def _run_git(
    folder: Path, arguments: list[str], asked: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Runs git in a folder.

    Raises:
        RequestError: the program is missing, or does not end.
    """
    own = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    command = ["git", "--no-pager", "-C", str(folder), *arguments]
    try:
        return subprocess.run(
            command, input=asked, capture_output=True, timeout=_SECONDS, env={**own, **_QUIET}
        )
    except FileNotFoundError as error:
        remedy = "Install git, or name a file as OLD"
        raise RequestError("the program git is not there", "git", remedy) from error
    except subprocess.TimeoutExpired as error:
        what = f"git has given no answer within {_SECONDS:g} s"
        raise RequestError(what, "git", "See whether `git status` works here") from error

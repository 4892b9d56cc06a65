"""Policy files: YAML -> frozen `Policy`, or all problems at once, each with its place."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from moderation.errors import PolicyError, PolicyProblem
from moderation.policy.problems import record_or_problems
from moderation.policy.rules import broken_rules
from moderation.policy.schema import KIND, Policy
from moderation.policy.yaml_source import parse_yaml

#: The names of policies in a folder end so, in any case.
SUFFIXES = (".yaml", ".yml")
_SAME_ID = "Give each its own; versions of one go one at a time, or into `audit compare OLD NEW`"


def parse_policy(content: bytes, path: str, *, model: str | None = None) -> Policy:
    """Returns the policy in `content`.

    Args:
        content: the YAML text.
        path: what to call it in problems.
        model: reference of the model that will be used where the policy names none; it sets how
            long a prompt may be. None leaves prompts of such a policy unchecked.

    Raises:
        PolicyError: with every problem of the file, in the order of the file.
    """
    source = parse_yaml(content, path, KIND)
    policy = record_or_problems(source, Policy, partial(broken_rules, default_model=model))
    policy._source = source
    return policy


def load_policy(path: Path | str, *, model: str | None = None) -> Policy:
    """Returns the policy of one file; `model` as in `parse_policy`.

    Raises:
        PolicyError: the file is missing, or with everything that is wrong in it.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        remedy = (
            "Give the path of a policy file, or the name of a shipped one; for a worker, in "
            "MODERATION_POLICIES"
        )
        raise PolicyError([(str(path), 0, 0, message, remedy)]) from error
    return parse_policy(content, str(path), model=model)


def load_policies(paths: Iterable[Path | str], *, model: str | None = None) -> dict[str, Policy]:
    """Returns the policies of files and folders (their *.yaml and *.yml, in any case) by id.

    Raises:
        PolicyError: with everything that is wrong in any of them, or two with one id.
    """
    policies: dict[str, Policy] = {}
    places: dict[str, Path] = {}
    problems: list[PolicyProblem] = []
    for path in policy_files(paths):
        try:
            policy = load_policy(path, model=model)
        except PolicyError as error:
            problems += error.problems
            continue
        if policy.id in policies:
            message = f"the id '{policy.id}' is also that of {places[policy.id]}"
            problems.append(policy.problem(("id",), message, _SAME_ID))
        policies[policy.id], places[policy.id] = policy, path
    if problems:
        raise PolicyError(problems)
    return policies


def policy_files(paths: Iterable[Path | str]) -> list[Path]:
    """Returns the files of `paths`; of a folder its *.yaml and *.yml, but not of its subfolders.

    Raises:
        PolicyError: a folder holds no such file.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not inside:
            message = "there is no *.yaml or *.yml file in this folder"
            raise PolicyError([(str(path), 0, 0, message, "Name a folder that holds policies")])
        files += inside
    return files


def starter_policies() -> tuple[Path, ...]:
    """Returns the files of the shipped policies whose thresholds were set with the starter encoder.

    A trial serves these: they need nothing but captions, and mean something without a checkpoint.
    """
    names = ("community-photos", "document-privacy", "weapons")
    return tuple(shipped_policies() / f"{name}.yaml" for name in names)


def shipped_policies() -> Path:
    """Returns the folder of the policies that come with the package."""
    package = Path(__file__).parents[1]
    inside = package / "policies"
    return inside if inside.is_dir() else package.parent / "policies"


def find_policy(name: str) -> Path:
    """Returns the path that `name` stands for: a file, or otherwise the shipped policy's."""
    path, shipped = Path(name), shipped_policies() / f"{name}.yaml"
    try:
        return path if path.exists() or not shipped.is_file() else shipped
    except OSError:  # too long for a name of a file
        return path

"""Both command lines: help, variables, wrong use, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from audit.commands.app import app as audit_app
from moderation.commands.app import app as moderation_app
from moderation.commands.exit_codes import WRONG_USAGE, exit_code
from tests.support.command_line import is_plain, moderation, unframed, walk_commands

APPS = {"moderation": moderation_app, "audit": audit_app}


COMMANDS = [
    name
    for program, app in APPS.items()
    for name, _ in walk_commands(typer.main.get_command(app), program)
]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_and_its_variables(name: str) -> None:
    program, *rest = name.split()
    runner = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"})
    done = runner.invoke(
        APPS[program], [*rest, "--help"], prog_name=program, auto_envvar_prefix=program.upper()
    )
    assert done.exit_code == 0
    assert name in done.output.partition("Example")[2]
    if " --format " in done.output:
        assert "_".join((program, *rest, "format")).upper() in done.output


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("scan", "no-such.jpg", "-p", "weapons"), 2, "there is no file or folder no-such.jpg"),
        (("scan", "docs", "-p", "weapons"), 2, "no image in docs; passed over: no image: "),
        (("scan", "README.md"), 2, "Missing option '--policy'"),
        (("scan", "README.md", "-p", "wepons"), 1, "wepons: cannot be read: No such file"),
        (("scan", "README.md", "-p", "weapons", "--model", "./no"), 3, "there is no such folder"),
        (("submit", "README.md", "-p", "weapons"), 3, "Redis does not answer"),
        (("worker", "-p", "weapons"), 3, "Redis does not answer"),
        (("worker", "-p", "no-such-folder"), 1, "no-such-folder: cannot be read"),
        (("policy", "show", "no-such"), 1, "no-such: cannot be read"),
        (("model", "info", "./no"), 3, "Three ways out"),
        (("nonsense",), 2, "No such command 'nonsense'"),
    ],
)
def test_wrong_use_is_reported_in_words_with_its_exit_code(
    words: tuple[str, ...], code: int, message: str
) -> None:
    done = moderation(*words, env={"MODERATION_BROKER_URL": "redis://127.0.0.1:9/0"})
    assert done.returncode == code, done.stderr
    assert message in unframed(done.stderr)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("scan", "--x\x1b[2K"),
        ("demo", "--images", "x\x1b[2K"),
        ("x\x1b[2K",),
        ("policy", "lint", "\x1b[2K"),
    ],
)
def test_wrong_usage_repeats_no_name_that_acts(words: tuple[str, ...]) -> None:
    done = moderation(*words)
    assert done.returncode in (1, 2)
    assert r"\x1b[2K" in done.stdout + done.stderr
    assert is_plain(done.stdout + done.stderr)


@pytest.mark.parametrize(
    ("missing", "message"),
    [("sqlalchemy.orm", "evenhand[worker]"), ("pandas", "evenhand[audit]"), ("of_ours", "a fault")],
)
def test_a_package_that_is_not_installed_is_named_with_its_extra(
    missing: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    assert exit_code(fails, wrong_usage=WRONG_USAGE) == 3
    said = capsys.readouterr().err
    assert message in said
    assert ("Traceback" in said) == (missing == "of_ours")


def test_a_worker_without_policies_does_not_start(tmp_path: Path) -> None:
    done = moderation("worker", "--model", "starter", cwd=tmp_path)
    assert done.returncode == 1
    assert "policies: cannot be read: No such file or directory" in done.stderr
    assert "MODERATION_POLICIES" in done.stderr


def test_no_variable_makes_a_command_print_the_version_instead() -> None:
    done = moderation("policy", "lint", "weapons", env={"MODERATION_VERSION": "1"})
    assert "weapons: valid" in done.stderr


def test_model_info_describes_the_starter() -> None:
    facts = json.loads(moderation("model", "info", "starter", "--format", "json").stdout)
    assert (facts["feature_width"], facts["context_length"]) == (384, 256)
    assert moderation("model", "list").stdout.count("starter") >= 1

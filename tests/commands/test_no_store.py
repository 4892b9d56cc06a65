"""With `--no-store` no feature is read or kept, whatever command it is given to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from audit.commands.app import app as audits
from audit.commands.opening import open_store
from audit.commands.options import DatasetOptions
from moderation.commands.passing_store import passing_store_folder


def test_a_store_that_passes_is_removed_with_the_program() -> None:
    code = (
        "from moderation.commands.passing_store import passing_store_folder as folder\n"
        "(folder() / 'part').write_text('a feature')\n"
        "print(folder())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert Path(done.stdout.strip()).name.startswith("evenhand-")
    assert not Path(done.stdout.strip()).exists()
    assert done.stderr == ""


def test_audits_and_evaluations_leave_the_named_store_alone(tmp_path: Path) -> None:
    kept = open_store(DatasetOptions(store=tmp_path))
    assert kept.root == tmp_path
    passing = open_store(DatasetOptions(store=tmp_path, no_store=True))
    assert passing.root == passing_store_folder() != tmp_path


def test_what_fills_the_store_refuses_to_have_none(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        audits, ["embed", "--dataset", str(tmp_path), "--model", "starter", "--no-store"]
    )
    assert done.exit_code == 2
    assert "the store is what it fills" in done.output


@pytest.mark.parametrize("name", ["run", "compare", "ablate", "gate"])
def test_every_audit_takes_it(name: str) -> None:
    command = typer.main.get_command(audits)
    [found] = [each for key, each in command.commands.items() if key == name]  # type: ignore[attr-defined]
    assert "--no-store" in {option for each in found.params for option in each.opts}

"""Every extra has a program that proves it; `.ci/extras` runs each where nothing else is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Extras for this repository's own tests and examples; the whole test run needs them.
_OUR_OWN = {"dev", "docs", "examples", "test"}
_SHARED = {"__init__", "__main__", "command", "photograph", "stub_moderation"}


def test_each_extra_and_the_core_have_a_program_that_ci_runs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    proven = {"core", *project["optional-dependencies"]} - _OUR_OWN
    assert {path.stem for path in (ROOT / "tests" / "extras").glob("*.py")} - _SHARED == proven
    [line] = re.findall(r"^\.ci/extras python3 ([\w ]+)", (ROOT / ".ci/run").read_text(), re.M)
    assert set(line.split()) == proven


def test_kombus_redis_transport_finds_what_it_needs_by_our_requirements() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert any(wanted.startswith("celery[redis]") for wanted in project["dependencies"])

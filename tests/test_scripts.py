"""The scripts of a checkout, and what makes a test slow for them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from moderation.embedded_servers import EmbeddedRedis
from tests.conftest import ROOT


@pytest.mark.parametrize("script", ["check", "test", "docs"])
def test_without_an_environment_a_script_says_how_to_make_it(script: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    done = subprocess.run([tmp_path / "scripts" / script], capture_output=True, text=True)
    assert done.returncode == 2
    assert 'pip install -c constraints.txt -e ".[dev]"' in done.stderr


class Running(EmbeddedRedis):
    """A server of this file's own."""


def start() -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["true"])


@pytest.fixture
def started() -> int:
    return start().returncode


def is_slow(request: pytest.FixtureRequest) -> bool:
    return request.node.get_closest_marker("slow") is not None


def test_a_test_whose_helper_starts_a_process_is_slow(request: pytest.FixtureRequest) -> None:
    assert start().returncode == 0
    assert is_slow(request)


def test_a_test_whose_fixture_starts_a_process_is_slow(
    request: pytest.FixtureRequest, started: int
) -> None:
    assert is_slow(request)


@pytest.mark.usefixtures("started")
def test_a_test_that_names_such_a_fixture_is_slow(request: pytest.FixtureRequest) -> None:
    assert is_slow(request)


def test_a_test_with_a_server_of_its_own_kind_is_slow(request: pytest.FixtureRequest) -> None:
    assert issubclass(Running, EmbeddedRedis)
    assert is_slow(request)


def test_of_two_databases_postgresql_alone_makes_a_test_slow(
    request: pytest.FixtureRequest, database_url: str
) -> None:
    assert is_slow(request) == database_url.startswith("postgresql")


def test_a_test_that_starts_nothing_is_fast(request: pytest.FixtureRequest) -> None:
    assert not is_slow(request)

"""Models from a hub: pulled once, pinned, then used offline; each failure is explained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub_server import COMMIT, NAME, HubServer


def moderation(*words: str, hub: str, cache: Path, **env: str) -> Any:
    """Returns the finished process of `moderation WORDS` with that hub and cache."""
    return subprocess.run(
        [sys.executable, "-m", "moderation", *words],
        env={**os.environ, "HF_ENDPOINT": hub, "HF_HUB_CACHE": str(cache), **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_model_is_pulled_once_and_then_used_offline(toy_clip: Path, tmp_path: Path) -> None:
    with HubServer(toy_clip) as hub:
        pulled = moderation("model", "pull", f"{NAME}@{COMMIT}", hub=hub.url, cache=tmp_path)
        assert pulled.returncode == 0, pulled.stderr
        assert COMMIT in pulled.stderr
        assert Path(pulled.stdout.strip()).is_dir()
        asked = len(hub.asked)
        again = moderation("model", "pull", f"{NAME}@{COMMIT}", hub=hub.url, cache=tmp_path)
        assert again.returncode == 0
        assert len(hub.asked) == asked
        assert not any(path.endswith(".bin") for path in hub.asked)
    away: dict[str, Any] = {"hub": "http://127.0.0.1:9", "cache": tmp_path}
    listed = json.loads(moderation("model", "list", "--format", "json", **away).stdout)
    assert {"model": NAME, "revision": COMMIT, "here": "yes"}.items() <= listed[1].items()
    done = moderation(
        "model", "info", f"{NAME}@{COMMIT}", "--format", "json", **away, MODERATION_OFFLINE="true"
    )
    facts = json.loads(done.stdout)
    assert (facts["id"], facts["revision"]) == (NAME, COMMIT)


def test_an_unpinned_model_runs_and_says_how_to_pin_it(toy_clip: Path, tmp_path: Path) -> None:
    with HubServer(toy_clip) as hub:
        done = moderation("model", "info", NAME, hub=hub.url, cache=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{NAME}@{COMMIT}" in done.stderr


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("tests/no-such-model", "the Hub has no such model"),
        (f"{NAME}@{'f' * 40}", "the Hub has no such revision"),
    ],
)
def test_the_error_says_what_the_hub_does_not_have(
    reference: str, message: str, toy_clip: Path, tmp_path: Path
) -> None:
    with HubServer(toy_clip) as hub:
        done = moderation("model", "pull", reference, hub=hub.url, cache=tmp_path)
    assert done.returncode == 3
    assert message in done.stderr
    assert "Three ways out" in done.stderr


def test_a_checkpoint_without_safetensors_is_refused_before_it_is_fetched(
    toy_clip: Path, tmp_path: Path
) -> None:
    with HubServer(toy_clip, hidden=("model.safetensors",)) as hub:
        done = moderation("model", "pull", NAME, hub=hub.url, cache=tmp_path)
        assert not any("resolve" in path for path in hub.asked)
    assert done.returncode == 3
    assert "no *.safetensors weights" in done.stderr


def test_an_interrupted_download_is_resumed(toy_clip: Path, tmp_path: Path) -> None:
    with HubServer(toy_clip) as hub:
        first = moderation("model", "pull", f"{NAME}@{COMMIT}", hub=hub.url, cache=tmp_path)
        folder = Path(first.stdout.strip())
        (folder / "model.safetensors").unlink()
        again = moderation("model", "pull", f"{NAME}@{COMMIT}", hub=hub.url, cache=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (folder / "model.safetensors").exists()


def test_a_hub_that_is_down_is_reported_after_one_try(tmp_path: Path) -> None:
    done = moderation("model", "pull", NAME, hub="http://127.0.0.1:9", cache=tmp_path)
    assert done.returncode == 3
    assert "the Hub does not answer" in done.stderr
    assert "Retrying" not in done.stderr

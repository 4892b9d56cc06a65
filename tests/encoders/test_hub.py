"""Models from a hub: pulled once, pinned, then used offline; each failure is explained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.command_line import moderation
from tests.support.hub_server import COMMIT, NAME, HubServer

PINNED = f"{NAME}@{COMMIT}"
#: Where no hub answers.
AWAY = "http://127.0.0.1:9"


@pytest.fixture
def hub(toy_clip: Path) -> Iterator[HubServer]:
    with HubServer(toy_clip) as running:
        yield running


def model(*words: str, hub: str, cache: Path, **more: str) -> CompletedProcess[str]:
    """Returns the finished process of `moderation model WORDS` with that hub and cache."""
    variables = {"HF_ENDPOINT": hub, "HF_HUB_CACHE": str(cache), **more}
    return moderation("model", *words, env=variables)


def test_a_model_is_pulled_once_and_then_used_offline(hub: HubServer, tmp_path: Path) -> None:
    pulled = model("pull", PINNED, hub=hub.url, cache=tmp_path)
    assert pulled.returncode == 0, pulled.stderr
    assert COMMIT in pulled.stderr
    assert Path(pulled.stdout.strip()).is_dir()
    asked = len(hub.asked)
    again = model("pull", PINNED, hub=hub.url, cache=tmp_path)
    assert again.returncode == 0
    assert len(hub.asked) == asked
    assert not any(path.endswith(".bin") for path in hub.asked)
    listed = json.loads(model("list", "--format", "json", hub=AWAY, cache=tmp_path).stdout)
    assert {"model": NAME, "revision": COMMIT, "here": "yes"}.items() <= listed[1].items()
    offline = {"MODERATION_OFFLINE": "true"}
    done = model("info", PINNED, "--format", "json", hub=AWAY, cache=tmp_path, **offline)
    facts = json.loads(done.stdout)
    assert (facts["id"], facts["revision"]) == (NAME, COMMIT)


def test_an_unpinned_model_runs_and_says_how_to_pin_it(hub: HubServer, tmp_path: Path) -> None:
    done = model("info", NAME, hub=hub.url, cache=tmp_path)
    assert done.returncode == 0, done.stderr
    assert PINNED in done.stderr


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("tests/no-such-model", "the Hub has no such model"),
        (f"{NAME}@{'f' * 40}", "the Hub has no such revision"),
    ],
)
def test_the_error_says_what_the_hub_does_not_have(
    reference: str, message: str, hub: HubServer, tmp_path: Path
) -> None:
    done = model("pull", reference, hub=hub.url, cache=tmp_path)
    assert done.returncode == 3
    assert message in done.stderr
    assert "Three ways out" in done.stderr


def test_a_checkpoint_without_safetensors_is_refused_before_it_is_fetched(
    toy_clip: Path, tmp_path: Path
) -> None:
    with HubServer(toy_clip, hidden=("model.safetensors",)) as hub:
        done = model("pull", NAME, hub=hub.url, cache=tmp_path)
        assert not any("resolve" in path for path in hub.asked)
    assert done.returncode == 3
    assert "no *.safetensors weights" in done.stderr


def test_an_interrupted_download_is_resumed(hub: HubServer, tmp_path: Path) -> None:
    first = model("pull", PINNED, hub=hub.url, cache=tmp_path)
    folder = Path(first.stdout.strip())
    (folder / "model.safetensors").unlink()
    again = model("pull", PINNED, hub=hub.url, cache=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (folder / "model.safetensors").exists()


def test_a_hub_that_is_down_is_reported_after_one_try(tmp_path: Path) -> None:
    done = model("pull", NAME, hub=AWAY, cache=tmp_path)
    assert done.returncode == 3
    assert "the Hub does not answer" in done.stderr
    assert "Retrying" not in done.stderr

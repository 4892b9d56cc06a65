"""MODERATION_* variables: read, refused by name, and never shown where they are secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from moderation.errors import SettingsError
from moderation.settings import Settings, load_settings, unknown_variables


def test_the_environment_is_read_and_an_override_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODERATION_MODEL", "starter")
    monkeypatch.setenv("MODERATION_CONCURRENCY", "3")
    loaded = load_settings(concurrency=5)
    assert (loaded.model, loaded.concurrency) == ("starter", 5)
    assert load_settings(concurrency=None).concurrency == 3


def test_lists_are_split_as_their_kind_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODERATION_ALLOWED_ROOTS", "/srv/a:/srv/b/../c")
    monkeypatch.setenv("MODERATION_ALLOWED_HOSTS", "CDN.example.com, img.example.com")
    loaded = load_settings()
    assert loaded.allowed_roots == (Path("/srv/a"), Path("/srv/c"))
    assert loaded.allowed_hosts == ("cdn.example.com", "img.example.com")


def test_every_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODERATION_DTYPE", "float8")
    monkeypatch.setenv("MODERATION_BATCH_SIZE", "0")
    with pytest.raises(SettingsError, match="MODERATION_DTYPE") as caught:
        load_settings()
    assert "MODERATION_BATCH_SIZE" in str(caught.value)


@pytest.mark.parametrize("views", ["hundred", "0", "65", "1.5", ""])
def test_wrong_views_are_said_to_be_wrong_once(views: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODERATION_VIEWS", views)
    with pytest.raises(SettingsError, match="write auto, or 1 to 64") as caught:
        load_settings()
    assert str(caught.value).count("MODERATION_VIEWS") == 1


def test_nothing_is_allowed_by_default() -> None:
    loaded = load_settings()
    assert (loaded.allowed_roots, loaded.allowed_hosts, loaded.allowed_stores) == ((), (), ())


def test_a_password_is_not_shown() -> None:
    assert "sesame" not in repr(load_settings(broker_url="redis://:sesame@localhost/0"))


def test_a_misspelt_variable_is_found() -> None:
    given = ["MODERATION_MODLE", "MODERATION_MODEL", "MODERATION_SCAN_MODEL", "HOME"]
    assert unknown_variables(given, {"MODERATION_SCAN_MODEL"}) == ["MODERATION_MODLE"]


def test_a_wrong_address_to_listen_on_stops_the_start() -> None:
    with pytest.raises(SettingsError, match=r"MODERATION_METRICS_ADDRESS.*write HOST:PORT"):
        load_settings(metrics_address="localhost")


def test_settings_are_frozen_and_each_says_what_it_is() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().model = "other"  # type: ignore[misc]
    assert all(field.description for field in Settings.model_fields.values())


def test_a_broker_url_of_another_kind_is_refused() -> None:
    for url in ("localhost:6379", "amqp://localhost", "redis:/x", "redis://h:x/0", "redis://h/db"):
        with pytest.raises(SettingsError, match=r"MODERATION_BROKER_URL: .*redis://host:6379/0"):
            load_settings(broker_url=url)

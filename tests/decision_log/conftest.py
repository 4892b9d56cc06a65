"""An open decision log; each test of it runs on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from moderation.decision_log.log import DecisionLog, open_log
from moderation.settings import Settings, load_settings
from tests.support.database_servers import PostgresServer
from tests.support.decision_samples import ENDPOINTS


@pytest.fixture
def log_settings(database_url: str) -> Settings:
    return load_settings(database_url=database_url, callback_urls=",".join(ENDPOINTS))


@pytest.fixture
def log(log_settings: Settings) -> Iterator[DecisionLog]:
    with open_log(log_settings) as opened:
        yield opened


@pytest.fixture
def postgres_log(postgres: PostgresServer) -> Iterator[DecisionLog]:
    with open_log(load_settings(database_url=postgres.new_database())) as opened:
        yield opened

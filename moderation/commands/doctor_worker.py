"""What `moderation doctor` finds out about a worker's own surroundings: log, webhooks, doors."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from moderation.commands.check import Check
from moderation.commands.loopback import is_loopback
from moderation.listen_address import parse_address
from moderation.settings import Settings


def check_decision_log(name: str, settings: Settings) -> Iterator[Check]:
    """Yields whether the decision log answers and can be written by this version; changes none."""
    if find_spec("sqlalchemy") is None or find_spec("alembic") is None:
        remedy = "On a worker: pip install 'evenhand[worker]'; a web app needs none"
        yield Check(name, "warn", "sqlalchemy and alembic are not installed", remedy)
        return
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from moderation.decision_log.engine import Database
    from moderation.decision_log.location import file_of, find_database, shown
    from moderation.decision_log.migrating import MIGRATIONS, VERSION_TABLE

    url = find_database(settings)
    file = file_of(url)
    if file is not None and not file.exists():  # to open it would make it
        yield Check(name, "ok", f"{shown(url)}, not there yet; the first worker makes it")
        return
    database = Database(url, threads=1)
    try:
        with database.reading() as connection:
            options = {"version_table": VERSION_TABLE}
            there = MigrationContext.configure(connection, opts=options).get_current_revision()
    finally:
        database.close()
    script = ScriptDirectory(str(MIGRATIONS))
    known = {revision.revision for revision in script.walk_revisions()}
    yield _tables(name, shown(url), there, known, script.get_current_head())


def _tables(name: str, where: str, there: str | None, known: set[str], newest: str | None) -> Check:
    if there is None:
        return Check(name, "ok", f"{where}, empty; the first worker makes its tables")
    if there == newest:
        return Check(name, "ok", where)
    if there in known:
        remedy = "Stop all older workers first: the next one brings the tables to this version"
        return Check(name, "warn", f"{where} is of an older version ({there})", remedy)
    return Check(name, "fail", f"{where} is of a newer version ({there})", "Update evenhand here")


def check_callbacks(name: str, settings: Settings) -> Iterator[Check]:
    """Yields whether receivers of webhooks can tell ours from a stranger's."""
    urls = settings.callback_urls
    if not urls:
        yield Check(name, "ok", "no webhooks are sent")
    elif settings.callback_secrets is None:
        remedy = "Set MODERATION_CALLBACK_SECRETS: else anybody can tell a receiver anything"
        yield Check(name, "warn", "webhooks without a secret", remedy)
    elif any(url.lower().startswith("http://") for url in urls):
        remedy = "Write https:// in MODERATION_CALLBACK_URLS"
        yield Check(name, "warn", "webhooks over http can be read on the way", remedy)
    else:
        yield Check(name, "ok", f"{len(urls)} receivers, signed")


def check_doors(name: str, settings: Settings) -> Iterator[Check]:
    """Yields which doors stand wider open than they need to, inwards and outwards."""
    if "http" in settings.allowed_schemes:
        remedy = "Take http out of MODERATION_ALLOWED_SCHEMES unless a host has nothing else"
        yield Check(name, "warn", "images over http can be swapped on the way", remedy)
    if settings.allowed_networks:
        shown = ", ".join(map(str, settings.allowed_networks))
        remedy = "Name as little as there are image hosts: whoever submits can reach them"
        yield Check(name, "warn", f"URLs may lead to {shown}", remedy)
    if settings.metrics_address is None:
        return
    address = parse_address(settings.metrics_address)
    if not is_loopback(address.host):
        remedy = "Let your Prometheus alone reach it"
        yield Check("metrics", "ok", f"others than this machine reach {address}", remedy)

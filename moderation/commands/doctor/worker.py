"""What `moderation doctor` finds out about a worker's decision log, webhooks and open doors."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path

from moderation.commands.doctor.diagnosis import Diagnosis
from moderation.listen_address import Address, is_loopback, parse_address
from moderation.settings import Settings


def check_decision_log(settings: Settings) -> Iterator[Diagnosis]:
    """Yields whether the decision log answers and fits this version; changes nothing."""
    if find_spec("sqlalchemy") is None or find_spec("alembic") is None:
        remedy = "On a worker: pip install 'evenhand[worker]'; a web app needs none"
        yield Diagnosis("warn", "sqlalchemy and alembic are not installed", remedy)
        return
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from moderation.decision_log.database import Database
    from moderation.decision_log.location import file_of, find_database, refuse_remains, shown
    from moderation.decision_log.opening import MIGRATIONS, VERSION_TABLE

    url = find_database(settings)
    file = file_of(url)
    if file is not None and not file.exists():
        refuse_remains(file)
        yield Diagnosis("ok", f"{shown(url)}, not there yet; the first worker makes it")
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
    yield _tables(shown(url), there, known, script.get_current_head())


def _tables(where: str, there: str | None, known: set[str], newest: str | None) -> Diagnosis:
    if there is None:
        return Diagnosis("ok", f"{where}, empty; the first worker makes its tables")
    if there == newest:
        return Diagnosis("ok", where)
    if there in known:
        remedy = "Stop all older workers first: the next one brings the tables to this version"
        return Diagnosis("warn", f"{where} is of an older version ({there})", remedy)
    return Diagnosis("fail", f"{where} is of a newer version ({there})", "Update evenhand here")


def check_log_rights(settings: Settings) -> Iterator[Diagnosis]:
    """Yields who else may use the decision log's file, the files beside it, or its folder."""
    if find_spec("sqlalchemy") is None:  # the check of the log itself says so
        return
    from moderation.decision_log.location import file_of, find_database

    file = file_of(find_database(settings))
    if file is None or not file.exists():
        return
    paths = (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm")))
    open_to_all = [path for path in paths if _mode(path) & stat.S_IRWXO]
    if _lets_all_remove(file.parent):
        open_to_all.insert(0, file.parent)
    if not open_to_all:
        yield Diagnosis("ok", "no others on this machine have any")
        return
    shown = ", ".join(f"{path} ({_mode(path):04o})" for path in open_to_all)
    remedy = (
        f"Run chmod o-rwx {shlex.join(map(str, open_to_all))}, or keep it in a folder of its own"
    )
    yield Diagnosis("warn", f"all users of this machine may use {shown}", remedy)


def _lets_all_remove(folder: Path) -> bool:
    """Returns whether all users may remove others' files from a folder; from /tmp they may not."""
    return bool(_mode(folder) & stat.S_IWOTH and not _mode(folder) & stat.S_ISVTX)


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:  # the files beside it come and go
        return 0


def check_callbacks(settings: Settings) -> Iterator[Diagnosis]:
    """Yields whether webhooks can be sent, and whether others can read them on the way.

    Raises:
        SettingsError: a worker would not start.
    """
    if not settings.callback_urls:
        yield Diagnosis("ok", "no webhooks are sent")
        return
    if find_spec("standardwebhooks") is None:
        remedy = "On a worker: pip install 'evenhand[worker]'; a web app needs none"
        yield Diagnosis("warn", "standardwebhooks is not installed", remedy)
        return
    from moderation.worker.callbacks.receivers import Signer, read_receivers

    receivers = read_receivers(settings)
    Signer(settings)
    if overheard := sorted({one.host for one in receivers if one.is_overheard}):
        remedy = "Write https:// in MODERATION_CALLBACK_URLS, unless all of that network is yours"
        yield Diagnosis(
            "warn", f"anyone on the way can read those to {', '.join(overheard)}", remedy
        )
    else:
        yield Diagnosis("ok", f"{len(receivers)} receivers, signed")


def check_doors(settings: Settings) -> Iterator[Diagnosis]:
    """Yields which doors are open wider than they need to be, inwards and outwards."""
    if "http" in settings.allowed_schemes:
        remedy = "Take http out of MODERATION_ALLOWED_SCHEMES unless a host has nothing else"
        yield Diagnosis("warn", "images over http can be swapped on the way", remedy)
    if settings.allowed_networks:
        shown = ", ".join(map(str, settings.allowed_networks))
        remedy = "Name no more than your image hosts: whoever submits can reach them"
        yield Diagnosis("warn", f"URLs may lead to {shown}", remedy)
    if settings.metrics_address is None:
        return
    yield from _metrics(parse_address(settings.metrics_address))


def _metrics(address: Address) -> Iterator[Diagnosis]:
    """Yields who can read the metrics, where other machines can."""
    if _is_everywhere(address.host):
        remedy = "Name the one address of this machine that your Prometheus reads"
        yield Diagnosis("warn", f"{address} listens on every network", remedy, "metrics")
    elif not is_loopback(address.host):
        remedy = "Let only your Prometheus reach it"
        yield Diagnosis("ok", f"other machines reach {address}", remedy, "metrics")


def _is_everywhere(host: str) -> bool:
    """Returns whether a host stands for every network that this machine is in."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False

"""What `moderation doctor` finds out about a worker's decision log, and who may use its file."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from moderation.commands.doctor.diagnosis import Diagnosis
from moderation.settings import Settings

if TYPE_CHECKING:
    from moderation.decision_log.upgrade import TableVersions


def check_decision_log(settings: Settings) -> Iterator[Diagnosis]:
    """Yields whether the decision log answers and fits this version; changes nothing."""
    if find_spec("sqlalchemy") is None or find_spec("alembic") is None:
        remedy = "On a worker: pip install 'evenhand[worker]'; a web app needs none"
        yield Diagnosis("warn", "sqlalchemy and alembic are not installed", remedy)
        return
    from moderation.decision_log.database import Database
    from moderation.decision_log.location import (
        locate_log,
        located_file,
        refuse_remains,
        shown_location,
    )
    from moderation.decision_log.upgrade import read_table_versions

    url = locate_log(settings)
    where, file = shown_location(url), located_file(url)
    if file is not None and not file.exists():
        refuse_remains(file)
        yield Diagnosis("ok", f"{where}, not there yet; the first worker makes it")
        return
    with closing(Database(url, threads=1)) as database, database.reading() as connection:
        versions = read_table_versions(connection)
    yield _diagnose_log_tables(where, versions)


def _diagnose_log_tables(where: str, versions: TableVersions) -> Diagnosis:
    there, known, newest = versions
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
    from moderation.decision_log.location import locate_log, located_file

    file = located_file(locate_log(settings))
    if file is None or not file.exists():
        return
    paths = (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm")))
    open_to_all = [path for path in paths if _log_file_mode(path) & stat.S_IRWXO]
    # In a folder such as /tmp, with its sticky bit, nobody may remove the files of others.
    if _log_file_mode(file.parent) & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
        open_to_all.insert(0, file.parent)
    if not open_to_all:
        yield Diagnosis("ok", "no others on this machine have any")
        return
    shown = ", ".join(f"{path} ({_log_file_mode(path):04o})" for path in open_to_all)
    remedy = (
        f"Run chmod o-rwx {shlex.join(map(str, open_to_all))}, or keep it in a folder of its own"
    )
    yield Diagnosis("warn", f"all users of this machine may use {shown}", remedy)


def _log_file_mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:  # the files beside it come and go
        return 0

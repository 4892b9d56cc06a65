"""The decision log in PostgreSQL."""

from __future__ import annotations

import sys

from tests.extras.worker import answers_and_logs
from tests.support.database_servers import PostgresServer, find_programs


def main() -> None:
    """Answers an image with the log in a real server."""
    programs = find_programs()
    if programs is None:
        sys.exit("there is no PostgreSQL here; Debian's package postgresql has it")
    with PostgresServer(programs) as server:
        answers_and_logs(server.new_database())

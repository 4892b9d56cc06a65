"""`python -m moderation.worker.processes.member N`: a process of the supervisor that owns socket N.

It learns there what it is: the encoder process or one of the lines. Each loads only what it needs.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys

from moderation.worker.log_lines import configure_logging
from moderation.worker.processes.orders import (
    LineOrder,
    Order,
    receive_order,
    report_failure,
)

#: Exit codes of a process that failed, and has reported why, and of one that Ctrl-C ended.
_FAILED, _INTERRUPTED = 1, 130


def main() -> None:
    """Receives the order, and does as it says."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    try:
        order = receive_order(channel)
    except EOFError:
        sys.exit(0)
    multiprocessing.current_process().name = order.name  # as lines of the log show it
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        _count_as(order.number)
    configure_logging(order.settings)
    try:
        code = _run(order, channel)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except Exception as error:
        report_failure(channel, error)
        code = _FAILED
    sys.exit(code)


def _count_as(number: int) -> None:
    """Makes this process go on with the metrics of the one before it that had this number."""
    from prometheus_client import values

    values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]


def _run(order: Order, channel: socket.socket) -> int:
    if isinstance(order, LineOrder):
        from moderation.worker.processes.line_process import run_line_process

        return run_line_process(order, channel)
    from moderation.worker.processes.encoder_process import run_encoder_process

    return run_encoder_process(order, channel)


if __name__ == "__main__":
    main()

"""The processes of servers that tests start: where they listen, and how they end."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence

_END_SECONDS = 20.0
#: Below the ports of outgoing connections: otherwise a client that tries the port of a server that
#: is down could be given that very port, and be connected to itself.
_PORTS = range(20_000, 30_000)


def free_port() -> int:
    """Returns a port on which a server can be stopped and started again.

    Raises:
        OSError: none is free.
    """
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port of 20000 to 29999 is free")


def guarded(command: Sequence[str], at_end: str = "KILL") -> list[str]:
    """Returns the command of a process that does not outlive this program, however it ends.

    Start it from the main thread. On systems other than Linux nothing ends it.

    Args:
        command: what to run.
        at_end: the signal that the process gets when this program is gone.
    """
    setpriv = shutil.which("setpriv")  # of util-linux
    return [setpriv, "--pdeathsig", at_end, *command] if setpriv else list(command)


def end(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> None:
    """Asks a process to end, kills it if it takes too long, and waits for it."""
    process.send_signal(number)
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

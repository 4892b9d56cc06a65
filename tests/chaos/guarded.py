"""Runs a program that ends with whoever started it, also where that one is killed.

    python -I -S guarded.py SIGNAL PARENT USER COMMAND...

SIGNAL is what the program gets when its parent is gone; PARENT is the parent's process id; USER is
whom the program runs as, "" for nobody else. PostgreSQL refuses to run as root. A program of its
own, because code between fork and exec is not safe in a process with threads.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Becomes the program."""
    number, parent, user, *command = sys.argv[1:]
    if user:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":  # after the change of user, which would undo it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != int(parent):  # it has ended in between
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()

"""Runs a module as `python -m` does, with threads whose names the system shows.

    python -m benchmarks.thread_names MODULE [ARGUMENT...]

Python keeps the names of its threads to itself until 3.14. Here each writes its own into /proc when
it begins, by a hook of `threading` that is called once a thread, so that a benchmark can read what
each has cost. A thread that a library starts without Python is called as the one that started it.
"""

from __future__ import annotations

import re
import runpy
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType

#: What Linux keeps of a name.
LONGEST_NAME = 15
#: The function that a thread without a name of its own runs: Thread-7 (watch).
_FUNCTION = re.compile(r"Thread-\d+ \((\w+)\)")
_NUMBER = re.compile(r"[-_]?\d+$")


def kind_of_thread(name: str) -> str:
    """Returns a thread's name without its number, as long as Linux keeps it."""
    function = _FUNCTION.fullmatch(name)
    words = function[1] if function else name
    while (shorter := _NUMBER.sub("", words)) not in ("", words):  # ThreadPoolExecutor-1_7
        words = shorter
    return words[:LONGEST_NAME]


def _show_thread_name(_frame: FrameType, _event: str, _argument: object) -> None:
    sys.setprofile(None)
    thread = threading.current_thread()
    with suppress(OSError):  # not on Linux
        file = Path(f"/proc/self/task/{thread.native_id}/comm")
        file.write_text(kind_of_thread(thread.name))


def main() -> None:
    """Runs the module that the command line names."""
    threading.setprofile(_show_thread_name)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

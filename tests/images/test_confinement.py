"""What a process may do once it is confined; each tries it in a process of its own."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from tests.support.command_line import python

PROGRAM = """
import os, socket, subprocess, sys
from moderation.images.confinement import confine
path = sys.argv[1]
kept = open(path, "a")
confine(2_000_000_000)
for act in ({acts}):
    try:
        act()
        print("done")
    except (OSError, MemoryError) as error:
        print("refused")
"""

OPENING = """
    lambda: open(path),
    lambda: open(path + ".new", "w"),
    lambda: (kept.write("more"), kept.flush()),
    lambda: socket.socket(),
    lambda: socket.socketpair(),
    lambda: os.pipe(),
    lambda: os.memfd_create("x"),
    lambda: (os.close(0), open(path)),
    lambda: subprocess.run(["/bin/true"]),
    lambda: bytearray(3_000_000_000),
"""

LOCKED = """
    lambda: os.unlink(path),
    lambda: os.rename(path, path + ".new"),
    lambda: os.mkdir(path + ".folder"),
    lambda: os.symlink("/", path + ".link"),
    lambda: os.kill(os.getppid(), 0),
    lambda: os.execv("/bin/true", ["true"]),
"""


def _tried(acts: str, path: Path) -> list[str]:
    """Returns what became of each act of a confined process; the folder is unchanged by them."""
    path.write_text("content")
    done = python(PROGRAM.format(acts=acts), str(path), check=False)
    assert path.read_text() == "content"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    return done.stdout.split()


def test_a_confined_process_opens_writes_and_starts_nothing(tmp_path: Path) -> None:
    assert _tried(OPENING, tmp_path / "file") == ["refused"] * 10


def test_a_confined_process_changes_no_file_where_the_kernel_has_landlock(tmp_path: Path) -> None:
    version = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)
    if version < 6:
        pytest.skip(f"the kernel's Landlock is of version {version}, and signals need 6")
    assert _tried(LOCKED, tmp_path / "file") == ["refused"] * 6

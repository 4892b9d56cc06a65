"""The features of the annotated faces, which take most of a minute: computed once a run."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path


def embed_faces_once(faces: Path, shared: Path) -> Path:
    """Returns a store with the features of all faces, which other processes of a run share.

    Whoever asks first computes them. Copy the store before anything else is written into it.

    Args:
        faces: the annotated photographs.
        shared: a folder of the run, which lasts as long as it.
    """
    store = shared / "face-features"
    with (shared / "face-features.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not store.exists():
            new = shared / "face-features.new"
            shutil.rmtree(new, ignore_errors=True)  # of one that failed
            command = [sys.executable, "-m", "audit", "embed", "-d", str(faces)]
            command += ["--model", "starter", "--store", str(new)]
            done = subprocess.run(command, capture_output=True, text=True)
            assert "700 embedded now" in done.stderr, done.stderr
            new.rename(store)
    return store

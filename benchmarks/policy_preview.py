"""How long an author waits for `moderation policy diff --watch` after a save.

    python benchmarks/policy_preview.py [--pictures 10000] [--saves 10] [--json FILE] [--quick]

Setup: as many JPEG files of 224 pixels, parts of the photographs that scikit-image ships. The first
200 are embedded by the starter encoder into a store of their own. The others get features there
that lie near those, which takes seconds in place of an hour and changes no time that is measured. A
policy of 20 labels with three prompts each; each save writes one prompt that no store has seen. For
--watch the seconds are from the save to the line that says it is drawn, as somebody reads it; for a
new command they are from its start to its end, after a save of the same kind. The last difference
of both is compared: it is equal.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import program
from moderation.commands.samples import sample_photographs
from moderation.encoders.encoder import unit
from moderation.encoders.options import ModelOptions
from moderation.features import EmbeddingStore, FeatureSpace, StoredEncoder
from moderation.images.looks import DEFAULT_LOOKING

_SIDE, _SEED, _EMBEDDED = 224, 20, 200
_DRAWN = "Drawn in"
#: What the labels show; the first five act, the others are context.
_SHOWN = (
    *("revolver", "rifle", "knife", "cannon", "cigarette"),
    *("cat", "dog", "cup", "rocket", "face", "coin", "page of text", "flower", "building"),
    *("tool", "car", "plate of food", "landscape", "piece of clothing", "musical instrument"),
)


def write_pictures(folder: Path, numbers: range) -> None:
    """Writes parts of photographs of random places and sizes, none of them twice."""
    photographs = []
    for path in sample_photographs():
        with Image.open(path) as opened:
            photographs.append(opened.convert("RGB"))
    for number in numbers:
        generator = np.random.default_rng((_SEED, number))
        whole = photographs[number % len(photographs)]
        side = int(generator.integers(min(whole.size) // 3, min(whole.size)))
        left, top = (int(generator.integers(0, length - side + 1)) for length in whole.size)
        part = whole.crop((left, top, left + side, top + side)).resize((_SIDE, _SIDE))
        # Two parts of a black sky are equal, and of equal files one is left out.
        part.save(folder / f"{number:06}.jpg", quality=90, comment=f"{number}")


def fill_store(folder: Path) -> None:
    """Gives every picture without features some that lie near those of one that was embedded."""
    pictures = sorted((folder / "pictures").iterdir())
    keys = [hashlib.sha256(path.read_bytes()).hexdigest() for path in pictures]
    store = EmbeddingStore(folder / "store")
    with StoredEncoder("starter", ModelOptions(), store) as encoder:
        space = FeatureSpace.of_images(encoder.stamp, DEFAULT_LOOKING)
    with store.open(space) as features:
        known, counts = features.get(keys)
        assert np.count_nonzero(counts) == min(len(keys), _EMBEDDED)
        new = [key for key, count in zip(keys, counts, strict=True) if not count]
        generator = np.random.default_rng(_SEED)
        near = known[generator.integers(0, len(known), len(new))]
        noise = generator.normal(0, 0.01, near.shape).astype(np.float32)
        features.add(new, unit(near + noise))


def write_policy(path: Path, new_prompt: str | None = None) -> None:
    """Writes a policy of 20 labels; the first gets the new prompt, if there is one."""
    labels = []
    for place, name in enumerate(_SHOWN):
        prompts = [f"a {name}", f"a close view of a {name}", f"a {name} seen from above"]
        if place == 0 and new_prompt:
            prompts.append(new_prompt)
        acts = ', "action": "block", "threshold": 0.5' if place < 5 else ""
        key = name.replace(" ", "-")
        labels.append(f'  - {{"id": "{key}", "prompts": {json.dumps(prompts)}{acts}}}')
    head = (
        "schema_version: 1\nid: preview\nversion: 1\ntitle: A preview\nscoring: contrast\nlabels:"
    )
    text = "\n".join([head, *labels]) + "\n"
    beside = path.with_suffix(".saved")
    beside.write_text(text)
    beside.replace(path)  # as editors do


def diff_command(folder: Path, *more: str) -> list[str]:
    """Returns the command that is measured."""
    files = [str(folder / name) for name in ("old.yaml", "new.yaml")]
    where = ["--on", str(folder / "pictures"), "--store", str(folder / "store")]
    program_ = [sys.executable, "-m", "moderation", "policy", "diff"]
    return [*program_, *files, *where, "--model", "starter", *more]


def seconds_of_new_commands(folder: Path, prompts: Sequence[str]) -> tuple[list[float], str]:
    """Returns the seconds of a new command after each save, and what the last one printed."""
    taken, printed = [], ""
    for prompt in prompts:
        write_policy(folder / "new.yaml", prompt)
        start = time.perf_counter()
        printed = subprocess.run(
            diff_command(folder), check=True, capture_output=True, text=True
        ).stdout
        taken.append(time.perf_counter() - start)
    return taken, printed


def seconds_of_watching(folder: Path, prompts: Sequence[str]) -> tuple[list[float], str]:
    """Returns the seconds from each save until it is drawn, and what was printed of the last."""
    taken: list[float] = []
    write_policy(folder / "new.yaml")
    output = folder / "watched.txt"
    with output.open("w") as stream, _watching(folder, stream) as lines:
        next(line for line in lines if line.startswith("Watching"))
        for prompt in prompts:
            shown = output.stat().st_size
            start = time.perf_counter()
            write_policy(folder / "new.yaml", prompt)
            next(line for line in lines if line.startswith(_DRAWN))
            taken.append(time.perf_counter() - start)
    return taken, output.read_bytes()[shown:].decode()


@contextmanager
def _watching(folder: Path, stream: Any) -> Iterator[Iterator[str]]:
    """Yields the lines for people of a command that watches, which ends with the block."""
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        diff_command(folder, "--watch"),
        stdout=stream,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
    ) as process:
        assert process.stderr is not None
        try:
            yield iter(process.stderr)
        finally:
            process.terminate()


def measure(pictures: int, saves: int) -> dict[str, Any]:
    """Returns the median and longest seconds of both ways, and how many pictures flip."""
    with tempfile.TemporaryDirectory(prefix="evenhand-preview-") as name:
        folder = Path(name)
        (folder / "pictures").mkdir()
        write_pictures(folder / "pictures", range(min(pictures, _EMBEDDED)))
        write_policy(folder / "old.yaml")
        write_policy(folder / "new.yaml")
        subprocess.run(diff_command(folder), check=True, capture_output=True)  # embeds these
        write_pictures(folder / "pictures", range(_EMBEDDED, pictures))
        fill_store(folder)
        prompts = [f"a revolver of kind {number}" for number in range(saves)]
        watched, drawn = seconds_of_watching(folder, prompts)
        others = [f"a revolver of make {number}" for number in range(saves - 1)]
        started, printed = seconds_of_new_commands(folder, [*others, prompts[-1]])
    if drawn != printed:
        raise AssertionError("both ways do not print the same difference")
    return {
        "pictures": pictures,
        "labels": len(_SHOWN),
        "watch": {"median": statistics.median(watched), "longest": max(watched)},
        "new command": {"median": statistics.median(started), "longest": max(started)},
        "difference": drawn.splitlines(),
    }


def main() -> None:
    """Measures, prints a table, and writes JSON where asked to."""
    parser = program.new_parser(__doc__, quick="40 pictures and 2 saves")
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--saves", type=int, default=10)
    given = parser.parse_args()
    found = measure(*((40, 2) if given.quick else (given.pictures, given.saves)))
    table = program.new_table(["after a save"], ["seconds, median", "longest"])
    for way in ("watch", "new command"):
        taken = found[way]
        table.add_row(way, f"{taken['median']:.2f}", f"{taken['longest']:.2f}")
    program.new_console().print(table)
    program.write_json(given.json, {**found, **program.machine()})


if __name__ == "__main__":
    main()

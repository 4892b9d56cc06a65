"""What making a rendition costs a decoder, against decoding without one.

    python benchmarks/renditions.py [--runs 5] [--json FILE] [--quick]

Processor time of this process for `read_sights` of one JPEG of each size and CLIP's preprocessing,
without a rendition and with one of each format, in turn; the medians, and the size of the files.
The photograph is one of ../shared/data, enlarged, with grain (`photographs.py`).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import program
from benchmarks.photographs import JPEG_QUALITY, PHOTOGRAPHS, camera_file, find_jpegs
from moderation.images.looks import Looking
from moderation.images.pixels import Preprocessing, read_sights
from moderation.images.rendition import RenditionForm

SIDES = (640, 4032)
CLIP = Preprocessing(
    resize=224,
    crop=(224, 224),
    resample="bicubic",
    scale=1 / 255,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
FORMS = (
    None,
    RenditionForm("webp"),
    RenditionForm("jpeg"),
    RenditionForm("png"),
    RenditionForm("webp", 2048),
)


class Cost(NamedTuple):
    """What one form costs for a photograph; `times` is against decoding without a rendition."""

    side: int
    upload_bytes: int
    form: str
    milliseconds: float
    times: float
    rendition_bytes: int


def measured(content: bytes, side: int, runs: int) -> list[Cost]:
    """Returns what each form costs for a file whose longer side is known."""
    seconds: dict[RenditionForm | None, list[float]] = {form: [] for form in FORMS}
    sizes: dict[RenditionForm | None, int] = {}
    for _ in range(runs):
        for form in FORMS:
            start = time.process_time()
            [sight] = read_sights(
                content, [CLIP], Looking(16, "auto"), max_pixels=50_000_000, form=form
            )
            seconds[form].append(time.process_time() - start)
            sizes[form] = len(sight.rendition.content) if sight.rendition else 0
    without = statistics.median(seconds[None])
    return [
        Cost(
            side,
            len(content),
            form.text if form else "none",
            1000 * statistics.median(taken),
            statistics.median(taken) / without,
            sizes[form],
        )
        for form, taken in seconds.items()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, and prints a row for each size and form."""
    parser = program.new_parser(__doc__, "one run of each")
    parser.add_argument("--runs", type=int, default=5, help="of each; the median counts")
    options = parser.parse_args(arguments)
    photographs, runs = find_jpegs(PHOTOGRAPHS), 1 if options.quick else options.runs
    if not photographs:
        print("no photograph in ../shared/data")
        return 2
    costs = [
        cost
        for side in SIDES
        for cost in measured(
            camera_file(photographs[0], side, JPEG_QUALITY),
            side,
            runs,
        )
    ]
    table = program.new_table(
        ("longer side", "rendition"), ("ms of one core", "times", "upload, kB", "rendition, kB")
    )
    for cost in costs:
        figures = (f"{cost.milliseconds:.0f}", f"{cost.times:.1f}")
        sizes = (f"{cost.upload_bytes / 1000:,.0f}", f"{cost.rendition_bytes / 1000:,.0f}")
        table.add_row(f"{cost.side}", cost.form, *figures, *sizes)
    program.new_console().print(table)
    costs_found = [cost._asdict() for cost in costs]
    program.write_json(options.json, {"setup": program.machine(), "costs": costs_found})
    return 0


if __name__ == "__main__":
    program.run(main)

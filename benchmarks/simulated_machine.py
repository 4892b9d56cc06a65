"""Images a second of one worker on a machine that is not here, by line processes: a simulation.

    python benchmarks/simulated_machine.py [--measured FILE...] [--json FILE] [--quick]

It measures nothing. `benchmarks/simulated_worker.py` lets each part of a worker take a core for the
milliseconds that it was measured to take, and counts what is answered. `HERE` has them, with where
each comes from. The tables are of 16 cores: compare their rows with each other, since a real
machine also has caches, and other work. `--measured` checks the simulation: for each file that
`benchmarks/processes.py --json FILE` wrote, the same program with that machine's cores and what
was measured there, beside the images a second that were.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from benchmarks import program
from benchmarks.photographs import MIXED, SMALL
from benchmarks.simulated_worker import CORES, LINES, Costs, Forward, Outcome, simulate
from moderation.settings import load_settings
from moderation.worker.processes.shares import chosen_share

NUMBERS, QUICK_NUMBERS = (1, 2, 3, 4, 6, 8, 16), (1, 4)
CORES_THERE = 16
#: A number of lines is enough once more of them gain less than this.
_GAIN = 0.05

#: ViT-B/32, eager: 6.4 ms below a batch of 128, 19,937 images/s of 256, on an H100.
ON_GPU = Forward(least=6.4, each=1000 / 19_937, most=256)
#: 11.6 ms of two cores each on an AMD EPYC with AVX512-BF16; as much of a core on more of them.
ON_CORES = Forward(0.0, each=11.6 * 2 / CORES_THERE, most=16, cores=CORES_THERE)
#: What everything else takes on two cores of an AMD EPYC, in ms of a core, for a JPEG of 640x480.
#: Decoding, Redis and hosts are as benchmarks/processes.py measured them, the log as
#: benchmarks/log_writers.py. What line processes take for an image and for a batch was fitted, so
#: that the milliseconds of the lines come out for one, two and four of them: see the checks.
HERE = Costs(
    decode=5.9,
    before=0.2,
    after=0.1,
    taking=3.0,
    answering=4.0,
    encoder=0.1,
    question=0.6,
    redis=0.16,
    log=0.2,
    commit=7.0,
    hosts=0.5,
    forward=ON_GPU,
    turn=10.0,
)
#: What reading and sending a file of the eight sizes takes more.
_LARGER_FILES = 1.5
#: Decoding took this beside that GPU, at 640x480 and at the eight sizes. Its cores are slower by as
#: much in everything.
DECODING = {SMALL: 6.7, MIXED: 35.0}
_SLOWER = DECODING[SMALL] / HERE.decode


def costs_there(images: str) -> Costs:
    """Returns what an image of a kind costs on the machine with the GPU; the disk is the same."""
    parts = ("after", "taking", "answering", "encoder", "question", "redis", "log", "hosts")
    scaled = {part: _SLOWER * getattr(HERE, part) for part in parts}
    before = HERE.before + (_LARGER_FILES if images == MIXED else 0.0)
    return HERE._replace(decode=DECODING[images], before=_SLOWER * before, **scaled)


class MachineCase(NamedTuple):
    """A machine and what its worker is shown."""

    name: str
    costs: Costs

    @property
    def has_gpu(self) -> bool:
        """Whether the model runs on one."""
        return not self.costs.forward.cores


CASES = (
    MachineCase(f"a GPU, {SMALL}", costs_there(SMALL)),
    MachineCase(f"a GPU, {SMALL}, PostgreSQL", costs_there(SMALL)._replace(writers=CORES_THERE)),
    MachineCase(f"a GPU, {MIXED}", costs_there(MIXED)),
    MachineCase(f"OpenVINO, {SMALL}", costs_there(SMALL)._replace(forward=ON_CORES)),
    MachineCase(f"OpenVINO, {MIXED}", costs_there(MIXED)._replace(forward=ON_CORES)),
)


class SimulationCheck(NamedTuple):
    """What was measured with so many lines, and what the simulation says of it, in images/s."""

    images: str
    lines: int
    measured: float
    simulated: float


def outcomes(case: MachineCase, numbers: Sequence[int]) -> dict[int, Outcome]:
    """Returns what a worker does there, by line processes."""
    return {lines: simulate(case.costs, CORES_THERE, lines) for lines in numbers}


def enough(found: Mapping[int, Outcome]) -> int:
    """Returns the smallest number of lines of which no larger one is worth its memory."""
    best = max(one.images_per_second for one in found.values())
    return min(n for n, one in found.items() if one.images_per_second >= best * (1 - _GAIN))


def chosen(*, has_gpu: bool) -> int:
    """Returns how many line processes `--processes auto` has on such a machine."""
    with tempfile.TemporaryDirectory() as devices:
        if has_gpu:
            (Path(devices) / "nvidia0").touch()
        settings = load_settings(processes="auto")
        return chosen_share(settings, cores=CORES_THERE, devices=Path(devices)).processes


def checks(measured: Mapping[str, Any]) -> Iterator[SimulationCheck]:
    """Yields what the simulation says of each worker that benchmarks/processes.py measured."""
    setup = measured["setup"]
    for number, row in measured["processes"].items():
        costs, others = measured_costs(setup, row), row["other_cores"]
        found = simulate(costs, setup["cores"], int(number), others=others)
        yield SimulationCheck(
            setup["images"].partition(" by ")[0],
            int(number),
            row["images_per_second"],
            found.images_per_second,
        )


def measured_costs(setup: Mapping[str, Any], row: Mapping[str, Any]) -> Costs:
    """Returns the costs of one worker that benchmarks/processes.py measured."""
    steps, model = row["core_milliseconds"], setup["model_milliseconds"]
    more = _LARGER_FILES if setup["images"].startswith(MIXED) else 0.0
    return HERE._replace(
        decode=steps["decoders"],
        before=HERE.before + more,
        redis=steps["redis"],
        hosts=steps["hosts"],
        forward=Forward(0.0, model, most=16, cores=1),
    )


def case_table(case: MachineCase, found: Mapping[int, Outcome]) -> Table:
    """Returns what one machine does, a row for each number of lines."""
    auto = chosen(has_gpu=case.has_gpu)
    title = (
        f"simulated: {CORES_THERE} cores, {case.name}; auto is {auto}, {enough(found)} is enough"
    )
    heads = ("images/s", "of decoding alone", "cores busy", "a line busy", "limit")
    table = program.new_table(["line processes"], heads, title)
    alone = 1000 * CORES_THERE / case.costs.decode
    for lines, one in found.items():
        table.add_row(
            str(lines),
            *(f"{one.images_per_second:,.0f}", f"{one.images_per_second / alone:.0%}"),
            *(f"{one.busy[CORES]:.0%}", f"{one.busy[LINES]:.0%}", one.limit),
        )
    return table


def check_table(found: Sequence[SimulationCheck]) -> Table:
    """Returns the simulation beside what was measured."""
    heads = ("measured", "simulated", "difference")
    table = program.new_table(["images", "line processes"], heads)
    for one in found:
        difference = f"{one.simulated / one.measured - 1:+.0%}"
        speeds = (f"{one.measured:,.0f}", f"{one.simulated:,.0f}")
        table.add_row(one.images, str(one.lines), *speeds, difference)
    return table


def main() -> None:
    """Simulates, prints tables, writes JSON where asked to."""
    parser = program.new_parser(__doc__, quick="fewer numbers of line processes")
    parser.add_argument("--measured", type=Path, nargs="+", default=[], metavar="FILE")
    asked = parser.parse_args()
    numbers = QUICK_NUMBERS if asked.quick else NUMBERS
    out = program.new_console(110)
    measured = [json.loads(file.read_text()) for file in asked.measured]
    checked = [one for each in measured for one in checks(each)]
    if checked:
        out.print(check_table(checked))
    simulated = {case.name: outcomes(case, numbers) for case in CASES}
    for case in CASES:
        out.print(case_table(case, simulated[case.name]))
    rows = {
        name: {lines: one._asdict() | {"limit": one.limit} for lines, one in found.items()}
        for name, found in simulated.items()
    }
    everything = {"checks": [one._asdict() for one in checked], "simulated": rows}
    program.write_json(asked.json, everything)


if __name__ == "__main__":
    program.run(main)

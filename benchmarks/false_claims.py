"""How many audit reports claim something where nothing differs, and where something was planted.

    python benchmarks/false_claims.py [--reports 200] [--images 2000] [--json FILE] [--quick]

The flags are real: whose gender a CLIP takes wrongly, by one or three of its label sets, on faces
of FairFace (`../shared/data/predictions`), and the label that does it. Groups are compared by both,
as an audit compares them. Their groups are permuted, all features of a face
together, so no group differs in truth, and every claim is false. 5 % of reports may hold one.
Beside it stands what would be claimed if each family of tests were corrected by itself (Holm), as
reports were until this correction came. With a planted disparity one race has that many more flags.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.progress import track

from audit.audits.assessment import MOST_LABELS
from audit.datasets.groups import CROSS, Groups, Marks, overall_group
from audit.metrics.chance import Counted, GroupChance, Hypotheses
from audit.metrics.claims import report_claims
from audit.metrics.disparity import differences_between_groups, differences_to_overall
from audit.metrics.rates import FLAG
from audit.statistics.intervals import share, wilson
from audit.statistics.significance import ALPHA
from audit.statistics.support import support_of
from benchmarks import program

PREDICTIONS = Path(__file__).parents[2] / "shared" / "data" / "predictions"
FILE = PREDICTIONS / "openai_clip_vitl14_fairface_val.csv"
LABEL_SETS = ("two", "fourteen", "age_race_gender")
FEATURES = ("race", "gender", "age")


class ClaimCounts(NamedTuple):
    """Reports with a claim: by the correction over all of a report, and by that of each family."""

    over_report: int
    by_family: int


class FlaggedFaces(NamedTuple):
    """(n,) flags, and the codes of the labels that were said of the images."""

    flags: Marks
    said: npt.NDArray[np.intp]


def real_flags(images: int) -> tuple[pd.DataFrame, list[FlaggedFaces]]:
    """Returns annotations of the first faces, and what each label set flags."""
    table = pd.read_csv(FILE).head(images)
    sets = [
        FlaggedFaces(
            (table[f"gender_{name}"] != table["gender"]).to_numpy(),
            pd.factorize(table[f"label_{name}"], sort=True)[0],
        )
        for name in LABEL_SETS
    ]
    return table, sets


def partitions(table: pd.DataFrame) -> Iterator[Groups]:
    """Yields the whole, each feature of a table of annotations, and each pair of them."""
    yield overall_group(len(table))
    for i, one in enumerate(FEATURES):
        for two in (None, *FEATURES[i + 1 :]):
            values = table[one] if two is None else table[one] + " × " + table[two]
            codes, names = pd.factorize(values, sort=True)
            yield Groups(one if two is None else f"{one} × {two}", tuple(names), codes)


def report_of(table: pd.DataFrame, sets: Sequence[FlaggedFaces]) -> ClaimCounts:
    """Returns how many claims a report on these flags makes."""
    parts = list(partitions(table))
    every = np.ones(len(table), bool)
    counted: dict[tuple[str, ...], Counted] = {
        (f"set {i}", metric): Counted(marks, every)
        for i, each in enumerate(sets)
        for metric, marks in _compared(each)
    }
    rates = pd.concat([_rates(part, key, each) for key, each in counted.items() for part in parts])
    is_single, is_flag = ~rates["by"].str.contains(CROSS), rates["metric"] == FLAG
    tables = (
        differences_to_overall(rates[is_single | is_flag]),
        differences_between_groups(rates[is_single & is_flag]),
    )
    differing = Hypotheses(pd.concat(tables, ignore_index=True), GroupChance(counted, parts[1:]))
    [found] = report_claims([differing]).tables
    return ClaimCounts(int(found["claim"].sum()), int((found["p_adjusted"] < ALPHA).sum()))


def _compared(flagged: FlaggedFaces) -> Iterator[tuple[str, Marks]]:
    """Yields what groups are compared by: flags, and each label that flags if they are few."""
    yield FLAG, flagged.flags
    labels = range(int(flagged.said.max()) + 1)
    for label in labels if len(labels) <= MOST_LABELS else ():
        yield f"fired:{label}", flagged.flags & (flagged.said == label)


def _rates(part: Groups, key: tuple[str, ...], counted: Counted) -> pd.DataFrame:
    count, n = part.count(counted.hits), part.sizes
    low, high = wilson(count, n)
    policy, metric = key
    columns: dict[str, Any] = {
        "policy": policy,
        "by": part.by,
        "group": part.names,
        "metric": metric,
    }
    columns |= {"count": count, "n": n, "rate": share(count, n), "low": low, "high": high}
    return pd.DataFrame(columns | {"support": support_of(n)})


def permuted(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Returns annotations given to other images at random."""
    return table.iloc[rng.permutation(len(table))].reset_index(drop=True)


def main() -> None:
    """Prints the share of reports with a claim."""
    parser = program.new_parser(__doc__, "20 reports of 1,000 images")
    parser.add_argument("--reports", type=int, default=200)
    parser.add_argument("--images", type=int, default=2000)
    options = parser.parse_args()
    reports, images = (20, 1000) if options.quick else (options.reports, options.images)
    table, flags = real_flags(images)
    rng = np.random.default_rng(0)
    found = []
    for policies, planted in ((1, 0.0), (3, 0.0), (1, 0.05), (1, 0.1), (3, 0.1)):
        counts = []
        for _ in track(range(reports), f"{policies} label sets, {planted:.0%} planted"):
            given = permuted(table, rng)
            black = (given["race"] == "Black").to_numpy()
            more = black & (rng.random(len(given)) < planted)
            sets = [each._replace(flags=each.flags | more) for each in flags[:policies]]
            counts.append(report_of(given, sets))
        shares = [float(np.mean([count[i] > 0 for count in counts])) for i in (0, 1)]
        found.append(
            {"label_sets": policies, "planted": planted, "reports": reports}
            | dict(zip(ClaimCounts._fields, shares, strict=True))
        )
    shown = program.new_table(("label sets",), ("planted", "reports", "over report", "by family"))
    for row in found:
        shown.add_row(
            str(row["label_sets"]),
            f"{row['planted']:.0%}",
            str(row["reports"]),
            f"{row['over_report']:.1%}",
            f"{row['by_family']:.1%}",
        )
    program.new_console().print(shown)
    program.write_json(options.json, found)


if __name__ == "__main__":
    main()

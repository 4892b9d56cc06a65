"""How many audit reports claim something where nothing differs, and where something was planted.

    python benchmarks/false_claims.py [--reports 200] [--images 2000] [--json FILE] [--quick]

The flags are real: whose gender a CLIP takes wrongly, by one or three of its label sets, on faces
of FairFace (`../shared/data/predictions`). Their groups are permuted, all features of a face
together, so no group differs in truth, and every claim is false. 5 % of reports may hold one.
Beside it stands what would be claimed if each family of tests were corrected by itself (Holm), as
reports were until this correction came. With a planted disparity one race has that many more flags.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.progress import track

from audit.datasets.dataset import Groups, Marks, overall_group
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
LABEL_SETS = ("gender_two", "gender_fourteen", "gender_age_race_gender")
FEATURES = ("race", "gender", "age")


class ClaimCounts(NamedTuple):
    """Reports with a claim: by the correction over all of a report, and by that of each family."""

    over_report: int
    by_family: int


def real_flags(images: int) -> tuple[pd.DataFrame, list[Marks]]:
    """Returns annotations of the first faces, and the (n,) flags of each label set."""
    table = pd.read_csv(FILE).head(images)
    return table, [(table[name] != table["gender"]).to_numpy() for name in LABEL_SETS]


def partitions(table: pd.DataFrame) -> Iterator[Groups]:
    """Yields the whole, each feature of a table of annotations, and each pair of them."""
    yield overall_group(len(table))
    for i, one in enumerate(FEATURES):
        for two in (None, *FEATURES[i + 1 :]):
            values = table[one] if two is None else table[one] + " × " + table[two]
            codes, names = pd.factorize(values, sort=True)
            yield Groups(one if two is None else f"{one} × {two}", tuple(names), codes)


def report_of(table: pd.DataFrame, flags: Sequence[Marks]) -> ClaimCounts:
    """Returns how many claims a report on these flags makes."""
    parts = list(partitions(table))
    rates = pd.concat([_rates(part, marks, i) for i, marks in enumerate(flags) for part in parts])
    single = rates[~rates["by"].str.contains("×")]
    every = np.ones(len(table), bool)
    counted: dict[tuple[str, ...], Counted] = {
        (f"set {i}", FLAG): Counted(marks, every) for i, marks in enumerate(flags)
    }
    chance = GroupChance(counted, parts[1:])
    tables = (differences_to_overall(rates), differences_between_groups(single))
    found = report_claims([Hypotheses(each, chance) for each in tables], len(table)).tables
    return ClaimCounts(
        sum(int(each["claim"].sum()) for each in found),
        sum(int((each["p_adjusted"] < ALPHA).sum()) for each in found),
    )


def _rates(part: Groups, marks: Marks, number: int) -> pd.DataFrame:
    count, n = part.count(marks), part.sizes
    low, high = wilson(count, n)
    columns: dict[str, Any] = {
        "policy": f"set {number}",
        "by": part.by,
        "group": part.names,
        "metric": FLAG,
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
            counts.append(report_of(given, [marks | more for marks in flags[:policies]]))
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

"""Which label moves which group how far, and how far wording does: one change at a time.

Everything here is a small matrix product on stored features; no image goes to the encoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from audit.datasets.groups import Groups, Marks, Weights, images_of
from audit.metrics.chance import Hypotheses, SwapChance
from audit.metrics.predictions import PolicyPredictions, Predictions, predict
from audit.metrics.rates import FLAG
from audit.metrics.shift import shift_marks, shift_table
from audit.metrics.variants import Variant
from audit.statistics.intervals import Float64s, paired_difference, share, wilson
from audit.statistics.significance import holm
from audit.statistics.support import SUPPRESSED_BELOW, support_of
from moderation.encoders.encoder import Rows, TextEncoder
from moderation.scoring.classified import ModelRows
from moderation.scoring.verdict import LookCounts

#: The columns of a shift that an ablation has too.
_COLUMNS = (
    *("by", "group", "metric", "n", "before_count", "after_count", "before", "after"),
    *("after_low", "after_high", "entered", "left", "net", "net_low", "net_high"),
    *("p", "p_adjusted", "support"),
)


class Trial(NamedTuple):
    """A changed label set and what it says of the images."""

    variant: Variant
    predictions: PolicyPredictions


def run_ablation(
    variants: Iterable[Variant],
    encoder: TextEncoder,
    features: Rows,
    looks: LookCounts | None = None,
    outputs: Mapping[str, ModelRows] | None = None,
) -> list[Trial]:
    """Returns what each variant says of image features, without the refused variants.

    Args:
        variants: the changed label sets; each has its own deciding looks.
        encoder: the model that made the features.
        features: (m, d) of the looks at n images.
        looks: (n,) how many of them each image has; by default one.
        outputs: what classifiers give for the images, by `model_key`.

    Raises:
        PolicyError: a candidate's prompt does not fit the model.
    """
    say = partial(predict, looks=looks, outputs=outputs)
    return [
        Trial(variant, say(variant.policy, encoder, features, name=variant.change))
        for variant in variants
        if variant.policy is not None
    ]


def ablation_test(
    before: Predictions, trials: Sequence[Trial], groups: Sequence[Groups]
) -> Hypotheses:
    """Returns the table of an ablation, with what chance makes of it."""
    changes: dict[tuple[str, ...], tuple[Marks, Marks]] = {
        (trial.variant.kind, trial.variant.change, name): marks
        for trial in trials
        for name, marks in _compared_marks(before, trial).items()
    }
    chance = SwapChance(changes, groups, ("kind", "change", "metric"))
    return Hypotheses(ablation_table(before, trials, groups), chance)


def _compared_marks(before: Predictions, trial: Trial) -> dict[str, tuple[Marks, Marks]]:
    return {
        name: marks
        for name, marks in shift_marks(before, trial.predictions).items()
        if name == FLAG or name.startswith("category:")
    }


def ablation_table(
    before: Predictions, trials: Iterable[Trial], groups: Sequence[Groups]
) -> pd.DataFrame:
    """Returns the paired shift of the flags and of each category that each change makes.

    p is corrected by Holm, for each metric, over all changes and all groups of a sensitive feature,
    since all of them are searched for the one that matters.
    """
    parts = []
    for trial in trials:
        table = shift_table(_compared_marks(before, trial), groups)[list(_COLUMNS)]
        change = {"kind": trial.variant.kind, "change": trial.variant.change}
        parts.append(table.assign(policy=before.name, **change))
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts, ignore_index=True)
    p = table["p"].where(table["support"] != "suppressed")
    family = p.groupby([table[key] for key in ("by", "metric")], sort=False)
    table["p_adjusted"] = family.transform(lambda values: holm(values.to_numpy()))
    return table


def ablation_carried_table(predictions: Predictions, weights: Weights = None) -> pd.DataFrame:
    """Returns how many hits of each category an ablation may lose: those one label fires alone.

    Hits that several labels of the category fire together count for none. The largest come first.
    """
    rows: list[dict[str, Any]] = []
    for name, marks in predictions.categories.items():
        columns = [
            j
            for j, label in enumerate(predictions.labels)
            if label.reported_category == name and label.acts
        ]
        alone = predictions.fired[:, columns].sum(axis=1) == 1
        n = images_of(marks, weights)
        for column in columns:
            count = images_of(predictions.fired[:, column] & alone, weights)
            low, high = wilson(count, n)
            rows.append(
                {"policy": predictions.name, "category": name, "count": count, "n": n}
                | {"label": predictions.label_ids[column]}
                | {"share": float(share(count, n)), "low": float(low), "high": float(high)}
            )
    table = pd.DataFrame(rows)
    return table.sort_values(["category", "count", "label"], ascending=[True, False, True])


def ablation_split_half(
    before: Predictions, trials: Sequence[Trial], strata: Groups, *, seed: int
) -> pd.DataFrame:
    """Returns the change that lowers flags most on half of the images, measured on both halves.

    The best of many looks better than it is on the data that it was chosen on; the held-out half
    shows its true gain. Halves are drawn at random within each stratum. Where one has too few
    images for a claim, nothing is held out, and the table is empty.

    Raises:
        ValueError: a row stands for several images.
    """
    strata.refuse_weights("a half of the images")
    if not trials or not can_hold_out(len(before)):
        return pd.DataFrame()
    chosen_on = _ablation_half(strata, seed)
    gains = [
        int(before.flagged[chosen_on].sum()) - int(trial.predictions.flagged[chosen_on].sum())
        for trial in trials
    ]
    best = trials[int(np.argmax(gains))]
    rows = []
    for half, marks in (("chosen on", chosen_on), ("held out", ~chosen_on)):
        row = _ablation_half_row(before.flagged[marks], best.predictions.flagged[marks])
        change = f"{best.variant.kind} {best.variant.change}"
        row |= {"change": change, "searched": len(trials), "half": half}
        rows.append(row | {"policy": before.name})
    return pd.DataFrame(rows)


def can_hold_out(n: int) -> bool:
    """Whether each half of n images has enough of them for a claim."""
    return n // 2 >= SUPPRESSED_BELOW


def _ablation_half(strata: Groups, seed: int) -> Marks:
    """Returns (n,) a random half of each stratum; every second odd one gives it one image more."""
    generator = np.random.default_rng(seed)
    order = np.concatenate(
        [
            generator.permutation(np.flatnonzero(strata.codes == code))
            for code in generator.permutation(len(strata.names))
        ]
    )
    marks = np.zeros(len(order), bool)
    marks[order[::2]] = True
    return marks


def _ablation_half_row(before: Marks, after: Marks) -> dict[str, Any]:
    n, entered, left = len(before), int((after & ~before).sum()), int((before & ~after).sum())
    low, high = paired_difference(entered, left, n)
    return {
        "n": n,
        "before_count": int(before.sum()),
        "after_count": int(after.sum()),
        "entered": entered,
        "left": left,
        "net": float(share(entered - left, n)),
        "net_low": float(low),
        "net_high": float(high),
    }


def ablation_wording_table(
    before: Predictions, trials: Sequence[Trial], groups: Sequence[Groups]
) -> pd.DataFrame:
    """Returns how far each group's flag rate moves with wording alone, for each kind of change.

    Lowest, median and highest are over the policy's own wording and all others of the kind.
    `kendall_tau` is the mean agreement of the groups' order with that under the policy's own
    wording, over groups with 30 images; it is undefined where all of them have one rate.
    """
    parts = []
    for kind in dict.fromkeys(trial.variant.kind for trial in trials):
        of_kind = [before, *(t.predictions for t in trials if t.variant.kind == kind)]
        flags = np.stack([each.flagged for each in of_kind], axis=1)
        for part in groups:
            sizes = part.sizes
            rates = share(part.count(flags), sizes[:, np.newaxis])
            columns: dict[str, Any] = {"policy": before.name, "kind": kind}
            columns |= {"by": part.by, "group": part.names, "n": sizes}
            columns |= {"wordings": len(of_kind), "lowest": rates.min(axis=1)}
            columns |= {"median": np.median(rates, axis=1), "highest": rates.max(axis=1)}
            support = support_of(sizes)
            tau = _mean_wording_tau(rates[support != "suppressed"])
            columns |= {"kendall_tau": tau, "support": support}
            parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _mean_wording_tau(rates: Float64s) -> float:
    """Returns the mean Kendall tau-b of the first column of (g, w) rates with each other."""
    if len(rates) < 2:
        return float("nan")
    taus = [stats.kendalltau(rates[:, 0], other).statistic for other in rates.T[1:]]
    known = [tau for tau in taus if np.isfinite(tau)]
    return float(np.mean(known)) if known else float("nan")

"""Results as an audit gives them, with made-up counts: suppressed cells, nulls, hostile names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, Literal

from audit.results.ablation_rows import Ablation, Carried, SplitHalf, Threshold, Wording, WordingGap
from audit.results.adjusted_rows import CommonStrata, Equivalent, Pooled, PooledGap, Standardised
from audit.results.finding import Headline
from audit.results.results import Results
from audit.results.rows import (
    Agreement,
    CommonImages,
    Difference,
    EqualizedOdds,
    Flow,
    Gap,
    Power,
    Price,
    Rate,
    Shift,
    Skew,
)
from audit.statistics.intervals import wilson
from tests.support.sample_header import (
    FEATURES,
    LONG,
    POLICIES,
    QUOTES,
    SCRIPT,
    N,
    groups,
    header,
    support,
)
from tests.support.sample_robustness import robustness_rows


def bounds(count: int, n: int) -> tuple[float | None, float | None, float | None]:
    """Returns a rate and its interval; undefined without images."""
    if n == 0:
        return None, None, None
    low, high = wilson(count, n)
    return count / n, float(low), float(high)


def rate(policy: str, by: str, group: str, metric: str, n: int) -> Rate:
    """Returns a rate whose count is made up from its names."""
    share = (len(policy + group + metric) * 7 % 23) / 100
    count = round(n * share)
    value, low, high = bounds(count, n)
    return Rate(
        policy=policy, by=by, group=group, metric=metric, count=count, n=n,
        rate=value, low=low, high=high, support=support(n),
    )  # fmt: skip


ANSWERS: tuple[Literal["within", "differs within", "differs", "neither"], ...] = (
    "within", "differs within", "differs", "neither", "neither",
)  # fmt: skip
METRICS = (
    "selection_rate",
    "false_positive_rate",
    "misclassification_rate",
    "action:block",
    "category:egregious/non-human",
    "fired:thief",
    "label:thief",
)


def rates(policies: tuple[str, ...]) -> tuple[Rate, ...]:
    """Returns every metric of every group under every policy."""
    return tuple(
        rate(policy, by, group, metric, n)
        for policy in policies
        for by, group, n in groups()
        for metric in METRICS
    )


def shift(by: str, group: str, n: int, matched: bool) -> Shift:
    """Returns a shift whose counts are made up from n."""
    before, left = n // 5, n // 20
    entered = n // 100 if matched else 0
    after = before - left + entered
    one, two, kept = bounds(before, n), bounds(after, n), bounds(left, before)
    net = (entered - left) / n if n else None
    return Shift(
        before_policy=POLICIES[0], after_policy=POLICIES[1], matched=matched, by=by, group=group,
        metric="selection_rate", n=n, before_count=before, after_count=after,
        before=one[0], before_low=one[1], before_high=one[2],
        after=two[0], after_low=two[1], after_high=two[2], entered=entered, left=left,
        net=net, net_low=net and net * 1.25, net_high=net and net * 0.75,
        p=0.00001, p_adjusted=0.00004 if n >= 30 else None,
        p_report=0.0004 if n >= 30 else None, net_to_rest=net and net / 10,
        net_to_rest_low=net and net / 5, net_to_rest_high=0.0, left_share=kept[0],
        left_share_low=kept[1], left_share_high=kept[2], support=support(n), claim=n >= 200,
    )  # fmt: skip


def difference(row: Rate) -> Difference:
    """Returns a group's difference to the whole."""
    apart = None if row.rate is None else row.rate - 0.1
    return Difference(
        policy=row.policy, by=row.by, metric=row.metric, group=row.group, reference="overall",
        comparison="to_overall", count=row.count, n=row.n, reference_count=437, reference_n=N,
        difference=apart, difference_low=apart and apart - 0.02,
        difference_high=apart and apart + 0.02, ratio=row.rate and row.rate / 0.1, ratio_low=0.8,
        ratio_high=None, p=0.03, p_adjusted=0.032 if row.n >= 30 else None,
        p_report=0.042 if row.n >= 30 else None, support=row.support,
        claim=row.n >= 500,
    )  # fmt: skip


def gap(policy: str, by: str, defined: bool) -> Gap:
    """Returns the widest gap of a feature, or that there is none to tell."""
    if not defined:
        nothing: dict[str, Any] = dict.fromkeys(Gap.model_fields)
        zero = dict.fromkeys(("compared", "worst_count", "worst_n", "best_count", "best_n"), 0)
        nothing |= {
            "policy": policy,
            "by": by,
            "metric": "selection_rate",
            "left_out": (),
            "claim": False,
        }
        return Gap.model_validate(nothing | zero)
    worst, best = (list(FEATURES[by])[i] for i in (2, 1))
    return Gap(
        policy=policy, by=by, metric="selection_rate", worst=worst, best=best, compared=3,
        left_out=(QUOTES,), worst_count=150, worst_n=640, best_count=20, best_n=2085,
        difference=0.2247, difference_low=0.18, difference_high=0.27, ratio=24.4, ratio_low=12.5,
        ratio_high=None, pass_ratio=0.773, pass_ratio_low=0.73, pass_ratio_high=0.82, p=1e-9,
        claim=True,
    )  # fmt: skip


def flow(kind: Literal["label", "action"], source: str, target: str, count: int) -> Flow:
    """Returns a flow of the whole dataset."""
    return Flow(
        before_policy=POLICIES[0], after_policy=POLICIES[1], kind=kind, by="overall",
        group="overall", source=source, target=target, count=count, n=N,
    )  # fmt: skip


def price(by: str, group: str, n: int) -> Price:
    """Returns what a new label took of a group."""
    flagged = n // 5
    relief, over = bounds(n // 30, flagged), bounds(n // 40, n - flagged)
    return Price(
        before_policy=POLICIES[0], after_policy=POLICIES[1], label="child | <b>", by=by,
        group=group, n=n, captured=n // 30 + n // 40, from_flagged=n // 30,
        flagged_before=flagged, relief=relief[0], relief_low=relief[1], relief_high=relief[2],
        from_passed=n // 40, passed_before=n - flagged, over_capture=over[0],
        over_capture_low=over[1], over_capture_high=over[2],
        from_correct=n // 80 if n % 2 else None, support=support(n),
    )  # fmt: skip


FINDING = f"The policies flag 437 of 4,368 images; {SCRIPT} most often, `without thief` less."


def headline(policies: tuple[str, ...]) -> Headline:
    """Returns a headline of race in a category under all policies."""
    return Headline(
        finding=FINDING, claimed=True, kind="difference", policies=policies, by="race",
        group=SCRIPT, metric="category:egregious/non-human", before=None, after=None,
        practice=("Of 10,000 images, 100 are refused.",), meaning=(f"Flagged as {QUOTES}.",),
        next_steps=("Who writes the policy: see `audit ablate`.",), cautions=(),
        notes=(f"{policies[0]}: {SCRIPT}",),
    )  # fmt: skip


def _adjusted(policies: tuple[str, ...]) -> dict[str, Any]:
    """Returns adjusted figures: standardised ones of a feature, cells of an intersection."""
    by, other = FEATURES
    crossed = [row for row in groups() if row[0] not in (by, other, "overall")]
    of = [{"policy": name, "metric": "selection_rate"} for name in policies]
    return {
        "standardised": tuple(
            Standardised(
                **each, by=by, standardised_for=other, group=group, crude_count=n // 9, crude_n=n,
                crude=0.111, crude_low=0.1, crude_high=0.12, crude_difference=0.021,
                crude_difference_low=0.01, crude_difference_high=0.033, n=n - 1,
                effective_n=n * 0.8, rate=0.1, low=0.09, high=0.113, rest=0.097,
                difference=0.003, difference_low=-0.011, difference_high=0.017, p=None,
                support=support(n * 4 // 5),
            )
            for each in of
            for group, n in FEATURES[by].items()
            if n > 30
        ),
        "common_strata": tuple(
            CommonStrata(**each, by=by, standardised_for=other, strata=5, common=4, n=N,
                         common_n=N - 13, left_out=(QUOTES,))
            for each in of
        ),
        "pooled": tuple(
            Pooled(**each, by=crossed_by, group=group, count=n // 8, n=n, rate=n // 8 / n, low=0.01,
                   high=0.4, pooled=0.124, pooled_low=0.09, pooled_high=0.171, support=support(n))
            for each in of
            for crossed_by, group, n in crossed
            if n
        ),
        "pooled_gaps": tuple(
            PooledGap(**each, by=crossed[0][0], cells=11, n=N, smallest_n=1, highest=SCRIPT,
                      lowest=LONG, raw_difference=0.41, difference=0.13, difference_low=0.0,
                      difference_high=0.22)
            for each in of
        ),
        "equivalences": tuple(
            Equivalent(**each, kind=kind, before_policy=policies[0] if kind == "shift" else None,
                       by="race", group=group, margin=0.05, n=n, difference=0.021, low=0.009,
                       high=0.034, p=0.004, p_adjusted=0.02 if n >= 30 else None, answer=answer,
                       support=support(n))
            for kind in ("group", "shift")
            for each in of
            for (group, n), answer in zip(FEATURES["race"].items(), ANSWERS, strict=True)
        ),
    }  # fmt: skip


def _shared_results(policies: tuple[str, ...]) -> dict[str, Any]:
    every = rates(policies)
    return {
        "header": header(policies),
        "headline": headline(policies),
        "summary": (FINDING, "A second finding, with *stars* and http://example.org."),
        "not_known": (f"Whether {QUOTES} differ.",),
        "rates": every,
        "differences": tuple(difference(row) for row in every if row.by != "overall"),
        "gaps": tuple(gap(name, by, by == "race") for name in policies for by in FEATURES),
        "equalized_odds": (
            EqualizedOdds(
                policy=policies[0], by="race", difference=None, low=None, high=None, n=N, compared=3
            ),
        ),
        "power": tuple(
            Power(
                policy=name,
                by=by,
                group=group,
                n=n,
                rate=0.0417,
                smallest_difference=0.9 / n if n else None,
                support=support(n),
            )
            for name in policies
            for by, group, n in groups()
        ),
        **_adjusted(policies),
        **robustness_rows(policies),
        "insufficient": tuple(f"group {i}: too few images" for i in range(20)),
        "limits": ("The images are not user uploads.",),
    }


def compared(policies: tuple[str, ...] = POLICIES) -> Results:
    """Returns the results of a comparison."""
    labels = [flow("label", "thief", "child | <b>", 60), flow("label", SCRIPT, LONG, 7)]
    return Results(
        kind="compare",
        **_shared_results(policies),
        common_images=tuple(
            CommonImages(policy=name, metric=metric, n=900 + i, common=900, contradicted=i)
            for i, name in enumerate(policies)
            for metric in ("false_positive_rate", "misclassification_rate")
        ),
        shifts=tuple(shift(*row, matched) for matched in (False, True) for row in groups()),
        agreements=tuple(
            Agreement(
                by=by, group=group, metric="selection_rate", n=n, changing=n // 20, p=0.0,
                p_adjusted=None, support=support(n),
            )
            for by, group, n in groups()
        ),
        flows=(*labels, flow("label", "man", "man", 4000), flow("action", "block", "allow", 55)),
        prices=tuple(price(*row) for row in groups()),
    )  # fmt: skip


def ablation(kind: Any, change: str, by: str, group: str, n: int, place: int) -> Ablation:
    """Returns what one change does to a group."""
    moved = shift(by, group, n, matched=bool(place % 2)).model_dump()
    row = {name: moved[name] for name in Ablation.model_fields if name in moved}
    return Ablation.model_validate(row | {"policy": POLICIES[0], "kind": kind, "change": change})


def ablated() -> Results:
    """Returns the results of a label ablation."""
    changes = [("without", f"label {i}") for i in range(15)]
    changes += [("with", SCRIPT), ("synonym", "thief: a burglar"), ("template", "{}")]
    thresholds = (0.005, 0.04, 0.5, 0.9)
    return Results(
        kind="ablate",
        **_shared_results(POLICIES[:1]),
        ablations=tuple(
            ablation(kind, change, *group, place)
            for place, (kind, change) in enumerate(changes)
            for group in groups()
        ),
        carried=(
            Carried(policy=POLICIES[0], category="crime", label="thief", count=9, n=30, share=0.3,
                    low=0.17, high=0.48),
        ),
        split_halves=tuple(
            SplitHalf(policy=POLICIES[0], change="with child", searched=18, half=half, n=2184,
                      before_count=436, after_count=400, entered=0, left=36, net=-0.0165,
                      net_low=-0.0227, net_high=-0.0119)
            for half in ("chosen on", "held out")
        ),
        wordings=tuple(
            Wording(policy=POLICIES[0], kind="template", by=by, group=group, n=n, wordings=9,
                    lowest=0.011, median=0.042, highest=0.13,
                    kendall_tau=None if by == "overall" else -0.333, support=support(n))
            for by, group, n in groups()
        ),
        wording_gaps=tuple(_wording_gaps()),
        thresholds=tuple(_threshold(*row, at) for row in groups() for at in thresholds),
        skews=tuple(
            Skew(prompt=f"a photo of {SCRIPT}", by=by, k=100, n=n, desired="equal", max_skew=0.317,
                 max_skew_group=None, chance_max_skew=0.12, p=0.031, ndkl=0.021,
                 support=support(n))
            for by, n in (("race", N), ("age, in years", 12))
        ),
    )  # fmt: skip


def _wording_gaps() -> Iterator[WordingGap]:
    """Yields the gaps of the first race to the others, and those that are undefined."""
    first, *others = [(by, group, n) for by, group, n in groups() if by == "race" and n]
    for kind, (by, reference, n) in product(("template", "article"), others):
        few = support(n) == "suppressed"
        why = "fewer than 30 images" if few else "fewer than 3 wordings"
        known = not few and kind == "template"
        yield WordingGap(
            policy=POLICIES[0], kind=kind, by=by, comparison="between_groups", group=first[1],
            n=first[2], reference=reference, reference_n=n, wordings=9 if known else 2, own=0.07,
            lowest=-0.019, mean=0.056, highest=0.113, low=-0.0123 if known else None,
            high=0.0987 if known else None, images_low=None if few else 0.021,
            images_high=None if few else 0.091, of_wordings=0.31 if known else None, together=3,
            undefined=None if known else why, support=support(n),
        )  # fmt: skip


def _threshold(by: str, group: str, n: int, threshold: float) -> Threshold:
    count = round(n * (1 - threshold))
    value, low, high = bounds(count, n)
    return Threshold(
        policy=POLICIES[0], threshold=threshold, by=by, group=group, count=count, n=n,
        rate=value, low=low, high=high, support=support(n),
    )  # fmt: skip


SAMPLES = {
    "compare": compared(),
    "four policies": compared((*POLICIES, "third", "fourth")),
    "ablate": ablated(),
}
HEADER_ALONE = Results(
    kind="run", header=header(POLICIES[:1]), headline=headline(POLICIES[:1]), summary=(FINDING,)
)

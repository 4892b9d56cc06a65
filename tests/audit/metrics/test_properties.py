"""What must hold for any features, label set and groups: ties, duplicates and zeros included."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.datasets.groups import Groups, Marks, overall_group
from audit.metrics.ablation import ablation_carried_table, ablation_table, run_ablation
from audit.metrics.chance import Hypotheses, SwapChance
from audit.metrics.claims import report_claims
from audit.metrics.disparity import differences_between_groups, differences_to_overall
from audit.metrics.flow import flow_table, price_table
from audit.metrics.gaps import widest_gaps
from audit.metrics.predictions import PolicyPredictions, predict
from audit.metrics.rates import FLAG, rate_table
from audit.metrics.shift import shift_agreement_table, shift_marks, shift_table
from audit.metrics.thresholds import matched_threshold_flags, threshold_margin, threshold_table
from audit.metrics.variants import without_each_label
from moderation.encoders.encoder import Float32s, unit
from moderation.policy import Policy
from tests.support.reference_counts import ChosenEncoder, rows_of

WIDTH = 3
#: Few values, so that images and labels often tie or are one and the same.
VALUES = (-1.0, 0.0, 1e-3, 1.0, 2.0)
THRESHOLDS = st.sampled_from([0.0, 0.05, 0.2, 0.25, 0.5, 0.9, 1.0])
ANYTHING = settings(max_examples=60)


@dataclass(frozen=True)
class DrawnAudit:
    """A label set with its encoder, and images in groups."""

    policy: Policy
    encoder: ChosenEncoder
    features: Float32s
    groups: Groups

    def said(self, policy: Policy | None = None) -> PolicyPredictions:
        return predict(policy or self.policy, self.encoder, self.features)

    @property
    def parts(self) -> list[Groups]:
        return [overall_group(len(self.features)), self.groups]


def _label(number: int, **keys: Any) -> dict[str, Any]:
    return {"id": f"label-{number}", "prompts": [f"label {number}"], **keys}


@st.composite
def labels(draw: st.DrawFn, top: bool) -> list[dict[str, Any]]:
    """Draws label-1 that acts, label-2 that does not, and up to three of any kind."""
    found = []
    for number in range(1, draw(st.integers(2, 5)) + 1):
        acting = draw(st.sampled_from(["review", "block", "allow"]))
        action = acting if number == 1 else None if number == 2 else draw(
            st.sampled_from([None, acting])
        )  # fmt: skip
        keys: dict[str, Any] = {"action": action}
        if action and not (top and draw(st.integers(0, 2)) == 0):
            keys["threshold"] = draw(THRESHOLDS)
            if action == "block" and keys["threshold"] > 0.1 and draw(st.booleans()):
                keys["review_threshold"] = keys["threshold"] - 0.1
        if action and draw(st.booleans()):
            keys["category"] = "shared"
        found.append(_label(number, **keys))
    return found


def _rows(rng: np.random.Generator, n: int) -> Float32s:
    """Returns (n, WIDTH) rows of VALUES, none of them all zeros."""
    rows = rng.choice(VALUES, (n, WIDTH)).astype(np.float32)
    rows[~rows.any(axis=1), 0] = 1.0
    return rows


@st.composite
def drawn_audits(
    draw: st.DrawFn, kinds: str = "softmax top, softmax, contrast, sigmoid"
) -> DrawnAudit:
    scoring, _, top = draw(st.sampled_from(kinds.split(", "))).partition(" ")
    policy = Policy.model_validate(
        {
            "schema_version": 1,
            "id": "drawn",
            "version": 1,
            "title": "Drawn",
            "templates": ["{}"],
            "scoring": scoring,
            "decision": "top_label" if top else "threshold",
            "labels": draw(labels(bool(top))),
        }
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 25))
    texts, images = _rows(rng, 6), _rows(rng, n)
    codes = rng.integers(0, 3, n)
    times = draw(st.sampled_from([1, 30]))  # 30 alike: then no group is suppressed
    encoder = ChosenEncoder(
        {f"label {number}": row for number, row in enumerate(texts, 1)},
        logit_scale=draw(st.sampled_from([1.0, 10.0, 100.0])),
        logit_bias=-1.0,
    )
    names, dense = np.unique(np.tile(codes, times), return_inverse=True)
    groups = Groups("group", tuple("abc"[i] for i in names), dense)
    return DrawnAudit(policy, encoder, unit(np.tile(images, (times, 1))), groups)


def _with_labels(policy: Policy, chosen: list[Any]) -> Policy:
    content = policy.model_dump(mode="json")
    return Policy.model_validate(content | {"labels": chosen})


def _most_like(predictions: PolicyPredictions) -> npt.NDArray[np.object_]:
    return np.array(predictions.label_ids, object)[predictions.y_pred]


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    keys = [str(name) for name in table if table[name].dtype.kind not in "ifb"]
    table = table.astype(dict.fromkeys(keys, str))
    return table.sort_values(keys).reset_index(drop=True)


def _tables(drawn: DrawnAudit) -> list[pd.DataFrame]:
    """Returns every table of the audit of a drawn audit, in an order of rows of their own."""
    said, parts = drawn.said(), drawn.parts
    fewer = _with_labels(drawn.policy, [
        each for each in drawn.policy.model_dump(mode="json")["labels"] if each["id"] < "label-3"
    ])  # fmt: skip
    rates = rate_table(said, parts)
    trials = sorted(
        run_ablation(without_each_label(drawn.policy), drawn.encoder, drawn.features),
        key=lambda trial: trial.variant.change,
    )
    tables = [
        rates,
        differences_to_overall(rates),
        widest_gaps(rates).drop(columns=["worst", "best", "left_out"]),
        shift_table(shift_marks(drawn.said(fewer), said), parts),
        flow_table(drawn.said(fewer), said, parts),
        ablation_table(said, trials, parts),
        ablation_carried_table(said),
        threshold_table(said, parts, [0.05, 0.5]),
    ]
    return [_sorted(table) for table in tables]


@given(drawn_audits("softmax top"))
@ANYTHING
def test_an_added_label_lets_no_image_enter_another_nor_a_flag(drawn: DrawnAudit) -> None:
    before, own = drawn.said(), drawn.policy.model_dump(mode="json")["labels"]
    for place in (0, len(own)):
        more = [*own[:place], _label(6), *own[place:]]
        after = drawn.said(_with_labels(drawn.policy, more))
        stayed = _most_like(after) != "label-6"
        assert (_most_like(after) == _most_like(before))[stayed].all()
        assert not (after.flagged & ~before.flagged).any()
        table = shift_table(shift_marks(before, after), drawn.parts)
        assert not table.loc[table["metric"] != "label:label-6", "entered"].any()


@given(drawn_audits("softmax top"))
@ANYTHING
def test_a_removed_label_lets_no_image_leave_one_that_stays(drawn: DrawnAudit) -> None:
    before = drawn.said()
    for variant in without_each_label(drawn.policy):
        if variant.policy is None:
            continue
        after = drawn.said(variant.policy)
        table = shift_table(shift_marks(before, after), drawn.parts)
        gone = f"label:{variant.change}"
        kept = table["metric"].str.startswith("label:") & (table["metric"] != gone)
        assert not table.loc[kept, "left"].any()
        removed = next(each for each in drawn.policy.labels if each.id == variant.change)
        if not removed.acts:
            assert not table.loc[table["metric"] == FLAG, "left"].any()


@given(drawn_audits("contrast"))
@ANYTHING
def test_under_contrast_an_added_acting_label_moves_no_other(drawn: DrawnAudit) -> None:
    own = drawn.policy.model_dump(mode="json")["labels"]
    more = [*own, _label(6, action="review", threshold=0.5)]
    before, after = drawn.said(), drawn.said(_with_labels(drawn.policy, more))
    assert (after.fired[:, : len(own)] == before.fired).all()
    assert not (before.flagged & ~after.flagged).any()


@pytest.mark.slow
@given(drawn_audits(), st.data())
@settings(max_examples=25)
def test_the_order_of_labels_images_and_groups_changes_no_table(
    drawn: DrawnAudit, data: st.DataObject
) -> None:
    order = np.array(data.draw(st.permutations(range(len(drawn.features)))))
    names = data.draw(st.permutations(range(len(drawn.groups.names))))
    shuffled_labels = data.draw(st.permutations(drawn.policy.model_dump(mode="json")["labels"]))
    place = np.argsort(names)
    other = replace(
        drawn,
        policy=_with_labels(drawn.policy, shuffled_labels),
        features=drawn.features[order],
        groups=Groups(
            "group", tuple(drawn.groups.names[i] for i in names), place[drawn.groups.codes[order]]
        ),
    )
    for one, two in zip(_tables(drawn), _tables(other), strict=True):
        pd.testing.assert_frame_equal(one, two, check_like=True, rtol=1e-9, atol=1e-12)
    assert threshold_margin(drawn.said())[order] == pytest.approx(
        threshold_margin(other.said()), abs=1e-9
    )


@given(drawn_audits())
@ANYTHING
def test_a_policy_against_itself_shifts_nothing_and_proves_nothing(drawn: DrawnAudit) -> None:
    said = drawn.said()
    table = shift_table(shift_marks(said, said), drawn.parts)
    agreement = shift_agreement_table([said, said, said], drawn.parts)
    for nothing in (table[["entered", "left", "net", "net_to_rest"]], agreement[["changing"]]):
        assert (nothing.fillna(0) == 0).all(axis=None)
    for found in (table, agreement):
        assert (found["p"] == 1).all()
        assert (found["p_adjusted"].isna() == (found["support"] == "suppressed")).all()
        assert (found["p_adjusted"].dropna() == 1).all()
    changes: dict[tuple[str, ...], tuple[Marks, Marks]] = {
        (name,): marks for name, marks in shift_marks(said, said).items()
    }
    test = Hypotheses(table, SwapChance(changes, drawn.parts))
    assert not report_claims([test]).tables[0]["claim"].any()


@pytest.mark.slow
@given(drawn_audits())
@ANYTHING
def test_every_interval_holds_its_estimate(drawn: DrawnAudit) -> None:
    rates = rate_table(drawn.said(), drawn.parts)
    tables = [*_tables(drawn), differences_between_groups(rates[rates["metric"] == FLAG])]
    for table in tables:
        for low in [name for name in map(str, table) if name.endswith("low")]:
            stem = low.removesuffix("low").rstrip("_")
            shown = [stem] if stem else [name for name in ("rate", "share") if name in table]
            high = low.removesuffix("low") + "high"
            value, lower, upper = table[[shown[0], low, high]].dropna().to_numpy(np.float64).T
            assert (lower - 1e-12 <= value).all(), low
            assert (value <= upper * (1 + 1e-12) + 1e-12).all(), high


@given(drawn_audits())
@ANYTHING
def test_counts_of_groups_flows_and_prices_add_up(drawn: DrawnAudit) -> None:
    said, n = drawn.said(), len(drawn.features)
    rates = rate_table(said, drawn.parts)
    for _, rows in rates.groupby("metric"):
        of_groups = rows[rows["by"] == "group"]
        assert of_groups["n"].sum() == n
        assert of_groups["count"].sum() == rows.loc[rows["by"] == "overall", "count"].sum()
    after = drawn.said(_with_labels(drawn.policy, [
        *drawn.policy.model_dump(mode="json")["labels"], _label(6)
    ]))  # fmt: skip
    flows = flow_table(said, after, drawn.parts)
    for _, rows in flows.groupby(["by", "group", "kind"]):
        assert rows["count"].sum() == rows["n"].iloc[0]
    for row in rows_of(price_table(said, after, drawn.parts)):
        assert row.from_flagged + row.from_passed == row.captured
        assert row.flagged_before + row.passed_before == row.n


def _thresholds_on_scores(drawn: DrawnAudit, data: st.DataObject) -> PolicyPredictions:
    """Returns what the policy says with thresholds that scores reach exactly."""
    scores = drawn.said().scores
    chosen = drawn.policy.model_dump(mode="json")["labels"]
    for label, column in zip(chosen, scores.T, strict=True):
        if label.get("threshold") is not None and data.draw(st.booleans()):
            values = sorted(map(float, set(column.tolist())))
            label["threshold"] = data.draw(st.sampled_from(values))
            label["review_threshold"] = None
            if label["action"] == "block" and values[0] < label["threshold"]:
                label["review_threshold"] = data.draw(st.sampled_from([None, values[0]]))
    return drawn.said(_with_labels(drawn.policy, chosen))


@given(drawn_audits(), st.data())
@settings(max_examples=400)
def test_the_margin_is_0_and_more_exactly_where_an_image_is_flagged(
    drawn: DrawnAudit, data: st.DataObject
) -> None:
    said = _thresholds_on_scores(drawn, data)
    assert ((threshold_margin(said) >= 0) == said.flagged).all()


@given(drawn_audits(), st.data())
@ANYTHING
def test_matching_is_nearest_and_takes_more_images_only_on_top(
    drawn: DrawnAudit, data: st.DataObject
) -> None:
    said = _thresholds_on_scores(drawn, data)
    margins = threshold_margin(said)
    possible = [0, *(int((margins >= cut).sum()) for cut in np.unique(margins[margins > -np.inf]))]
    smaller = np.zeros(len(margins), bool)
    for count in range(len(margins) + 1):
        marks = matched_threshold_flags(said, count)
        assert abs(int(marks.sum()) - count) == min(abs(each - count) for each in possible)
        assert not (smaller & ~marks).any()
        smaller = marks
    assert (
        abs(
            int(matched_threshold_flags(said, int(said.flagged.sum())).sum())
            - int(said.flagged.sum())
        )
        == 0
    )

"""The page of one label more, and what the README shows of it: run, and computed twice.

Once by the audit, and once from the features with numpy and pandas alone.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from audit import Results
from scripts.picture import picture
from tests.conftest import ROOT
from tests.support.pages import DOCS, read_sections, section, table
from tests.support.worked_pages import (
    Clone,
    Row,
    blocks,
    load_results,
    pick,
    prose,
    share,
    with_share,
)

PAGE = "examples/one-label-more.md"
WORDS = ["Neanderthal", "Homo_erectus"]
#: Groups of fewer images are not shown.
FEWEST = 30


def text_features(folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Returns the feature of each word; of a word in several sets that of the first."""
    words = json.loads((folder / "text_labels.json").read_text(encoding="utf-8"))
    arrays = np.load(folder / "text_features_rn50_f16.npz")
    found: dict[str, npt.NDArray[np.float32]] = {}
    for name in ("man_synms", "woman_synms", "gender_synms"):
        for word, feature in zip(words[name], arrays[name].astype(np.float32), strict=True):
            found.setdefault(word, feature / np.linalg.norm(feature))
    return found


@pytest.fixture(scope="module")
def men(rn50_features: Path) -> pd.DataFrame:
    """The annotations of men and boys, and for each label set whether it takes them."""
    people = pd.read_csv(rn50_features / "labels.csv")
    images = np.load(rn50_features / "image_features_rn50_f16.npy").astype(np.float32)
    texts = text_features(rn50_features)
    for name, labels in {
        "two": ["man", "woman"],
        "four": ["man", "woman", *WORDS],
        "five": ["man", "woman", *WORDS, "boy"],
    }.items():
        similarities = images @ np.stack([texts[label] for label in labels]).T
        people[name] = np.array(labels)[similarities.argmax(axis=1)]
    own = people[people["gender"] == "Male"].assign(woman=people["two"] == "woman")
    taken = {f"{name} takes": own[name].isin(WORDS) for name in ("four", "five")}
    return own.assign(**taken, young=own["age"].isin(["0-2", "3-9", "10-19"]))


@pytest.fixture(scope="module")
def clone(rn50_features: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which everything on the page was typed."""
    made = Clone(tmp_path_factory.mktemp("clone"))
    (made.folder / "clip_fairface_rn50").symlink_to(rn50_features)
    for policy in blocks(PAGE, "yaml"):
        [name] = re.findall(r"^# (\w+\.yaml)$", policy.text, re.MULTILINE)
        (made.folder / name).write_text(policy.text + "\n", encoding="utf-8")
    [script] = blocks(PAGE, "python")
    (made.folder / "script.py").write_text(script.text, encoding="utf-8")
    made.run("python script.py")
    for command in blocks(PAGE, "sh"):
        made.run(command.text)
    return made


@pytest.fixture(scope="module")
def two(clone: Clone) -> Row:
    return load_results(clone.folder / "two")


@pytest.fixture(scope="module")
def five(clone: Clone) -> Row:
    return load_results(clone.folder / "five")


def flagged(five: Row, policy: str, by: str, group: str) -> tuple[int, int]:
    row = pick(five["rates"], policy=policy, by=by, group=group, metric="selection_rate")
    return row["count"], row["n"]


def test_the_table_by_age_is_so(men: pd.DataFrame, two: Row, five: Row) -> None:
    rows = []
    for age, own in men.groupby("age"):
        n, columns = len(own), ("woman", "four takes", "five takes")
        counts = [int(own[column].sum()) for column in columns]
        given_back = int((own["four takes"] & ~own["five takes"]).sum())
        group = {"by": "age", "group": str(age)}
        wrong = pick(two["rates"], metric="misclassification_rate", **group)
        assert (wrong["count"], wrong["n"]) == (counts[0], n)
        assert flagged(five, "four-labels", **group) == (counts[1], n)
        assert flagged(five, "five-labels", **group) == (counts[2], n)
        shift = pick(five["shifts"], metric="selection_rate", matched=False, **group)
        assert (shift["entered"], shift["left"]) == (0, given_back)
        if n >= FEWEST:
            cells = (str(age), f"{n}", *(with_share(c, n) for c in counts), f"{given_back}")
            rows.append(cells)
    on_page = table(section(PAGE, "Whom the labels take").prose)
    assert sorted(tuple(row.values()) for row in on_page) == sorted(rows)


def rate_at_one_mix_of_ages(men: pd.DataFrame, race: str) -> float:
    """Returns a race's share with the ages of all, where each race has an image."""
    counts = men.groupby(["race", "age"]).size().unstack(fill_value=0)
    common = counts.columns[(counts > 0).all()]
    shared = men[men["age"].isin(common)]
    weights = shared["age"].value_counts(normalize=True)
    own = shared[shared["race"] == race].groupby("age")["five takes"].mean()
    return float((own * weights).sum())


def test_the_table_by_race_is_so(men: pd.DataFrame, five: Row) -> None:
    rows = []
    for race, own in men.groupby("race"):
        n, group = len(own), {"by": "race", "group": str(race)}
        counts = [int(own[column].sum()) for column in ("four takes", "five takes")]
        assert flagged(five, "four-labels", **group) == (counts[0], n)
        assert flagged(five, "five-labels", **group) == (counts[1], n)
        evened = pick(five["standardised"], policy="five-labels", metric="selection_rate", **group)
        assert evened["standardised_for"] == "age"
        assert evened["rate"] == pytest.approx(rate_at_one_mix_of_ages(men, str(race)))
        assert evened["difference_low"] < 0 < evened["difference_high"]
        bounds = f"[{100 * evened['low']:.1f}, {100 * evened['high']:.1f}]"
        rows.append(
            (
                *(str(race), f"{n}", with_share(int(own["young"].sum()), n)),
                *(with_share(count, n) for count in counts),
                f"{100 * evened['rate']:.1f} % {bounds}",
            )
        )
    on_page = table(section(PAGE, "A gap that is another").prose)
    assert [tuple(row.values()) for row in on_page] == rows
    assert not any(
        row["claim"]
        for row in five["differences"]
        if (row["policy"], row["by"], row["comparison"]) == ("five-labels", "race", "to_overall")
        and row["metric"] == "selection_rate"
    )


def test_the_claimed_gap_between_two_races_is_as_said(five: Row) -> None:
    wanted = {"policy": "five-labels", "by": "race", "metric": "selection_rate", "claim": True}
    row = pick(five["differences"], comparison="between_groups", **wanted)
    assert {row["group"], row["reference"]} == {"White", "Black"}
    assert "169 of 207 against 86 of 135" in prose(PAGE)


def test_the_totals_are_as_said(men: pd.DataFrame, two: Row, five: Row) -> None:
    text = prose(PAGE)
    n, whole = len(men), {"by": "overall", "group": "overall"}
    assert pick(two["rates"], metric="misclassification_rate", **whole)["count"] == 123
    assert f"call {men['woman'].sum()} of the {n:,} a woman" in text
    young = men["age"] == "3-9"
    counts = (men["woman"][young].sum(), young.sum(), men["woman"][~young].sum(), (~young).sum())
    assert "of 3-9 it is {} of {}, against {} of all {} others (claimed)".format(*counts) in text
    assert two["header"]["harm"] == "misclassification_rate"
    others = {"metric": "misclassification_rate", "comparison": "to_overall"}
    first = pick(two["differences"], by="age", group="3-9", **others)
    assert first["claim"]
    before, after = (int(men[f"{name} takes"].sum()) for name in ("four", "five"))
    assert flagged(five, "four-labels", **whole) == (before, n)
    assert flagged(five, "five-labels", **whole) == (after, n)
    assert f"put {before} of {n:,} under the two words, {share(before, n)}" in text
    assert f"it is {after}. The one word gives back {before - after} images" in text
    assert f"`boy` is now said of {(men['five'] == 'boy').sum()} faces" in text


def test_whom_the_label_gives_back_is_as_said(men: pd.DataFrame, five: Row) -> None:
    text = prose(PAGE)
    back = men["four takes"] & ~men["five takes"]
    grown = men["age"].isin(["20-29", "30-39", "40-49", "50-59", "60-69"])
    assert f"and {back[grown].sum()} of all {grown.sum()} from 20 to 69" in text
    shifts = [r for r in five["shifts"] if (r["by"], r["metric"]) == ("age", "selection_rate")]
    claimed = {row["group"] for row in shifts if row["claim"] and not row["matched"]}
    assert claimed == {"3-9", "10-19"}


def test_the_picture_is_that_of_the_report(five: Row) -> None:
    shown = (DOCS / "examples" / "one-label-more.svg").read_text(encoding="utf-8")
    assert picture(Results.model_validate(five)) == shown


def test_the_readme_shows_the_first_lines_of_what_its_command_prints(clone: Clone) -> None:
    [part] = [p for p in read_sections(ROOT / "README.md") if p.heading == "Ask whom it hits"]
    command, output = (block.text for block in part.blocks)
    lines = [line.rstrip() for line in clone.run(command).split("\n")]
    shown = [line.rstrip() for line in output.split("\n")]
    assert shown.pop() == "..."
    assert shown == lines[: len(shown)]


def test_the_library_imports_features_as_the_guide_shows(clone: Clone, rn50_features: Path) -> None:
    *_, block = section("audit.md", "In Python").blocks
    names = {
        "features.npy": "image_features_rn50_f16.npy",
        "labels.csv": "labels.csv",
        "texts.npz": "text_features_rn50_f16.npz",
        "words.json": "text_labels.json",
    }
    for name, real in names.items():
        (clone.folder / name).symlink_to(rn50_features / real)
    first = "from pathlib import Path\n\nfrom audit import Subject"
    last = "print(len(subject.dataset), recording.stated.texts)"
    script = clone.folder / "library.py"
    script.write_text(f"{first}\n{block.text}\n{last}\n", encoding="utf-8")
    assert clone.run("python library.py") == "2000 400\n"

"""The worked example of the method: every figure is measured again."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from audit import Results
from audit.results.opening_sentences import opening_sentences
from tests.conftest import POLICIES, ROOT
from tests.support.pages import Block, section, table
from tests.support.worked_pages import Clone, Row, pick


@pytest.fixture(scope="module")
def clone(faces: Path, face_features: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(face_features, folder / "cache" / "evenhand" / "embeddings")
    (folder / "faces").symlink_to(faces)
    (folder / "policies").symlink_to(POLICIES)
    (folder / "examples").symlink_to(ROOT / "examples")
    made = Clone(folder)
    made.run(command_of("A label that changes much").split("\n")[0])
    return made


def blocks_of(heading: str) -> list[Block]:
    return section("audit-method.md", heading).blocks


def command_of(heading: str, which: int = 0) -> str:
    """Returns one of the shell blocks under a heading."""
    return [block.text for block in blocks_of(heading) if block.language == "sh"][which]


def output_of(heading: str) -> list[str]:
    """Returns the lines of the output that stands under a heading."""
    [text] = [block.text for block in blocks_of(heading) if not block.language]
    return text.split("\n")


def said_in(found: Row) -> list[str]:
    """Returns the lines that the terminal shows before the table of results."""
    results = Results.model_validate(found)
    lines = [results.headline.finding]
    for title, sentences in opening_sentences(results):
        lines += ["", f"{title}:", *(f"- {sentence}" for sentence in sentences)]
    return lines


def prose_of(heading: str) -> str:
    """Returns the text under a heading as one line."""
    return " ".join(section("audit-method.md", heading).prose.split())


def hundredfold(*shares: float) -> str:
    """Returns bounds as the pages write them: [91.5, 97.9]."""
    return f"[{', '.join(f'{100 * share:.1f}' for share in shares)}]"


# A label that changes nothing

NOTHING = "A label that changes nothing"


@pytest.fixture(scope="module")
def nothing(clone: Clone) -> Row:
    return clone.results(command_of(NOTHING))


def test_the_null_result_is_as_printed(nothing: Row) -> None:
    assert said_in(nothing) == output_of(NOTHING)
    assert nothing["header"]["dataset"]["sha256"].startswith(
        re.findall(r"annotation hash `(\w+)\.\.\.`", prose_of("A worked example"))[0]
    )


def test_what_the_label_child_took_is_as_said(nothing: Row) -> None:
    price = pick(nothing["prices"], label="child", group="overall")
    assert (
        f"`child` took {price['captured']} images: {price['from_flagged']} of the "
        f"{price['flagged_before']} flagged, {price['from_passed']} of the "
        f"{price['passed_before']} that passed"
    ) in prose_of(NOTHING)
    moved = [r for r in nothing["flows"] if r["by"] == "overall" and r["kind"] == "label"]
    assert pick(moved, source="suspicious-person", target="child")["count"] == 1


def test_what_could_have_been_seen_is_as_said(nothing: Row) -> None:
    flags = [r for r in nothing["shifts"] if r["metric"] == "selection_rate" and not r["matched"]]
    child = pick(flags, by="age", group="3-9")
    assert (child["n"], child["left"]) == (83, 1)
    bounds = f"[{100 * child['net_low']:.1f}, {100 * child['net_high']:+.1f}]"
    assert f"{bounds} points" in prose_of(NOTHING)
    critical = nothing["correction"]["critical_p"]
    assert 2 * 0.5**13 < critical < 2 * 0.5**12  # so many must leave, and no fewer
    said = f"below {critical:.5f} is claimed, which 13 images that leave have "
    said += f"(p = {2 * 0.5**13:.5f}), or {100 * 13 / 83:.1f} points"
    assert said in prose_of(NOTHING)


def test_what_is_claimed_with_and_without_the_label_is_as_said(nothing: Row) -> None:
    animal = [r for r in nothing["differences"] if r["metric"] == "category:egregious/non-human"]
    for policy in ("person-labels", "person-labels-child"):
        row = pick([r for r in animal if r["claim"]], policy=policy)
        others = (row["reference_count"] - row["count"], row["reference_n"] - row["n"])
        assert (row["group"], *others) == ("Black", 22, 600)
        assert f"{row['count']} of {row['n']} Black faces are blocked" in prose_of(NOTHING)
        point = pick(nothing["tipping_points"], policy=policy, metric=row["metric"])
        assert f"if {point['fewest']} of the {point['of']} were annotated" in prose_of(NOTHING)


# A label that changes much

MUCH = "A label that changes much"


def test_the_flags_without_the_labels_are_as_printed(clone: Clone) -> None:
    found = clone.results(command_of(MUCH).split("\n")[1])
    assert said_in(found) == output_of(MUCH)
    gap = pick(found["gaps"], by="race", metric="selection_rate")
    assert f"One p over all seven is {gap['p']:.3f}" in prose_of(MUCH)
    flags = [r for r in found["differences"] if r["metric"] == "selection_rate" and r["claim"]]
    crossed = pick(flags, by="race × gender")
    assert (
        f"`{crossed['group']}`, {crossed['count']} of {crossed['n']}, p "
        f"{crossed['p_report']:.3f} over the whole report"
    ) in prose_of(MUCH)
    bounds = hundredfold(gap["difference_low"], gap["difference_high"])
    assert f"{bounds} points" in prose_of(MUCH)


@pytest.fixture(scope="module")
def ablated(clone: Clone) -> Row:
    return clone.results(command_of(MUCH, 1))


def test_the_candidates_move_the_flags_as_said(ablated: Row) -> None:
    rows = table(section("audit-method.md", MUCH).prose)
    own = [r for r in ablated["ablations"] if r["metric"] == "selection_rate"]
    shown = {row["change"].replace("`", ""): (row["flagged"], row["left"]) for row in rows}
    real = {
        f"with {r['change']}": (str(r["after_count"]), str(r["left"]))
        for r in own
        if r["kind"] == "with" and r["by"] == "overall"
    }
    assert shown == real | {"none": (str(own[0]["before_count"]), "")}
    carried = pick(ablated["carried"], label="identity-document")
    assert f"{carried['count']} of {carried['n']}" in prose_of(MUCH)


def test_the_halves_are_as_said(ablated: Row) -> None:
    chosen, held_out = ablated["split_halves"]
    assert chosen["change"] == "with headwear"
    assert (
        f"`headwear` takes the flags from {chosen['before_count']} to {chosen['after_count']} of "
        f"{chosen['n']}; on the other half from {held_out['before_count']} to "
        f"{held_out['after_count']} of {held_out['n']}, a fall of {-100 * held_out['net']:.1f} "
        f"points {hundredfold(-held_out['net_high'], -held_out['net_low'])}"
    ) in prose_of(MUCH)


def test_the_wording_moves_the_flags_as_said(ablated: Row) -> None:
    templates = [row for row in ablated["wordings"] if row["kind"] == "template"]
    whole, race = pick(templates, by="overall"), pick(templates, by="race", group="White")
    low, high = (round(700 * whole[key]) for key in ("lowest", "highest"))
    assert whole["wordings"] == 9
    assert f"the flags go from {low} to {high} of 700" in prose_of(MUCH)
    assert f"a mean tau of {race['kendall_tau']:.2f}" in prose_of(MUCH)


def test_the_gap_over_templates_is_as_said(ablated: Row) -> None:
    gap = pick(ablated["wording_gaps"], kind="template", group="20-29", reference="3-9")
    own, lowest, mean, highest = (
        f"{100 * gap[key]:.1f}" for key in ("own", "lowest", "mean", "highest")
    )
    images = hundredfold(gap["images_low"], gap["images_high"])
    assert (
        f"{own} points between 20-29 and 3-9. With one of the nine it is anything from {lowest} to "
        f"{highest} points, and {mean} on average: {images} for exactly these, and "
        f"{hundredfold(gap['low'], gap['high'])} over templates like them."
    ) in prose_of(MUCH)


@pytest.fixture(scope="module")
def compared(clone: Clone) -> Row:
    found = clone.results(command_of(MUCH, 2))
    assert {path.name for path in (clone.folder / "report").iterdir()} >= {
        *("report.html", "report.md", "results.json", "prices.csv"),
    }
    return found


def test_what_the_new_labels_took_is_as_said(compared: Row) -> None:
    for label in ("headwear", "face"):
        price = pick(compared["prices"], label=label, group="overall")
        cells = [
            f"| `{label}` | {price['captured']}",
            *(
                f"{price[count]}, {100 * price[share]:.1f} % "
                f"{hundredfold(price[f'{share}_low'], price[f'{share}_high'])}"
                for count, share in (("from_flagged", "relief"), ("from_passed", "over_capture"))
            ),
        ]
        assert " | ".join(cells) in prose_of(MUCH)


def test_where_the_images_went_is_as_said(compared: Row) -> None:
    whole = pick(compared["shifts"], by="overall", metric="selection_rate", matched=False)
    assert [whole[key] for key in ("before_count", "after_count", "entered", "left")] == [
        *(165, 1, 0, 164)
    ]
    flows = [row for row in compared["flows"] if row["by"] == "overall"]
    labels = {(r["source"], r["target"]): r["count"] for r in flows if r["kind"] == "label"}
    assert labels["identity-document", "headwear"] == 201
    assert labels["identity-document", "face"] == 5
    assert labels["identity-document", "identity-document"] == 6
    assert labels["clothing", "headwear"] == 233
    assert sum(n for (source, _), n in labels.items() if source == "clothing") == 297
    assert pick(flows, kind="action", source="allow", target="allow")["count"] == 535


def test_at_the_old_rate_nobody_is_shown_to_change(compared: Row) -> None:
    matched = [row for row in compared["shifts"] if row["matched"]]
    whole = pick(matched, by="overall")
    assert (whole["entered"], whole["left"]) == (39, 39)
    assert "39 images enter and 39 leave, and no group" in prose_of(MUCH)
    assert not any(row["claim"] for row in matched)


# The gate on that change

GATE = "The gate on that change"


def test_the_gate_answers_as_said(clone: Clone) -> None:
    printed = clone.run(command_of(GATE), code=4)
    answers = {tuple(cells(line)[:3]): cells(line) for line in printed.split("\n") if "**" in line}
    assert len(answers) == 8
    for row in table(section("audit-method.md", GATE).prose)[:-1]:
        [printed_row] = [
            found
            for (_, limit, by), found in answers.items()
            if limit.startswith(row["limit"]) and by == row["by"]
        ]
        assert printed_row[0].strip("*") == row["answer"]
        assert printed_row[4:6] == [row["nearest to it"], row["value"]]
    assert {answer for answer, _, by in answers if by == "gender"} == {"**pass**"}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_gate_fails_the_other_way_round(clone: Clone) -> None:
    options = command_of(GATE).partition("--limits")[2]
    command = f"audit gate --policy before.yaml --baseline document-privacy --limits {options}"
    printed = clone.run(command, code=1)
    assert "| East Asian | 33.00 % [21.02 %, 46.78 %] at 99.29 % |" in printed
    assert "33.00 % [21.02 %, 46.78 %] at 99.29 %" in prose_of(GATE)


def test_with_age_the_gate_has_too_few_images_whatever_the_rates(clone: Clone) -> None:
    limits = clone.folder / "age.yaml"
    loose = "worst_group_rate: 0.99\nschema_version: 1\nsensitive_features: [age]\n"
    limits.write_text(loose, encoding="utf-8")
    command = "audit gate --policy document-privacy --limits age.yaml --dataset faces/"
    named = r"too few images of 0-2 \(\d+\), 60-69 \(\d+\), more than 70 \(\d+\): "
    assert re.search(named, clone.run(f"{command} --model starter", code=4))
    limits.write_text(f"{loose}ignored_groups: [0-2, 60-69, more than 70]\n", encoding="utf-8")
    clone.run(f"{command} --model starter")


# Other pages


def test_the_library_is_used_as_the_guide_shows(clone: Clone) -> None:
    whole, gate, _ = section("audit.md", "In Python").blocks
    [limits] = [b for b in section("audit.md", "Limits file").blocks if b.language == "yaml"]
    (clone.folder / "limits.yaml").write_text(limits.text, encoding="utf-8")
    store = clone.folder / "cache" / "evenhand" / "embeddings"
    store.mkdir(parents=True, exist_ok=True)
    (clone.folder / "features").symlink_to(store)
    script = clone.folder / "script.py"
    script.write_text(f"{whole.text}\n{gate.text}", encoding="utf-8")
    shown = clone.run("python script.py")
    assert shown.startswith("privacy falsely flags 1 of 700 images")
    assert re.search(r"^(pass|fail|insufficient data) ### ", shown, re.MULTILINE)
    assert (clone.folder / "report" / "report.html").is_file()

"""Which groups an audit looks at, where there are more than it can bear."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from audit.datasets.chosen_groups import chosen_groups
from audit.datasets.dataset import Dataset
from tests.support.annotated_files import problems_of

N = 4000


def dataset(**values: int) -> Dataset:
    """Returns a dataset whose features have so many values, and every intersection of them."""
    cells: dict[str, Sequence[object]] = {
        "image_id": list(map(str, range(N))),
        "y_true": [None] * N,
    }
    step = 1
    for name, most in values.items():
        cells[name] = [f"{name}{row // step % most}" for row in range(N)]
        step = step * most if step * most < N else 1
    table = pd.DataFrame(cells, dtype=object)
    return Dataset("n", "a", Path("p"), table, tuple(map(Path, table["image_id"])), tuple(values))


def looked_at(dataset: Dataset, by: Sequence[Sequence[str]] | None = None) -> list[str]:
    return [part.by for part in chosen_groups(dataset, by).partitions]


def test_each_feature_and_each_pair_is_looked_at_while_there_are_few_groups() -> None:
    chosen = chosen_groups(dataset(race=7, age=9, country=20), None)
    assert [part.by for part in chosen.partitions] == [
        *("overall", "race", "age", "country"),
        *("race × age", "race × country", "age × country"),
    ]
    assert chosen.notes == ()


def test_a_feature_of_many_values_is_not_looked_at_and_a_note_says_what_to_do() -> None:
    chosen = chosen_groups(dataset(race=2, who=2000), None)
    assert [part.by for part in chosen.partitions] == ["overall", "race"]
    assert chosen.notes == (
        "who has 2,000 groups, so the audit does not look at them, nor at its intersections: join "
        "its values to at most 100.",
    )
    [note] = chosen_groups(dataset(race=2, who=101), None).notes
    assert note.endswith("join its values to at most 100, or name it with --by who.")


def test_an_intersection_of_many_groups_is_not_looked_at_unless_it_is_named() -> None:
    crossed = dataset(race=7, country=40)
    chosen = chosen_groups(crossed, None)
    assert [part.by for part in chosen.partitions] == ["overall", "race", "country"]
    [note] = chosen.notes
    assert note == (
        "race × country has 280 groups, so the audit does not look at them: join its values to at "
        "most 200, or name it with --by race,country."
    )
    named = chosen_groups(crossed, [("race", "country")])
    assert [part.by for part in named.partitions] == ["overall", "race × country"]
    assert named.notes == ()


def test_a_named_one_of_more_groups_than_an_audit_can_bear_is_refused() -> None:
    many = dataset(race=2, who=301)
    found = problems_of(lambda: chosen_groups(many, [("race",), ("who",), ("race", "who")]))
    assert [problem.message for problem in found] == [
        "who has 301 groups, too many to compare",
        "race × who has 602 groups, too many to compare",
    ]
    assert found[0].remedy.startswith("Join its values to at most 300")
    assert looked_at(dataset(who=300), [("who",)]) == ["overall", "who"]


def test_intersections_that_are_too_many_together_are_left_to_be_named() -> None:
    features = {f"feature{number}": 3 for number in range(24)}
    found = chosen_groups(dataset(**features), None)
    assert [part.by for part in found.partitions] == ["overall", *features]
    [note] = found.notes
    assert note.startswith("The 276 intersections have 2,")
    assert note.endswith("name those that matter with --by.")


@pytest.mark.parametrize("named", [("race", "race"), ("rase",), ()])
def test_a_sensitive_feature_that_is_not_there_is_refused(named: tuple[str, ...]) -> None:
    assert problems_of(lambda: chosen_groups(dataset(race=2), [named]))


def test_notes_on_what_is_not_looked_at_are_bounded() -> None:
    features = {f"feature{number}": 40 for number in range(12)}
    notes = chosen_groups(dataset(**features), None).notes
    assert sum("has 1,600 groups" in text for text in notes) == 10
    assert "The audit does not look at 6 more that have as many groups." in notes

"""The page of flips: what it says, and that it shows no picture unless asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from audit.flips.flips import EstimatedShare, Flip, Flips, GroupFlips, LabelChange, action_matrix
from audit.report.flips_page import LISTED, FlipsPage, listed_flips, shown_flips, write_flips_page

NOTHING = EstimatedShare(float("nan"), float("nan"), float("nan"))
FLIPS = (
    Flip("<b>a</b>.jpg", None, "review", "allow", ()),
    Flip(
        "b.jpg",
        "0" * 64,
        "allow",
        "block",
        (
            LabelChange("gun", None, "block", 0.21, 0.93, "a revolver"),
            LabelChange("axe", "review", None, 0.61, None, None),
        ),
    ),
    Flip("c.jpg", None, "allow", "review", ()),
)


def _page(flips: tuple[Flip, ...] = FLIPS, thumbnails: dict[str, str] | None = None) -> FlipsPage:
    groups = (
        GroupFlips(
            "race", "Black", 100, 2, 1, *3 * (EstimatedShare(0.031, 0.012, 0.081),), caution=""
        ),
        GroupFlips("race", "Other", 3, 1, 0, *3 * (NOTHING,), caution="few pictures"),
    )
    pairs = [(flip.before, flip.after) for flip in flips] + [("allow", "allow")] * 7
    found = Flips(10, action_matrix(pairs), flips, groups, ("A note.",), (("d.jpg", "no image"),))
    words = ["gun: prompt 'a revolver' added"]
    return FlipsPage("weapons: 1 -> 2", "3 of 10 pictures", words, found, thumbnails or {})


def _written(page: FlipsPage, folder: Path) -> str:
    write_flips_page(page, folder / "made" / "flips.html")
    return (folder / "made" / "flips.html").read_text()


def test_the_page_says_what_differs_and_for_whom(tmp_path: Path) -> None:
    text = _written(_page(), tmp_path)
    shown = " ".join(re.sub(r"<[^>]+>", " ", text).split())
    for said in (
        "3 of 10 pictures",
        "gun: prompt &#39;a revolver&#39; added",
        "race: Black 100 2 1 3.10 % [1.20, 8.10]",
        "+3.10 [+1.20, +8.10]",
        "few pictures 3 1 0 insufficient data",
        "0.210, nothing",
        "0.930, block",
        "(absent)",
        "a revolver",
        "A note.",
        "Left out: d.jpg: no image",
    ):
        assert said in shown.replace("\N{NO-BREAK SPACE}", " ").replace(
            "\N{NARROW NO-BREAK SPACE}", " "
        )


def test_the_page_needs_no_other_file_and_shows_no_picture(tmp_path: Path) -> None:
    text = _written(_page(), tmp_path)
    assert "<img" not in text
    assert "img-src" not in text
    assert not re.search(r"(?:src|href)=[\"'](?!#)", text)
    assert "<b>a</b>" not in text
    assert "&lt;b&gt;a&lt;/b&gt;.jpg" in text


def test_thumbnails_are_in_the_page_where_they_are_given(tmp_path: Path) -> None:
    uri = "data:image/jpeg;base64,AAAA"
    text = _written(_page(thumbnails={"b.jpg": uri}), tmp_path)
    assert set(re.findall(r'<img src="([^"]+)"', text)) == {uri}


def test_the_largest_step_to_the_stricter_comes_first() -> None:
    assert list(listed_flips(_page().flips)) == [
        ("allow", "block"),
        ("allow", "review"),
        ("review", "allow"),
    ]


def test_of_many_flips_the_page_lists_the_first(tmp_path: Path) -> None:
    many = tuple(Flip(f"{i}.jpg", None, "allow", "block", ()) for i in range(LISTED + 5))
    page = _page(many)
    assert len(shown_flips(page.flips)) == LISTED
    text = _written(page, tmp_path)
    assert f"allow → block: {LISTED + 5}; the first {LISTED}, --format json has all" in text
    assert f"{LISTED}.jpg" not in text


@pytest.mark.parametrize("flips", [(), FLIPS[:1]])
def test_sections_without_content_are_left_out(flips: tuple[Flip, ...], tmp_path: Path) -> None:
    text = _written(_page(flips), tmp_path)
    assert ("Pictures that get another action" in text) == bool(flips)
    assert "Which labels ask for something else" not in text

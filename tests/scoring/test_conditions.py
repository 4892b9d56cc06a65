"""Settings beside the policy that can change a decision: doubts send to review, or are refused."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

import pytest
from PIL import Image

from moderation.errors import ImageError
from moderation.images.looks import Looking
from moderation.images.oddities.names import ORDINARY, Oddity
from moderation.images.rendition import RenditionForm
from moderation.messages import Verdict
from moderation.policy import parse_policy
from moderation.scoring.conditions import (
    Conditions,
    OddityRule,
    UnseenRule,
    found_oddities,
    raised_action,
)
from tests.support.hostile_files import saved
from tests.support.sample_pipeline import POLICY, make_pipeline

#: What the stub calls quiet and loud.
QUIET, LOUD = (0, 0, 0), (255, 0, 0)


def _moderated(content: bytes, frames: int = 1, **rules: Any) -> Verdict:
    with make_pipeline(frames, **rules) as pipeline:
        [verdict] = pipeline.moderate(content, pipeline.served(["colours"]), request_id="a")
    return verdict


def _png(colour: tuple[int, int, int], behind: bytes = b"") -> bytes:
    return saved(Image.new("RGB", (16, 16), colour), "PNG") + behind


def _colours() -> tuple[bytes, bytes]:
    """Returns a picture that is allowed by its scores, and one that is blocked."""
    files = [_png(colour) for colour in (QUIET, LOUD, (0, 255, 0), (0, 0, 255))]
    allowed = [content for content in files if _moderated(content).action == "allow"]
    blocked = [content for content in files if _moderated(content).action == "block"]
    return allowed[0], blocked[0]


def test_a_file_that_viewers_show_differently_goes_to_review_and_stays_blocked() -> None:
    allowed, blocked = _colours()
    verdict = _moderated(allowed + bytes(range(1, 200)))
    assert verdict.oddities == verdict.doubts == ("trailing-data",)
    assert (verdict.action, verdict.flagged, verdict.reasons) == ("review", True, ())
    assert verdict.category_scores == _moderated(allowed).category_scores
    still = _moderated(blocked + bytes(range(1, 200)))
    assert (still.action, still.doubts) == ("block", ("trailing-data",))


def test_oddities_can_be_refused_or_left_to_the_scores() -> None:
    allowed, _ = _colours()
    odd = allowed + bytes(range(1, 200))
    with pytest.raises(ImageError, match=r"different pictures of it .trailing-data.*docs/oddities"):
        _moderated(odd, oddities="refuse")
    verdict = _moderated(odd, oddities="allow")
    assert (verdict.action, verdict.doubts) == ("allow", ())
    assert verdict.oddities == ("trailing-data",)
    assert _moderated(allowed, oddities="refuse").action == "allow"


def test_oddities_of_ordinary_programs_change_nothing() -> None:
    picture = Image.new("RGB", (16, 16), QUIET)
    exif = Image.Exif()
    exif[0x112] = 6
    content = saved(picture, "WEBP", lossless=True, exif=exif.tobytes())
    plain = saved(picture, "WEBP", lossless=True)
    for rule in get_args(OddityRule):
        verdict = _moderated(content, oddities=rule)
        assert verdict.oddities == ("unread-orientation",)
        assert (verdict.action, verdict.doubts) == (_moderated(plain).action, ())


def test_an_animation_of_which_frames_were_passed_over_can_go_to_review() -> None:
    frames = [Image.new("RGB", (16, 16), (0, 0, 3 * number)) for number in range(12)]
    moving = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)
    policy = parse_policy(POLICY.replace(b"threshold: 0.5", b"threshold: 1.0"), "colours.yaml")
    rules = {"policies": {policy.id: policy}}
    seen = _moderated(moving, 4, **rules)
    assert (seen.exhaustive, seen.action, seen.doubts) == (False, "allow", ())
    assert found_oddities(seen) == ("unseen-frames",)
    doubted = _moderated(moving, 4, unseen="review", **rules)
    assert (doubted.action, doubted.doubts) == ("review", ("unseen-frames",))
    whole = _moderated(moving, 12, unseen="review", **rules)
    assert (whole.exhaustive, whole.action, whole.doubts) == (True, "allow", ())


def test_no_doubt_makes_an_action_milder() -> None:
    assert [raised_action(action, ()) for action in ("allow", "review", "block")] == [
        *("allow", "review", "block")
    ]
    assert [raised_action(action, ("hdr",)) for action in ("allow", "review", "block")] == [
        *("review", "review", "block")
    ]


def test_conditions_are_read_as_they_were_written_and_each_has_its_own_text() -> None:
    looked = (Looking(), Looking(16, "auto"), Looking(64, 64))
    forms = (None, RenditionForm(), RenditionForm("jpeg", 16_383, 100))
    rules = (get_args(OddityRule), get_args(UnseenRule), forms)
    every = [Conditions(*each) for each in product(looked, *rules)]
    assert [Conditions.parse(each.text) for each in every] == every
    assert len({each.text for each in every}) == len(every) == 54
    assert max(len(each.text) for each in every) <= 128  # the column of the decision log


@pytest.mark.parametrize(
    "text", ["", "frames=1 views=1", "frames=1 views=1 oddities=block unseen=allow", "x " * 60]
)
def test_other_texts_are_no_conditions(text: str) -> None:
    with pytest.raises(ValueError, match="does not say"):
        Conditions.parse(text)


def test_most_names_ask_for_a_look() -> None:
    assert set(get_args(Oddity)) > ORDINARY
    assert len(ORDINARY) == 5

"""What a decision is made under, beside the policy and the model: settings that can change it.

The file gives no doubt where every viewer shows what was looked at, and all of it was. Otherwise
a doubt has a name, and a setting says what becomes of the file.
"""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple, get_args

from moderation.errors import ImageError
from moderation.images.looks import Looking, Seen
from moderation.images.oddities.names import ORDINARY
from moderation.images.rendition import RenditionForm
from moderation.messages import Action, Verdict

OddityRule = Literal["review", "refuse", "allow"]
UnseenRule = Literal["allow", "review"]

#: The doubt about an animation of which frames were passed over.
UNSEEN_FRAMES = "unseen-frames"

_ASKED = re.compile(
    rf"(.+) oddities=({'|'.join(get_args(OddityRule))}) unseen=({'|'.join(get_args(UnseenRule))})"
    r" rendition=(\S+)"
)


class Conditions(NamedTuple):
    """The settings that can change a decision.

    Attributes:
        looking: how much of a file is looked at, at most.
        oddities: what becomes of a file with oddities that no ordinary program makes.
        unseen: what becomes of an animation of which frames were passed over.
        rendition: what a file's rendition is like, if it gets one.
    """

    looking: Looking = Looking()
    oddities: OddityRule = "review"
    unseen: UnseenRule = "allow"
    rendition: RenditionForm | None = None

    @property
    def text(self) -> str:
        """The same in words, as the decision log keeps it."""
        rules = f"oddities={self.oddities} unseen={self.unseen}"
        return f"{self.looking.text} {rules} rendition={_form_text(self.rendition)}"

    @property
    def settings(self) -> dict[str, object]:
        """The same as settings, by their names; without the rendition."""
        rules = {"oddities": self.oddities, "unseen": self.unseen}
        return {**self.looking._asdict(), **rules}

    @classmethod
    def parse(cls, text: str) -> Conditions:
        """Returns what `text` says.

        Raises:
            ValueError: it is not the text of `Conditions`.
        """
        found = _ASKED.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} does not say under which settings it was decided")
        oddities: Any = found[2]
        unseen: Any = found[3]
        form = None if found[4] == _form_text(None) else RenditionForm.parse(found[4])
        return cls(Looking.parse(found[1]), oddities, unseen, form)

    def doubts(self, seen: Seen) -> tuple[str, ...]:
        """Returns the names of what sends a file to review here, whatever it shows."""
        found = _strange(seen.oddities) if self.oddities == "review" else ()
        unseen = self.unseen == "review" and not seen.is_exhaustive
        return (*found, UNSEEN_FRAMES) if unseen else found

    def refuse_oddities(self, oddities: tuple[str, ...]) -> None:
        """Refuses a file that these conditions do not accept.

        Raises:
            ImageError: it has oddities that no ordinary program makes, and they are refused.
        """
        if self.oddities == "refuse" and (found := _strange(oddities)):
            raise ImageError(
                f"viewers can show different pictures of it ({', '.join(found)})",
                "image",
                "Save it again with an image program; docs/oddities.md says what each name means",
            )


def found_oddities(verdict: Verdict) -> tuple[str, ...]:
    """Returns what viewers may not show of a verdict's file as it was looked at, by name."""
    return verdict.oddities if verdict.exhaustive else (*verdict.oddities, UNSEEN_FRAMES)


def _form_text(form: RenditionForm | None) -> str:
    return form.text if form else "none"


def raised_action(action: Action, doubts: tuple[str, ...]) -> Action:
    """Returns an action, or review where there are doubts and it was milder."""
    return "review" if doubts and action == "allow" else action


def _strange(oddities: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the oddities that no ordinary camera, phone or editor makes."""
    return tuple(name for name in oddities if name not in ORDINARY)

"""What is evaluated: anything that scores pictures by label, and says what to do with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.metrics.predictions import PolicyPredictions
from audit.metrics.truth import SaidLabel, SystemLabel
from moderation.encoders.encoder import Float32s
from moderation.scoring.verdict import Outcomes


@dataclass(frozen=True)
class EvaluatedSystem:
    """A system with what it says of n pictures.

    Attributes:
        name: what a report calls it; no other system has it.
        labels: k of them: a policy's, or `SystemLabel`s.
        scores: (n, k) the higher the more it is that label; in [0, 1] where there are thresholds.
        outcomes: (n, k) what each label asks for: 0 nothing, 1 allow, 2 review, 3 block.
        adds: columns of the labels whose scores add up in a category, as under softmax.
        nearest: (n,) the column of the label that each picture looks most like, where that is said.
        about: what it is, in words: a file, a model.
        cautions: what makes its figures less than they look, as sentences.
    """

    name: str
    labels: tuple[SaidLabel, ...]
    scores: Float32s
    outcomes: Outcomes
    adds: tuple[int, ...] = ()
    nearest: npt.NDArray[np.intp] | None = None
    about: str = ""
    cautions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = (len(self.scores), len(self.labels))
        if self.scores.shape != shape or self.outcomes.shape != shape:
            found = f"scores of {self.scores.shape} and outcomes of {self.outcomes.shape}"
            raise ValueError(f"{self.name}: {len(self.labels)} labels, {found}")
        if not np.isfinite(self.scores).all():
            raise ValueError(f"{self.name}: a score is not finite")

    @classmethod
    def of_policy(
        cls,
        said: PolicyPredictions,
        name: str | None = None,
        about: str = "",
        cautions: Iterable[str] = (),
    ) -> EvaluatedSystem:
        """Returns what a policy says of pictures; of several looks, by the one that decides."""
        return cls(
            name or said.name,
            said.labels,
            said.scores,
            said.outcomes,
            said.added,
            said.y_pred,
            about,
            tuple(cautions),
        )

    @classmethod
    def of_scores(
        cls, name: str, labels: Sequence[SystemLabel], scores: npt.ArrayLike, about: str = ""
    ) -> EvaluatedSystem:
        """Returns a system that acts where scores reach thresholds; without one a label never does.

        Args:
            name: what a report calls it.
            labels: k of them.
            scores: (n, k).
            about: what it is, in words.
        """
        given = np.asarray(scores, np.float32)
        fired = np.zeros(given.shape, np.int8)
        for j, label in enumerate(labels):
            if label.action is None:
                continue
            for threshold, action in (
                (label.review_threshold, "review"),
                (label.threshold, label.action),
            ):
                if threshold is not None:
                    fired[given[:, j] >= np.float32(threshold), j] = OUTCOMES[action]
        return cls(name, tuple(labels), given, fired, about=about)

    def take(self, rows: npt.NDArray[Any]) -> EvaluatedSystem:
        """Returns what it says of some pictures."""
        return replace(
            self,
            scores=self.scores[rows],
            outcomes=self.outcomes[rows],
            nearest=None if self.nearest is None else self.nearest[rows],
        )


#: The outcome of each action, as `moderation.scoring.verdict` counts them.
OUTCOMES: dict[str, int] = {"allow": 1, "review": 2, "block": 3}

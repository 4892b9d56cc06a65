"""Whether the labels of a policy do what its examples say: without a label, its own must change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydantic import ValidationError

from moderation.commands.policy.example_runs import ExampleRun, Judged
from moderation.policy import Label, Policy
from moderation.scoring.classifier import Classifier
from moderation.scoring.pipeline import Pipeline
from moderation.scoring.served import ServedPolicy


class StayedExample(NamedTuple):
    """An example that is decided alike without a label, and what is said of it then."""

    run: ExampleRun
    judged: Judged


class SteeringRun(NamedTuple):
    """A label that was left out of its policy.

    Attributes:
        policy: with the label.
        place: of the label in the policy's list.
        own: its own examples, those alone that pass.
        stayed: those that get the same action without it.
        skipped: why it was not left out, in words.
    """

    policy: Policy
    place: int
    own: tuple[ExampleRun, ...]
    stayed: tuple[StayedExample, ...] = ()
    skipped: str = ""

    @property
    def label(self) -> Label:
        """The label."""
        return self.policy.labels[self.place]

    @property
    def passes(self) -> bool:
        """Whether the label was left out, and all of its examples changed."""
        return not self.skipped and not self.stayed

    @property
    def failure(self) -> str:
        """Which examples stayed as they were, and why, in words; "" where none did."""
        return "; ".join(f"{each.run.name} stays {each.judged.words}" for each in self.stayed)


def steered_labels(policy: Policy) -> list[int]:
    """Returns the places of the labels that can make a decision stricter."""
    return [place for place, each in enumerate(policy.labels) if each.action in ("review", "block")]


def run_steering(
    pipeline: Pipeline, name: str, runs: Sequence[ExampleRun]
) -> Iterator[SteeringRun]:
    """Yields each label that has examples, left out of its policy by the code of production.

    Args:
        pipeline: decides.
        name: what it calls the policy.
        runs: of all examples of the policy.
    """
    policy, [served] = pipeline.policies[name], pipeline.served([name])
    for place in steered_labels(policy):
        if not (own := own_examples(policy.labels[place], runs)):
            continue
        passing = tuple(run for run in own if run.passes)
        if not passing:
            yield SteeringRun(policy, place, (), skipped="none of its examples passes")
            continue
        try:
            without = _without_label(pipeline, served, place)
        except ValidationError as error:
            why = error.errors()[0]["msg"].removeprefix("Value error, ")
            yield SteeringRun(policy, place, passing, skipped=f"no policy is left: {why}")
            continue
        judged = ((run, _judged(run, without)) for run in passing)
        same = (StayedExample(*each) for each in judged if _is_same(*each))
        yield SteeringRun(policy, place, passing, tuple(same))


def own_examples(label: Label, runs: Sequence[ExampleRun]) -> list[ExampleRun]:
    """Returns the examples that expect a label, or else those that it decides."""
    expecting = [run for run in runs if run.example.expect.label == label.id]
    return expecting or [
        run
        for run in runs
        if run.judged and (found := run.judged.decided_by) and found.label == label.id
    ]


def _without_label(pipeline: Pipeline, served: ServedPolicy, place: int) -> ServedPolicy | None:
    """Returns a policy without a label; None where none is left that acts."""
    policy = served.basis.policy
    labels = (*policy.labels[:place], *policy.labels[place + 1 :])
    if not any(label.acts for label in labels):
        return None
    edited = policy.model_copy(update={"labels": labels, "examples": ()})
    return served.rebound(Classifier.of(edited, pipeline.encoders[served.model.reference]))


def _judged(run: ExampleRun, without: ServedPolicy | None) -> Judged:
    assert run.image is not None
    assert run.judged is not None
    return run.image.judged(without) if without else run.image.allowed(run.judged.doubts)


def _is_same(run: ExampleRun, judged: Judged) -> bool:
    return run.judged is not None and run.judged.action == judged.action

"""The examples of a policy, decided as production decides, beside what they expect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from moderation.commands.image_paths import read_image
from moderation.commands.local_pipeline import fails_for_all
from moderation.encoders.cores import usable
from moderation.encoders.encoder import Float32s
from moderation.errors import ImageError, ModerationError, RequestError
from moderation.messages import Action, LabelScore
from moderation.policy import Example, Policy
from moderation.scoring.conditions import raised_action
from moderation.scoring.pipeline import Pipeline
from moderation.scoring.served import ServedPolicy
from moderation.scoring.sighted import SeenImages
from moderation.scoring.timer import Timer
from moderation.scoring.verdict import deciding_label
from moderation.scoring.verdict_batch import batch_verdicts

_THREADS = 4 * usable()


class Judged(NamedTuple):
    """What a policy says of an image."""

    action: Action
    labels: tuple[LabelScore, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def decided_by(self) -> LabelScore | None:
        """The label that asks for the most severe action, and of several the highest score."""
        return deciding_label(self.labels)

    @property
    def words(self) -> str:
        """The same in words: the action, and why."""
        if (label := self.decided_by) is not None:
            return f"{self.action} by {label.label} {label.score:.3f}"
        doubts = f" for doubts about the file ({', '.join(self.doubts)})" if self.doubts else ""
        return f"{self.action}{doubts}"


class SeenExample(NamedTuple):
    """An example's image as the models see it.

    Attributes:
        features: the (v, d) rows of each model, by reference.
        seen: the same with the decoded file; None where there is none, but features of the store.
    """

    features: Mapping[str, Float32s]
    seen: SeenImages | None

    def judged(self, served: ServedPolicy) -> Judged:
        """Returns what a policy says, or one on models of the same.

        Raises:
            ModelError: a score is not finite.
        """
        if self.seen is None:
            [look] = served.decide([self.features])
            return Judged(look.decision.action, look.decision.labels)
        sighted = self.seen.sighted._replace(policies=(served,))
        [found] = batch_verdicts([SeenImages(sighted, self.seen.features)], ["example"], [Timer()])
        if isinstance(found, ModerationError):
            raise found
        return Judged(found[0].action, found[0].labels, found[0].doubts)

    def allowed(self, doubts: tuple[str, ...]) -> Judged:
        """Returns what a policy without an acting label says."""
        return Judged(raised_action("allow", doubts), (), doubts)


class ExampleRun(NamedTuple):
    """An example that was decided, or could not be.

    Attributes:
        policy: whose example it is.
        place: its number in the policy's list.
        image: its image; None where it could not be read.
        judged: what was decided; None where nothing was.
        error: why nothing was, in words.
    """

    policy: Policy
    place: int
    image: SeenExample | None = None
    judged: Judged | None = None
    error: str = ""

    @property
    def example(self) -> Example:
        """What was expected of which image."""
        return self.policy.examples[self.place]

    @property
    def name(self) -> str:
        """What the example calls its image."""
        return self.example.image or f"sha256 {self.example.sha256}"

    @property
    def passes(self) -> bool:
        """Whether it was decided as expected."""
        return self.judged is not None and not self.failure

    @property
    def failure(self) -> str:
        """What was found in the place of what was expected, in words; "" where it is so."""
        if self.judged is None:
            return ""
        expect, said = self.example.expect, {each.label: each for each in self.judged.labels}
        label = said[expect.label] if expect.label else None
        silent = label is not None and not label.fired
        if self.judged.action == expect.action and not silent:
            return ""
        found = f"expected {expect.words}, found {self.judged.words}"
        return f"{found}; {_silence(label)}" if label is not None and silent else found


def run_examples(
    pipeline: Pipeline, name: str, folder: Path, max_image_bytes: int
) -> Iterator[ExampleRun]:
    """Yields the examples of a policy in their order, each decided, or with why it cannot be.

    Args:
        pipeline: decides.
        name: what it calls the policy.
        folder: that of the policy's file.
        max_image_bytes: the limit of an image's file.

    Raises:
        ModelError: a model is needed and cannot be loaded. PolicyError: so is a classifier.
        StoreError: features cannot be kept, or those that are kept are damaged.
    """
    policy = pipeline.policies[name]
    run = partial(_run_example, pipeline, name, folder, max_image_bytes)
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="example")
    try:
        yield from pool.map(run, range(len(policy.examples)))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _run_example(
    pipeline: Pipeline, name: str, folder: Path, max_image_bytes: int, place: int
) -> ExampleRun:
    policy, served = pipeline.policies[name], pipeline.served([name])
    try:
        image = _seen(pipeline, served, policy.examples[place], folder, max_image_bytes)
        return ExampleRun(policy, place, image, image.judged(served[0]))
    except ModerationError as error:
        if fails_for_all(pipeline, error):
            raise
        return ExampleRun(policy, place, error=str(error))


def _seen(
    pipeline: Pipeline,
    served: Sequence[ServedPolicy],
    example: Example,
    folder: Path,
    max_image_bytes: int,
) -> SeenExample:
    """Returns an example's image as the models see it.

    Raises:
        ImageError: its file is missing, or cannot be decoded. RequestError: the store has nothing
            of it.
    """
    if example.image is not None:
        path = folder / example.image
        if not path.is_file():
            remedy = "Its path is relative to the policy's file: correct it, or pin the image again"
            raise ImageError("there is no such file", "", remedy)
        content = read_image(path, max_image_bytes)
        seen = pipeline.encode(pipeline.look(content, served, Timer())).result()
        return SeenExample(seen.features, seen)
    features = pipeline.recall(example.sha256 or "", served)
    if features is None:
        what = "the embedding store has no features of it by this model"
        raise RequestError(what, "", "Scan the image with this model and store, or pin its file")
    return SeenExample(features, None)


def _silence(label: LabelScore) -> str:
    """Returns how far a label was from firing, in words."""
    if label.action is None:
        return f"{label.label} is a context label, which never fires"
    scored = f"{label.label} has {label.score:.3f}"
    from_ = label.threshold if label.review_threshold is None else label.review_threshold
    if from_ is None or label.score >= from_:
        return f"{scored}, and is not the nearest"
    return f"{scored}, and fires from {from_:g}"

"""Prompts that were not recorded, and classifiers that were not asked: errors of a policy.

A change to a policy that has such a prompt is not tried.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from audit.embedding.recorded_encoder import RecordedEncoder
from audit.errors import AuditError
from audit.metrics.variants import Variant
from moderation.encoders.encoder import TextEncoder
from moderation.errors import PolicyError
from moderation.policy import Policy
from moderation.scoring.classifier import expand_texts, in_templates


def refuse_unrecorded(policies: Iterable[Policy], encoder: TextEncoder) -> None:
    """Raises where policies have prompts that are not recorded; any other encoder embeds them.

    Raises:
        PolicyError: with every such prompt of any of them, its place, and the nearest recorded.
    """
    if not isinstance(encoder, RecordedEncoder):
        return
    problems = [
        policy.problem(("labels", i, key, j), *encoder.unrecorded_rule(text))
        for policy in policies
        for i, label in enumerate(policy.labels)
        for key in ("prompts", "negatives")
        for j, prompt in enumerate(getattr(label, key))
        for text in encoder.unrecorded(in_templates(policy, prompt))
    ]
    if problems:
        raise PolicyError(problems)


def refuse_unasked(policies: Iterable[Policy], asked: Collection[str]) -> None:
    """Raises where policies have classifiers of which the images' outputs are not there.

    Args:
        policies: of an audit.
        asked: the `model_key` of each classifier that was asked.

    Raises:
        PolicyError: with every label of any of them that such a classifier scores.
    """
    what = "this classifier was not asked about the images, of which only features are there"
    remedy = "Audit the images themselves: features of CLIP say nothing of a classifier's score"
    problems = [
        policy.problem(("labels", place, "classifier"), what, remedy)
        for policy in policies
        for place, classifier in policy.classified_labels.items()
        if classifier.model_key not in asked
    ]
    if problems:
        raise PolicyError(problems)


def refuse_unrecorded_searches(prompts: Iterable[str], encoder: TextEncoder) -> None:
    """Raises where prompts that images are searched with are not recorded.

    Raises:
        AuditError: with every such prompt, and the nearest recorded.
    """
    missing = encoder.unrecorded(prompts) if isinstance(encoder, RecordedEncoder) else []
    if isinstance(encoder, RecordedEncoder) and missing:
        *others, last = (encoder.unrecorded_rule(text) for text in missing)
        said = [f"{what}. {remedy}" for what, remedy in others]
        raise AuditError("\n".join((*said, last[0])), "", last[1])


def prompts_of(policies: Iterable[Policy]) -> tuple[str, ...]:
    """Returns every text that policies ask a model for, each once."""
    texts = (each for policy in policies for each in expand_texts(policy))
    return tuple(dict.fromkeys(text for each in texts for text in each))


def with_recorded_alone(variants: Iterable[Variant], encoder: TextEncoder) -> list[Variant]:
    """Returns changed label sets; those with a prompt that is not recorded are refused."""
    if not isinstance(encoder, RecordedEncoder):
        return list(variants)
    return [_refused_unrecorded(variant, encoder) for variant in variants]


def _refused_unrecorded(variant: Variant, encoder: RecordedEncoder) -> Variant:
    if variant.policy is None:
        return variant
    if not (missing := encoder.unrecorded(prompts_of([variant.policy]))):
        return variant
    more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
    refused = f"asks for prompts that are not recorded: {missing[0]!r}{more}"
    return variant._replace(policy=None, refused=refused)

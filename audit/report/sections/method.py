"""How the report was made, what its words mean, what it answers, and where its numbers are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from audit.report.document import (
    Block,
    Code,
    Fold,
    Line,
    Points,
    SectionLink,
    Terms,
    head,
    paragraph,
    stacked,
    table,
)
from audit.report.names import title
from audit.report.shown import count, plain, whole_percent
from audit.report.tables import tables
from audit.results.results import DatasetRecord, Header, PolicyRecord, Results

_TERMS = (
    ("Flagged", "The action is review or block. To be flagged is the harm that is measured."),
    (
        "Interval",
        "Wilson's score interval for a rate; Newcombe's for a difference of two groups; "
        "a paired one where two label sets see the same images.",
    ),
    (
        "Simultaneous interval",
        "Wide enough for all pairs of groups together, not for one pair alone.",
    ),
    (
        "Adjusted p",
        "Corrected by Holm for how many groups were looked at. A claim stands where it is below "
        "0.05. Without a claim nothing is known; that is not proof of equal treatment.",
    ),
    (
        "Undefined",
        "There is no image to count, so there is no rate. Undefined is never shown as zero.",
    ),
    (
        "Too few",
        "Fewer than 30 images: count and n are shown, no rate and no claim. "
        "From 30 to 99 images a rate is indicative.",
    ),
    (
        "Groups",
        "Demographic labels are read from the dataset, as its annotators perceived them. They are "
        "never inferred from images.",
    ),
    (
        "Point",
        "A percentage point: from 5 % to 7 % are 2 points.",
    ),
)

_CAUTION = (
    "For orientation only; this is not legal advice, and it does not say that a duty is met. "
    "Whether and how a framework applies depends on the service and its use."
)

#: The framework and its source; what it asks; the sections that answer; what the report lacks.
_FRAMEWORKS = (
    (
        ("EU Digital Services Act, Art. 15(1)(e)", "Regulation (EU) 2022/2065"),
        "Transparency reports on automated content moderation: a qualitative description, the "
        "precise purposes, indicators of the accuracy and the possible rate of error, and the "
        "safeguards applied.",
        ("labels", "flagged", "gaps", "differences", "shifts", "thresholds"),
        "The purposes; the safeguards, such as human review and appeals; the rate of error on the "
        "service's own content; the breakdown by language that Art. 42(2) asks of very large "
        "platforms.",
    ),
    (
        ("New York City Local Law 144", "of 2021, with its rules on bias audits"),
        "For automated tools in employment: selection rates and impact ratios by sex, by race or "
        "ethnicity, and where they meet. Its format is borrowed here; moderation is not "
        "employment. The pass ratio is the impact ratio with not being flagged as the favourable "
        "outcome. The four-fifths convention (a ratio below 0.8) is a US employment convention, "
        "not a rule of content moderation.",
        ("making", "flagged", "intersections", "gaps"),
        "An independent auditor; data of the tool's own use; counts of people whose category is "
        "unknown, unless the dataset states them.",
    ),
    (
        ("NIST AI RMF, MEASURE 2.11", "AI Risk Management Framework 1.0"),
        "That fairness and bias, as identified in the MAP function, are evaluated and the results "
        "documented.",
        ("flagged", "intersections", "gaps", "differences", "ablation", "reach", "limits"),
        "The MAP function itself: context, affected people, and which harms matter. "
        "Measurements after deployment.",
    ),
)


def making(results: Results) -> Iterator[Block]:
    """Yields tool, model, policies, dataset and settings of the audit."""
    header = results.header
    policies = [(f"Policy {title(results, p.name)}", _policy(p)) for p in header.policies]
    terms: tuple[tuple[str, tuple[Line, ...]], ...] = (
        ("Tool", ((f"{header.tool} {header.version}",),)),
        ("Made", ((header.created,),)),
        ("Command", ((Code(header.command),),)),
        ("Model", _model(header)),
        *policies,
        ("Dataset", _dataset(header.dataset)),
        ("Groups looked at", ((", ".join(header.by) or "none",),)),
        ("Confidence", ((whole_percent(header.confidence), " of every interval"),)),
        ("Seed", ((plain(header.seed),),)),
    )
    yield Terms(terms)
    if packages := tuple((name, ((text,),)) for name, text in sorted(header.versions.items())):
        yield Fold("Packages that compute", (Terms(packages),))


def _model(header: Header) -> tuple[Line, ...]:
    model = header.model
    bias: Line = () if header.logit_bias is None else (", logit bias ", plain(header.logit_bias))
    return (
        (f"{model.id}, revision ", Code(model.revision)),
        ("fingerprint ", Code(model.fingerprint)),
        ("preprocessing ", Code(model.preprocessing)),
        (f"{model.dtype} on {model.device}, logit scale ", plain(header.logit_scale), *bias),
    )


def _policy(policy: PolicyRecord) -> tuple[Line, ...]:
    source = (f", from {policy.path}",) if policy.path else ()
    return (
        (policy.title,),
        (f"{policy.id}, version ", plain(policy.version), *source),
        (f"scoring {policy.scoring}, decision {policy.decision}",),
        ("sha256 ", Code(policy.sha256)),
    )


def _dataset(dataset: DatasetRecord) -> tuple[Line, ...]:
    left: Line = (", left out ", count(dataset.left_out)) if dataset.left_out else ()
    if dataset.rounded:
        left = (*left, ", kept as float16 ", count(dataset.rounded))
    benign = (("Nothing in it should be flagged, so every flag is a false one.",),)
    return (
        (f"{dataset.name} ({dataset.adapter}), ", count(dataset.n), " images", *left),
        (f"sensitive features: {', '.join(dataset.sensitive_features) or 'none'}",),
        *(benign if dataset.benign else ()),
        ("annotations sha256 ", Code(dataset.sha256)),
        ("images sha256 ", Code(dataset.images_sha256)),
        *((note,) for note in dataset.notes),
    )


def mapping(present: Set[str]) -> Iterator[Block]:
    """Yields the mapping to frameworks.

    Args:
        present: keys of the sections that this report has.
    """
    yield paragraph(_CAUTION, tone="note")
    rows = [
        [
            head(*name),
            *(stacked(line, role="prose") for line in ((asks,), _links(keys, present), (lacks,))),
        ]
        for name, asks, keys, lacks in _FRAMEWORKS
    ]
    columns = ("Framework", "What it asks, in short", "Answered in", "Not answered here")
    yield table("Frameworks and sections", columns, rows)


def _links(keys: Sequence[str], present: Set[str]) -> Line:
    links = [part for key in keys if key in present for part in ("; ", SectionLink(key))]
    return tuple(links[1:]) or ("no section of this report",)


def method(_: Results) -> Iterator[Block]:
    """Yields the definitions that a reader needs, and where the rest stands."""
    yield Terms(tuple((name, ((text,),)) for name, text in _TERMS))
    yield paragraph("Each formula with its source is in ", Code("docs/audit-method.md"), ".")


def files(results: Results) -> Iterator[Block]:
    """Yields the machine-readable files beside the report."""
    yield Points(
        (
            (Code("results.json"), ": every figure of this report, with its n and its interval."),
            (Code("report.md"), ": this report as Markdown, shorter."),
            *((Code(f"{name}.csv"),) for name in tables(results)),
        )
    )

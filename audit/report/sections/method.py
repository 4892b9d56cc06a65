"""How the report was made, what its words mean, where its numbers are, what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator

from audit.metrics.rates import FLAG, MISCLASSIFIED
from audit.report.blocks import Block, Fold, Points, Terms, folded, paragraph, table
from audit.report.cells import Cell, group_head, head, number, words
from audit.report.csv_tables import csv_tables
from audit.report.inline import Code, Line, quoted_line
from audit.report.names import policy_title
from audit.report.shown_numbers import count, p_value, plain, whole_percent
from audit.results.left_out import left_out_features, left_out_summary
from audit.results.results import (
    DatasetRecord,
    Header,
    PolicyRecord,
    RecordingRecord,
    Results,
)

#: A longer table of what was left out is folded.
_UNFOLDED = 12

#: What the harm is that a report measures.
_METHOD_HARMS = {
    FLAG: ("Flagged", "The action is review or block. To be flagged is the harm that is measured."),
    MISCLASSIFIED: (
        "Misclassified",
        "The label that is said stands for another class than the annotated one. To be "
        "misclassified is the harm that is measured.",
    ),
}

_TERMS = (
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
        "Adjusted over all that this report tests. A claim stands where it is below 0.05. In its "
        "family: corrected by Holm for how many groups, or changes, were looked at there, as a "
        "description. Without a claim nothing is known; that is not proof of equal treatment.",
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


#: What the hash of what was looked at is of: images, or files of predictions.
_METHOD_HASHED = ("images sha256 ", "files sha256 ")


def method_left_out_section(results: Results) -> Iterator[Block]:
    """Yields how many images were left out, and of which groups, where there are any."""
    dataset = results.header.dataset
    if not dataset.left_out:
        return
    yield paragraph(next(left_out_summary(dataset)), tone="note")
    rows: list[tuple[Cell, ...]] = []
    for by in left_out_features(dataset):
        rows += [
            (group_head(by, group.group), number(count(group.left_out)), number(count(group.n)))
            for group in dataset.groups
            if group.by == by and group.left_out
        ]
        if unplaced := dataset.unplaced.get(by):
            rows.append((head("not known", by), number(count(unplaced)), words("")))
    shown = table("Images left out, by group", ("Group", "Left out", "Kept"), rows)
    if rows:
        yield folded(shown, in_markdown=True) if len(rows) > _UNFOLDED else shown


def method_facts_section(results: Results) -> Iterator[Block]:
    """Yields tool, model, policies, dataset and settings of the audit."""
    header = results.header
    policies = [
        (f"{header.noun.capitalize()} {policy_title(results, p.name)}", _method_policy_lines(p))
        for p in header.policies
    ]
    shown = [] if header.is_of_many else policies
    looked = [("Looked at", _method_looking_lines(header))] if header.looking else []
    terms: tuple[tuple[str, tuple[Line, ...]], ...] = (
        ("Tool", ((f"{header.tool} {header.version}",),)),
        ("Made", ((header.created,),)),
        ("Command", ((Code(header.command),),)),
        ("Model", _method_model_lines(header)),
        *shown,
        ("Dataset", _method_dataset_lines(header.dataset)),
        *looked,
        ("Groups looked at", ((", ".join(header.by) or "none",),)),
        ("Confidence", ((whole_percent(header.confidence), " of every interval"),)),
        ("Correction", _method_correction_lines(results)),
        ("Seed", ((plain(header.seed),),)),
    )
    yield Terms(terms)
    if header.is_of_many:
        yield Fold(f"The {len(policies):,} {header.nouns}", (Terms(tuple(policies)),))
    if packages := tuple((name, ((text,),)) for name, text in sorted(header.versions.items())):
        yield Fold("Packages that compute", (Terms(packages),))
    for policy in header.policies:
        if policy.notes:
            parts = (" ".join(part.split()) for part in policy.notes.split("\n\n"))
            name = f"What the file of {policy_title(results, policy.name)} says of itself"
            yield Fold(name, tuple(paragraph(part) for part in parts))


def _method_model_lines(header: Header) -> tuple[Line, ...]:
    model = header.model
    if model is None:
        return (("none: what systems said of the images was read, and no image was looked at",),)
    bias: Line = () if header.logit_bias is None else (", logit bias ", plain(header.logit_bias))
    if header.recording is not None:
        return _method_recording_lines(header.recording, bias)
    return (
        (f"{model.id}, revision ", Code(model.revision)),
        ("fingerprint ", Code(model.fingerprint)),
        ("preprocessing ", Code(model.preprocessing)),
        (f"{model.dtype} on {model.device}, logit scale ", plain(header.logit_scale), *bias),
    )


def _method_recording_lines(recorded: RecordingRecord, bias: Line) -> tuple[Line, ...]:
    """Returns what is claimed of recorded features."""
    length = "came at unit length" if recorded.unit_length else "brought to unit length on import"
    texts = " text" if recorded.texts == 1 else " texts"
    return (
        ("features were recorded, and no image was looked at; all of this is claimed of them",),
        (f"made by {recorded.model_id}, logit scale ", plain(recorded.logit_scale), *bias),
        (f"from {recorded.source or 'a source that is not named'}",),
        (f"licence: {recorded.licence or 'not named'}",),
        *([("words stand in the template ", Code(recorded.template))] if recorded.template else []),
        (count(recorded.d), f" numbers each, kept as {recorded.dtype}, {length}"),
        (count(recorded.texts), f"{texts} recorded"),
        (f"imported {recorded.created} by {recorded.imported_by}",),
        *((f"from {file.name}, sha256 ", Code(file.sha256)) for file in recorded.imported_from),
    )


def _method_correction_lines(results: Results) -> tuple[Line, ...]:
    made = results.correction
    if made is None:
        return (("nothing was tested",),)
    return (
        (
            "one over all that is tested: ",
            count(made.hypotheses),
            " hypothesis" if made.hypotheses == 1 else " hypotheses",
        ),
        ("Westfall and Young's, by ", count(made.draws), " tables in which nothing differs"),
        ("claimed whatever the others are: a p below ", p_value(made.critical_p)),
    )


def _method_looking_lines(header: Header) -> tuple[Line, ...]:
    several = header.dataset.seen_repeatedly
    got = " image got" if several == 1 else " images got"
    return (
        (Code(header.looking), ", as in production, where a worker has these settings"),
        (count(several), got, " more than one look; for each policy its worst look decides"),
    )


def _method_policy_lines(policy: PolicyRecord) -> tuple[Line, ...]:
    source = (f", from {policy.path}",) if policy.path else ()
    sha256: Line = ("sha256 ", Code(policy.sha256))
    if policy.kind != "policy":
        return (
            (policy.title,),
            (f"{policy.kind} that it said{source[0] if source else ''}",),
            sha256,
        )
    return (
        (policy.title,),
        (f"{policy.id}, version ", plain(policy.version), *source),
        (f"scoring {policy.scoring}, decision {policy.decision}",),
        sha256,
    )


def _method_dataset_lines(dataset: DatasetRecord) -> tuple[Line, ...]:
    left: Line = (", left out ", count(dataset.left_out)) if dataset.left_out else ()
    if dataset.rounded:
        left = (*left, ", kept as float16 ", count(dataset.rounded))
    benign = (("Nothing in it should be flagged, so every flag is a false one.",),)
    return (
        (
            f"{dataset.name} ({dataset.adapter}), ",
            count(dataset.n),
            " image" if dataset.n == 1 else " images",
            *left,
        ),
        (f"sensitive features: {', '.join(dataset.sensitive_features) or 'none'}",),
        *(benign if dataset.benign else ()),
        ("annotations sha256 ", Code(dataset.sha256)),
        (_METHOD_HASHED[dataset.adapter == "predictions"], Code(dataset.images_sha256)),
        *map(quoted_line, dataset.notes),
    )


def method_terms_section(results: Results) -> Iterator[Block]:
    """Yields the definitions that a reader needs, and where the rest stands."""
    terms = (_METHOD_HARMS[results.header.harm], *_TERMS)
    yield Terms(tuple((name, ((text,),)) for name, text in terms))
    yield paragraph("Each formula with its source is in ", Code("docs/audit-method.md"), ".")


def method_files_section(results: Results) -> Iterator[Block]:
    """Yields the machine-readable files beside the report."""
    yield Points(
        (
            (Code("results.json"), ": every figure of this report, with its n and its interval."),
            (Code("report.md"), ": this report as Markdown, shorter."),
            *((Code(f"{name}.csv"),) for name in csv_tables(results)),
        )
    )


def method_limits_section(results: Results) -> Iterator[Block]:
    """Yields what the method of the audit cannot say."""
    if results.limits:
        yield Points(tuple(map(quoted_line, results.limits)))

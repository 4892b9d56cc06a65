"""What is needed to make the report again, as a list of terms."""

from __future__ import annotations

from audit.report.document import Block, Code, Fold, Line, Terms
from audit.report.names import title
from audit.report.shown import count, plain, whole_percent
from audit.results.results import DatasetRecord, Header, PolicyRecord, Results


def making(results: Results) -> tuple[Block, ...]:
    """Returns tool, model, policies, dataset and settings of the audit."""
    header = results.header
    policies = [(_called(results, p), _policy(p)) for p in header.policies]
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
    packages = tuple((name, ((text,),)) for name, text in sorted(header.versions.items()))
    fold = (Fold("Packages that compute", (Terms(packages),)),) if packages else ()
    return (Terms(terms), *fold)


def _called(results: Results, policy: PolicyRecord) -> str:
    return f"Policy {title(results, policy.name)}"


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
    left: Line = () if not dataset.left_out else (", left out ", count(dataset.left_out))
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

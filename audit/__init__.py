"""The auditor: many images, some policies, misclassification rates by group.

    >>> from pathlib import Path
    >>> from audit import load_dataset
    >>> dataset = load_dataset(Path("fairface/"))     # doctest: +SKIP
    >>> dataset.groups(["race"]).sizes                # doctest: +SKIP

Scores and decisions are those of `moderation.classifier` and `moderation.verdict`, never a copy.
Demographic labels are read from datasets, and never inferred. A name is imported when it is first
asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audit.adapters import LoadOptions, load_dataset
    from audit.assembly import Named, run_audit
    from audit.comparison import compare_audit
    from audit.dataset import Dataset, Groups
    from audit.embedding import EmbeddedDataset, embed_dataset, embed_here
    from audit.errors import AuditError, DatasetError, LimitsError, UndefinedRateWarning
    from audit.label_study import Study, ablate_audit
    from audit.model import StoredEncoder
    from audit.rates import rate_table
    from audit.report import write_report
    from audit.results import Results
    from audit.subject import Subject
    from audit.sweep import Predictions, predict

_MODULE_OF = {
    **dict.fromkeys(("LoadOptions", "load_dataset"), "audit.adapters"),
    **dict.fromkeys(("Named", "run_audit"), "audit.assembly"),
    "compare_audit": "audit.comparison",
    **dict.fromkeys(("Dataset", "Groups"), "audit.dataset"),
    **dict.fromkeys(("EmbeddedDataset", "embed_dataset", "embed_here"), "audit.embedding"),
    **dict.fromkeys(
        ("AuditError", "DatasetError", "LimitsError", "UndefinedRateWarning"), "audit.errors"
    ),
    **dict.fromkeys(("Study", "ablate_audit"), "audit.label_study"),
    "StoredEncoder": "audit.model",
    "rate_table": "audit.rates",
    "write_report": "audit.report",
    "Results": "audit.results",
    "Subject": "audit.subject",
    **dict.fromkeys(("Predictions", "predict"), "audit.sweep"),
}

__all__ = [
    "AuditError",
    "Dataset",
    "DatasetError",
    "EmbeddedDataset",
    "Groups",
    "LimitsError",
    "LoadOptions",
    "Named",
    "Predictions",
    "Results",
    "StoredEncoder",
    "Study",
    "Subject",
    "UndefinedRateWarning",
    "ablate_audit",
    "compare_audit",
    "embed_dataset",
    "embed_here",
    "load_dataset",
    "predict",
    "rate_table",
    "run_audit",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Imports a public name at its first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value

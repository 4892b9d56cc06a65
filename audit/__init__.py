"""The auditor: many images, some policies, misclassification rates by group.

    >>> from pathlib import Path
    >>> from audit import load_dataset
    >>> dataset = load_dataset(Path("fairface/"))     # doctest: +SKIP
    >>> dataset.groups(["race"]).sizes                # doctest: +SKIP

Scores and decisions are those of `moderation.scoring`, never a copy. Demographic labels are read
from datasets, and never inferred. A name is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audit.datasets.adapters import LoadOptions, load_dataset
    from audit.datasets.dataset import Dataset, Groups
    from audit.embedding.dataset_features import EmbeddedDataset, embed_dataset, embed_here
    from audit.embedding.stored_encoder import StoredEncoder
    from audit.errors import AuditError, DatasetError, LimitsError, UndefinedRateWarning
    from audit.metrics.predictions import Predictions, predict
    from audit.metrics.rates import rate_table
    from audit.report import write_report
    from audit.results.results import Results
    from audit.studies.ablate import Study, ablate_audit
    from audit.studies.compare import compare_audit
    from audit.studies.run import Named, run_audit
    from audit.studies.subject import Subject

_MODULE_OF = {
    **dict.fromkeys(("LoadOptions", "load_dataset"), "audit.datasets.adapters"),
    **dict.fromkeys(("Named", "run_audit"), "audit.studies.run"),
    "compare_audit": "audit.studies.compare",
    **dict.fromkeys(("Dataset", "Groups"), "audit.datasets.dataset"),
    **dict.fromkeys(
        ("EmbeddedDataset", "embed_dataset", "embed_here"), "audit.embedding.dataset_features"
    ),
    **dict.fromkeys(
        ("AuditError", "DatasetError", "LimitsError", "UndefinedRateWarning"), "audit.errors"
    ),
    **dict.fromkeys(("Study", "ablate_audit"), "audit.studies.ablate"),
    "StoredEncoder": "audit.embedding.stored_encoder",
    "rate_table": "audit.metrics.rates",
    "write_report": "audit.report",
    "Results": "audit.results.results",
    "Subject": "audit.studies.subject",
    **dict.fromkeys(("Predictions", "predict"), "audit.metrics.predictions"),
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

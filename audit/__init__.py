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
    from audit.audits.ablate import Study, ablate_audit
    from audit.audits.audited import Named
    from audit.audits.compare import compare_audit
    from audit.audits.gate import gate_audit
    from audit.audits.predicted_subject import PredictedSubject, open_predictions
    from audit.audits.run import run_audit
    from audit.audits.subject import Subject
    from audit.datasets.adapters import LoadOptions, load_dataset
    from audit.datasets.dataset import Dataset
    from audit.datasets.groups import Groups
    from audit.embedding.classifier_outputs import embed_outputs
    from audit.embedding.dataset_features import EmbeddedDataset, embed_dataset, embed_here
    from audit.embedding.recorded_encoder import RecordedEncoder, embedded_recording
    from audit.errors import AuditError, DatasetError, LimitsError, UndefinedRateWarning
    from audit.gate.limits import Limits, load_limits
    from audit.gate.report import GateReport
    from audit.metrics.predictions import Predictions, predict
    from audit.metrics.rates import rate_table
    from audit.predicted.columns import PredictionOptions
    from audit.recordings.claims import ModelClaims
    from audit.recordings.feature_export import ExportedFeatures, export_features
    from audit.recordings.feature_import import FeatureImport, import_features
    from audit.recordings.recording import Recording, read_recording
    from audit.recordings.text_features import RecordedTexts, TextOptions
    from audit.report import write_report
    from audit.results.results import Results

_NAMES_IN = {
    "datasets.adapters": ("LoadOptions", "load_dataset"),
    "datasets.dataset": ("Dataset",),
    "datasets.groups": ("Groups",),
    "embedding.classifier_outputs": ("embed_outputs",),
    "embedding.dataset_features": ("EmbeddedDataset", "embed_dataset", "embed_here"),
    "embedding.recorded_encoder": ("RecordedEncoder", "embedded_recording"),
    "errors": ("AuditError", "DatasetError", "LimitsError", "UndefinedRateWarning"),
    "gate.limits": ("Limits", "load_limits"),
    "gate.report": ("GateReport",),
    "metrics.predictions": ("Predictions", "predict"),
    "metrics.rates": ("rate_table",),
    "recordings.claims": ("ModelClaims",),
    "recordings.feature_export": ("ExportedFeatures", "export_features"),
    "recordings.feature_import": ("FeatureImport", "import_features"),
    "recordings.recording": ("Recording", "read_recording"),
    "recordings.text_features": ("RecordedTexts", "TextOptions"),
    "predicted.columns": ("PredictionOptions",),
    "report": ("write_report",),
    "results.results": ("Results",),
    "audits.ablate": ("Study", "ablate_audit"),
    "audits.audited": ("Named",),
    "audits.compare": ("compare_audit",),
    "audits.gate": ("gate_audit",),
    "audits.predicted_subject": ("PredictedSubject", "open_predictions"),
    "audits.run": ("run_audit",),
    "audits.subject": ("Subject",),
}
_MODULE_OF = {name: f"audit.{module}" for module, names in _NAMES_IN.items() for name in names}

__all__ = [
    "AuditError",
    "Dataset",
    "DatasetError",
    "EmbeddedDataset",
    "ExportedFeatures",
    "FeatureImport",
    "GateReport",
    "Groups",
    "Limits",
    "LimitsError",
    "LoadOptions",
    "ModelClaims",
    "Named",
    "PredictedSubject",
    "PredictionOptions",
    "Predictions",
    "RecordedEncoder",
    "RecordedTexts",
    "Recording",
    "Results",
    "Study",
    "Subject",
    "TextOptions",
    "UndefinedRateWarning",
    "ablate_audit",
    "compare_audit",
    "embed_dataset",
    "embed_here",
    "embed_outputs",
    "embedded_recording",
    "export_features",
    "gate_audit",
    "import_features",
    "load_dataset",
    "load_limits",
    "open_predictions",
    "predict",
    "rate_table",
    "read_recording",
    "run_audit",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Imports a public name at its first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value

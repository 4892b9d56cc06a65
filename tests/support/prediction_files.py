"""Files of predictions for tests: small ones written here, and the real ones of ../shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from audit.audits.predicted_subject import PredictedSubject, open_predictions
from audit.predicted.columns import PredictionOptions
from audit.predicted.systems import SystemPredictions
from tests.conftest import SHARED

#: Two trainings of one network, and what they said of the faces of FairFace.
OPENAI = SHARED / "data/predictions/openai_clip_vitl14_fairface_val.csv"
LAION = SHARED / "data/predictions/openclip_vitl14_laion2b_fairface_val.csv"


def real_predictions() -> tuple[Path, Path]:
    """Returns two files of predictions of 10,954 faces; skips where they are not here."""
    if not OPENAI.exists():
        pytest.skip("the predictions of ../shared/data/predictions are not here")
    return OPENAI, LAION


def write_columns(path: Path, **columns: Sequence[Any]) -> Path:
    """Writes a table to a CSV or Parquet file, by its name."""
    return write_table(path, columns)


def write_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Writes a table whose columns have any names."""
    table = pd.DataFrame(columns)
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)
    return path


def predicted(
    subject_of: Path, options: PredictionOptions, *by: str
) -> tuple[PredictedSubject, SystemPredictions]:
    """Returns the subject of one file, and what its first system says."""
    subject, named = open_predictions(
        [subject_of], options, [tuple(each.split(",")) for each in by] or None
    )
    return subject, subject.predict(named.policies)[0]

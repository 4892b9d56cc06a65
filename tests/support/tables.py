"""Rows of tables, as tests read them."""

from __future__ import annotations

from typing import Any

import pandas as pd


def rows_of(table: pd.DataFrame) -> list[Any]:
    """Returns the rows, columns as attributes; the stubs would let each be any scalar."""
    return list(table.itertuples())

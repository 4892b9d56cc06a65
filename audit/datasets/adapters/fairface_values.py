"""How FairFace's annotations are written: its groups, their spellings, their published counts."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from audit.datasets.adapters.rows import Wrong

RACE, GENDER, AGE = "race", "gender", "age"
FEATURES = (RACE, GENDER, AGE)
SERVICE_TEST = "service_test"

#: Age groups in their order; over 69 is one group, called as FairFace calls it.
AGES = (
    *("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69"),
    "more than 70",
)

#: Images of each group in the validation set as it was released.
VALIDATION_COUNTS: Mapping[str, Mapping[str, int]] = {
    RACE: {
        "White": 2085,
        "Latino_Hispanic": 1623,
        "Black": 1556,
        "East Asian": 1550,
        "Indian": 1516,
        "Southeast Asian": 1415,
        "Middle Eastern": 1209,
    },
    GENDER: {"Male": 5792, "Female": 5162},
    AGE: dict(zip(AGES, (199, 1356, 1181, 3300, 2330, 1353, 796, 321, 118), strict=True)),
}
VALIDATION_SIZE = 10_954

_KNOWN = {feature: tuple(counts) for feature, counts in VALIDATION_COUNTS.items()}
_KNOWN[SERVICE_TEST] = ("TRUE", "FALSE")


def _key(text: str) -> str:
    """Returns a text without case, and with one space where words or numbers are apart."""
    return re.sub(r"[\s_/–-]+", " ", text.casefold()).strip()


_SPELLINGS = {
    feature: {_key(value): value for value in values} for feature, values in _KNOWN.items()
}
_SPELLINGS[RACE]["latino"] = "Latino_Hispanic"
for _spelling in ("over 70", "70+", ">70", "70 and over"):
    _SPELLINGS[AGE][_spelling] = AGES[-1]
_SPELLINGS[SERVICE_TEST] |= {"1": "TRUE", "0": "FALSE"}


def read_value(feature: str, cell: str) -> str | Wrong:
    """Returns the group that a cell means, as FairFace spells it, or what is wrong with it."""
    value = _SPELLINGS[feature].get(_key(cell))
    if value is None:
        return Wrong(f"there is no {feature} {cell}", f"Known are: {', '.join(_KNOWN[feature])}")
    return value


def age_group(years: int) -> str:
    """Returns FairFace's age group of an age in years; 70 counts as more than 70."""
    for group in AGES[:-1]:
        if years <= int(group.split("-")[1]):
            return group
    return AGES[-1]


def differences(table: pd.DataFrame) -> tuple[str, ...]:
    """Returns in words every group that has another size than in the released validation set."""
    found = []
    for feature, published in VALIDATION_COUNTS.items():
        counts = table[feature].value_counts()
        for group, n in published.items():
            if (here := int(counts.get(group, 0))) != n:
                found.append(f"{feature} {group} has {here:,}, published are {n:,}")
    return tuple(found)

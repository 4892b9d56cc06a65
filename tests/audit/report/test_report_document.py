"""The numbers of a report, whatever its format: each is one of results.json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from audit.report.blocks import Beside, Block, Fold, Paragraph, Points, Table, Terms
from audit.report.document import Document, make_document
from audit.report.inline import Line, Value
from audit.results.results import Results
from tests.support.sample_results import HEADER_ALONE, SAMPLES

EVERY_SAMPLE = {**SAMPLES, "nothing but a header": HEADER_ALONE}


@pytest.fixture(scope="module", params=list(EVERY_SAMPLE))
def results(request: pytest.FixtureRequest) -> Results:
    return EVERY_SAMPLE[request.param]


@pytest.fixture(scope="module")
def document(results: Results) -> Document:
    return make_document(results)


def _tables(blocks: Iterable[Block]) -> Iterator[Table]:
    for block in blocks:
        if isinstance(block, Table):
            yield block
        elif isinstance(block, Beside):
            yield block.table
        elif isinstance(block, Fold):
            yield from _tables(block.blocks)


def _lines(blocks: Iterable[Block]) -> Iterator[Line]:
    """Yields every line of blocks, those of tables and folds too."""
    for block in blocks:
        if isinstance(block, Paragraph):
            yield block.parts
        elif isinstance(block, Points):
            yield from block.items
        elif isinstance(block, Terms):
            yield from (line for _, lines in block.items for line in lines)
        elif isinstance(block, Fold):
            yield from _lines(each for each in block.blocks if not isinstance(each, Table))
    for table in _tables(blocks):
        yield from (line for row in table.rows for cell in row for line in cell.lines)


def _values(document: Document) -> list[Value]:
    blocks = [block for section in document.sections for block in section.blocks]
    parts = (part for line in _lines(blocks) for part in line)
    return [part for part in parts if isinstance(part, Value)]


def _scalars(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*map(_scalars, value.values()))
    if isinstance(value, list):
        return set().union(*map(_scalars, value))
    return {json.dumps(value)}


def test_every_number_is_one_of_results_json(results: Results, document: Document) -> None:
    known = _scalars(json.loads(results.to_json()))
    values = _values(document)
    assert values
    assert [value for value in values if json.dumps(value.raw) not in known] == []


def test_no_null_is_shown_as_a_number(document: Document) -> None:
    nulls = {value.text for value in _values(document) if value.raw is None}
    assert nulls <= {"undefined", "no limit"}


def test_a_number_in_a_cell_is_a_value(document: Document) -> None:
    tables = [table for section in document.sections for table in _tables(section.blocks)]
    for cell in (cell for table in tables for row in table.rows for cell in row):
        for part in (part for line in cell.lines for part in line):
            if cell.role == "number" and isinstance(part, str):
                assert not re.search(r"\d", part), part

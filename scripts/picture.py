"""Prints a drawing of a report as an SVG file of its own.

    python scripts/picture.py REPORT/results.json [FEATURE] > docs/examples/NAME.svg

It is the drawing with which the report begins; or of a sensitive feature, or an intersection such
as "race × gender", what changed from the first system to the second, or otherwise the rates. The
pages of worked examples show such drawings, and their tests compare them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from audit import Results
from audit.datasets.groups import OVERALL
from audit.report.names import harm_name, policy_title
from audit.report.opening import make_opening
from audit.report.plots.dumbbell import dumbbell
from audit.report.plots.forest import forest

#: What an element within a page does without, and a file needs; dark pages have dark behind it.
_FILE = 'xmlns="http://www.w3.org/2000/svg" style="background:#fff"'


def picture(results: Results, by: str | None = None) -> str:
    """Returns a drawing of a report as a file: the first one, or that of a feature.

    Raises:
        ValueError: there is nothing to draw.
    """
    if by is None:
        svg = next((figure.svg for figure in make_opening(results).figures), "")
    else:
        svg = _changes(results, by) if results.shifts else _rates(results, by)
    if not svg:
        raise ValueError(f"the report has no drawing of {by or 'what it says first'}")
    return svg.replace("<svg", f"<svg {_FILE}", 1) + "\n"


def _changes(results: Results, by: str) -> str:
    before, after, *_ = (policy.name for policy in results.header.policies)
    rows = [
        row
        for row in results.shifts
        if row.label_sets == (before, after) and row.metric == results.header.harm
        if row.by in (by, OVERALL) and not row.matched
    ]
    name = f"{harm_name(results)} by {by}, before and after"
    return dumbbell(rows, before=before, after=after, key="changes", title=name)


def _rates(results: Results, by: str) -> str:
    rates = [rate for rate in results.rates if rate.metric == results.header.harm]
    own = [rate for rate in rates if rate.by == by]
    called = {policy.name: policy_title(results, policy.name) for policy in results.header.policies}
    highest = max((rate.high or 0 for rate in own if rate.support != "suppressed"), default=0)
    overall = [rate for rate in rates if rate.by == OVERALL]
    name = f"{harm_name(results)} by {by}"
    return forest(own, overall, called, highest=highest, key="rates", title=name)


if __name__ == "__main__":
    content = Path(sys.argv[1]).read_text(encoding="utf-8")
    sys.stdout.write(picture(Results.model_validate_json(content), *sys.argv[2:3]))

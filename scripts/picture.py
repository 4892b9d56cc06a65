"""Prints the drawing with which a report begins, as an SVG file of its own.

    python scripts/picture.py REPORT/results.json > docs/examples/NAME.svg

The pages of worked examples show such drawings, and their tests compare them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from audit import Results
from audit.report.opening import make_opening

#: What an element within a page does without, and a file needs; dark pages have dark behind it.
_FILE = 'xmlns="http://www.w3.org/2000/svg" style="background:#fff"'


def picture(results: Results) -> str:
    """Returns the first drawing of a report.

    Raises:
        ValueError: it has no drawing at its beginning.
    """
    figures = make_opening(results).figures
    if not figures:
        raise ValueError("the report begins without a drawing")
    return figures[0].svg.replace("<svg", f"<svg {_FILE}", 1) + "\n"


if __name__ == "__main__":
    content = Path(sys.argv[1]).read_text(encoding="utf-8")
    sys.stdout.write(picture(Results.model_validate_json(content)))

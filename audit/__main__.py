"""`python -m audit`; exit codes are those of `moderation.commands.exit_codes`.

Findings (1) are a gate that fails, a dataset with problems (`datasets info`), an invalid policy;
wrong usage (2) is also a dataset or limits that cannot be used. A gate with too little data exits
with 4.
"""

from __future__ import annotations

import sys

from moderation.commands.exit_codes import WRONG_USAGE, exit_code
from moderation.encoders.cores import bound_threads, usable


def main() -> None:
    """Runs the command line and exits with its code."""
    bound_threads(usable())
    sys.exit(exit_code(_run_app, wrong_usage=WRONG_USAGE))


def _run_app() -> None:
    """Runs the app of `python -m audit`."""
    from audit.commands.app import app

    # Every option is also a variable: --out of compare is AUDIT_COMPARE_OUT.
    app(prog_name="audit", auto_envvar_prefix="AUDIT")


if __name__ == "__main__":
    main()

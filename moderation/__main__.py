"""`python -m moderation`; exit codes are those of `moderation.commands.exit_codes`.

Findings (1) are flagged images with --fail-on, images without a verdict, an invalid policy, a
failed check; wrong usage (2) is also a request or setting that cannot be right.
"""

from __future__ import annotations

import sys

from moderation.commands.exit_codes import WRONG_USAGE, exit_code
from moderation.encoders.cores import bound_threads, usable


def main() -> None:
    """Runs the command line and exits with its code."""
    bound_threads(usable())
    sys.exit(exit_code(_run_main, wrong_usage=WRONG_USAGE))


def _run_main() -> None:
    from moderation.commands.app import app

    # Every option is also a variable: --fail-on of scan is MODERATION_SCAN_FAIL_ON.
    app(prog_name="moderation", auto_envvar_prefix="MODERATION")


if __name__ == "__main__":
    main()

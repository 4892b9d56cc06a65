"""`python -m moderation`, and the one place that turns errors into exit codes.

0 done; 1 findings: flagged images with --fail-on, images without a verdict, an invalid policy, a
failed check; 2 wrong usage, a request or setting that cannot be right; 3 what is needed is not
there, or an unexpected error; 130 Ctrl-C.
"""

from __future__ import annotations

import sys
import traceback

from moderation.errors import ModerationError, PolicyError, RequestError, SettingsError

FINDINGS, USAGE, UNEXPECTED, INTERRUPTED = 1, 2, 3, 130


def main() -> None:
    """Runs the command line and exits with its code."""
    sys.exit(_exit_code())


def _exit_code() -> int:
    try:
        from moderation.cli import app

        # Every option is also a variable: --fail-on of scan is MODERATION_SCAN_FAIL_ON.
        app(prog_name="moderation", auto_envvar_prefix="MODERATION")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    except PolicyError as error:
        print(error, file=sys.stderr)
        return FINDINGS
    except ModerationError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE if isinstance(error, RequestError | SettingsError) else UNEXPECTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception:
        traceback.print_exc()
        print("error: this is a fault of the program; please report the above", file=sys.stderr)
        return UNEXPECTED
    return 0


if __name__ == "__main__":
    main()

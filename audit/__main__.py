"""`python -m audit`, and the one place that turns errors into exit codes.

0 done; 1 findings: a gate that fails, a dataset with problems (`datasets info`), an invalid policy;
2 wrong usage: options, a dataset or limits that cannot be used; 3 what is needed is not there, or
an unexpected error; 4 a gate with too little data; 130 Ctrl-C.
"""

from __future__ import annotations

import sys
import traceback

from audit.errors import AuditError
from moderation.errors import ModerationError, PolicyError, RequestError, SettingsError

FINDINGS, USAGE, UNEXPECTED, INTERRUPTED = 1, 2, 3, 130


def main() -> None:
    """Runs the command line and exits with its code."""
    sys.exit(_exit_code())


def _exit_code() -> int:
    try:
        from audit.cli import app

        # Every option is also a variable: --out of compare is AUDIT_COMPARE_OUT.
        app(prog_name="audit", auto_envvar_prefix="AUDIT")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    except PolicyError as error:
        print(error, file=sys.stderr)
        return FINDINGS
    except ModerationError as error:
        print(f"error: {error}", file=sys.stderr)
        usage = isinstance(error, AuditError | RequestError | SettingsError)
        return USAGE if usage else UNEXPECTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except ImportError as error:
        print(f"error: {error}. Run `pip install 'evenhand[audit]'`", file=sys.stderr)
        return UNEXPECTED
    except Exception:
        traceback.print_exc()
        print("error: this is a fault of the program; please report the above", file=sys.stderr)
        return UNEXPECTED
    return 0


if __name__ == "__main__":
    main()

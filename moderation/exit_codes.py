"""The one place that turns errors into exit codes, for every command line of this package.

0 done; 1 findings; 2 wrong usage; 3 what is needed is not there, or an unexpected error; 130
Ctrl-C. What a command finds, it says by exiting itself.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

from moderation.errors import ModerationError, PolicyError, RequestError, SettingsError

FINDINGS, USAGE, UNEXPECTED, INTERRUPTED = 1, 2, 3, 130

#: Errors that other options, settings or arguments would have avoided.
WRONG_USAGE: tuple[type[ModerationError], ...] = (RequestError, SettingsError)


def exit_code(run: Callable[[], object], *, wrong_usage: tuple[type[ModerationError], ...]) -> int:
    """Runs a command line and returns its exit code; errors are told on standard error.

    Args:
        run: loads the command line and runs it.
        wrong_usage: errors that exit with 2.
    """
    try:
        run()
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    except PolicyError as error:
        print(error, file=sys.stderr)
        return FINDINGS
    except ModerationError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE if isinstance(error, wrong_usage) else UNEXPECTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception:
        traceback.print_exc()
        print("error: this is a fault of the program; please report the above", file=sys.stderr)
        return UNEXPECTED
    return 0

"""The one place that turns errors into exit codes, for every command line of this package.

0 done; 1 findings; 2 wrong usage; 3 what is needed is not there, or an unexpected error; 130
Ctrl-C. What a command finds, it says by exiting itself.
"""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Callable

from moderation.errors import ModerationError, PolicyError, RequestError, SettingsError
from moderation.visible_text import lines

FINDINGS, USAGE, UNEXPECTED, INTERRUPTED = 1, 2, 3, 130

#: Errors that other options, settings or arguments would have avoided.
WRONG_USAGE: tuple[type[ModerationError], ...] = (RequestError, SettingsError)


#: What the extras bring, as it is imported, and the extra that brings it.
_EXTRA_OF = {
    **dict.fromkeys(("alembic", "platformdirs", "pythonjsonlogger", "sqlalchemy"), "worker"),
    **dict.fromkeys(("prometheus_client", "standardwebhooks"), "worker"),
    **dict.fromkeys(("jinja2", "matplotlib", "pandas", "pyarrow", "scipy", "statsmodels"), "audit"),
    **dict.fromkeys(("torch", "transformers"), "clip"),
    "psycopg": "postgresql",
}


def exit_code(run: Callable[[], object], *, wrong_usage: tuple[type[ModerationError], ...]) -> int:
    """Runs a command line and returns its exit code; errors are told on standard error.

    What standard output cannot encode is written out, so that no name ends a command.

    Args:
        run: loads the command line and runs it.
        wrong_usage: errors that exit with 2.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        run()
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    except PolicyError as error:
        _tell(str(error))
        return FINDINGS
    except ModerationError as error:
        _tell(f"error: {error}")
        return USAGE if isinstance(error, wrong_usage) else UNEXPECTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if (extra := _EXTRA_OF.get((error.name or "").partition(".")[0])) is None:
            return _unexpected()
        _tell(f"error: {error.name} is not installed. Run `pip install 'evenhand[{extra}]'`")
        return UNEXPECTED
    except Exception:
        return _unexpected()
    return 0


def _unexpected() -> int:
    """Tells the error that is being handled; returns its exit code."""
    _tell(traceback.format_exc().rstrip())
    _tell("error: this is a fault of the program; please report the above")
    return UNEXPECTED


def _tell(text: str) -> None:
    print(lines(text), file=sys.stderr)

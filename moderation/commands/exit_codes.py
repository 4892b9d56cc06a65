"""The one place that turns errors into exit codes, for every command line of this package.

0 done; 1 findings; 2 wrong usage; 3 something needed is missing, or an unexpected error; 130
Ctrl-C. A command that finds something exits by itself.
"""

from __future__ import annotations

import io
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from audit.errors import AuditError
from moderation.errors import ModerationError, PolicyError, RequestError, SettingsError
from moderation.visible_text import lines

FINDINGS, USAGE, UNEXPECTED, INTERRUPTED = 1, 2, 3, 130

#: Errors that other options, settings or arguments would have avoided.
WRONG_USAGE: tuple[type[ModerationError], ...] = (RequestError, SettingsError, AuditError)

#: Packages by the name that is imported, and the extra that brings each.
_EXTRA_OF = {
    **dict.fromkeys(("alembic", "platformdirs", "pythonjsonlogger", "sqlalchemy"), "worker"),
    **dict.fromkeys(("prometheus_client", "standardwebhooks"), "worker"),
    **dict.fromkeys(("jinja2", "matplotlib", "pandas", "pyarrow", "scipy", "statsmodels"), "audit"),
    **dict.fromkeys(("torch", "transformers"), "clip"),
    "psycopg": "postgresql",
}


def exit_code(run: Callable[[], object], *, wrong_usage: tuple[type[ModerationError], ...]) -> int:
    """Runs a command line and returns its exit code; errors go to standard error.

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
        _print_error(str(error))
        return FINDINGS
    except ModerationError as error:
        _print_error(f"error: {error}")
        return USAGE if isinstance(error, wrong_usage) else UNEXPECTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if (extra := _EXTRA_OF.get((error.name or "").partition(".")[0])) is None:
            return _print_unexpected()
        _print_error(f"error: {error.name} is not installed. Run `pip install 'evenhand[{extra}]'`")
        return UNEXPECTED
    except Exception:
        return _print_unexpected()
    return 0


@contextmanager
def as_ctrl_c(*signals: signal.Signals) -> Iterator[None]:
    """Makes signals end the block as Ctrl-C does: it cleans up, and has that exit code."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_unexpected() -> int:
    """Prints the error that is being handled; returns its exit code."""
    _print_error(traceback.format_exc().rstrip())
    _print_error("error: this is a fault of the program; please report the above")
    return UNEXPECTED


def _print_error(text: str) -> None:
    print(lines(text), file=sys.stderr)

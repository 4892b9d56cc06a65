"""`moderation callbacks list|show|retry`: what was sent to the receivers, and what was not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from moderation.commands.command_line import command_group, examples
from moderation.commands.options import LimitOption, TableOrJsonOption
from moderation.commands.output import note, print_json, print_table
from moderation.errors import RequestError
from moderation.settings import load_settings

if TYPE_CHECKING:
    from moderation.decision_log.outbox import Callback

_TIME = "%Y-%m-%d %H:%M:%S"

app = command_group("Look after the webhooks that final answers are sent as.")


@app.command(
    "list",
    epilog=examples(
        "moderation callbacks list", "moderation callbacks list --state failed --format json"
    ),
)
def list_(
    state: Annotated[
        Literal["pending", "delivered", "failed"] | None, typer.Option(help="Only in this state.")
    ] = None,
    limit: LimitOption = 50,
    format: TableOrJsonOption = "table",
) -> None:
    """List callbacks, the newest first."""
    from moderation.decision_log.log import open_log
    from moderation.decision_log.outbox import list_callbacks

    with open_log(load_settings(), make=False) as decisions:
        found = list_callbacks(decisions.database, state, limit)
    if format == "json":
        shown = map(_shown_callback, found)
        print_json([{name: one[name] for name in one if name != "payload"} for one in shown])
        return
    columns = ("id", "since (UTC)", "to", "state", "tries", "next try (UTC)", "last error")
    print_table(columns, map(_callback_line, found))
    note(f"{len(found)} shown" if found else "there is no such callback")


@app.command(epilog=examples("moderation callbacks show msg_0b9c6a1e..."))
def show(
    callback_id: Annotated[str, typer.Argument(metavar="ID", help="Its webhook-id.")],
) -> None:
    """Show all that is known of one callback, its payload included, as JSON."""
    from moderation.decision_log.log import open_log
    from moderation.decision_log.outbox import find

    with open_log(load_settings(), make=False) as decisions:
        callback = find(decisions.database, callback_id)
    if callback is None:
        raise _unknown_callbacks([callback_id])
    # The payload stays text: it is signed to the byte.
    print_json(_shown_callback(callback))


@app.command(
    epilog=examples(
        "moderation callbacks retry msg_0b9c6a1e...", "moderation callbacks retry --all-failed"
    )
)
def retry(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Their webhook-ids.")
    ] = None,
    all_failed: Annotated[
        bool, typer.Option("--all-failed", help="All that were given up.")
    ] = False,
) -> None:
    """Try callbacks again now, and then by the whole schedule, under the ids that they have.

    A worker sends them. One that arrived is not sent again: exits with 2, and changes nothing.
    """
    from moderation.decision_log import outbox
    from moderation.decision_log.log import open_log

    if bool(ids) == all_failed:
        remedy = "Name callbacks, or give --all-failed"
        raise RequestError("it is not clear which are meant", "callbacks retry", remedy)
    now = datetime.now(UTC)
    with open_log(load_settings(), make=False) as decisions:
        if ids:
            _refuse_unretryable_callbacks(
                {name: outbox.find(decisions.database, name) for name in ids}
            )
            changed = outbox.retry(decisions.database, ids, now=now)
        else:
            changed = outbox.retry_all_failed(decisions.database, now=now)
    note(f"{len(changed)} will be tried now" if changed else "no callback was given up")


def _refuse_unretryable_callbacks(found: dict[str, Callback | None]) -> None:
    if unknown := [name for name, callback in found.items() if callback is None]:
        raise _unknown_callbacks(unknown)
    arrived = [name for name, callback in found.items() if callback and callback.delivered_at]
    if arrived:
        remedy = "Leave it out; `moderation callbacks list --state failed` shows what did not"
        raise RequestError(f"{', '.join(arrived)} arrived already", "callbacks retry", remedy)


def _unknown_callbacks(names: list[str]) -> RequestError:
    remedy = "`moderation callbacks list` shows what there is"
    return RequestError(f"no callback is called {', '.join(names)}", "callbacks", remedy)


def _callback_line(callback: Callback) -> tuple[str, ...]:
    return (
        callback.id,
        f"{callback.created_at:{_TIME}}",
        callback.endpoint.partition("?")[0],
        callback.state,
        str(callback.attempts),
        f"{callback.next_attempt_at:{_TIME}}" if callback.state == "pending" else "",
        callback.last_error or "",
    )


def _shown_callback(callback: Callback) -> dict[str, Any]:
    """Returns a callback as commands show it: its URL without the query, where keys may be."""
    shown = {"endpoint": callback.endpoint.partition("?")[0], "state": callback.state}
    return vars(callback) | shown

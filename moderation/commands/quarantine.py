"""`moderation quarantine list|show|retry|drop`: requests that got no verdict, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from moderation.commands.command_line import command_group, examples
from moderation.commands.options import LimitOption, TableOrJsonOption
from moderation.commands.output import note, print_json, print_table, track
from moderation.decision_log.records import Reason
from moderation.errors import RequestError
from moderation.settings import Settings, load_settings

if TYPE_CHECKING:
    from moderation.decision_log.log import DecisionLog
    from moderation.decision_log.quarantine import QuarantinedRequest
    from moderation.queue.kept_requests import KeptRequests

app = command_group("Look after requests that got no verdict: see why, and send them again.")

#: A request in quarantine is named by its quarantine id, or by its own.
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Quarantine id, or request id.")]
IdsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Quarantine ids, or request ids.")
]
ReasonOption = Annotated[Reason | None, typer.Option(help="Only those with this reason.")]
EveryOption = Annotated[bool, typer.Option("--all", help="All open ones, or those of --reason.")]


@app.command(
    "list",
    epilog=examples(
        "moderation quarantine list", "moderation quarantine list --reason decoder --format json"
    ),
)
def list_(
    reason: ReasonOption = None,
    all: Annotated[bool, typer.Option("--all", help="Released and dropped ones too.")] = False,
    limit: LimitOption = 50,
    format: TableOrJsonOption = "table",
) -> None:
    """List requests that got no verdict, the newest first."""
    from moderation.decision_log.log import open_log
    from moderation.decision_log.quarantine import list_quarantined

    with open_log(load_settings(), make=False) as decisions:
        found = list_quarantined(decisions.engine, reason=reason, every=all, limit=limit)
    if format == "json":
        print_json([{**entry._asdict(), "state": entry.state} for entry in found])
        return
    rows = [
        (
            entry.id,
            f"{entry.quarantined_at:%Y-%m-%d %H:%M}",
            entry.reason,
            entry.error[0] if entry.error else "",
            entry.state,
        )
        for entry in found
    ]
    print_table(("id", "since (UTC)", "reason", "what is wrong", "state"), rows)
    note(f"{len(found)} shown" if found else "nothing is in quarantine")


@app.command(epilog=examples("moderation quarantine show 0b9c6a1e-..."))
def show(name: IdArgument) -> None:
    """Show all that is known of one request that got no verdict, as JSON."""
    from moderation.decision_log.log import open_log

    settings = load_settings()
    with open_log(settings, make=False) as decisions:
        entry = _quarantined_entry(decisions, name)
    with _kept_requests(settings) as requests:
        stored = requests.kept(entry.request_id)
    print_json({**entry._asdict(), "state": entry.state, "can_be_retried": stored is not None})


@app.command(
    epilog=examples(
        "moderation quarantine retry 0b9c6a1e-...",
        "moderation quarantine retry --all --reason unavailable",
    )
)
def retry(names: IdsArgument = None, all: EveryOption = False, reason: ReasonOption = None) -> None:
    """Send requests again, under the ids that they had.

    Exits with 1 where one is no longer stored: its host has to submit it again.
    """
    from moderation.decision_log.log import open_log
    from moderation.queue.celery_app import create_app
    from moderation.worker.release import release_quarantined

    settings = load_settings()
    celery = create_app(settings)
    with open_log(settings, make=False) as decisions, _kept_requests(settings) as requests:
        entries = _chosen_quarantined(decisions, names, all, reason)
        _act_on_quarantined(
            entries,
            lambda entry: release_quarantined(entry, decisions, requests, celery, settings),
            "sent again",
        )


@app.command(
    epilog=examples(
        "moderation quarantine drop 0b9c6a1e-...", "moderation quarantine drop --all --reason image"
    )
)
def drop(names: IdsArgument = None, all: EveryOption = False, reason: ReasonOption = None) -> None:
    """Give requests up: they leave the list, and can no longer be sent again."""
    from moderation.decision_log.log import open_log

    settings = load_settings()
    with open_log(settings, make=False) as decisions, _kept_requests(settings) as requests:

        def give_up(entry: QuarantinedRequest) -> None:
            decisions.drop(entry.id)
            requests.forget(entry.request_id)

        _act_on_quarantined(_chosen_quarantined(decisions, names, all, reason), give_up, "dropped")


def _act_on_quarantined(
    entries: list[QuarantinedRequest], act: Callable[[QuarantinedRequest], None], done: str
) -> None:
    """Acts on each entry; exits with 1 where one fails, which is reported and stops no other."""
    failed = 0
    for entry in track(entries, len(entries), "Working"):
        try:
            act(entry)
        except RequestError as error:
            failed += 1
            note(f"error: {error}")
    note(f"{len(entries) - failed} {done}" + (f", {failed} not" if failed else ""))
    if failed:
        raise typer.Exit(1)


def _chosen_quarantined(
    decisions: DecisionLog, names: list[str] | None, every: bool, reason: Reason | None
) -> list[QuarantinedRequest]:
    """Returns the entries that are named, or all open ones.

    Raises:
        RequestError: neither or both are given, or a name fits none.
    """
    from moderation.decision_log.quarantine import list_quarantined

    if bool(names) == every or (reason and not every):
        remedy = "Name requests, or give --all, with --reason if you like"
        raise RequestError("it is not clear which requests are meant", "quarantine", remedy)
    if every:
        return list_quarantined(decisions.engine, reason=reason)
    return [_quarantined_entry(decisions, name) for name in names or ()]


def _quarantined_entry(decisions: DecisionLog, name: str) -> QuarantinedRequest:
    """Returns the quarantined request that a command names."""
    from moderation.decision_log.quarantine import find_quarantined

    entry = find_quarantined(decisions.engine, name)
    if entry is None:
        remedy = "`moderation quarantine list --all` shows what there is"
        raise RequestError(f"nothing in quarantine is called {name}", "quarantine", remedy)
    return entry


@contextmanager
def _kept_requests(settings: Settings) -> Iterator[KeptRequests]:
    """Yields the requests in quarantine that Redis keeps.

    Raises:
        BrokerUnavailable, SettingsError: Redis does not answer, or refuses the password.
    """
    from moderation.queue.celery_app import broker_errors, connect
    from moderation.queue.kept_requests import KeptRequests

    with broker_errors(settings), connect(settings) as connection:
        yield KeptRequests(connection)

"""An audit's results: a summary on standard output, and a report in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from audit.errors import AuditError
from moderation.commands.options import TableOrJson
from moderation.commands.output import note, print_table, say, working

if TYPE_CHECKING:
    from audit.results.results import Results
    from audit.results.rows import Rate


#: Of many systems, so many groups are printed beside each other.
_COLUMNS = 5


@contextmanager
def writable_output(path: Path) -> Iterator[None]:
    """Turns the system's error for a path that cannot be written into an AuditError."""
    try:
        yield
    except OSError as error:
        what = f"it cannot be written: {error.strerror or error}"
        raise AuditError(what, str(path), "Name another place") from error


def refuse_unwritable_output(out: Path | None) -> None:
    """Makes the folder of a report before anything is computed.

    Raises:
        AuditError: it cannot be made or written to.
    """
    if out is not None:
        with writable_output(out):
            out.mkdir(parents=True, exist_ok=True)
            (out / ".evenhand").touch()
            (out / ".evenhand").unlink()


def print_audit(results: Results, out: Path | None, format: TableOrJson) -> None:
    """Prints the finding, and writes the report where a folder is given."""
    from audit.results.left_out import left_out_summary

    if out is not None:
        from audit.report import write_report

        with working("Writing the report ..."), writable_output(out):
            written = write_report(results, out)
        note(f"{len(written)} files in {out}; open {out / 'report.html'}")
    if format == "json":
        print(results.to_json(), end="")
        return
    _print_headline(results)
    print_table(*_printed_rates(results))
    left_out = set(left_out_summary(results.header.dataset))  # said in the summary
    for sentence in results.insufficient:
        if sentence not in left_out:
            note(f"Too little data: {sentence}")
    for sentence in results.not_tried:
        note(f"Not tried: {sentence}")


def _print_headline(results: Results) -> None:
    """Prints what an audit says, what matters most first."""
    from audit.results.opening_sentences import opening_sentences

    say(results.headline.finding)
    for title, sentences in opening_sentences(results):
        say(f"\n{title}:")
        for sentence in sentences:
            say(f"- {sentence}")
    say()


def _printed_rates(results: Results) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Returns the rates of the harm, a column for each policy, by single sensitive features.

    Where there are none, they are by intersections.
    """
    from audit.datasets.groups import CROSS

    names = [policy.name for policy in results.header.policies]
    flags = [rate for rate in results.rates if rate.metric == results.header.harm]
    if any(CROSS not in by for by in results.header.by):
        flags = [rate for rate in flags if CROSS not in rate.by]
    by_group: dict[tuple[str, str], dict[str, str]] = {}
    for rate in flags:
        by_group.setdefault((rate.by, rate.group), {})[rate.policy] = _printed_rate(rate)
    if results.header.is_of_many:
        return _printed_by_system(results.header.noun, names, by_group)
    rows = [
        (by, group, *(cells.get(name, "") for name in names))
        for (by, group), cells in by_group.items()
    ]
    return ("by", "group", *names), rows


def _printed_by_system(
    noun: str, names: Sequence[str], by_group: Mapping[tuple[str, str], Mapping[str, str]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Returns the rates with a row for each of many systems, and a column for each of few groups.

    Of more groups the report has them, and here are those of all images.
    """
    shown = list(by_group) if len(by_group) <= _COLUMNS else list(by_group)[:1]
    columns = (group if by == group else f"{by} {group}" for by, group in shown)
    rows = [(name, *(by_group[place].get(name, "") for place in shown)) for name in names]
    return (noun, *columns), rows


def _printed_rate(rate: Rate) -> str:
    counts = f"{rate.count} of {rate.n}"
    if rate.support == "suppressed" or rate.rate is None:
        return f"{counts}, too few"
    mark = ", indicative" if rate.support == "indicative" else ""
    return f"{counts}  {rate.rate:.1%} [{rate.low:.1%}, {rate.high:.1%}]{mark}"

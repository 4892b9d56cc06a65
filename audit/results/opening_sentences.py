"""What an audit says after its finding, under the titles that a terminal and a report give it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.results.gap_sentences import done_to
from audit.results.results import Results


def opening_sentences(results: Results) -> Iterator[tuple[str, Sequence[str]]]:
    """Yields what an audit says after its finding: each title with its sentences, if any."""
    headline = results.headline
    said = {
        "In practice": headline.practice,
        f"What {done_to(results.header.harm)} means": headline.meaning,
        "Careful": headline.cautions,
        "What is not known": results.not_known,
        "What to do next": headline.next_steps,
        "Also found": results.summary[1:],
        "What the policy says of itself": headline.notes,
    }
    yield from ((title, sentences) for title, sentences in said.items() if sentences)

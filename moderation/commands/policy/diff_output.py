"""What differs between two policies, as it is printed: for people, as JSON, and for a pull request.

What quotes a policy or a file's name neither acts on a terminal nor is markup of a pull request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from audit.results.formatting import escaped
from moderation.policy import Policy
from moderation.policy.change_sentences import change_sentence, difference_sentences
from moderation.policy.difference import PolicyChange, policy_difference

#: Lines of a list in a pull request that are not folded away.
_UNFOLDED = 12


class ComparedPolicies(NamedTuple):
    """Two policies with what they are called and what differs."""

    old: Policy
    new: Policy
    old_name: str
    new_name: str
    changes: tuple[PolicyChange, ...]

    @classmethod
    def of(cls, old: Policy, new: Policy, old_name: str, new_name: str) -> ComparedPolicies:
        """Returns the policies with what differs between them."""
        return cls(old, new, old_name, new_name, policy_difference(old, new))

    @property
    def title(self) -> str:
        """What is compared, in one line."""
        old, new = self.old, self.new
        begin = old.id if old.id == new.id else f"{old.id} -> {new.id}"
        return (
            f"{begin}: version {old.version} ({self.old_name}) -> version {new.version} "
            f"({self.new_name})"
        )

    @property
    def sentences(self) -> list[str]:
        """What differs in words; never nothing."""
        return difference_sentences(self.old, self.new, self.changes)

    @property
    def former_ids(self) -> dict[str, str]:
        """The old ids of labels that were renamed, by the new one."""
        renamed = [change for change in self.changes if change.kind == "label-renamed"]
        return {change.after: change.before for change in renamed}

    def to_json(self) -> dict[str, Any]:
        """Returns the same as plain data."""
        return {
            "old": {"named": self.old_name, **self.old.stamp.model_dump()},
            "new": {"named": self.new_name, **self.new.stamp.model_dump()},
            "changes": [
                {**change._asdict(), "reaches": change.reaches, "sentence": change_sentence(change)}
                for change in self.changes
            ],
            "sentences": self.sentences,
        }


def markdown_words(compared: ComparedPolicies) -> Iterator[str]:
    """Yields the lines of what differs in words, for a pull request."""
    yield f"### Policy {escaped(compared.title)}"
    yield ""
    lines = [f"- {escaped(sentence)}" for sentence in compared.sentences]
    yield from folded(lines, f"{len(lines)} changes", most=_UNFOLDED)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yields the lines of a table of plain texts."""
    yield f"| {' | '.join(map(escaped, columns))} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(map(escaped, row))} |"


def folded(lines: Sequence[str], summary: str, *, most: int = 0) -> Iterator[str]:
    """Yields lines that a reader of a pull request unfolds; as they are where there are few."""
    if len(lines) <= most:
        yield from lines
        return
    yield from ("<details>", f"<summary>{escaped(summary)}</summary>", "")
    yield from lines
    yield from ("", "</details>")

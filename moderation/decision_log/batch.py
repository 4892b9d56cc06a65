"""A batch of outcomes on its way into the tables.

Rows go in table by table, and within a table in the order of their keys, whoever adds them. So two
workers with the same requests, policies or images wait for each other, but never both at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, Table, insert
from sqlalchemy.dialects import postgresql, sqlite

from moderation.decision_log.answers import ImageKey, KnownAnswer, find_answers, find_verdicts
from moderation.decision_log.database import Vanished
from moderation.decision_log.outbox import outbox_rows
from moderation.decision_log.records import (
    Answer,
    Decided,
    Outcome,
    Quarantined,
    Refusal,
    Values,
    Verdicts,
    decision_values,
    policy_values,
    quarantine_values,
    submission_values,
)
from moderation.decision_log.tables import (
    decisions,
    outbox,
    policies,
    quarantine,
    submission_decisions,
    submissions,
)
from moderation.messages import Verdict
from moderation.scoring.verdict import Basis


class _Proposal(NamedTuple):
    """A verdict that becomes a decision of the log, unless this has one on the image already.

    Attributes:
        key: what it depends on.
        basis: what it rests on.
        verdict: with the id of the decision that it would be.
        row: of `decisions`.
    """

    key: ImageKey
    basis: Basis
    verdict: Verdict
    row: Values

    def answer_by(self, logged: Verdict) -> Verdict:
        """Returns the decision of the log as the answer to this request."""
        if logged is self.verdict:
            return logged
        own = self.verdict
        return logged.model_copy(
            update={
                "request_id": own.request_id,
                "timings": own.timings,
                "rendition": own.rendition,
            }
        )


class Batch:
    """Outcomes to be recorded together, with rows that are made before others have to wait."""

    def __init__(self, outcomes: Sequence[Outcome], *, endpoints: Collection[str]) -> None:
        """Makes the rows.

        Args:
            outcomes: of several with one request id the first counts.
            endpoints: where each final answer is to be sent.
        """
        self._endpoints = endpoints
        self._now = datetime.now(UTC)
        first: dict[str, Outcome] = {}
        for outcome in outcomes:
            first.setdefault(outcome.submission.request_id, outcome)
        self._first = first
        self._submissions = [submission_values(first[name], self._now) for name in sorted(first)]
        self._proposed = {
            name: self._proposals(outcome)
            for name, outcome in first.items()
            if isinstance(outcome, Verdicts)
        }

    @property
    def policies(self) -> frozenset[str]:
        """The hashes of the policies that decided."""
        return frozenset(
            proposal.basis.policy.sha256
            for proposals in self._proposed.values()
            for proposal in proposals
        )

    def add(
        self, connection: Connection, known_policies: Collection[str]
    ) -> dict[str, KnownAnswer]:
        """Adds the rows that are missing; returns the log's answer to each request, by its id.

        Args:
            connection: in a transaction of the caller.
            known_policies: hashes of those that need not be added.

        Raises:
            Vanished: another worker removed something at this moment.
        """
        new = _insert_missing(connection, submissions, self._submissions)
        # In the order of the outcomes, so that the first of two equal images makes the decision.
        answers = self._add_decided(
            connection,
            {name: its for name, its in self._proposed.items() if name in new},
            known_policies,
        )
        answers += self._add_quarantined(connection, new)
        webhooks = [
            row for answer in answers for row in outbox_rows(answer, self._endpoints, self._now)
        ]
        _insert_all(connection, outbox, webhooks)
        found = find_answers(connection, self._first.keys() - new)
        for answer in answers:
            name = answer.request_id
            found[name] = KnownAnswer(self._first[name].submission.request_sha256, answer)
        if len(found) < len(self._first):  # released in between
            raise Vanished
        return found

    def _proposals(self, outcome: Verdicts) -> tuple[_Proposal, ...]:
        made: list[_Proposal] = []
        for basis, verdict in zip(outcome.bases, outcome.verdicts, strict=True):
            ids = {
                "request_id": outcome.submission.request_id,
                "decision_id": str(uuid.uuid4()),
            }
            own = verdict.model_copy(update=ids)
            key = (verdict.image_sha256, basis.key)
            made.append(_Proposal(key, basis, own, decision_values(basis, own, self._now)))
        return tuple(made)

    def _add_decided(
        self,
        connection: Connection,
        proposed: dict[str, tuple[_Proposal, ...]],
        known_policies: Collection[str],
    ) -> list[Answer]:
        """Adds the answers of requests that were decided, and returns them."""
        first: dict[ImageKey, _Proposal] = {}
        for proposals in proposed.values():
            for proposal in proposals:
                first.setdefault(proposal.key, proposal)
        bases = {its.basis.policy.sha256: its.basis for its in first.values()}
        missing = sorted(bases.keys() - known_policies)
        _insert_missing(
            connection, policies, [policy_values(bases[sha256], self._now) for sha256 in missing]
        )
        logged = _add_decisions(connection, first)
        answers: list[Answer] = [
            Decided(name, tuple(its.answer_by(logged[its.key]) for its in proposals))
            for name, proposals in proposed.items()
        ]
        _insert_all(connection, submission_decisions, _link_rows(answers))
        return answers

    def _add_quarantined(self, connection: Connection, new: Collection[str]) -> list[Answer]:
        """Adds the answers of requests that were refused, and returns them."""
        answers: list[Answer] = []
        rows: list[Values] = []
        for name in sorted(new):
            outcome = self._first[name]
            if isinstance(outcome, Refusal):
                answer = Quarantined(name, str(uuid.uuid4()), outcome.reason, outcome.error)
                answers.append(answer)
                rows.append(quarantine_values(answer.quarantine_id, outcome, self._now))
        _insert_all(connection, quarantine, rows)
        return answers


def _add_decisions(
    connection: Connection, proposed: dict[ImageKey, _Proposal]
) -> dict[ImageKey, Verdict]:
    """Adds the decisions that are missing; returns the log's own."""
    rows = [proposed[key].row for key in sorted(proposed)]
    added = _insert_missing(connection, decisions, rows)
    logged = {
        key: proposal.verdict
        for key, proposal in proposed.items()
        if proposal.verdict.decision_id in added
    }
    # A new statement sees what another transaction committed while this one waited for it.
    logged |= find_verdicts(connection, proposed.keys() - logged.keys())
    if len(logged) < len(proposed):  # purged in between
        raise Vanished
    return logged


def _link_rows(answers: Iterable[Answer]) -> list[Values]:
    """Returns the rows of `submission_decisions`, in the order of their keys."""
    rows = [
        {
            "request_id": answer.request_id,
            "position": position,
            "decision_id": verdict.decision_id,
            "timings": verdict.timings,
            "rendition": verdict.rendition and verdict.rendition.model_dump(mode="json"),
        }
        for answer in answers
        if isinstance(answer, Decided)
        for position, verdict in enumerate(answer.verdicts)
    ]
    return sorted(rows, key=lambda row: (row["request_id"], row["position"]))


def _insert_missing(connection: Connection, table: Table, rows: list[Values]) -> set[str]:
    """Adds the rows that are not there, and returns the ids of those added.

    Where another transaction adds the same row, this one waits for its end.
    """
    if not rows:
        return set()
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    adding = dialect.insert(table).on_conflict_do_nothing().returning(*table.primary_key)
    # The rows go beside the statement and not into it, so that it is compiled once.
    return set(connection.scalars(adding, rows))


def _insert_all(connection: Connection, table: Table, rows: list[Values]) -> None:
    if rows:
        connection.execute(insert(table), rows)

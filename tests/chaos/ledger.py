"""The ledger: the accepted requests compared with what the decision log says of them, in SQL.

It trusts none of the tables' constraints, so that it would see what they let through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Connection, Engine, String, bindparam, column, text

from tests.chaos.load import AcceptedRequest, CollectedAnswer

#: One row for each accepted request, which counts what there is of an answer to it.
_FACTS = """
CREATE TEMPORARY TABLE chaos_facts AS
SELECT a.request_id, a.policies, a.hostile,
  (SELECT count(*) FROM submissions s WHERE s.request_id = a.request_id) AS answers,
  (SELECT count(*) FROM submissions s
    WHERE s.request_id = a.request_id AND s.outcome = 'decided') AS decided,
  (SELECT count(*) FROM submissions s
    WHERE s.request_id = a.request_id AND s.outcome = 'quarantined') AS quarantined,
  (SELECT count(*) FROM quarantine q WHERE q.request_id = a.request_id
    AND q.released_at IS NULL AND q.dropped_at IS NULL) AS open_quarantine,
  (SELECT count(*) FROM submission_decisions l WHERE l.request_id = a.request_id) AS links,
  (SELECT count(DISTINCT d.policy_id) FROM submission_decisions l
    JOIN decisions d ON d.id = l.decision_id WHERE l.request_id = a.request_id) AS policies_decided,
  (SELECT count(*) FROM submission_decisions l JOIN decisions d ON d.id = l.decision_id
    WHERE l.request_id = a.request_id AND d.image_sha256 <> a.image_sha256) AS other_images
FROM chaos_accepted a
"""

_INCOMPLETE = "a verdict without all of its decisions"
_TWO_DECISIONS = "more than one decision"

#: What can be wrong with an answer: the part of the ledger, its name there, and the condition.
_CHECKS = (
    ("lost", "no answer", "answers = 0"),
    ("lost", _INCOMPLETE, "decided > 0 AND policies_decided < policies"),
    ("lost", "quarantined without a row there", "quarantined > 0 AND open_quarantine = 0"),
    ("duplicated", "more than one answer", "answers > 1"),
    ("duplicated", "a verdict and quarantine", "decided > 0 AND open_quarantine > 0"),
    ("duplicated", "quarantine and decisions", "quarantined > 0 AND links > 0"),
    ("duplicated", "more than once in quarantine", "open_quarantine > 1"),
    ("duplicated", "more decisions than policies", "links > policies OR links > policies_decided"),
    ("wrong", "decided on another image", "other_images > 0"),
    ("wrong", "decided although hostile", "hostile > 0 AND decided > 0"),
)

#: Each answer has one webhook, which is sent as often as it takes.
_WEBHOOKS = """
SELECT a.request_id FROM chaos_accepted a
WHERE (SELECT count(*) FROM outbox o WHERE o.request_id = a.request_id) <> 1 ORDER BY a.request_id
"""

#: Decisions that exist more than once.
_DOUBLED = """
SELECT image_sha256 || ' ' || policy_sha256 AS what, count(*) AS number FROM decisions
GROUP BY image_sha256, policy_sha256, model_fingerprint, preprocessing, conditions
HAVING count(*) > 1
"""

_REASONS = """
SELECT q.reason, a.hostile, count(*) AS number FROM quarantine q
JOIN chaos_accepted a ON a.request_id = q.request_id
WHERE q.released_at IS NULL AND q.dropped_at IS NULL GROUP BY q.reason, a.hostile
"""

_LOGGED = """
SELECT l.request_id, l.position, d.id, d.verdict FROM submission_decisions l
JOIN decisions d ON d.id = l.decision_id JOIN chaos_accepted a ON a.request_id = l.request_id
ORDER BY l.request_id, l.position
"""

_LOGGED_ERRORS = """
SELECT q.request_id, q.error_type FROM quarantine q
JOIN chaos_accepted a ON a.request_id = q.request_id
WHERE q.released_at IS NULL AND q.dropped_at IS NULL
"""

#: The fields of a verdict that differ with the request.
_OF_THE_REQUEST = ("request_id", "decision_id", "timings")


@dataclass(frozen=True)
class Ledger:
    """How many requests were accepted, and what became of them."""

    submitted: int
    decided: int
    quarantined: int
    lost: int
    duplicated: int


@dataclass(frozen=True)
class Reckoning:
    """The ledger and what it rests on.

    Attributes:
        ledger: the sums.
        findings: the requests or decisions with a fault, by part of the ledger and by fault.
        quarantined: how many, by reason; those that were not hostile are counted apart.
        others: how many answers in the log nobody was promised: to poison, and to requests whose
            `submit` raised.
    """

    ledger: Ledger
    findings: dict[str, dict[str, list[str]]]
    quarantined: dict[str, int]
    others: int

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def reckon(
    engine: Engine,
    accepted: Sequence[AcceptedRequest],
    answers: Mapping[str, CollectedAnswer],
    *,
    webhooks: bool = False,
) -> Reckoning:
    """Returns what the decision log says of the accepted requests and of the collected answers.

    Args:
        engine: of the decision log.
        accepted: what must be final.
        answers: what the host got, by request id.
        webhooks: whether each answer must have a webhook.
    """
    with engine.connect() as connection:
        _enter(connection, accepted)
        findings: dict[str, dict[str, list[str]]] = {}
        for part, what, when in _CHECKS:
            asked = f"SELECT request_id FROM chaos_facts WHERE {when} ORDER BY request_id"
            _note(findings, part, what, connection.scalars(text(asked)))
        for what, number in connection.execute(text(_DOUBLED)):
            _note(findings, "duplicated", _TWO_DECISIONS, [what] * (number - 1))
        others = _other_than_logged(connection, answers)
        _note(findings, "duplicated", "the host got something else", others)
        if webhooks:
            _note(findings, "wrong", "not one webhook", connection.scalars(text(_WEBHOOKS)))
        ledger = _ledger(connection, findings)
        return Reckoning(ledger, findings, _reasons(connection), _others(connection))


def count_final(engine: Engine, accepted: Sequence[AcceptedRequest]) -> int:
    """Returns how many of the accepted requests have an answer in the log."""
    names = {one.request_id for one in accepted}
    with engine.connect() as connection:
        final = connection.scalars(text("SELECT request_id FROM submissions"))
        return len(names.intersection(final))


def logged_among(engine: Engine, request_ids: Sequence[str]) -> set[str]:
    """Returns those of the requests that have an answer in the log."""
    asked = text("SELECT request_id FROM submissions WHERE request_id IN :ids")
    with engine.connect() as connection:
        expanded = asked.bindparams(bindparam("ids", type_=String(), expanding=True))
        return set(connection.scalars(expanded, {"ids": list(request_ids)}))


def _enter(connection: Connection, accepted: Sequence[AcceptedRequest]) -> None:
    for table in ("chaos_facts", "chaos_accepted"):  # the pool may give the same connection again
        connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
    connection.execute(
        text(
            "CREATE TEMPORARY TABLE chaos_accepted (request_id VARCHAR(128), "
            "image_sha256 VARCHAR(64), policies INTEGER, hostile INTEGER)"
        )
    )
    entered = "INSERT INTO chaos_accepted VALUES (:request_id, :image_sha256, :policies, :hostile)"
    rows = [
        one._asdict() | {"policies": len(one.policies), "hostile": int(bool(one.hostile))}
        for one in accepted
    ]
    if rows:
        connection.execute(text(entered), rows)
    connection.execute(text("CREATE INDEX chaos_ids ON chaos_accepted (request_id)"))
    connection.execute(text(_FACTS))


def _note(
    findings: dict[str, dict[str, list[str]]], part: str, what: str, names: Iterable[str]
) -> None:
    if found := list(names):
        findings.setdefault(part, {}).setdefault(what, []).extend(found)


def _ledger(connection: Connection, findings: Mapping[str, Mapping[str, list[str]]]) -> Ledger:
    asked = (
        "SELECT count(DISTINCT request_id), count(DISTINCT CASE WHEN decided > 0 THEN request_id "
        "END), count(DISTINCT CASE WHEN quarantined > 0 AND decided = 0 THEN request_id END) "
        "FROM chaos_facts"
    )
    submitted, decided, quarantined = connection.execute(text(asked)).one()
    # Requests count once, however much is wrong with them; decisions count each.
    lost = {name for names in findings.get("lost", {}).values() for name in names}
    doubled = dict(findings.get("duplicated", {}))
    decisions = doubled.pop(_TWO_DECISIONS, [])
    requests = {name for names in doubled.values() for name in names}
    return Ledger(submitted, decided, quarantined, len(lost), len(requests) + len(decisions))


def _other_than_logged(connection: Connection, answers: Mapping[str, CollectedAnswer]) -> list[str]:
    """Returns the requests whose host got something other than the log says."""
    asked = text(_LOGGED).columns(
        column("request_id"), column("position"), column("id"), column("verdict", JSON)
    )
    logged: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for request_id, _, decision_id, verdict in connection.execute(asked):
        logged.setdefault(request_id, []).append((decision_id, _of_the_image(verdict)))
    errors = {row.request_id: row.error_type for row in connection.execute(text(_LOGGED_ERRORS))}
    return [
        name
        for name, answer in answers.items()
        if answer.error != errors.get(name, "")
        or [(one.get("decision_id"), _of_the_image(one)) for one in answer.verdicts]
        != logged.get(name, [])
    ]


def _of_the_image(verdict: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in verdict.items() if name not in _OF_THE_REQUEST}


def _reasons(connection: Connection) -> dict[str, int]:
    return {
        f"{reason}{'' if hostile else ', not hostile'}": number
        for reason, hostile, number in connection.execute(text(_REASONS))
    }


def _others(connection: Connection) -> int:
    asked = (
        "SELECT count(*) FROM submissions s WHERE NOT EXISTS "
        "(SELECT 1 FROM chaos_accepted a WHERE a.request_id = s.request_id)"
    )
    return int(connection.execute(text(asked)).scalar_one())

"""Batches of outcomes on SQLite and PostgreSQL: as if each had been recorded alone, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event as events
from sqlalchemy import select

from moderation.decision_log.log import DecisionLog, open_log
from moderation.decision_log.records import (
    Answer,
    Decided,
    Outcome,
    Quarantined,
    Reason,
    Refusal,
    Verdicts,
)
from moderation.decision_log.retention import purge
from moderation.decision_log.tables import (
    decisions,
    metadata,
    outbox,
    policies,
    quarantine,
    submission_decisions,
    submissions,
)
from moderation.errors import ImageError, RequestError
from moderation.settings import load_settings
from tests.support.database_servers import PostgresServer
from tests.support.decision_samples import (
    ENDPOINTS,
    OTHER,
    WEAPONS,
    at_once,
    basis,
    count,
    decided,
    find_logged,
    image_sha256,
    quarantined,
    submission,
    verdict,
)

USED_BEFORE = "used before, for another request"


def outcome(
    request_id: str,
    *,
    image: str = "a",
    policies: Sequence[str] = ("weapons",),
    seed: int = 0,
    reason: Reason | None = None,
) -> Outcome:
    """Returns verdicts on an image, or a refusal if there is a reason."""
    asked = submission(request_id, image=image, policies=policies)
    if reason is not None:
        return Refusal(asked, reason, ImageError(f"refused {seed}"), deliveries=seed, retries=1)
    bases = [basis({"weapons": WEAPONS, "other": OTHER}[name]) for name in policies]
    made = [verdict(one, request_id=request_id, image=image, seed=seed) for one in bases]
    return Verdicts(asked, bases, made)


def test_a_batch_gives_each_request_its_answer_in_order(log: DecisionLog) -> None:
    batch = [outcome(f"r{9 - n}", image=f"image {n}", seed=n) for n in range(8)]
    batch.insert(3, outcome("refused", reason="decoder", seed=2))
    answers = log.record(batch)
    assert [one.request_id for one in answers if not isinstance(one, RequestError)] == [
        one.submission.request_id for one in batch
    ]
    for one, answer in zip(batch, answers, strict=True):
        if isinstance(one, Verdicts):
            [made], [given_] = one.verdicts, decided_of(answer).verdicts
            assert given_.model_copy(update={"decision_id": None}) == made
    assert quarantined_of(answers[3]).error.what == "refused 2"
    found = log.answers([one.submission for one in batch])
    assert [decided_of(found[f"r{n}"]) for n in range(2, 10)] == [
        answer for answer in answers[::-1] if isinstance(answer, Decided)
    ]
    assert (
        quarantined_of(found["refused"]).quarantine_id == quarantined_of(answers[3]).quarantine_id
    )
    assert count(log, submissions, decisions, quarantine, outbox) == [9, 8, 1, 18]


def test_equal_images_of_a_batch_share_the_first_ones_decision(log: DecisionLog) -> None:
    first, second, other = map(
        decided_of,
        log.record([outcome("z", seed=1), outcome("a", seed=2), outcome("b", image="b", seed=3)]),
    )
    assert second.verdicts[0].decision_id == first.verdicts[0].decision_id
    assert second.verdicts[0].labels == first.verdicts[0].labels
    assert second.verdicts[0].request_id == "a"
    assert other.verdicts[0].decision_id != first.verdicts[0].decision_id
    with log.engine.connect() as connection:
        assert set(connection.scalars(select(decisions.c.request_id))) == {"z", "b"}
    assert find_logged(log, submission("a")) == second


def test_a_request_that_is_twice_in_a_batch_has_one_answer(log: DecisionLog) -> None:
    batch = [outcome("r1", seed=1), outcome("r1", seed=2), outcome("r1", reason="fault")]
    first, second, third = log.record(batch)
    assert first == second == third == find_logged(log, submission("r1"))
    assert count(log, submissions, decisions, quarantine, outbox) == [1, 1, 0, 2]


def test_an_id_of_another_request_costs_that_one_alone(log: DecisionLog) -> None:
    log.record([outcome("known")])
    batch = [
        outcome("r1"),
        outcome("known", image="b"),
        outcome("r2", image="c"),
        outcome("r2", image="d"),
        outcome("known", image="e", reason="image"),
        outcome("known"),
    ]
    answers = log.record(batch)
    for number in (1, 3, 4):
        error = answers[number]
        assert isinstance(error, RequestError)
        assert USED_BEFORE in error.what
    assert [decided_of(answers[n]).request_id for n in (0, 2, 5)] == ["r1", "r2", "known"]
    found = log.answers([submission("known", image="b"), submission("r1"), submission("new")])
    assert isinstance(found.pop("known"), RequestError)
    assert [*found] == ["r1"]
    # Which of the two is meant cannot be said by the id alone, so `record` says it to each.
    both = [submission("r1"), submission("r1", image="b"), submission("known")]
    assert [*log.answers(both)] == ["known"]
    assert count(log, submissions, quarantine) == [3, 0]


@pytest.mark.parametrize(
    "misfit",
    [
        Refusal(submission("bad"), "image", ImageError("x"), retries=2**70),
        Refusal(submission("bad"), "image", ImageError(b"bytes")),  # type: ignore[arg-type]
        Refusal(replace(submission("bad"), reference="\ud800"), "image", ImageError("x")),
    ],
    ids=["number", "not JSON", "not a text"],
)
def test_a_value_that_does_not_fit_costs_that_one_alone(log: DecisionLog, misfit: Refusal) -> None:
    batch = [outcome(f"r{n}", image=f"image {n}") for n in range(9)]
    batch[4:4] = [misfit]
    answers = log.record(batch)
    error = answers.pop(4)
    assert isinstance(error, RequestError)
    assert "does not fit in the decision log" in error.what
    assert [decided_of(answer).request_id for answer in answers] == [f"r{n}" for n in range(9)]
    assert count(log, submissions, decisions, quarantine, outbox) == [9, 9, 0, 18]


def test_a_policy_that_was_purged_is_written_again(log: DecisionLog) -> None:
    log.record([outcome("r1")])
    purged = purge(log.database, 0, now=datetime.now(UTC) + timedelta(days=1))
    assert (purged.policies, purged.decisions, purged.submissions) == (1, 1, 1)
    log.record([outcome("r2", image="b"), outcome("r3", reason="image")])
    assert count(log, submissions, decisions, quarantine, policies) == [2, 1, 1, 1]


def test_a_batch_takes_as_many_statements_as_one_request(log: DecisionLog) -> None:
    log.record([outcome("first")])  # which notes the policy

    def many(name: str, size: int) -> int:
        batch = [outcome(f"{name}-{n}", image=f"{name} {n}") for n in range(size)]
        with statements(log) as ran:
            assert log.answers([one.submission for one in batch]) == {}
            keys = [basis().key]
            assert (
                log.recall([(image_sha256(f"{name} {n}"), keys) for n in range(size)])
                == [[None]] * size
            )
            log.record(batch)
        return len(ran)

    assert many("one", 1) == many("many", 60)
    with statements(log) as ran:
        assert log.record([]) == []
        assert log.answers([]) == {}
        assert log.recall([("a" * 64, [])]) == [[]]
    assert ran == []


_SLOW_ROWS = """
CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END $$;
"""


def test_batches_in_opposite_orders_wait_for_each_other_and_never_both(
    postgres: PostgresServer,
) -> None:
    url = postgres.new_database()
    name = url.rsplit("/", 1)[1]
    with open_log(load_settings(database_url=url)) as log:
        postgres.sql(name, _SLOW_ROWS)
        for table in (submissions, policies, decisions):
            # Otherwise a statement with all its rows is over before the other begins.
            when = f"BEFORE INSERT ON {table.name} FOR EACH ROW"
            postgres.sql(name, f"CREATE TRIGGER slow {when} EXECUTE FUNCTION pause()")
        both = ("weapons", "other")

        def act(number: int) -> None:
            way = 1 if number % 2 else -1
            batch = [outcome(f"r{n}", image=f"image {n}", policies=both[::way]) for n in range(20)]
            others = [outcome(f"{way}-{n}", image=f"new {n}") for n in range(20)]
            log.record(batch[::way])
            log.record(others[::way])  # other requests with the same images

        at_once(2, act)
    # Counted once the connections have ended; one that is solved by trying again counts too.
    found = f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{name}'"
    assert postgres.sql("postgres", found) == "0"
    with open_log(load_settings(database_url=url)) as log:
        assert count(log, submissions, decisions, policies) == [60, 60, 2]


@contextmanager
def statements(log: DecisionLog) -> Iterator[list[str]]:
    """Yields the list of the statements that the log runs, without those that begin a block."""
    ran: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("BEGIN"):
            ran.append(statement)

    events.listen(log.engine, "before_cursor_execute", note)
    yield ran
    events.remove(log.engine, "before_cursor_execute", note)


# Random batches against the same outcomes one by one


class Pair(NamedTuple):
    """A log that gets batches, and one that gets the same outcomes one by one."""

    batched: DecisionLog
    single: DecisionLog

    def clear(self) -> None:
        for log in self:
            with log.database.writing() as connection:
                for table in reversed(metadata.sorted_tables):
                    connection.execute(table.delete())


@pytest.fixture
def pair(log: DecisionLog, request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Pair]:
    if log.database.is_sqlite:
        url = f"sqlite:///{tmp_path_factory.mktemp('single') / 'decisions.db'}"
    else:
        url = request.getfixturevalue("postgres").new_database()
    with open_log(load_settings(database_url=url, callback_urls=",".join(ENDPOINTS))) as single:
        yield Pair(log, single)


_OUTCOMES = st.builds(
    outcome,
    st.sampled_from(["r1", "r2", "r3", "r4", "r5"]),
    image=st.sampled_from("ab"),
    policies=st.sampled_from([("weapons",), ("weapons", "other"), ("other", "weapons")]),
    seed=st.integers(0, 3),
    reason=st.sampled_from([None, None, None, "image", "fault"]),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(_OUTCOMES, min_size=1, max_size=8), min_size=1, max_size=3))
def test_batches_answer_and_write_what_one_by_one_does(
    pair: Pair, batches: list[list[Outcome]]
) -> None:
    pair.clear()
    for batch in batches:
        together = [_comparable(answer) for answer in pair.batched.record(batch)]
        alone = [_comparable(answer) for one in batch for answer in pair.single.record([one])]
        assert together == alone
    assert _contents(pair.batched) == _contents(pair.single)


def _comparable(answer: Answer | RequestError) -> Any:
    """Returns an answer without its ids."""
    if isinstance(answer, RequestError):
        return answer.what
    if isinstance(answer, Quarantined):
        return answer.request_id, answer.reason, answer.error.args
    verdicts = [one.model_copy(update={"decision_id": None}) for one in answer.verdicts]
    return answer.request_id, verdicts


def _contents(log: DecisionLog) -> dict[str, list[str]]:
    """Returns all rows of the log as texts, without ids of its own and times."""
    with log.engine.connect() as connection:
        rows = {
            table.name: [row._asdict() for row in connection.execute(select(table))]
            for table in metadata.sorted_tables
        }
    images = {
        row["id"]: f"{row['image_sha256']} {row['policy_sha256']}" for row in rows["decisions"]
    }
    for row in rows[submission_decisions.name]:
        row["decision_id"] = images[row["decision_id"]]
    for row in rows[decisions.name]:
        assert row["verdict"].pop("decision_id") == row["id"]
    for row in rows[outbox.name]:
        payload = json.loads(row["payload"])
        del payload["timestamp"]
        for one in payload["data"].get("verdicts", []):
            one["decision_id"] = images[one["decision_id"]]
        row["payload"] = payload
    return {name: sorted(map(_without_chance, found)) for name, found in rows.items()}


def _without_chance(row: dict[str, Any]) -> str:
    kept = {
        name: value
        for name, value in row.items()
        if name != "id" and not isinstance(value, datetime)
    }
    return json.dumps(kept, sort_keys=True)


def decided_of(answer: Answer | RequestError) -> Decided:
    assert not isinstance(answer, RequestError)
    return decided(answer)


def quarantined_of(answer: Answer | RequestError) -> Quarantined:
    assert not isinstance(answer, RequestError)
    return quarantined(answer)

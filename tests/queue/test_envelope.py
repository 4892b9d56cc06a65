"""A message as it lay in Redis becomes what one request needs, or is refused with a reason."""

from __future__ import annotations

import ast
import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.messages import EMBED_TASK_NAME, QUEUES, TASK_NAME
from moderation.queue.celery_app import create_app
from moderation.queue.envelope import (
    Envelope,
    UnreadableMessage,
    largest_message,
    read_command,
    read_envelope,
)
from moderation.queue.packed_message import pack_again, pack_message, packed_size
from moderation.settings import load_settings
from tests.conftest import ROOT
from tests.support.hostile_messages import HOSTILE, MOST_BYTES, SIGNATURE, message

#: Any JSON value that can be read and written again.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def read(content: Any) -> Envelope:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return read_envelope(raw, largest=largest_message(MOST_BYTES))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_message_is_refused_with_the_reason_and_its_id(name: str) -> None:
    content, why = HOSTILE[name]
    with pytest.raises(UnreadableMessage) as caught:
        read(content)
    has_id = not isinstance(content, bytes) and isinstance(content.get("headers"), dict)
    given = content["headers"].get("id") if has_id else None
    readable = isinstance(given, str) and len(given) <= 128 and given.isprintable()
    assert (caught.value.why, caught.value.task_id) == (why, given if readable else None)


def test_what_a_request_does_not_need_is_left_out() -> None:
    hostile = message(
        [[{"a": 1}], {}, {"callbacks": None, "chord": None}],
        headers={
            "id": "a",
            "task": EMBED_TASK_NAME,
            "ignore_result": True,
            "expires": "2001-01-01T00:00:00",
            "shadow": "something else",
            "timelimit": [1e99, -1],
            "root_id": "x" * 1000,
            "chord": SIGNATURE,
            "callbacks": [SIGNATURE],
            "stamped_headers": ["a"],
            "retries": 2,
            "strikes": 7,
            "sent_at": 10**13,
        },
        properties={"reply_to": "stolen", "delivery_info": {"routing_key": "stolen"}},
    )
    assert read(hostile) == Envelope(EMBED_TASK_NAME, "a", {"a": 1}, retries=2, strikes=7)


@pytest.mark.parametrize(
    ("eta", "ahead"),
    [
        (None, None),
        ("2001-01-01T00:00:00", None),
        ("2001-01-01T00:00:00+02:00", None),
        ("9000-01-01T00:00:00", 30),
        ("9000-01-01T00:00:00+00:00", 30),
    ],
)
def test_a_time_to_begin_lies_no_further_ahead_than_ours(eta: Any, ahead: float | None) -> None:
    began = time.time()
    found = read(message(headers={"eta": eta})).eta
    if ahead is None:
        assert found is None
    else:
        assert found is not None
        assert began + ahead <= found <= time.time() + ahead


def test_the_largest_image_fits_into_the_largest_message() -> None:
    image = base64.b64encode(b"\xff" * MOST_BYTES).decode()
    names = ["a-policy-with-a-long-name" * 8] * 50
    request = {"image": {"bytes": image}, "policies": names}
    raw = json.dumps(message([[], {"request": request}, {}])).encode()
    assert read(raw).request == request
    ours = pack_message(TASK_NAME, "a" * 128, request, QUEUES["interactive"], counted=True)
    assert read(ours.encode()).request == request
    with pytest.raises(UnreadableMessage, match="too large"):
        read_envelope(raw, largest=len(raw) - 1)


@given(JSON, st.integers(0, 1000), st.integers(0, 1000), st.booleans(), st.floats(-1e11, 1e11))
def test_what_is_packed_is_read_again_and_packed_again_it_keeps_its_body(
    request: Any, retries: int, strikes: int, counted: bool, sent_at: float
) -> None:
    text = pack_message(
        TASK_NAME,
        "an-id",
        request,
        QUEUES["bulk"],
        sent_at,
        retries=retries,
        strikes=strikes,
        counted=counted,
    )
    first = read(text.encode())
    assert (first.task, first.id, first.request) == (TASK_NAME, "an-id", request)
    assert (first.retries, first.strikes, first.eta) == (retries, strikes, None)
    assert first.sent_at == round(sent_at, 3)
    assert first.size == (packed_size(text) if counted else 0)
    again = pack_again(first, "bulk")
    assert read(again.encode()) == first
    assert json.loads(again)["body"] == json.loads(text)["body"]
    changed = read(pack_again(first, "interactive", retries=5, strikes=0).encode())
    assert (changed.retries, changed.strikes, changed.size) == (5, 0, first.size)


def test_a_message_that_does_not_say_when_it_was_sent_says_so_no_more_when_packed_again() -> None:
    first = read(message(headers={"sent_at": ...}))
    assert first.sent_at is None
    assert "sent_at" not in pack_again(first, "bulk")


@given(JSON)
def test_the_end_of_a_packed_message_has_its_id(request: Any) -> None:
    """So Redis need not look through an image for it."""
    name = "a" * 128
    assert name in pack_message(TASK_NAME, name, request, QUEUES["bulk"], counted=True)[-2000:]


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_to_be_refused(raw: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        read(raw)
    assert read_command(raw) is None


MODULES = sorted((ROOT / "moderation").rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_loads_what_can_hold_code(path: Path) -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
            names |= {alias.name for alias in node.names}
    forbidden = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    assert not {part for name in names for part in name.split(".")} & forbidden


def test_host_and_worker_accept_only_json() -> None:
    conf = create_app(load_settings()).conf
    assert list(conf.accept_content) == list(conf.result_accept_content) == ["json"]
    assert conf.task_serializer == conf.result_serializer == "json"

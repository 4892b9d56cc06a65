"""How many processes a worker has, what each is told, and what it reports."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from moderation.encoders.cores import usable
from moderation.errors import ModelError, ModerationError, PolicyError
from moderation.policy import parse_policy
from moderation.settings import load_settings
from moderation.worker.processes.child import Child
from moderation.worker.processes.orders import (
    EncoderHangs,
    EncoderOrder,
    LineOrder,
    MemberFault,
    Order,
    Ready,
    read_report,
    receive_order,
    report_failure,
    report_hang,
    report_ready,
    send_order,
    watch,
)
from moderation.worker.processes.shares import chosen_share, has_gpu, line_settings
from tests.support.command_line import moderation, unframed
from tests.support.sample_pipeline import POLICY
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
def gpu(tmp_path: Path) -> Path:
    """What /dev is like with a GPU of NVIDIA."""
    for name in ("nvidia0", "nvidiactl"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("cores", "without", "beside"),
    [(1, 1, 1), (2, 1, 1), (4, 1, 1), (7, 1, 1), (8, 1, 2), (16, 2, 4), (64, 8, 16), (256, 16, 16)],
)
def test_auto_follows_the_cores_and_the_gpu(
    cores: int, without: int, beside: int, gpu: Path, tmp_path: Path
) -> None:
    settings = load_settings()
    none = chosen_share(settings, cores=cores, devices=tmp_path / "none")
    assert (none.processes, "no GPU" in none.reason) == (without, True)
    assert chosen_share(settings, cores=cores, devices=gpu).processes == beside


def test_a_quota_of_half_a_core_gets_one_process(tmp_path: Path, gpu: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000")
    cores = usable(tmp_path, tmp_path / "none")
    for devices in (gpu, tmp_path / "none"):
        share = chosen_share(load_settings(), cores=cores, devices=devices)
        assert (cores, share.processes) == (1, 1)
        assert share.described == "one process does all"


def test_a_gpu_counts_if_the_device_may_be_one(gpu: Path, tmp_path: Path) -> None:
    assert [has_gpu(device, gpu) for device in ("auto", "cuda", "cuda:1", "cpu", "mps")] == [
        *(True, True, True),
        *(False, False),
    ]
    control_alone = tmp_path / "other"
    control_alone.mkdir()
    (control_alone / "nvidiactl").touch()
    assert not has_gpu("auto", control_alone)


@pytest.mark.parametrize(("visible", "found"), [("", False), ("-1", False), ("0", True)])
def test_a_gpu_that_is_hidden_from_cuda_does_not_count(
    visible: str, found: bool, gpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert has_gpu("auto", gpu) is found


def test_a_number_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODERATION_PROCESSES", "3")
    assert chosen_share(load_settings(), cores=64).processes == 3
    assert chosen_share(load_settings(processes="2"), cores=64).processes == 2


def test_a_wrong_number_is_refused() -> None:
    refused = moderation("worker", "--policy", "weapons", "--processes", "many")
    assert refused.returncode == 2
    assert "'many' is not auto, or a number of 1 to 64" in unframed(refused.stderr)
    refused = moderation("worker", env={"MODERATION_PROCESSES": "0"})
    assert (refused.returncode, "MODERATION_PROCESSES" in refused.stderr) == (2, True)


def test_lines_share_what_the_whole_worker_may_have() -> None:
    whole = load_settings(decoders=5, in_hand_bytes=1000, concurrency=7, metrics_address="9")
    each = line_settings(whole, 4)
    assert (each.decoders, each.in_hand_bytes, each.concurrency) == (2, 250, 7)
    assert each.metrics_address is None
    assert line_settings(load_settings(), 2).decoders == -(-usable() // 2)


def orders() -> list[Order]:
    settings = load_settings(broker_url="redis://:sesame@h/0", allowed_networks=("10.0.0.0/8",))
    policy = parse_policy(POLICY, "colours.yaml")
    address = Path("/tmp/encoder")
    return [
        EncoderOrder(settings, ("starter",), (policy.file,), address, 3, 4, "w-encoder"),
        LineOrder(settings, (policy.file,), None, ("bulk",), address, "w-1", 1),
    ]


def test_what_dies_again_and_again_waits_longer_and_longer() -> None:
    child = Child(orders()[0], descriptors=[], environment={})
    pauses = [child.next_pause(1.0) for _ in range(8)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert [child.next_pause(61.0), child.next_pause(1.0)] == [0.5, 1]


@pytest.mark.parametrize(
    "says", ["'nonsense\\n'", "'[]\\n'", "'{\"error\": 1}\\n'", "'x' * 2_000_000"]
)
def test_a_process_that_reports_nonsense_is_ended(
    says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "babbling.py").write_text(
        "import socket, sys, time\n"
        "channel = socket.socket(fileno=int(sys.argv[1]))\n"
        f"channel.sendall(({says}).encode())\n"
        "time.sleep(300)\n"
    )
    child = Child(orders()[1], descriptors=[], environment={"PYTHONPATH": str(tmp_path)})
    monkeypatch.setattr("moderation.worker.processes.child.MEMBER", "babbling")
    child.start()
    while child.hear():
        assert not child.is_ready
    death = child.reap()
    assert death.how == "failed: it reported what cannot be read"
    assert isinstance(death.error, MemberFault)


def test_others_wait_only_a_little_for_one_that_had_served() -> None:
    child = Child(orders()[0], descriptors=[], environment={})
    assert [child.next_pause(1.0, longest=2.0) for _ in range(5)] == [0.5, 1, 2, 2, 2]


def test_what_is_not_set_for_a_line_is_not_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MODERATION_METRICS_ADDRESS", "9808")
    monkeypatch.setenv("MODERATION_ALLOWED_ROOTS", "/srv/a:/srv/b")
    share = line_settings(load_settings(callback_secrets="whsec_c2VzYW1l"), 2)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send_order(ours, EncoderOrder(share, (), (), Path("/tmp/e"), 3, 4, "w"))
        found = receive_order(theirs).settings
    assert found == share
    assert found.metrics_address is None
    assert [str(root) for root in found.allowed_roots] == ["/srv/a", "/srv/b"]


@pytest.mark.parametrize("order", orders(), ids=lambda order: order.kind)
def test_an_order_arrives_whole_and_as_it_was(order: Order) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # so that it comes in parts
        sending = threading.Thread(target=send_order, args=(ours, order))
        sending.start()
        found = receive_order(theirs)
        sending.join()
    assert found == order
    assert found.settings.broker_url.get_secret_value() == "redis://:sesame@h/0"
    if isinstance(found, LineOrder):
        [(path, text)] = found.policies
        assert (path, text.encode()) == ("colours.yaml", POLICY)


def test_a_supervisor_that_is_gone_gives_no_order() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(b"half")
        ours.close()
        with pytest.raises(EOFError):
            receive_order(theirs)


@pytest.mark.parametrize("report", [b"", b"a report that it has not read"])
def test_a_process_notices_that_its_supervisor_is_gone(report: bytes) -> None:
    ours, theirs = socket.socketpair()
    noticed = threading.Event()
    with theirs:
        theirs.sendall(report)
        ours.close()  # with something unread, the other side is reset
        watch("lifeline", lambda: theirs.recv(1), noticed.set)
        assert noticed.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize(
    "error",
    [
        ModelError("it is not here", "starter", "Run `moderation model pull`"),
        PolicyError([("a.yaml", 3, 1, "wrong", "write it"), ("b.yaml", 1, 1, "odd", "leave it")]),
    ],
)
def test_what_a_process_reports_is_what_ended_it(error: ModerationError) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        report_failure(theirs, error)
        found = read_report(ours.recv(1 << 16))
    assert (type(found), str(found)) == (type(error), str(error))


def test_a_line_reports_an_encoder_process_that_hangs() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        report_hang(theirs, 300.0)
        assert read_report(ours.recv(1000)) == EncoderHangs(300.0)


def test_a_fault_is_reported_with_its_traceback() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            raise ValueError("of the program")
        except ValueError as error:
            report_failure(theirs, error)
        report_ready(theirs, "a model")
        first, second = ours.recv(1 << 16).splitlines()
    fault = read_report(first)
    assert isinstance(fault, MemberFault)
    assert str(fault) == "ValueError: of the program"
    assert "test_process_orders.py" in fault.__notes__[0]
    assert read_report(second) == Ready("a model")

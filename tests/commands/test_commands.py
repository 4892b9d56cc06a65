"""The commands as they are typed: real processes, exit codes, what they print and where."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from moderation.commands.exit_codes import WRONG_USAGE, exit_code
from moderation.commands.output import Format, error_row, print_rows
from moderation.errors import ImageError
from moderation.local_servers import EmbeddedRedis, EmbeddedWorker
from moderation.settings import Settings
from tests.conftest import POLICIES, ROOT
from tests.support.policy_texts import VALID
from tests.support.waiting import until

STARTER = ("--model", "starter")


def run(*words: str, env: dict[str, str] | None = None, stdin: str = "") -> Any:
    """Returns the finished process of `moderation WORDS`."""
    return subprocess.run(
        [sys.executable, "-m", "moderation", *words],
        env={**os.environ, "COLUMNS": "200", **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


def _rows(done: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_scan_finds_weapons_and_leaves_everyday_objects_alone(objects: Path) -> None:
    """The figures of the labelled photographs: 60 weapons, 75 everyday objects."""
    done = run("scan", str(objects), "-p", "policies/weapons.yaml", *STARTER, "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    flagged = {"weapons": 0, "everyday": 0}
    rows = _rows(done)
    assert len(rows) == 175
    for row in rows:
        assert {"image", "flagged", "action", "policy", "labels"} <= set(row)
        name = Path(row["image"]).parent.name
        if name in ("revolver", "cannon"):
            flagged["weapons"] += row["flagged"]
        elif name not in ("dollar_bill", "Faces_easy"):
            flagged["everyday"] += row["flagged"]
    assert flagged["weapons"] >= 48
    assert flagged["everyday"] <= 3


def test_scan_prints_every_format(photographs: list[Path]) -> None:
    paths = [str(path) for path in photographs if path.name in ("page.png", "coffee.png")]
    outputs = {
        form: run("scan", *paths, "-p", "document-privacy", *STARTER, "--format", form)
        for form in ("table", "json", "jsonl", "csv")
    }
    assert all(done.returncode == 0 for done in outputs.values())
    rows = json.loads(outputs["json"].stdout)
    assert [row["action"] for row in rows] == ["allow", "review"]
    stable = [{**row, "timings": None, "request_id": None} for row in rows]
    lines = _rows(outputs["jsonl"])
    assert [{**row, "timings": None, "request_id": None} for row in lines] == stable
    table = list(csv.DictReader(io.StringIO(outputs["csv"].stdout)))
    assert [(row["action"], row["fired"]) for row in table] == [
        ("allow", ""),
        ("review", "page-of-text"),
    ]
    assert "page-of-text 0." in outputs["table"].stdout
    for done in outputs.values():
        assert "its figures are not CLIP's" in done.stderr


def test_scan_fails_on_what_it_is_told_to(photographs: list[Path]) -> None:
    page = str(next(path for path in photographs if path.name == "page.png"))
    common = ("scan", page, "-p", "document-privacy", *STARTER)
    assert run(*common, "--fail-on", "block").returncode == 0
    assert run(*common, "--fail-on", "review").returncode == 1
    assert run(*common, env={"MODERATION_SCAN_FAIL_ON": "review"}).returncode == 1


#: Names that act on a terminal, look like others, or are not UTF-8, and how they are shown.
NAMES = {
    b"a\x1b[1A\x1b[2K.png": r"a\x1b[1A\x1b[2K.png",
    b"b\r\nallow\x7f.png": r"b\r\nallow\x7f.png",
    "c\u202egnp.exe".encode(): r"c\u202egnp.exe",
    b"d-caf\xe9.jfif": r"d-caf\udce9.jfif",
    b"e\\x1b.png": r"e\\x1b.png",
}


@pytest.fixture
def named(photographs: list[Path], tmp_path: Path) -> Path:
    """A folder of one photograph under all these names, and of what is none."""
    page = next(path for path in photographs if path.name == "page.png")
    for name in NAMES:
        (tmp_path / os.fsdecode(name)).write_bytes(page.read_bytes())
    (tmp_path / "notes\x1b[2K.txt").write_text("words")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    return tmp_path


def _is_plain(text: str) -> bool:
    return all(sign == "\n" or sign.isprintable() for sign in text)


def test_no_name_acts_on_a_terminal_and_each_image_gets_its_verdict(named: Path) -> None:
    words = ("scan", str(named), "-p", "document-privacy", *STARTER, "--format")
    table, lines = run(*words, "table"), run(*words, "jsonl")
    for done in (table, lines):
        assert done.returncode == 0, done.stderr
        assert _is_plain(done.stdout + done.stderr)
        assert "a link to nowhere: 1 (gone.png); no image: 1 (notes\\x1b[2K.txt)" in done.stderr
    for shown in NAMES.values():
        [line] = [line for line in table.stdout.splitlines() if f"/{shown} " in line]
        assert " review " in line
    assert [os.fsencode(Path(row["image"]).name) for row in _rows(lines)] == [*NAMES]


def test_submit_sends_images_of_any_name_and_refuses_what_no_message_holds(
    named: Path, settings: Settings, worker: EmbeddedWorker
) -> None:
    env = {"MODERATION_BROKER_URL": settings.broker_url.get_secret_value()}
    words = ("submit", "-p", "document-privacy", "--format")
    done = run(*words, "table", str(named), env=env)
    assert done.returncode == 0, done.stderr
    assert _is_plain(done.stdout + done.stderr)
    for shown in NAMES.values():
        assert f"/{shown} " in done.stdout
    listed = "\0".join(str(named / os.fsdecode(name)) for name in NAMES if b"\xe9" not in name)
    done = run(*words, "jsonl", "-", env=env, stdin=listed)
    assert [row["image"] for row in _rows(done)] == listed.split("\0")
    odd = next(str(named / os.fsdecode(name)) for name in NAMES if b"\xe9" in name)
    done = run(*words, "jsonl", "--send", "path", odd, env=env)
    assert done.returncode == 1
    assert "is not UTF-8" in _rows(done)[0]["error"]["message"]


def test_csv_holds_names_as_they_are_and_is_safe_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    name = "a\x1b[2K\r\nb.png"
    for stream, expected in (
        (io.StringIO(newline=""), name),
        (Terminal(newline=""), r"a\x1b[2K\r\nb.png"),
    ):
        print_rows([error_row(name, ImageError("it is\x1b[2K empty", name))], Format.CSV, stream)
        written = stream.getvalue()
        [row] = csv.DictReader(io.StringIO(written, newline=""))
        assert row["image"] == expected
    assert _is_plain(written.replace("\r\n", "\n"))


@pytest.mark.parametrize(
    "words",
    [
        ("scan", "--x\x1b[2K"),
        ("demo", "--images", "x\x1b[2K"),
        ("x\x1b[2K",),
        ("policy", "lint", "\x1b[2K"),
    ],
)
def test_wrong_usage_repeats_no_name_that_acts(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.returncode in (1, 2)
    assert r"\x1b[2K" in done.stdout + done.stderr
    assert _is_plain(done.stdout + done.stderr)


def test_two_versions_of_one_policy_are_told_how_they_can_be_compared(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / f"{name}.yaml").write_text(VALID)
    policies = ("-p", str(tmp_path / "old.yaml"), "-p", str(tmp_path / "new.yaml"))
    done = run("scan", "README.md", *policies)
    assert done.returncode == 1
    assert f"is that of {tmp_path / 'old.yaml'} too" in done.stderr
    assert "`audit compare OLD NEW`" in done.stderr


def test_policies_of_a_folder_end_in_any_case_and_what_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.YAML").write_text(VALID)
    (tmp_path / "b.Yml").write_text(VALID.replace("id: small", "id: other", 1))
    (tmp_path / "c.yaml.bak\x1b").write_text(VALID)
    (tmp_path / "more").mkdir()
    done = run("policy", "lint", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "small: valid" in done.stderr
    assert "other: valid" in done.stderr
    assert rf"Passed over in {tmp_path}: c.yaml.bak\x1b, more" in done.stderr


def test_a_bad_image_costs_itself_alone_and_is_told(
    photographs: list[Path], tmp_path: Path
) -> None:
    bad, empty = tmp_path / "bad.jpg", tmp_path / "empty.jpg"
    bad.write_bytes(b"\xff\xd8\xff not a photograph")
    empty.touch()
    paths = "\n".join(map(str, (bad, photographs[0], empty, photographs[1])))
    done = run("scan", "-", "-p", "weapons", *STARTER, "--format", "jsonl", stdin=paths)
    assert done.returncode == 1
    rows = _rows(done)
    assert [row.get("error", {}).get("type") for row in rows] == [
        "ImageError",
        None,
        "ImageError",
        None,
    ]
    assert rows[0]["flagged"] is None
    assert "2 error" in done.stderr


def test_an_image_that_is_given_as_a_path_is_not_repeated_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "moderation", "scan", "-", "-p", "weapons"],
        input="iVBORw0KGgo" * 10_000,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "there is no file or folder iVBORw0KGgo" in " ".join(
        done.stderr.replace("│", " ").split()
    )
    assert len(done.stderr) < 2_000


@pytest.mark.parametrize(
    ("missing", "told"),
    [("sqlalchemy.orm", "evenhand[worker]"), ("pandas", "evenhand[audit]"), ("of_ours", "a fault")],
)
def test_a_package_that_is_not_installed_is_told_with_its_extra(
    missing: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> None:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    assert exit_code(run, wrong_usage=WRONG_USAGE) == 3
    said = capsys.readouterr().err
    assert told in said
    assert ("Traceback" in said) == (missing == "of_ours")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("scan", "no-such.jpg", "-p", "weapons"), 2, "there is no file or folder no-such.jpg"),
        (("scan", "docs", "-p", "weapons"), 2, "no image in docs; passed over: no image: "),
        (("scan", "README.md"), 2, "Missing option '--policy'"),
        (("scan", "README.md", "-p", "wepons"), 1, "wepons: cannot be read: No such file"),
        (("scan", "README.md", "-p", "weapons", "--model", "./no"), 3, "there is no such folder"),
        (("submit", "README.md", "-p", "weapons"), 3, "Redis does not answer"),
        (("worker", "-p", "weapons"), 3, "Redis does not answer"),
        (("worker", "-p", "no-such-folder"), 1, "no-such-folder: cannot be read"),
        (("policy", "show", "no-such"), 1, "no-such: cannot be read"),
        (("model", "info", "./no"), 3, "Three ways out"),
        (("nonsense",), 2, "No such command 'nonsense'"),
    ],
)
def test_wrong_use_is_told_in_words_with_its_exit_code(
    words: tuple[str, ...], code: int, told: str
) -> None:
    done = run(*words, env={"MODERATION_BROKER_URL": "redis://127.0.0.1:9/0"})
    assert done.returncode == code, done.stderr
    assert told in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_a_worker_that_is_not_told_what_to_serve_does_not_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "moderation", "worker", *STARTER]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "policies: cannot be read: No such file or directory" in done.stderr
    assert "MODERATION_POLICIES" in done.stderr


def test_no_variable_makes_a_command_print_the_version_instead() -> None:
    done = run("policy", "lint", "weapons", env={"MODERATION_VERSION": "1"})
    assert "weapons: valid" in done.stderr


def test_the_format_can_be_a_variable() -> None:
    done = run("policy", "show", "weapons", env={"MODERATION_POLICY_SHOW_FORMAT": "json"})
    assert json.loads(done.stdout)["id"] == "weapons"


def test_a_wrong_setting_is_named() -> None:
    done = run("doctor", env={"MODERATION_BATCH_SIZE": "many"})
    assert done.returncode == 2
    assert "MODERATION_BATCH_SIZE" in done.stderr


COMMANDS = ["demo", "scan", "worker", "submit", "doctor", "model list", "model pull", "model info"]
COMMANDS += ["queues", "policy lint", "policy show", "policy schema"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = run(*command.split(), "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout
    assert f"moderation {command}" in done.stdout


def test_lint_tells_all_problems_and_exits_with_1(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(VALID.replace("title:", "titel:").replace("0.8", "1.8"))
    done = run("policy", "lint", str(broken), str(POLICIES / "weapons.yaml"))
    assert done.returncode == 1
    assert f"{broken}:4:1: unknown key 'titel'. Did you mean 'title'?" in done.stdout
    assert f"{broken}:12:16: labels[0].threshold" in done.stdout
    assert "weapons: valid" in done.stderr
    found = json.loads(run("policy", "lint", str(broken), "--format", "json").stdout)
    assert found["valid"] is False
    assert {"path", "line", "column", "message", "remedy"} == set(found["problems"][0])


def test_lint_reads_standard_input() -> None:
    assert run("policy", "lint", "-", stdin=VALID).returncode == 0
    assert "<stdin>:1:1" in run("policy", "lint", "-", stdin="[]").stdout


def test_show_and_schema_print_what_they_say() -> None:
    shown = json.loads(run("policy", "show", "weapons", "--format", "json").stdout)
    assert (shown["id"], len(shown["sha256"])) == ("weapons", 64)
    assert "a revolver" in run("policy", "show", "weapons").stdout
    schema = json.loads(run("policy", "schema").stdout)
    assert schema == json.loads((ROOT / "moderation" / "policy" / "schema.json").read_text())


def test_submit_gives_the_rows_of_scan(
    settings: Settings, worker: EmbeddedWorker, photographs: list[Path]
) -> None:
    env = {"MODERATION_BROKER_URL": settings.broker_url.get_secret_value()}
    paths = [str(path) for path in photographs[:6]]
    common = ("-p", str(POLICIES / "weapons.yaml"), "--format", "jsonl")
    scanned = _rows(run("scan", *paths, *common, *STARTER))
    for send in ("bytes", "path"):
        submitted = run("submit", *paths, *common, "--send", send, env=env)
        assert submitted.returncode == 0, submitted.stderr
        for ours, theirs in zip(_rows(submitted), scanned, strict=True):
            assert (ours["image"], ours["action"]) == (theirs["image"], theirs["action"])
            scores = [label["score"] for label in theirs["labels"]]
            assert [label["score"] for label in ours["labels"]] == pytest.approx(scores, abs=1e-3)


def test_submit_tells_which_image_was_refused_and_keeps_the_order(
    settings: Settings, worker: EmbeddedWorker, photographs: list[Path]
) -> None:
    env = {
        "MODERATION_BROKER_URL": settings.broker_url.get_secret_value(),
        "MODERATION_MAX_IMAGE_BYTES": "700000",
    }
    large = next(path for path in photographs if path.stat().st_size > 700_000)
    small = next(path for path in photographs if path.stat().st_size < 700_000)
    paths = [str(ROOT / "README.md"), str(small), "http://no.example/a.jpg", str(large)]
    done = run("submit", "-", "-p", "weapons", "--format", "jsonl", env=env, stdin="\n".join(paths))
    assert done.returncode == 1
    assert [row["image"] for row in _rows(done)] == paths
    assert [row.get("error", {}).get("type") for row in _rows(done)] == [
        "ImageError",
        None,
        "RequestError",
        "ImageError",
    ]


def test_doctor_finds_what_is_there_and_what_is_missing(
    settings: Settings, worker: EmbeddedWorker, tmp_path: Path
) -> None:
    env = {
        "MODERATION_BROKER_URL": settings.broker_url.get_secret_value(),
        "MODERATION_DATABASE_URL": f"sqlite:///{tmp_path}/decisions.db",
        "MODERATION_MODEL": "starter",
        "MODERATION_MODLE": "starter",
        "MODERATION_VISIBILITY_TIMEOUT_SECONDS": "60",
        "MODERATION_FETCH_TIMEOUT_SECONDS": "40",
        "MODERATION_CONCURRENCY": "2",
        "MODERATION_DECODE_TIMEOUT_SECONDS": "1",
    }
    checks = until(lambda: _checks_in_time(env))
    assert {name: check["state"] for name, check in checks.items()} == {
        "environment": "warn",
        "image access": "warn",
        "policies": "ok",
        "model": "warn",
        "redis": "ok",
        "redis access": "ok",
        "redis transport": "ok",
        "redis eviction": "ok",
        "redis memory": "warn",
        "redis persistence": "warn",
        "clock": "ok",
        "queues": "ok",
        "workers": "ok",
        "timeouts": "fail",
        "decision log": "ok",
        "callbacks": "ok",
    }
    assert "MODERATION_MODLE" in checks["environment"]["found"]
    del env["MODERATION_FETCH_TIMEOUT_SECONDS"]
    assert run("doctor", env=env).returncode == 0
    # A request may have to wait for the slow decoding of all others in hand.
    env["MODERATION_CONCURRENCY"] = "1000"
    assert run("doctor", env=env).returncode == 1


def _checks_in_time(env: dict[str, str]) -> dict[str, Any]:
    """Returns what doctor finds; nothing where the machine was too busy for its two questions."""
    done = run("doctor", "--format", "json", env=env)
    assert done.returncode == 1
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    in_time = {checks[name]["state"] for name in ("workers", "clock")} == {"ok"}
    return checks if in_time else {}


def test_model_info_describes_the_starter() -> None:
    facts = json.loads(run("model", "info", "starter", "--format", "json").stdout)
    assert (facts["feature_width"], facts["context_length"]) == (384, 256)
    assert run("model", "list").stdout.count("starter") >= 1


def _left_by(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Returns its children, and theirs, that run; none where it has ended."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def _demo(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "moderation", "demo", *words],
        env={**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_demo_shows_verdicts_and_leaves_nothing_behind(tmp_path: Path) -> None:
    process = _demo(tmp_path)
    seen: set[psutil.Process] = set()
    while process.poll() is None:
        seen |= set(_left_by(process))
        time.sleep(0.2)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert len(out.splitlines()) > 20
    [page] = [line for line in out.splitlines() if line.startswith("page.png")]
    assert "review" in page
    assert "page-of-text 0." in page
    assert "Model: starter (float32)." in err
    assert "its figures are not CLIP's" in err
    assert len(seen) >= 2
    until(lambda: not any(child.is_running() for child in seen))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("children", [1, 2])
def test_a_demo_that_is_stopped_leaves_nothing_behind(
    number: signal.Signals, children: int, tmp_path: Path
) -> None:
    """Stopped as soon as it has started Redis, or the worker too: the moments that are hardest."""
    process = _demo(tmp_path)

    def started() -> list[psutil.Process]:
        assert process.poll() is None
        found = _left_by(process)
        return found if len(found) >= children else []

    left = until(started)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == 130
    until(lambda: not any(child.is_running() for child in left))
    assert not list(tmp_path.iterdir())


def test_the_demo_takes_a_folder_of_ones_own(photographs: list[Path], tmp_path: Path) -> None:
    images, temporary = tmp_path / "images", tmp_path / "temporary"
    images.mkdir()
    temporary.mkdir()
    (images / "mine.png").write_bytes(photographs[0].read_bytes())
    process = _demo(temporary, "--images", str(images), "--format", "jsonl")
    out, err = process.communicate()
    assert process.returncode == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    assert {row["image"] for row in rows} == {"mine.png"}
    assert len(rows) == 3


def test_the_embedded_redis_asks_for_its_password() -> None:
    import redis

    with (
        EmbeddedRedis() as server,
        redis.Redis(port=server.port) as connection,
        pytest.raises(redis.AuthenticationError),
    ):
        connection.ping()

"""`audit ...` in real processes, on real photographs, with the starter encoder."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from audit.commands.options import DatasetOptions, Dtype, Runtime
from moderation.embedded_servers import EmbeddedWorker
from moderation.encoders.options import DTYPES, RUNTIMES
from moderation.features import text_key
from moderation.images.looks import DEFAULT_LOOKING, Looking
from moderation.policy import load_policy
from moderation.settings import Settings, load_settings
from tests.conftest import POLICIES
from tests.support.annotated_files import write_csv, write_picture
from tests.support.command_line import python, unframed
from tests.support.policy_family import FAMILY, comment_of, counts_said

VARIANTS = [str(POLICIES / "variants" / f"person-labels{end}.yaml") for end in ("", "-child")]


#: Makes torch impossible to import, in a program that should not need it.
WITHOUT_TORCH = """
class Refused:
    def find_spec(self, name, *_):
        if name == "torch":
            raise ImportError("torch was asked for")
sys.meta_path.insert(0, Refused())
"""


def audit(
    *arguments: str, code: int = 0, without_torch: bool = False
) -> subprocess.CompletedProcess[str]:
    """Runs the command line as a program."""
    program = f"import sys\n{WITHOUT_TORCH if without_torch else ''}"
    program += "sys.argv[0] = 'audit'\nimport audit.__main__ as m\nm.main()"
    done = python(program, *arguments, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def store(face_features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the features of the faces."""
    return Path(shutil.copytree(face_features, tmp_path_factory.mktemp("store") / "faces"))


@pytest.fixture(scope="module")
def options(faces: Path, store: Path) -> list[str]:
    """The options of an audit of the faces on that store."""
    return ["-d", str(faces), "--model", "starter", "--store", str(store)]


@pytest.fixture(scope="module")
def compared(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report that compares the two variants."""
    out = tmp_path_factory.mktemp("report")
    audit("compare", *VARIANTS, *options, "--out", str(out))
    return out


def _stored(store: Path, kind: str) -> dict[str, npt.NDArray[np.float32]]:
    """Returns the features of a store, read without our own code."""
    found: dict[str, npt.NDArray[np.float32]] = {}
    for path in (store / kind).rglob("*.parquet"):
        table = pq.read_table(path).to_pydict()
        for key, row in zip(table["key"], table["feature"], strict=True):
            found[key.hex()] = np.array(row, np.float32)
    return found


def _labelled(store: Path, policy_file: str, faces: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Returns the annotated rows and the label of each face, computed apart from the audit."""
    images, texts = _stored(store, "images"), _stored(store, "texts")
    policy = load_policy(policy_file)
    [template] = policy.templates
    prompts = [template.replace("{}", label.prompts[0]) for label in policy.labels]
    text = np.stack([texts[text_key(prompt)] for prompt in prompts]).astype(np.float64)
    with (faces / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    cosines = np.stack([images[row["sha256"]] for row in rows]).astype(np.float64) @ text.T
    return rows, [policy.labels[j].id for j in cosines.argmax(axis=1)]


def test_every_count_of_a_comparison_is_that_of_an_independent_computation(
    faces: Path, store: Path, compared: Path
) -> None:
    results = json.loads((compared / "results.json").read_text())
    policies = [load_policy(path) for path in VARIANTS]
    labels = {p.id: _labelled(store, f, faces)[1] for p, f in zip(policies, VARIANTS, strict=True)}
    rows, _ = _labelled(store, VARIANTS[0], faces)
    acting = {label.id for label in policies[0].labels if label.acts}
    flagged = {name: [label in acting for label in found] for name, found in labels.items()}
    expected: Counter[tuple[str, str, str]] = Counter()
    for name, marks in flagged.items():
        for row, mark in zip(rows, marks, strict=True):
            cells = [row["race"], row["age"], f"{row['race']} × {row['gender']}", "overall"]
            expected.update({(name, cell, "selection_rate"): int(mark) for cell in cells})
    for name, found in labels.items():
        expected.update((name, "overall", f"label:{label}") for label in found)
    reported = {(r["policy"], r["group"], r["metric"]): r["count"] for r in results["rates"]}
    assert {key: reported[key] for key in expected} == dict(expected)
    before, after = flagged.values()
    [whole] = [
        s
        for s in results["shifts"]
        if (s["by"], s["metric"], s["matched"]) == ("overall", "selection_rate", False)
    ]
    assert whole["entered"] == sum(b > a for a, b in zip(before, after, strict=True))
    assert whole["left"] == sum(a > b for a, b in zip(before, after, strict=True))


def test_a_second_audit_needs_no_torch_and_says_the_same(
    options: list[str], compared: Path, tmp_path: Path
) -> None:
    done = audit(
        "compare", *VARIANTS, *options, "--out", str(tmp_path / "again"), without_torch=True
    )
    assert "0 embedded now" in done.stderr
    first, second = (
        json.loads((folder / "results.json").read_text())
        for folder in (compared, tmp_path / "again")
    )
    for changing in ("created", "command"):
        first["header"].pop(changing), second["header"].pop(changing)
    assert first == second


def test_a_page_of_three_features_is_under_500_kb(
    options: list[str], compared: Path, tmp_path: Path
) -> None:
    audit("ablate", VARIANTS[0], *options, "--out", str(tmp_path))
    for folder in (compared, tmp_path):
        assert (folder / "report.html").stat().st_size < 500_000
        text = (folder / "results.json").read_text()
        assert (
            text == json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")) + "\n"
        )
    written = (compared / "report.html").read_text()
    assert "2 of 61 groups have 30 images or more: too few for a map." in written
    assert "…" not in written
    for name in ("Latino_Hispanic", "Southeast Asian", "more than 70"):
        assert f">{name}</text>" in written


def test_the_comments_of_shipped_policies_say_whom_they_flag(
    options: list[str], tmp_path: Path
) -> None:
    by = ("--by", "race", "--by", "gender", "--out", str(tmp_path))
    audit("run", *FAMILY, *options, *by)
    rates = json.loads((tmp_path / "results.json").read_text())["rates"]
    for name in FAMILY:
        found = {
            (row["by"], row["group"]): row["count"]
            for row in rates
            if row["policy"] == name and row["metric"] == "selection_rate"
        }
        races = {group: count for (by, group), count in found.items() if by == "race"}
        genders = {group: count for (by, group), count in found.items() if by == "gender"}
        assert (len(races), len(genders)) == (7, 2)
        assert (
            f"Of 700 face crops (FairFace, nothing to flag) it flags {sum(races.values())}. "
            f"By race, of 100 each: {counts_said(races)}. "
            f"By gender, of 350 each: {counts_said(genders)}. "
        ) in comment_of(name)


def test_every_kind_of_report_is_written(options: list[str], tmp_path: Path) -> None:
    words = ["weapons", *options, "--by", "age"]
    words += ["--margin", "5"]
    near = ["--near-duplicates", "0.999"]
    audit("run", *words, *near, "--prompt", "a doctor", "--out", str(tmp_path / "run"))
    added = ["--add", "portrait=a portrait", "--synonym", "blade=a dagger"]
    added += ["--near-duplicates", "0"]
    audit("ablate", *words, *added, "--out", str(tmp_path / "ablate"))
    for kind in ("run", "ablate"):
        names = {path.name for path in (tmp_path / kind).iterdir()}
        assert {"report.html", "report.md", "results.json", "rates.csv"} <= names
        results = json.loads((tmp_path / kind / "results.json").read_text())
        assert results["kind"] == kind
        assert results["summary"]
        assert {row["margin"] for row in results["equivalences"]} == {0.05}
        assert "equivalences.csv" in names
        found = {(row["by"], row["cosine"]) for row in results["near_duplicates"]}
        assert found == ({("overall", 0.999), ("age", 0.999)} if kind == "run" else set())


def test_results_on_standard_output_are_json_alone(options: list[str]) -> None:
    words = [*options, "--by", "gender", "--format", "json"]
    results = json.loads(audit("run", "weapons", *words).stdout)
    assert results["header"]["dataset"]["n"] == 700
    assert results["header"]["by"] == ["gender"]
    skews = json.loads(audit("skew", "a doctor", *words).stdout)
    assert [row["by"] for row in skews] == ["gender"]


def written_limits(folder: Path, feature: str, limits: str) -> list[str]:
    """Writes limits on one sensitive feature; returns the options that name them."""
    path = folder / "limits.yaml"
    path.write_text(f"schema_version: 1\nsensitive_features: [{feature}]\n{limits}\n")
    return ["--limits", str(path)]


@pytest.mark.parametrize(
    ("limit", "code", "status"),
    [("0.5", 0, "Pass"), ("0.05", 1, "Fail"), ("0.24", 4, "Insufficient data")],
)
def test_a_gate_answers_with_its_exit_code(
    options: list[str], tmp_path: Path, limit: str, code: int, status: str
) -> None:
    words = ["gate", "--policy", VARIANTS[1], "--baseline", VARIANTS[0], *options]
    words += written_limits(tmp_path, "gender", f"worst_group_rate: {limit}")
    summary = tmp_path / "comment.md"
    shown = audit(*words, "--summary", str(summary), code=code).stdout
    assert shown.startswith(f"### {status}")
    assert summary.read_text() == shown
    answer = json.loads(audit(*words, "--format", "json", code=code).stdout)
    assert answer["answer"] == status.lower()
    assert answer["checks"][0]["n"] == 350


@pytest.mark.parametrize(
    ("lost", "code", "said"),
    [
        (350, 4, "too few images of Female (0; 350 of 350 were left out)"),
        (300, 4, "of Female 300 of 350 images were left out: without them this is a pass"),
        (5, 0, "Images left out, and allowed for in the intervals: Female (gender) 5 of 350."),
    ],
)
def test_a_gate_allows_for_images_that_it_cannot_see(
    faces: Path, store: Path, tmp_path: Path, lost: int, code: int, said: str
) -> None:
    header, *lines = (faces / "labels.csv").read_text().splitlines()
    women = [line for line in lines if ",Female," in line]
    gone = {line: line.replace("images/", "images/gone-") for line in women[:lost]}
    kept = [header, *(gone.get(line, line) for line in lines)]
    (tmp_path / "labels.csv").write_text("\n".join(kept))
    (tmp_path / "images").symlink_to(faces / "images")
    limits = written_limits(tmp_path, "gender", "worst_group_rate: 0.5")
    words = ["gate", "--policy", VARIANTS[0], *limits, "-d", str(tmp_path), "--model", "starter"]
    shown = audit(*words, "--store", str(store), "--skip-bad", code=code)
    assert said in shown.stdout


def test_gates_are_recorded_beside_the_policy_and_their_level_is_spent(
    options: list[str], tmp_path: Path
) -> None:
    policy = tmp_path / "my.yaml"
    policy.write_text(Path(VARIANTS[0]).read_text())
    words = ["gate", *written_limits(tmp_path, "gender", "worst_group_rate: 0.24"), *options]
    spent = [*words, "--policy", str(policy), "--record", "beside", "--spend"]
    first = audit(*spent, code=4)
    assert first.stdout.startswith("### No pass")
    record = tmp_path / "my.gates.jsonl"
    assert f"the run is added to {record}" in first.stderr
    policy.write_text(policy.read_text().replace("\nversion: 1", "\nversion: 2"))
    again = json.loads(audit(*spent, "--show-figures", "--format", "json", code=4).stdout)
    assert (again["answer"], again["standing"]["number"]) == ("insufficient data", 2)
    assert again["checks"][0]["level"] == again["standing"]["level"] == 1 - 0.05 / 6
    listed = json.loads(audit("gates", str(record), "--format", "json").stdout)
    assert [(run["number"], run["answer"], run["figures_shown"]) for run in listed] == [
        (1, "no pass", False),
        (2, "insufficient data", True),
    ]
    assert "/" not in record.read_text()  # no path of an image, or of any file
    unrecorded = audit(*words, "--policy", str(policy), code=4)
    assert f"Not recorded, though {record} is there" in unrecorded.stderr
    refused = audit(*words, "--policy", "weapons", "--record", str(tmp_path), code=2)
    assert "the record cannot be written" in refused.stderr
    assert "embedded now" not in refused.stderr


def test_workers_embed_what_this_process_would(
    faces: Path, store: Path, tmp_path: Path, settings: Settings, worker: EmbeddedWorker
) -> None:
    some = tmp_path / "some"
    some.mkdir()
    with (faces / "labels.csv").open() as file:
        lines = file.readlines()[:21]
    (some / "labels.csv").write_text("".join(lines))
    (some / "images").symlink_to(faces / "images")
    broker = settings.broker_url.get_secret_value()
    options = ["-d", str(some), "--model", "starter", "--store", str(tmp_path / "store")]
    done = audit("embed", *options, "--on", "workers", "--broker", broker, without_torch=True)
    assert "20 embedded now" in done.stderr
    assert "frames=16 views=auto; 0 images got more than one look" in done.stderr
    theirs, ours = _stored(tmp_path / "store", "images"), _stored(store, "images")
    assert len(theirs) == 20
    for key, row in theirs.items():
        np.testing.assert_allclose(row, ours[key], atol=1e-5)
    assert "0 embedded now" in audit("embed", *options).stderr
    workers = ["--on", "workers", "--broker", broker]
    done = audit("embed", *options, *workers, "--views", "1", code=2, without_torch=True)
    assert "a worker looks at frames=16 views=auto of a file" in unframed(done.stderr)


def test_a_queue_that_is_away_is_an_error(faces: Path, tmp_path: Path) -> None:
    options = ["-d", str(faces), "--model", "starter", "--store", str(tmp_path)]
    done = audit("embed", *options, "--on", "workers", "--broker", "redis://127.0.0.1:1/0", code=3)
    assert "Redis does not answer" in done.stderr


def test_ctrl_c_keeps_what_is_embedded(faces: Path, tmp_path: Path) -> None:
    terminal, end = pty.openpty()  # where the progress bar is shown
    command = [sys.executable, "-m", "audit", "embed", "-d", str(faces), "--model", "starter"]
    with subprocess.Popen([*command, "--store", str(tmp_path)], stderr=end) as process:
        os.close(end)
        shown = ""
        while not re.search(r"Embedding\D.* (4\d|[5-9]\d|\d{3})/700", shown):
            shown += os.read(terminal, 4096).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the terminal ends with its program
            while rest := os.read(terminal, 4096):
                shown += rest.decode(errors="replace")
        assert process.wait() == 130
    assert "Traceback" not in shown
    assert 0 < len(_stored(tmp_path, "images")) < 700


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "weapons", "--model", "starter", "-d", "nowhere"], 2, "nowhere"),
        (["run", "weapons", "-d", "{faces}"], 2, "no model is named"),
        (["compare", "weapons", "{own}", "-d", "{faces}"], 2, "weapons leaves the model open, and"),
        (["run", "no-such-policy", "--model", "starter", "-d", "{faces}"], 1, "cannot be read"),
        (["run", "weapons", "--model", "starter", "-d", "{faces}", "--by", "height"], 2, "height"),
        (["run", "weapons", "--model", "./no-model", "-d", "{faces}"], 3, "no such folder"),
        (["compare", "weapons", "--model", "starter", "-d", "{faces}"], 2, "two policies"),
        (["ablate", "weapons", "-d", "{faces}", "--add", "x"], 2, "ID=PROMPT"),
        (
            ["ablate", "weapons", "-d", "{faces}", "--margin", "100"],
            2,
            "not between 0 and 100. Name",
        ),
        (["ablate", "weapons", "-d", "{faces}", "--template", "x"], 2, "needs one"),
        (["ablate", "weapons", "-d", "{faces}", "--synonym", "cow=a bull"], 2, "no policy has"),
        (["gate", "--policy", "weapons", "--limits", "no.yaml", "-d", "{faces}"], 2, "no.yaml"),
    ],
)
def test_what_cannot_be_done_is_reported_in_words(
    faces: Path, store: Path, arguments: list[str], code: int, message: str
) -> None:
    own = store.with_name("own.yaml")
    own.write_text((POLICIES / "community-photos.yaml").read_text() + "\nmodel: starter\n")
    given = {"{faces}": str(faces), "{own}": str(own)}
    filled = [given.get(argument, argument) for argument in arguments]
    done = audit(*filled, "--store", str(store), code=code)
    assert message in unframed(done.stderr)


@pytest.mark.parametrize(
    ("option", "variable", "known"),
    [
        ("--runtime=opnvino", "AUDIT_RUNTIME", "'auto', 'torch', 'openvino'"),
        ("--runtime=opnvino", "MODERATION_RUNTIME", "'auto', 'torch', 'openvino'"),
        ("--dtype=float23", "AUDIT_DTYPE", "'auto', 'float32', 'bfloat16', 'float16'"),
        ("--device=cdua", "AUDIT_DEVICE", "auto, cpu, cuda"),
        ("--views=all", "MODERATION_VIEWS", "neither auto nor a number from 1 to 64"),
        ("--views=65", "AUDIT_VIEWS", "neither auto nor a number from 1 to 64"),
        ("--near-duplicates=nan", "AUDIT_RUN_NEAR_DUPLICATES", "is not a number from 0 to 1"),
    ],
)
def test_a_misspelt_option_is_refused_with_the_values_that_there_are(
    option: str, variable: str, known: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "cup" / "1.png")
    words = ["run", "weapons", "-d", str(tmp_path), "--model", "starter"]
    words += ["--store", str(tmp_path / "store")]
    monkeypatch.setenv("COLUMNS", "200")
    by_option = audit(*words, option, code=2).stderr
    monkeypatch.setenv(variable, option.partition("=")[2])
    for message in (by_option, audit(*words, code=2).stderr):
        assert option.partition("=")[2] in message
        assert known in message
    assert not (tmp_path / "store").exists()


def test_the_choices_of_the_command_line_are_those_of_the_library() -> None:
    assert (get_args(Dtype), get_args(Runtime)) == (DTYPES, RUNTIMES)
    options, settings = DatasetOptions(Path()), load_settings()
    as_workers = Looking(settings.frames, settings.views)
    assert options.looking == DEFAULT_LOOKING == as_workers
    assert replace(options, frames=3, views="7").looking == Looking(3, 7)


@pytest.fixture(scope="module")
def table(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A table of 80 faces with two large groups and four small ones, and hostile names."""
    with (faces / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:80]
    path = tmp_path_factory.mktemp("table") / "plain.csv"
    large, small = ("a|b @you", "\x1b[31mred"), ("<b>", "=1+1", "c", "9" * 200)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "large", "small"])
        for i, row in enumerate(rows):
            writer.writerow([row["file"], large[i % 2], small[i % 4]])
    columns = [f"--column={name}={name}" for name in ("image", "large", "small")]
    return path, ["-d", str(path), *columns, "--images", str(faces), "--model", "starter"]


def test_features_with_and_without_support_are_audited_together(
    store: Path, table: tuple[Path, list[str]], tmp_path: Path
) -> None:
    done = audit("run", "weapons", *table[1], "--store", str(store), "--out", str(tmp_path))
    gaps = json.loads((tmp_path / "results.json").read_text())["gaps"]
    worst = {gap["by"]: gap["worst"] for gap in gaps if gap["metric"] == "selection_rate"}
    assert worst["small"] is None
    assert worst["large"] is not None
    assert "\x1b" not in done.stdout + done.stderr


def test_a_comment_of_the_gate_holds_no_markup_of_group_names(
    store: Path, table: tuple[Path, list[str]], tmp_path: Path
) -> None:
    limits = written_limits(tmp_path, "large", "worst_group_rate: 0.9\ngap: 0.9")
    words = ["gate", "--policy", "weapons", *limits, "--store", str(store), *table[1]]
    shown = audit(*words).stdout
    assert "\x1b" not in shown
    assert "@you" not in shown
    rows = [line for line in shown.splitlines() if line.startswith("| **")]
    assert len(rows) == 2
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {9}


def test_what_cannot_be_written_is_an_error_before_the_work_and_never_hides_an_answer(
    options: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = audit("run", "weapons", *options, "--out", str(tmp_path / "file"), code=2)
    assert "cannot be written" in done.stderr
    assert "embedded now" not in done.stderr
    limits = written_limits(tmp_path, "race", "worst_group_rate: 0.9")
    gate = ["gate", "--policy", "weapons", *limits, *options]
    done = audit(*gate, "--summary", str(tmp_path / "file" / "x.md"), code=2)
    assert done.stdout.startswith("### Pass")
    assert "cannot be written" in done.stderr


def test_what_an_audit_does_not_look_at_is_said_with_what_to_do(tmp_path: Path) -> None:
    rows = [
        {"file": f"{number}.png", "region": "Nord" if number % 2 else "Süd", "who": f"p{number}"}
        for number in range(120)
    ]
    for number in range(121):
        write_picture(tmp_path / f"{number}.png", number)
    write_picture(tmp_path / "2.png", 1)  # annotated in two ways
    rows += [
        {"file": "gone.png", "region": "West", "who": "p200"},
        {"file": "120.png", "region": "unknown", "who": "p201"},
    ]
    file = write_csv(tmp_path / "labels.csv", rows, ("file", "region", "who"))
    columns = [f"--column={key}" for key in ("image=file", "region=region", "who=who")]
    options = ["-d", str(file), *columns, "--model", "starter", "--store", str(tmp_path / "store")]
    refused = audit("run", "weapons", *options, code=2)
    assert "region is unknown, which reads as not known" in unframed(refused.stderr)
    done = audit("run", "weapons", *options, "--skip-bad", "--out", str(tmp_path / "out"))
    page = (tmp_path / "out" / "report.md").read_text()
    for said in (
        "byte for byte, with different annotations, left out: 1. 1.png in row 3 and 2.png in row 4",
        "who has 122 groups, so the audit does not look at them, nor at its intersections",
    ):
        assert said in unframed(done.stderr)
        assert said in " ".join(page.replace("\\", "").split())
    said = (
        "4 of 122 (3.3 %) images were left out: no figure is of them; by group: West 1 of 1 "
        "(100.0 %) by region, Nord 1 of 60 (1.7 %) by region, Süd 1 of 60 (1.7 %) by region; of 1 "
        "the region is not known."
    )
    assert said in done.stdout
    assert "were left out" not in done.stderr  # once on the terminal
    assert said in " ".join(page.replace("\\", "").split())
    assert page.index("Images left out, by group") < page.index("Who is flagged")
    named = audit("skew", "a cup", *options, "--skip-bad", "--by", "region", "--k", "5")
    assert said in unframed(named.stderr)

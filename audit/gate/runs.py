"""The record of gate runs: a file of JSON lines beside a policy, one line for each run.

A line has no image's id and nothing of a file. Lines are only ever added, each whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from stat import S_ISREG
from typing import Any, Literal, Self

from pydantic import Field, ValidationError

from audit.errors import AuditError
from audit.gate.checks import Status
from audit.gate.limits import Limits
from audit.results.results import Header, RecordingRecord
from audit.results.rows import Record
from moderation.visible_text import brief, json_text

#: What is answered in all where more is not said: a fail and insufficient data are both no pass.
Answer = Status | Literal["no pass"]

_REMEDY = "Put the record back as it was, such as from version control"


class CheckAnswer(Record):
    """What a run answered of one limit on one sensitive feature."""

    limit: str
    by: str
    answer: Status


class GateQuestion(Record):
    """What a run of a gate asks, as the record has it."""

    schema_version: Literal[1] = 1
    time: str = Field(description="In UTC, ISO 8601.")
    version: str = Field(description="Of this package.")
    policy: str
    policy_version: int | None = Field(description="None of a system that is not a policy.")
    policy_sha256: str
    baseline_sha256: str | None
    dataset: str
    dataset_sha256: str
    images_sha256: str
    n: int
    limits_sha256: str
    model: str | None = Field(description="None where predictions were read.")
    recording: RecordingRecord | None = Field(
        None, description="Of recorded features: what is claimed of them; the model is a claim too."
    )
    gate_sha256: str = Field(description="Of all that is asked: where it is the same, the gate is.")

    @classmethod
    def of(cls, header: Header, limits: Limits) -> Self:
        """Returns what is asked of the first policy of a header; a second one is its baseline."""
        policy, *baselines = header.policies
        dataset = header.dataset
        return cls(
            time=header.created,
            version=header.version,
            policy=policy.id,
            policy_version=policy.version,
            policy_sha256=policy.sha256,
            baseline_sha256=baselines[0].sha256 if baselines else None,
            dataset=dataset.name,
            dataset_sha256=dataset.sha256,
            images_sha256=dataset.images_sha256,
            n=dataset.n,
            limits_sha256=_hash_of(limits.model_dump(mode="json")),
            model=header.model.id if header.model else None,
            recording=header.recording,
            gate_sha256=_hash_of(_all_asked(header, limits)),
        )

    def on_dataset_of(self, other: GateQuestion) -> bool:
        """Returns whether both are asked of one dataset: it may have grown, or been moved."""
        return (
            self.dataset == other.dataset
            or self.images_sha256 == other.images_sha256
            or self.dataset_sha256 == other.dataset_sha256
        )


def _all_asked(header: Header, limits: Limits) -> list[Any]:
    """Returns whatever can change the answer of a gate."""
    matter = header.policies if limits.regression is not None else header.policies[:1]
    return [
        [policy.sha256 for policy in matter],
        limits.model_dump(mode="json"),
        header.dataset.model_dump(mode="json", exclude={"name", "adapter", "notes"}),
        header.model.model_dump(mode="json", exclude={"device"}) if header.model else None,
        header.looking,
    ]


def _hash_of(content: Any) -> str:
    return hashlib.sha256(json_text(content).encode()).hexdigest()


class GateRun(GateQuestion):
    """One run of a gate, as the record has it."""

    level: float = Field(gt=0.0, le=1.0, description="Level of an interval that shows a pass.")
    spending: bool = Field(description="Whether the level was spent.")
    figures_shown: bool
    answer: Answer
    checks: tuple[CheckAnswer, ...] = Field(description="Empty where no figure was shown.")
    exit_code: int


class GateRecord:
    """The record of earlier runs, to which one is added."""

    def __init__(self, path: Path, file: FileIO, runs: Sequence[GateRun]) -> None:
        self.path = path
        self.runs = runs
        self._file = file

    def append(self, run: GateRun) -> None:
        """Adds a run; it is on the disk when this returns.

        Raises:
            AuditError: it cannot be written; the record is as it was.
        """
        line = json_text(run.model_dump(mode="json")).encode() + b"\n"
        end = self._file.seek(0, os.SEEK_END)
        with _usable_record(self.path):
            try:
                if self._file.write(line) != len(line):
                    raise OSError("there is no room for the line")
                os.fsync(self._file.fileno())
            except OSError:
                with suppress(OSError):
                    self._file.truncate(end)
                raise


@contextmanager
def open_record(path: Path) -> Iterator[GateRecord]:
    """Yields the record of a file, made if need be; other gates wait for the block's end.

    Raises:
        AuditError: the file cannot be used, or a line of it is not whole.
    """
    with _usable_record(path):
        file = FileIO(path, "a+")
    with file:
        with _usable_record(path):
            if not S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("it is not a file that keeps what is written")
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            content = file.readall()
        yield GateRecord(path, file, parsed_runs(content, path))


def read_runs(path: Path) -> list[GateRun]:
    """Returns the runs of a record, in the order in which they were added.

    Raises:
        AuditError: the file cannot be read, or a line of it is not whole.
    """
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)  # nobody is in the middle of a line
            content = file.read()
    except OSError as error:
        what = f"it cannot be read: {error.strerror or error}"
        raise AuditError(what, str(path), "Name the record of a policy's gates") from error
    return parsed_runs(content, path)


def parsed_runs(content: bytes, path: Path) -> list[GateRun]:
    """Returns the runs of a record's content; `path` is for errors.

    Raises:
        AuditError: a line of it is not whole, or no run.
    """
    *lines, rest = content.split(b"\n")
    runs = []
    for number, line in enumerate(lines, 1):
        try:
            runs.append(GateRun.model_validate_json(line))
        except ValidationError as error:
            [first, *_] = error.errors(include_url=False, include_input=False)
            place = ".".join(map(str, first["loc"]))
            what = brief(
                f"this line is not the run of a gate: {f'{place}: ' if place else ''}{first['msg']}"
            )
            remedy = f"{_REMEDY}; if two were merged, keep the whole lines of both"
            raise AuditError(what, f"{path}:{number}", remedy) from error
    if rest:
        what = "this last line has no end, so its gate was stopped before it answered"
        remedy = f"Delete the line. {_REMEDY} if more of it is missing"
        raise AuditError(what, f"{path}:{len(lines) + 1}", remedy)
    return runs


@contextmanager
def _usable_record(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"the record cannot be written: {error.strerror or error}"
        raise AuditError(what, str(path), "Name another place with --record FILE") from error

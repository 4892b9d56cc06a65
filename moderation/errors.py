"""Every exception of the plugin, by who must act on it.

ModerationError             the root; catch this to catch all
  SettingsError             operator: the environment is wrong; the process refuses to start
  PolicyError               author: a policy file is wrong; carries every problem with its place
  RequestError              caller: this request can never succeed; never retried
    ImageError              caller: the image is unreadable, too large or of a refused type
      DecodingFailed        caller: the image crashes the decoder or takes too long in it
  ModelError                operator: the model is missing, of the wrong shape, or not finite
  WorkerError               operator: the worker failed in a way that no other class names
  StoreError                operator: the embedding store is damaged, foreign or not writable
  LogError                  operator: the decision log is damaged or of another version
  TransientError            nobody: try again; a worker does, a limited number of times
    BrokerUnavailable       host and worker: Redis does not answer
    QueueFull               host: too many requests wait already; slow down
    LogUnavailable          worker: the database of the decision log does not answer
    EncoderFailed           worker: the encoder failed: out of memory, or its device is gone
    ImageUnavailable        worker: the image's store did not answer
    RenditionsUnavailable   worker: the folder of renditions cannot be written to
    VerdictTimeout          host: no verdict came in time

A worker also tries again after an error of any other class, since a failure of the program may be
one of the world around it. If it fails for good, its host gets a WorkerError.

Every class takes positional arguments only and passes all of them to `Exception.__init__`: so
Celery can rebuild it, class and fields, on the other side of the queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Self

from moderation.visible_text import brief, one_line


class ModerationError(Exception):
    """An error that says what is wrong, where, and what to do about it."""

    def __init__(self, what: str, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where, remedy)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        place = f"{one_line(self.where)}: " if self.where else ""
        return f"{place}{self.what}" + (f". {self.remedy}" if self.remedy else "")


class SettingsError(ModerationError):
    """The environment holds a setting that is not usable."""


class _ProblemFields(NamedTuple):
    path: str
    line: int
    column: int
    message: str
    remedy: str


class PolicyProblem(_ProblemFields):
    """One thing wrong with a policy file; `line` and `column` count from 1, 0 where unknown.

    Message and remedy are brief and fit on one line, whatever they quote.
    """

    __slots__ = ()

    def __new__(cls, path: str, line: int, column: int, message: str, remedy: str) -> Self:
        """Returns the problem at a place."""
        return super().__new__(cls, path, line, column, brief(message), brief(remedy))

    def __str__(self) -> str:
        path = one_line(self.path)
        place = f"{path}:{self.line}:{self.column}" if self.line else path
        return f"{place}: {self.message}. {self.remedy}"


class PolicyError(ModerationError):
    """A policy file is refused; `problems` holds everything that is wrong with it."""

    def __init__(self, problems: Iterable[Iterable[str | int]]) -> None:
        self.problems = tuple(PolicyProblem(*problem) for problem in problems)  # type: ignore[arg-type]
        super().__init__("\n".join(map(str, self.problems)))
        # Plain lists, as the arguments travel through the queue as JSON.
        self.args = ([list(problem) for problem in self.problems],)


class RequestError(ModerationError):
    """The request can never succeed as it is."""


class ImageError(RequestError):
    """The image is missing, unreadable, too large or of a type that is refused."""


class DecodingFailed(ImageError):
    """The image crashes the decoder, or takes too long in it."""


class ModelError(ModerationError):
    """The model cannot be loaded or used, or it gave a value that is not finite."""


class WorkerError(ModerationError):
    """The worker failed unexpectedly; its log has the traceback."""


class StoreError(ModerationError):
    """A file of the embedding store is damaged or foreign, or cannot be read or written."""


class LogError(ModerationError):
    """The decision log is damaged, or of a version that this package does not read."""


class TransientError(ModerationError):
    """A failure that may be gone at the next try."""


class BrokerUnavailable(TransientError):
    """Redis does not answer."""


class QueueFull(TransientError):
    """Too many requests wait already; this one was not taken."""


class LogUnavailable(TransientError):
    """The database of the decision log does not answer."""


class EncoderFailed(TransientError):
    """The encoder failed on an image: out of memory, most often, or its device is gone."""


class ImageUnavailable(TransientError):
    """The image's store did not answer, or said that it cannot serve it now."""


class RenditionsUnavailable(TransientError):
    """The folder of renditions does not answer, or does not let the worker write."""


class VerdictTimeout(TransientError):
    """No verdict came in time; the request may still be decided later."""

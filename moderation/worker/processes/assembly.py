"""Puts a worker of several processes together: what they share, and what each is told."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from moderation.decision_log.database import Database
from moderation.decision_log.ledger import count_open
from moderation.decision_log.location import locate_log, located_file
from moderation.errors import SettingsError, WorkerError
from moderation.messages import QueueName
from moderation.policy import Policy, PolicyFile
from moderation.scoring.served import models_of
from moderation.settings import Settings
from moderation.worker.metrics_server import serve_metrics
from moderation.worker.processes.child import Child
from moderation.worker.processes.figures import ProcessFigures
from moderation.worker.processes.orders import EncoderOrder, LineOrder
from moderation.worker.processes.shares import line_settings
from moderation.worker.processes.supervisor import Supervisor

log = logging.getLogger(__name__)

#: Connections to the encoder process that wait while it loads, at most.
_BACKLOG = 1024


def run_processes(
    settings: Settings,
    policies: Mapping[str, Policy],
    *,
    processes: int,
    override_model: str | None,
    queues: tuple[QueueName, ...],
    name: str,
    on_ready: Callable[[str], None],
) -> int:
    """Starts an encoder process and lines, and has them serve until told; returns the exit code.

    Args:
        settings: of the whole worker.
        policies: by id.
        processes: how many lines there are.
        override_model: wins over what policies name.
        queues: what they serve.
        name: of the worker; lines are NAME-1, NAME-2 and so on.
        on_ready: called with the models in words, once all processes are ready.

    Raises:
        ModerationError, MemberFault: a process could not begin, or finds no longer what it needs.
        SettingsError: the temporary folder or the address for Prometheus cannot be used.
        OSError: a process cannot be started.
    """
    with ExitStack() as stack:
        place = stack.enter_context(closing(_Place(counts=settings.metrics_address is not None)))
        figures = ProcessFigures(place.figures)

        def serve(models: str) -> None:
            stack.enter_context(_answered_scrapes(settings, figures))
            _warn_of_one_file(settings, processes)
            on_ready(models)

        share = line_settings(settings, processes)
        files = tuple(policy.file for policy in policies.values())
        lines = [
            LineOrder(share, files, override_model, queues, place.address, f"{name}-{n}", n)
            for n in range(1, processes + 1)
        ]
        models = models_of(
            policies, default_model=settings.model, override_model=override_model
        ).values()
        return Supervisor(
            place.encoder(settings, sorted({*models}), files, f"{name}-encoder"),
            [place.line(order) for order in lines],
            figures,
            on_ready=serve,
            let_encoder_end=place.let_encoder_end,
            check_place=place.check,
        ).run()


class _Place:
    """What the processes of one worker share, which nobody else can reach.

    Lines connect to a socket that outlives each encoder process. They and the supervisor have one
    end of a pipe; the encoder process has the other, and ends when all of them are gone.
    """

    def __init__(self, *, counts: bool) -> None:
        """Makes the folder, the socket and the pipe.

        Args:
            counts: whether somebody asks for what the processes count.

        Raises:
            SettingsError: the temporary folder does not take a socket.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="evenhand-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        self.address, self.figures = folder / "encoder", folder / "figures"
        self.figures.mkdir()
        self._counting = {"PROMETHEUS_MULTIPROC_DIR": str(self.figures)} if counts else {}
        self._listening = socket.socket(socket.AF_UNIX)
        try:
            self._listening.bind(str(self.address))
        except OSError as error:
            remedy = "Set TMPDIR to a folder with a short name, on a disk of this machine"
            raise SettingsError(f"cannot listen ({error})", str(self.address), remedy) from error
        self._listening.listen(_BACKLOG)
        self._lines_are_gone, self._lines_are_here = os.pipe()
        self._ends = ExitStack()
        self._ends.callback(os.close, self._lines_are_here)

    def encoder(
        self, settings: Settings, models: list[str], policies: tuple[PolicyFile, ...], name: str
    ) -> Child:
        """Returns the encoder process, not started."""
        listening, lines = self._listening.fileno(), self._lines_are_gone
        asked = (settings, tuple(models), policies)
        order = EncoderOrder(*asked, self.address, listening, lines, name)
        return Child(order, descriptors=[listening, lines], environment=self._counting)

    def line(self, order: LineOrder) -> Child:
        """Returns a line process, not started."""
        # Its matrices are small, and its cores are for its decoders.
        environment = {**self._counting, "OPENBLAS_NUM_THREADS": "1"}
        return Child(order, descriptors=[self._lines_are_here], environment=environment)

    def check(self) -> None:
        """Checks that a new process would find what it needs.

        Raises:
            WorkerError: somebody has removed it, as what clears away old files does.
        """
        if not (self.address.exists() and self.figures.exists()):
            remedy = "Start the worker again; set TMPDIR to a folder that nobody clears"
            raise WorkerError("what its processes share was removed", self._folder.name, remedy)

    def let_encoder_end(self) -> None:
        """Closes this process's end of the pipe; the encoder process ends with the last line."""
        self._ends.close()

    def close(self) -> None:
        """Removes the folder; the processes have ended."""
        self._ends.close()
        self._listening.close()
        os.close(self._lines_are_gone)
        self._folder.cleanup()


@contextmanager
def _answered_scrapes(settings: Settings, figures: ProcessFigures) -> Iterator[None]:
    """Answers Prometheus for all processes inside the block, if there is an address for it.

    Raises:
        SettingsError: it cannot listen there.
    """
    if settings.metrics_address is None:
        yield
        return
    with (
        closing(Database(locate_log(settings), threads=1)) as database,
        serve_metrics(figures.registry, settings, lambda: count_open(database)),
    ):
        yield


def _warn_of_one_file(settings: Settings, processes: int) -> None:
    """Says that lines wait for each other, where the decision log takes one writer at a time."""
    if (file := located_file(locate_log(settings))) is not None:
        log.warning(
            "%s line processes write to one file, %s, and wait for each other there; "
            "PostgreSQL is advised: docs/decision-log.md",
            processes,
            file,
        )

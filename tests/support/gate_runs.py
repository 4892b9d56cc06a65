"""Runs of gates as a record has them."""

from __future__ import annotations

from audit.gate.runs import Answer, GateRun


def gate_run(
    *,
    gate: str = "a",
    dataset: str = "faces",
    annotations: str = "1",
    images: str = "1",
    answer: Answer = "no pass",
    figures_shown: bool = False,
) -> GateRun:
    """Returns a run of that gate on that dataset."""
    return GateRun(
        time="2026-11-27T12:00:00+00:00",
        version="0.1.0",
        policy="weapons",
        policy_version=1,
        policy_sha256=f"policy {gate}",
        baseline_sha256=None,
        dataset=dataset,
        dataset_sha256=f"annotations {annotations}",
        images_sha256=f"images {images}",
        n=700,
        limits_sha256="limits",
        model="stub",
        gate_sha256=f"gate {gate}",
        level=0.95 if figures_shown else 0.975,
        spending=not figures_shown,
        figures_shown=figures_shown,
        answer=answer,
        checks=(),
        exit_code=0 if answer == "pass" else 4,
    )

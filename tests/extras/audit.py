"""The auditor: a dataset, an encoder, a policy, a report; no model of ours is needed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from audit import Named, Subject, embed_dataset, embed_here, load_dataset, run_audit, write_report
from moderation.features import EmbeddingStore
from moderation.policy import load_policy, shipped_policies
from tests.extras.command import refuse_installed, run
from tests.extras.photograph import save_photograph
from tests.support.stub_encoder import StubEncoder

_GROUPS = ("north", "south")
_EACH = 20


def main() -> None:
    """Audits a shipped policy on images of two groups, and writes the report."""
    refuse_installed("torch", "sqlalchemy")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = _dataset(folder / "images")
        assert "north" in run("audit", "datasets", "info", str(images))
        dataset, encoder = load_dataset(images), StubEncoder()
        store = EmbeddingStore(folder / "store")
        embedded = embed_dataset(dataset, encoder.stamp, store, embed_here(encoder))
        policy = load_policy(shipped_policies() / "weapons.yaml")
        subject = Subject.of(embedded, encoder)
        results = run_audit(subject, Named({"weapons": policy}, {"weapons": "weapons.yaml"}))
        write_report(results, folder / "report")
        assert "north" in (folder / "report" / "report.html").read_text()


def _dataset(folder: Path) -> Path:
    for group in _GROUPS:
        (folder / group).mkdir(parents=True)
        for seed in range(_EACH):
            save_photograph(folder / group / f"{seed}.png", seed + _EACH * _GROUPS.index(group))
    return folder

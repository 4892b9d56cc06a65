"""Label sets per second from stored features, as a ratio to a straightforward script in one run.

    python benchmarks/audit_speed.py [--images 10954] [--label-sets 100] [--json FILE] [--quick]

Setup: random features of width 512 in a real store, FairFace's groups and sizes, label sets of 22
labels (4 acting, softmax, thresholds), rates by race x gender x age with Wilson intervals. The
other side is what one writes first: for each label set, cell and metric a mask, a count, and
statsmodels. Both must give the same counts.
"""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from audit.datasets.adapters.fairface import VALIDATION_COUNTS
from audit.datasets.dataset import Dataset
from audit.datasets.groups import Groups
from audit.metrics.predictions import predict
from audit.metrics.rates import FLAG, rate_table
from benchmarks import program
from benchmarks.random_encoder import SPACE, WIDTH, RandomEncoder, fill_store, image_keys
from moderation.encoders.encoder import Float32s
from moderation.features import EmbeddingStore
from moderation.policy import Policy

LABELS, ACTING = 22, 4


def label_set(number: int) -> Policy:
    """Returns a label set of 22 labels, 4 of which act."""
    labels: list[dict[str, Any]] = []
    for i in range(LABELS):
        label: dict[str, Any] = {"id": f"label-{i}", "prompts": [f"thing {number} {i}"]}
        acting = {"action": "block", "threshold": 0.3, "category": f"category-{i % 2}"}
        labels.append(label | (acting if i < ACTING else {}))
    return Policy.model_validate(
        {"schema_version": 1, "id": f"set-{number}", "version": 1, "title": "-", "labels": labels}
    )


def make_dataset(n: int) -> Dataset:
    """Returns n annotated images (which do not exist) in FairFace's proportions."""
    rng = np.random.default_rng(0)
    columns = {
        name: rng.choice([*sizes], n, p=np.array([*sizes.values()]) / sum(sizes.values()))
        for name, sizes in VALIDATION_COUNTS.items()
    }
    ids = [f"{i}.jpg" for i in range(n)]
    table = pd.DataFrame({"image_id": ids, "y_true": None, **columns})
    paths = tuple(Path(name) for name in ids)
    values = {name: tuple(sizes) for name, sizes in VALIDATION_COUNTS.items()}
    return Dataset("synthetic", "none", Path(), table, paths, tuple(values), values, benign=True)


def ours(
    store: EmbeddingStore, keys: list[str], cells: Groups, sets: Sequence[Policy]
) -> Iterator[pd.DataFrame]:
    """Yields the rates of each label set: scores and decisions by the production code."""
    features, _ = store.open(SPACE).get(keys)
    for number, policy in enumerate(sets):
        encoder = RandomEncoder(LABELS, seed=number)
        yield rate_table(predict(policy, encoder, features), [cells])


def straightforward(features: Float32s, table: pd.DataFrame, policy: Policy) -> dict[str, int]:
    """Returns the flags of each cell in the way one writes first: a cell and a metric at a time."""
    encoder = RandomEncoder(LABELS)
    prompts = [f"a photo of {label.prompts[0]}." for label in policy.labels]
    logits = encoder.logit_scale * features @ encoder.text_features(prompts).T
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = exponentials / exponentials.sum(axis=1, keepdims=True)
    fired = scores[:, :ACTING] >= 0.3
    top = scores.argmax(axis=1)
    metrics = {"flag": fired.any(axis=1)}
    metrics |= {f"fired {j}": fired[:, j] for j in range(ACTING)}
    metrics |= {f"top {j}": top == j for j in range(LABELS)}
    flags = {}
    groups: dict[Any, Any] = dict(table.groupby(list(VALIDATION_COUNTS)).groups)
    for values, rows in groups.items():
        mask = table.index.isin(rows)
        for name, marks in metrics.items():
            count, n = int(marks[mask].sum()), int(mask.sum())
            proportion_confint(count, n, method="wilson")
            if name == "flag":
                flags[" × ".join(values)] = count
    return flags


def measure(n: int, sets: int, runs: int) -> dict[str, Any]:
    """Returns seconds of both sides, their ratio for a label set, and the peak memory."""
    policies = [label_set(i) for i in range(sets)]
    dataset = make_dataset(n)
    cells = dataset.groups(list(VALIDATION_COUNTS))
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddingStore(Path(folder))
        fill_store(Path(folder), n, "float32")
        keys = image_keys(range(n))
        took, other, ratios = [], [], []
        for _ in range(runs):
            start = time.perf_counter()
            tables = list(ours(store, keys, cells, policies))
            took.append(time.perf_counter() - start)
            features, _ = store.open(SPACE).get(keys)
            start = time.perf_counter()
            flags = straightforward(features, dataset.table, policies[0])
            other.append(time.perf_counter() - start)
            ratios.append(other[-1] / (took[-1] / sets))
            flagged = tables[0][tables[0]["metric"] == FLAG]
            assert dict(zip(flagged["group"], flagged["count"], strict=True)) == flags
    return {
        "images": n,
        "label_sets": sets,
        "labels": LABELS,
        "width": WIDTH,
        "cells": len(cells.names),
        "runs": runs,
        "ours_seconds": statistics.median(took),
        "straightforward_seconds_per_label_set": statistics.median(other),
        "label_sets_per_second": sets / statistics.median(took),
        "ratios": {"ours_to_straightforward": statistics.median(ratios)},
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **program.machine(),
        **program.versions("numpy", "pandas"),
    }


def main() -> None:
    """Measures, prints a table, and writes JSON where asked to."""
    parser = program.new_parser(__doc__, quick="one run")
    parser.add_argument("--images", type=int, default=10_954)
    parser.add_argument("--label-sets", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    found = measure(given.images, given.label_sets, 1 if given.quick else given.runs)
    for name, value in found.items():
        print(f"{name:40} {value if not isinstance(value, float) else round(value, 3)}")
    program.write_json(given.json, found)


if __name__ == "__main__":
    program.run(main)

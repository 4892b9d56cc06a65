"""The header of made-up results: two features with hostile names, policies that differ."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from audit.datasets.groups import CROSS
from audit.results.results import DatasetRecord, GroupRecord, Header, LabelRecord, PolicyRecord
from audit.statistics.support import support_of
from moderation.messages import ModelStamp

SCRIPT = '<script>alert("x")</script>'
FORMULA = '=HYPERLINK("file:///secret")'
QUOTES = "\"quoted\" & 'single' | `code` $x$ \u202e\x07"
LONG = "a name of a group that goes on for much longer than any plot is wide"

#: Images by group; two are too few, one has none.
FEATURES = {
    "race": {"Black": 1556, "White": 2085, SCRIPT: 640, FORMULA: 75, QUOTES: 12},
    "age, in years": {"0-2": 199, "3-9": 1356, LONG: 2800, "more than 70": 13, "unknown": 0},
}
N = 4368
#: Images of a group that were left out; of one, all.
LEFT_OUT = {"overall": 45, "Black": 40, SCRIPT: 5, "unknown": 3, "0-2": 2}
POLICIES = ("person-labels", "person-labels <child>")


def groups() -> Iterator[tuple[str, str, int]]:
    """Yields feature, group and n: the whole, each feature, and their intersection."""
    yield "overall", "overall", N
    for by, sizes in FEATURES.items():
        for group, n in sizes.items():
            yield by, group, n
    for (a, n), (b, m) in product(*(sizes.items() for sizes in FEATURES.values())):
        if n * m:
            yield CROSS.join(FEATURES), CROSS.join((a, b)), n * m // N


def support(n: int) -> Any:
    """Returns how far a group of n images carries."""
    return support_of(n).item()


def label(name: str, threshold: float | None) -> LabelRecord:
    """Returns a label that blocks where it has a threshold, and otherwise only competes."""
    return LabelRecord(
        id=name, category="egregious/non-human" if threshold else None,
        action="block" if threshold else None, threshold=threshold,
        review_threshold=threshold and threshold / 2, prompts=(f"a {name}", f"some {name}"),
    )  # fmt: skip


def policy(name: str, labels: tuple[LabelRecord, ...]) -> PolicyRecord:
    """Returns a policy of some labels."""
    return PolicyRecord(
        name=name, id="person-labels", version=2, title=f"Labels & more: {name}",
        sha256="ab" * 32, path="policies/person-labels.yaml", scoring="softmax",
        decision="top_label", templates=tuple(f"a photo {i} of {{}}" for i in range(8)),
        labels=labels, notes=f"For: {SCRIPT}.\n\nIt cannot: see\nanything.",
    )  # fmt: skip


def header(policies: tuple[str, ...]) -> Header:
    """Returns a header; the second policy changes a label, lacks one and adds one."""
    first = (label("thief", 0.5), label("animal", 0.25), label("man", None))
    other = (label("thief", 0.75), label("man", None), label("child | <b>", None))
    dataset = DatasetRecord(
        name="faces & more", adapter="fairface", n=N, sha256="cd" * 32, images_sha256="ef" * 32,
        benign=False, sensitive_features=tuple(FEATURES), left_out=45, rounded=0,
        seen_repeatedly=12, unplaced={"age, in years": 40},
        groups=tuple(
            GroupRecord(
                by=by, group=group, n=n, support=support(n), left_out=LEFT_OUT.get(group, 0)
            )
            for by, group, n in groups()
        ),
        notes=(f"A note with {SCRIPT}.",),
    )  # fmt: skip
    return Header(
        tool="evenhand", version="0.1.0", created="2026-01-02T03:04:05+00:00",
        command="audit compare a.yaml b.yaml --by 'race' | tee `log`",
        versions={"numpy": "2.0.0", "scipy": "1.14.0"},
        model=ModelStamp(
            id="starter", revision="1", fingerprint="0123", preprocessing="4567",
            dtype="float32", device="cpu",
        ),
        looking="frames=16 views=auto",
        logit_scale=100.0, logit_bias=-12.93, dataset=dataset, confidence=0.95, seed=7,
        policies=tuple(policy(name, other if i else first) for i, name in enumerate(policies)),
        by=(*FEATURES, CROSS.join(FEATURES)),
    )  # fmt: skip

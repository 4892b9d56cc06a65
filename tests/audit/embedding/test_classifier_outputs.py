"""An audit asks classifiers what production asks them, once, and treats labels of both alike."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from audit.audits.ablate import ablate_audit
from audit.audits.audited import Named
from audit.audits.run import run_audit
from audit.audits.subject import Subject
from audit.datasets.adapters import load_dataset
from audit.datasets.dataset import Dataset
from audit.embedding.classifier_outputs import embed_outputs
from audit.embedding.dataset_features import EmbeddedDataset, embed_dataset, embed_here
from audit.errors import DatasetError
from audit.metrics.predictions import PolicyPredictions
from moderation.encoders.classifiers.description import classifier_stamp
from moderation.encoders.classifiers.loading import load_classifiers
from moderation.errors import ModelError, PolicyError, StoreError
from moderation.features import EmbeddingStore, FeatureSpace
from moderation.images.looks import DEFAULT_LOOKING
from moderation.messages import Verdict
from moderation.policy import LabelClassifier, Policy, parse_policy
from moderation.scoring.verdict import ACTIONS
from tests.support.onnx_files import classified_policy, described, mean_colours, write_onnx
from tests.support.sample_pipeline import make_pipeline
from tests.support.stub_encoder import StubEncoder

#: The classifier sees the middle of a picture alone, and the encoder all of it.
MIDDLE = {"resize": (24, 24), "crop": (8, 8)}


def _file(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _contents() -> dict[str, bytes]:
    """Returns files of one look and of several, of which some show the classifier only one."""
    random = np.random.default_rng(0)
    made: dict[str, bytes] = {}
    for i in range(12):
        colours = [tuple(random.integers(0, 256, 3).tolist()) for _ in range(4)]
        plain = Image.new("RGB", (48, 48), colours[0])
        framed = []
        for colour in colours:
            edge = Image.new("RGB", (48, 48), colour)
            edge.paste(plain.resize((40, 40)), (4, 4))
            framed.append(edge)
        turns = [Image.new("RGB", (48, 48), colour) for colour in colours]
        wide = Image.new("RGB", (240, 48), colours[1])
        wide.paste(plain, (192, 0))
        moving = {"save_all": True, "duration": 200}
        made[f"plain-{i}.png"] = _file(plain)
        made[f"wide-{i}.png"] = _file(wide)
        made[f"edge-{i}.gif"] = _file(framed[0], "GIF", append_images=framed[1:], **moving)
        made[f"moving-{i}.gif"] = _file(turns[0], "GIF", append_images=turns[1:], **moving)
    return made


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    return _contents()


@pytest.fixture(scope="module")
def dataset(contents: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("pictures")
    for name, content in contents.items():
        path = folder / name.partition("-")[0] / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return load_dataset(folder)


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two files: mean colours as shares of 1, and the brightness of red."""
    folder = tmp_path_factory.mktemp("classifiers")
    write_onnx(mean_colours(weights=np.eye(3) * 9), folder / "shares.onnx")
    write_onnx(mean_colours(weights=[[9.0], [0.0], [0.0]], bias=[-5.0]), folder / "red.onnx")
    return folder


@pytest.fixture(scope="module")
def policy(classifiers: Path) -> Policy:
    def named(file: str, **changes: object) -> LabelClassifier:
        sha256 = hashlib.sha256((classifiers / file).read_bytes()).hexdigest()
        return described(sha256, file, **changes)

    shares = [
        named(
            "shares.onnx",
            output={"name": "shares", "column": column},
            preprocessing=MIDDLE,
        )
        for column in (0, 1)
    ]
    red = named("red.onnx", output={"activation": "sigmoid"})
    return parse_policy(classified_policy(*shares, red), "mixed.yaml")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    return EmbeddingStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def embedded(
    dataset: Dataset, policy: Policy, classifiers: Path, store: EmbeddingStore
) -> EmbeddedDataset:
    encoder = StubEncoder()
    found = embed_dataset(dataset, encoder.stamp, store, embed_here(encoder))
    return embed_outputs(found, [policy], store, classifiers)


def _verdicts(contents: dict[str, bytes], policy: Policy, folder: Path) -> dict[str, Verdict]:
    served = {policy.id: policy}
    loaded = load_classifiers(served.values(), folder, threads=1)
    with make_pipeline(16, policies=served, views="auto", classifiers=loaded) as pipeline:
        return {
            name: pipeline.moderate(content, pipeline.served([policy.id]), request_id=name)[0]
            for name, content in contents.items()
        }


def test_an_audit_says_of_every_image_what_production_says(
    contents: dict[str, bytes], policy: Policy, classifiers: Path, embedded: EmbeddedDataset
) -> None:
    verdicts = _verdicts(contents, policy, classifiers)
    subject = Subject.of(embedded, StubEncoder())
    [said] = subject.predict({"mixed": policy})
    assert isinstance(said, PolicyPredictions)
    names = [Path(str(reference)).name for reference in embedded.dataset.references]
    for row, name in enumerate(names):
        verdict = verdicts[name]
        assert verdict.action == ACTIONS[said.actions[row]], name
        assert said.scores[row].tolist() == [each.score for each in verdict.labels], name
        outcomes = [each.outcome for each in verdict.labels]
        assert outcomes == [ACTIONS[code] if code else None for code in said.outcomes[row]], name
    counts = [rows.looks.tolist() for rows in embedded.outputs.values()]
    edges = [row for row, name in enumerate(names) if name.startswith("edge")]
    assert {counts[0][row] for row in edges} == {1}  # the middle shows one look, the whole several
    assert {counts[1][row] for row in edges} == {4}
    assert {verdict.action for verdict in verdicts.values()} == {"allow", "block"}
    # Some are decided by a look of the classifier, some by one of the encoder.
    assert {verdict.looks for name, verdict in verdicts.items() if "edge" in name} == {1, 4}
    assert said.label_ids[2] not in {said.label_ids[column] for column in said.y_pred}


def test_a_second_audit_asks_no_classifier(
    embedded: EmbeddedDataset, policy: Policy, store: EmbeddingStore
) -> None:
    bare = EmbeddedDataset(
        embedded.dataset, embedded.features, embedded.sha256, 0, 0, embedded.looks, DEFAULT_LOOKING
    )
    again = embed_outputs(bare, [policy], store, folder=None)
    for key, (rows, looks) in embedded.outputs.items():
        np.testing.assert_array_equal(again.outputs[key].rows, rows)
        np.testing.assert_array_equal(again.outputs[key].looks, looks)


def test_without_their_outputs_labels_of_classifiers_are_refused(
    embedded: EmbeddedDataset, policy: Policy
) -> None:
    bare = EmbeddedDataset(
        embedded.dataset, embedded.features, embedded.sha256, 0, 0, embedded.looks
    )
    with pytest.raises(PolicyError, match="was not asked about the images") as caught:
        Subject.of(bare, StubEncoder()).predict({"mixed": policy})
    assert [problem.line for problem in caught.value.problems] == sorted(
        problem.line for problem in caught.value.problems
    )
    assert len(caught.value.problems) == 3


def test_what_cannot_be_loaded_or_has_changed_is_told(
    dataset: Dataset,
    embedded: EmbeddedDataset,
    policy: Policy,
    classifiers: Path,
    tmp_path: Path,
    contents: dict[str, bytes],
) -> None:
    with pytest.raises(PolicyError, match="needs a folder of classifiers, and none is set"):
        embed_outputs(embedded, [policy], EmbeddingStore(tmp_path / "a"), None)
    (picture := tmp_path / "pictures" / "plain" / "one.png").parent.mkdir(parents=True)
    picture.write_bytes(contents["plain-0.png"])
    one = load_dataset(tmp_path / "pictures")
    encoder, store = StubEncoder(), EmbeddingStore(tmp_path / "b")
    found = embed_dataset(one, encoder.stamp, store, embed_here(encoder))
    picture.write_bytes(contents["plain-1.png"])
    with pytest.raises(DatasetError, match="changed while it was being embedded"):
        embed_outputs(found, [policy], store, classifiers)


def test_outputs_need_no_unit_length_but_must_be_finite_and_are_never_rounded(
    embedded: EmbeddedDataset, policy: Policy, tmp_path: Path
) -> None:
    [*_, classifier] = policy.classified_labels.values()
    space = FeatureSpace.of_outputs(classifier_stamp(classifier), DEFAULT_LOOKING)
    store = EmbeddingStore(tmp_path)
    with store.open(space) as features:
        features.add(["0" * 64], np.array([[3.0, -4.0]], np.float32))
        with pytest.raises(ModelError, match="an output is not finite"):
            features.add(["1" * 64], np.array([[np.inf, 0.0]], np.float32))
    rows, _ = store.open(space).get(["0" * 64])
    assert rows.tolist() == [[3.0, -4.0]]
    with pytest.raises(ValueError, match="is kept as float32, not as float16"):
        store.open(space, "float16")
    [file] = tmp_path.rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError):
        store.open(space)


def test_a_report_and_an_ablation_are_made_of_both_kinds_of_labels(
    embedded: EmbeddedDataset, policy: Policy
) -> None:
    subject = Subject.of(embedded, StubEncoder())
    named = Named.of([policy], ["mixed.yaml"])
    results = json.loads(run_audit(subject, named).model_dump_json())
    labels = {each["id"]: each for each in results["header"]["policies"][0]["labels"]}
    assert [labels[f"seen-{i}"]["classifier"] for i in range(3)] == [
        *["shares.onnx"] * 2,
        "red.onnx",
    ]
    tried = ablate_audit(subject, named)
    assert {"seen-0", "seen-1", "seen-2"} < {each.change for each in tried.ablations}

"""Recorded texts in place of a model, and prompts that are not among them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from audit.audits.ablate import Study, ablate_audit
from audit.audits.audited import Named
from audit.audits.gate import recorded_gate_audit
from audit.audits.run import run_audit
from audit.audits.subject import Subject
from audit.embedding.recorded_encoder import RecordedEncoder, embedded_recording
from audit.errors import AuditError
from audit.gate.limits import load_limits
from audit.metrics.predictions import predict
from audit.metrics.variants import Synonym
from audit.recordings.recording import Recording
from moderation.errors import ModelError, PolicyError
from moderation.policy import Label, Policy, load_policy
from tests.support.recorded_features import imported, unit_rows, write_npy_and_csv, write_texts

N, D = 400, 16
TEXTS = ("a photo of a man", "a photo of a woman", "a photo of a thief", "a photo of a child")

POLICY = """\
schema_version: 1
id: thieves
version: 1
title: Thieves
templates: ["a photo of {}"]
labels:
  - id: man
    prompts: [a man]
  - id: woman
    prompts: [a woman]
  - id: thief
    prompts: [a thief]
    action: review
    threshold: 0.3
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = tmp_path_factory.mktemp("recorded")
    files = write_npy_and_csv(folder / "in", unit_rows(N, d=D, dtype="float16"))
    texts = write_texts(folder / "t.parquet", TEXTS, unit_rows(len(TEXTS), d=D, seed=9))
    return imported(folder / "out", *files, texts=texts)


@pytest.fixture
def subject(recording: Recording) -> Subject:
    return Subject.of(embedded_recording(recording), RecordedEncoder(recording))


def policy(folder: Path, text: str = POLICY) -> Policy:
    (folder / "my.yaml").write_text(text)
    return load_policy(folder / "my.yaml")


def test_recorded_texts_are_given_as_they_are(recording: Recording) -> None:
    encoder = RecordedEncoder(recording)
    rows = unit_rows(len(TEXTS), d=D, seed=9)
    np.testing.assert_array_equal(encoder.text_features(TEXTS[::-1]), rows[::-1])
    assert encoder.count_tokens(["a " * 1000]) == [0]
    assert (encoder.logit_scale, encoder.logit_bias) == (100.0, None)
    assert encoder.stamp.id == "some-clip"
    with pytest.raises(ModelError, match="'a photo of a boy' is not recorded"):
        encoder.text_features(["a photo of a man", "a photo of a boy"])


def test_a_recording_without_texts_needs_a_model(tmp_path: Path) -> None:
    files = write_npy_and_csv(tmp_path / "in", unit_rows(N, d=D))
    with pytest.raises(AuditError, match="no texts were recorded"):
        RecordedEncoder(imported(tmp_path / "out", *files))


def test_every_prompt_that_is_not_recorded_is_named_with_its_place(
    tmp_path: Path, subject: Subject
) -> None:
    text = POLICY.replace("[a woman]", "[a woman, a womann]").replace("[a thief]", "[a theif]")
    wrong = policy(tmp_path, text)
    with pytest.raises(PolicyError) as caught:
        run_audit(subject, Named.of([wrong], ["my.yaml"]))
    first, second = caught.value.problems
    path = str(tmp_path / "my.yaml")
    assert (first.path, first.line, first.column) == (path, 10, 24)
    assert (second.path, second.line, second.column) == (path, 12, 15)
    assert first.message.startswith("the prompt 'a photo of a womann' is not recorded in ")
    assert first.remedy.startswith("The nearest recorded: 'a photo of a woman', 'a photo of a man'")
    assert "'a photo of a thief'" in second.remedy


def test_figures_are_those_of_a_plain_computation(
    tmp_path: Path, recording: Recording, subject: Subject
) -> None:
    asked = policy(tmp_path)
    results = run_audit(subject, Named.of([asked], ["my.yaml"]))
    images = np.load(recording.path / "features.npy").astype(np.float64)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    logits = 100 * images @ unit_rows(len(TEXTS), d=D, seed=9)[:3].astype(np.float64).T
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    flagged = (scores / scores.sum(axis=1, keepdims=True))[:, 2] >= 0.3
    found = {
        rate.group: (rate.count, rate.n)
        for rate in results.rates
        if rate.metric == "selection_rate"
    }
    assert found == {
        "overall": (int(flagged.sum()), N),
        "Black": (int(flagged[::2].sum()), N // 2),
        "White": (int(flagged[1::2].sum()), N // 2),
    }


def test_the_claims_stand_in_results_and_in_the_gate(tmp_path: Path, subject: Subject) -> None:
    named = Named.of([policy(tmp_path)], ["my.yaml"])
    results = run_audit(subject, named)
    header = results.header
    assert "That some-clip made them of these images was claimed" in " ".join(results.limits)
    assert header.recording is not None
    assert (header.recording.model_id, header.recording.logit_scale) == ("some-clip", 100.0)
    assert [file.name for file in header.recording.imported_from] == [
        "features.npy",
        "labels.csv",
        "t.parquet",
    ]
    assert header.model is not None
    assert header.model.id == "some-clip"
    assert header.looking == ""
    assert header.dataset.rounded == N
    limits = "schema_version: 1\nsensitive_features: [race]\nworst_group_rate: 0.99\n"
    (tmp_path / "limits.yaml").write_text(limits)
    record = tmp_path / "my.gates.jsonl"
    held = load_limits(tmp_path / "limits.yaml")
    report = recorded_gate_audit(subject, named, held, record, spend=False, figures=False)
    assert "features recorded as of some-clip." in report.to_markdown()
    run = json.loads(record.read_text())
    assert (run["answer"], run["model"]) == ("pass", "some-clip")
    assert run["recording"] == json.loads(header.recording.model_dump_json())


def test_changes_with_prompts_that_are_not_recorded_are_not_tried(
    tmp_path: Path, subject: Subject
) -> None:
    named = Named.of([policy(tmp_path)], ["my.yaml"])
    child, boy = (Label(id=name, prompts=(f"a {name}",)) for name in ("child", "boy"))
    study = Study(
        candidates=[child, boy],
        synonyms=[Synonym("thief", "a child"), Synonym("thief", "a crook")],
        templates=["a picture of {}"],
    )
    results = ablate_audit(subject, named, study)
    tried = {(row.kind, row.change) for row in results.ablations}
    assert ("with", "child") in tried
    assert ("synonym", "thief: a child") in tried
    assert not tried & {("with", "boy"), ("template", "a picture of {}")}
    sentences = [each for each in results.not_tried if "not recorded" in each]
    assert sentences == [
        "thieves: `with boy` asks for prompts that are not recorded: 'a photo of a boy'",
        "thieves: `synonym thief: a crook` asks for prompts that are not recorded: "
        "'a photo of a crook'",
        "thieves: `template a picture of {}` asks for prompts that are not recorded: "
        "'a picture of a man' and 2 more",
        "thieves: `article no article` asks for prompts that are not recorded: "
        "'a photo of man' and 2 more",
    ]


def test_a_part_in_memory_at_a_time_gives_what_all_of_it_gives(
    tmp_path: Path, recording: Recording
) -> None:
    rows = unit_rows(20_000, d=D, dtype="float16", seed=5)
    np.save(tmp_path / "rows.npy", rows)
    asked, encoder = policy(tmp_path), RecordedEncoder(recording)
    mapped = predict(asked, encoder, np.load(tmp_path / "rows.npy", mmap_mode="r"))
    for start in (0, 1, 4095, 4096, 19_999):
        one = predict(asked, encoder, rows[start : start + 1])
        assert one.similarities.tobytes() == mapped.similarities[start].tobytes()
        assert one.scores.tobytes() == mapped.scores[start].tobytes()
        assert one.outcomes.tobytes() == mapped.outcomes[start].tobytes()

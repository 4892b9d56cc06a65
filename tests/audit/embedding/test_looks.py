"""An audit looks at what production looks at: the same verdict for every image and policy."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from audit.audits.audited import Named
from audit.audits.subject import Subject
from audit.datasets.adapters import load_dataset
from audit.datasets.dataset import Dataset
from audit.datasets.groups import overall_group
from audit.embedding.dataset_features import EmbeddedDataset, embed_dataset, embed_here
from audit.embedding.remote_features import embed_remotely, remote_stamp
from audit.errors import AuditError
from audit.metrics.ablation import run_ablation
from audit.metrics.predictions import PolicyPredictions, highest_of_looks, predict
from audit.metrics.thresholds import matched_threshold_flags, threshold_margin, threshold_table
from audit.metrics.variants import without_each_label
from moderation.client.client import Client
from moderation.embedded_servers import EmbeddedWorker
from moderation.encoders.encoder import Encoder
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.features import EmbeddingStore
from moderation.images.borders import content_box
from moderation.images.looks import DEFAULT_LOOKING, Looking
from moderation.images.pixels import decode, read_sights
from moderation.messages import Verdict
from moderation.policy import Policy, load_policies, starter_policies
from moderation.scoring.verdict import ACTIONS
from moderation.settings import Settings
from tests.support.policy_texts import policy
from tests.support.sample_pipeline import make_pipeline
from tests.support.stub_encoder import StubEncoder, random_features

Contents = Mapping[str, bytes]

SQUARE = (96, 96)


def _file(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _at_the_end(photograph: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Returns a white picture with a photograph at its right end, or at its bottom."""
    picture = Image.new("RGB", size, "white")
    side = min(size)
    picture.paste(photograph.resize((side, side)), (size[0] - side, size[1] - side))
    return picture


def _of_every_kind(photographs: Sequence[Image.Image]) -> dict[str, bytes]:
    """Returns files of which production sees one look, and of which it sees several."""
    made: dict[str, bytes] = {}
    for i, photograph in enumerate(photographs):
        square = photograph.resize(SQUARE)
        ghost = Image.new("RGBA", (96, 96), (255, 255, 255, 0))  # white on transparent
        ghost.putalpha(square.convert("L"))
        turns = [square.rotate(90 * turn) for turn in range(4)]
        moving = {"save_all": True, "append_images": turns[1:], "duration": 200}
        made[f"square-{i}.png"] = _file(square)
        made[f"wide-{i}.png"] = _file(_at_the_end(photograph, (288, 96)))
        made[f"tall-{i}.png"] = _file(_at_the_end(photograph, (96, 200)))
        made[f"ghost-{i}.png"] = _file(ghost)
        made[f"moving-{i}.gif"] = _file(turns[0], "GIF", **moving)
    return made


@pytest.fixture(scope="module")
def contents(photographs: list[Path]) -> Contents:
    """Files of every kind, by name."""
    opened = [decode(path.read_bytes(), max_pixels=10**8) for path in photographs]
    full = [image for image in opened if content_box(image.resize(SQUARE), (0, 0, *SQUARE)) is None]
    return _of_every_kind(full[:6])


@pytest.fixture(scope="module")
def dataset(contents: Contents, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return _dataset_of(contents, tmp_path_factory.mktemp("pictures"))


def _dataset_of(contents: Contents, folder: Path) -> Dataset:
    """Returns a dataset of files, in two classes."""
    for name, content in contents.items():
        path = folder / name.partition("-")[0] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return load_dataset(folder)


def _embedded(
    dataset: Dataset, encoder: Encoder, root: Path, looking: Looking = DEFAULT_LOOKING
) -> EmbeddedDataset:
    store = EmbeddingStore(root)
    return embed_dataset(dataset, encoder.stamp, store, embed_here(encoder), looking=looking)


def _names(dataset: Dataset) -> list[str]:
    return [Path(str(reference)).name for reference in dataset.references]


def _policies() -> dict[str, Policy]:
    """Returns policies of every scoring and decision, whose worst looks differ."""
    sums = policy()
    low = [{**label.model_dump(mode="json")} for label in sums.labels]
    low[0] |= {"threshold": 0.3, "review_threshold": 0.1}
    low[1] |= {"threshold": 0.2, "action": "block"}
    return {
        "as written": sums,
        "low": policy(labels=low),
        "contrast": policy(labels=low, scoring="contrast"),
        "top label": policy(decision="top_label"),
        "sigmoid": policy(labels=low, scoring="sigmoid"),
    }


@pytest.fixture(scope="module")
def encoder() -> StubEncoder:
    return StubEncoder(logit_scale=4.0, logit_bias=-0.5)


@pytest.fixture(scope="module")
def embedded(
    dataset: Dataset, encoder: StubEncoder, tmp_path_factory: pytest.TempPathFactory
) -> EmbeddedDataset:
    return _embedded(dataset, encoder, tmp_path_factory.mktemp("store"))


def _production(
    policies: Mapping[str, Policy], encoder: StubEncoder, contents: Contents
) -> dict[str, tuple[Verdict, ...]]:
    """Returns what production says of each file, a verdict for each policy."""
    with make_pipeline(16, encoder, policies, views="auto") as pipeline:
        served = pipeline.served(policies)
        return {
            name: pipeline.moderate(content, served, request_id=name)
            for name, content in contents.items()
        }


def _assert_same(
    said: PolicyPredictions, names: Sequence[str], verdicts: Mapping[str, Verdict]
) -> None:
    """Compares what the audit says of each image with production's verdict, in every number."""
    for i, name in enumerate(names):
        verdict = verdicts[name]
        assert (name, ACTIONS[said.actions[i]]) == (name, verdict.action)
        assert [float(score) for score in said.scores[i]] == [x.score for x in verdict.labels]
        assert [ACTIONS[x] if x else None for x in said.outcomes[i]] == [
            label.outcome for label in verdict.labels
        ]
        assert {name: bool(marks[i]) for name, marks in said.categories.items()} == (
            verdict.categories
        )


def test_the_audit_says_of_every_image_what_production_says(
    dataset: Dataset, contents: Contents, encoder: StubEncoder, embedded: EmbeddedDataset
) -> None:
    policies, names = _policies(), _names(dataset)
    verdicts = _production(policies, encoder, contents)
    subject = Subject.of(embedded, encoder)
    decided_by: set[tuple[object, ...]] = set()
    for number, said in enumerate(subject.predict(policies)):
        found = {name: each[number] for name, each in verdicts.items()}
        _assert_same(said, names, found)
        decided_by.add(tuple((verdict.frame, verdict.box) for verdict in found.values()))
    assert len(decided_by) > 2  # the policies do not agree on which look decides
    looks = {name: verdicts[name][0].looks for name in names}
    assert embedded.looks is not None
    assert embedded.looks.tolist() == [looks[name] for name in names]
    assert {name for name, count in looks.items() if count == 1} == {
        name for name in names if name.startswith("square")
    }
    assert embedded.seen_repeatedly == 24


def test_each_changed_label_set_has_its_own_deciding_looks(
    dataset: Dataset, contents: Contents, encoder: StubEncoder, embedded: EmbeddedDataset
) -> None:
    trials = run_ablation(
        without_each_label(_policies()["low"]), encoder, embedded.features, embedded.looks
    )
    changed = {trial.predictions.name: trial.predictions.policy for trial in trials}
    verdicts = _production(changed, encoder, contents)
    assert len(trials) == 4
    for number, trial in enumerate(trials):
        found = {name: each[number] for name, each in verdicts.items()}
        _assert_same(trial.predictions, _names(dataset), found)


@pytest.mark.parametrize("decision", ["threshold", "top_label"])
def test_each_threshold_of_a_sweep_has_its_own_deciding_looks(
    decision: str, encoder: StubEncoder, embedded: EmbeddedDataset
) -> None:
    labels = [label.model_dump(mode="json") for label in policy().labels]
    labels[0] |= {"threshold": 0.2, "review_threshold": None}  # so a block hides a higher knife
    of = policy(decision=decision, labels=labels)
    said = predict(of, encoder, embedded.features, looks=embedded.looks)
    swept = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
    groups = overall_group(len(embedded.dataset))
    table = threshold_table(said, [groups], swept)
    expected, by_one_look = [], []
    for threshold in swept:
        for label in labels[:2]:
            label["threshold"] = threshold
        moved = predict(
            policy(decision=decision, labels=labels),
            encoder,
            embedded.features,
            looks=embedded.looks,
        )
        expected.append(int(moved.flagged.sum()))
        by_one_look.append(int((said.scores[:, :2].max(axis=1) >= threshold).sum()))
    assert table["count"].tolist() == expected
    assert len(set(expected)) > 2
    assert decision == "top_label" or expected != by_one_look


@pytest.mark.parametrize("name", [*_policies()])
def test_the_margin_of_an_image_is_that_of_its_look_with_the_highest(
    name: str, encoder: StubEncoder, embedded: EmbeddedDataset
) -> None:
    of = _policies()[name]
    said = predict(of, encoder, embedded.features, looks=embedded.looks)
    margins = threshold_margin(said)
    np.testing.assert_array_equal(margins >= 0, said.flagged)
    each = threshold_margin(predict(of, encoder, embedded.features))
    assert embedded.looks is not None
    ends = np.cumsum(embedded.looks)
    parts = np.split(each, ends[:-1])
    assert margins.tolist() == [part.max() for part in parts]
    # As many as can be told from the next one: equal margins are not parted.
    ordered = np.sort(margins)[::-1]
    count = next(n for n in range(7, len(ordered)) if ordered[n - 1] > ordered[n])
    flags = matched_threshold_flags(said, count)
    assert flags.sum() == count
    np.testing.assert_array_equal(flags, margins >= ordered[count - 1])


def test_a_prompt_finds_an_image_by_the_look_that_resembles_it_most(
    encoder: StubEncoder, embedded: EmbeddedDataset
) -> None:
    assert embedded.looks is not None
    values = np.random.default_rng(0).permutation(len(embedded.features)).astype(np.float32)
    ends = np.cumsum(embedded.looks)
    parts = np.split(values, ends[:-1])
    assert highest_of_looks(values, embedded.looks).tolist() == [part.max() for part in parts]
    subject = Subject.of(embedded, encoder)
    assert subject.groups[0].names == ("overall",)
    text = encoder.text_features(["a cat"])
    cosines = [float((part @ text.T).max()) for part in np.split(embedded.features, ends[:-1])]
    np.testing.assert_allclose(subject.resemblance("a cat"), cosines, atol=1e-6)


def test_images_with_one_look_each_are_not_sorted_at_all(
    dataset: Dataset, encoder: StubEncoder, tmp_path: Path
) -> None:
    rows = np.array([i for i, name in enumerate(_names(dataset)) if name.startswith("square")])
    squares = _embedded(dataset.take(rows), encoder, tmp_path)
    assert squares.looks is not None
    assert squares.looks.tolist() == [1] * 6
    said = predict(policy(), encoder, squares.features, looks=squares.looks)
    plain = predict(policy(), encoder, squares.features)
    assert (said.several, plain.several) == (None, None)
    np.testing.assert_array_equal(said.scores, plain.scores)
    assert said.every_look.scores is said.scores


@pytest.mark.parametrize("counts", [[1, 1], [2, 1, 1], [0, 2, 1], [1, 1, 1, 0]])
def test_features_that_are_not_those_of_the_images_are_refused(
    counts: list[int], dataset: Dataset, encoder: StubEncoder
) -> None:
    three, rows = dataset.take(np.arange(3)), random_features(3)
    with pytest.raises(ValueError, match="3 features of 3 images are not one or more for each"):
        EmbeddedDataset(three, rows, ("", "", ""), 3, 0, np.array(counts))
    with pytest.raises(ValueError, match="2 features of 3 images"):
        EmbeddedDataset(three, rows[:2], ("", "", ""), 3, 0)


def test_another_way_of_looking_is_embedded_by_itself_and_the_old_one_is_kept(
    dataset: Dataset, contents: Contents, encoder: StubEncoder, tmp_path: Path
) -> None:
    first, both = Looking(), Looking(2, 3)
    one, several = (_embedded(dataset, encoder, tmp_path, looking) for looking in (first, both))
    again = _embedded(dataset, encoder, tmp_path, first)
    assert (one.embedded, several.embedded, again.embedded) == (30, 30, 0)
    np.testing.assert_array_equal(one.features, again.features)
    assert (one.looking, several.looking) == (first, both)
    for looking, found in ((first, one), (both, several)):
        sights = [
            read_sights(contents[name], [encoder.preprocessing], looking, max_pixels=10**6)[0]
            for name in _names(dataset)
        ]
        expected = encoder.image_features(np.concatenate([sight.squares for sight in sights]))
        np.testing.assert_array_equal(found.features, expected)


def test_a_report_says_how_its_images_were_looked_at(
    encoder: StubEncoder, embedded: EmbeddedDataset
) -> None:
    header = Subject.of(embedded, encoder).header(Named({}, {}))
    assert header.looking == "frames=16 views=auto"
    assert header.dataset.seen_repeatedly == 24


def _revolvers(folder: Path) -> Iterator[Image.Image]:
    for path in sorted((folder / "revolver").iterdir())[:3]:
        yield Image.open(path).convert("RGB")


def test_here_and_on_workers_the_audit_says_what_the_workers_answer(
    objects: Path, client: Client, worker: EmbeddedWorker, settings: Settings, tmp_path: Path
) -> None:
    contents = _of_every_kind(list(_revolvers(objects)))
    dataset = _dataset_of(contents, tmp_path / "pictures")
    names, policies = _names(dataset), load_policies(starter_policies())
    ids = {name: client.submit(contents[name], policies=[*policies]) for name in names}
    verdicts = {name: client.collect(ids[name]) for name in names}
    broker_url, encoder = (
        settings.broker_url.get_secret_value(),
        load_encoder("starter", ModelOptions()),
    )
    stamp = remote_stamp(dataset, "starter", broker_url)
    remotely = embed_remotely("starter", stamp, broker_url)
    for embedded in (
        _embedded(dataset, encoder, tmp_path / "here"),
        embed_dataset(dataset, stamp, EmbeddingStore(tmp_path / "there"), remotely),
    ):
        for said in Subject.of(embedded, encoder).predict(policies):
            found = [v for name in names for v in verdicts[name] if v.policy.id == said.name]
            assert [ACTIONS[action] for action in said.actions] == [v.action for v in found]
            scores = [[label.score for label in verdict.labels] for verdict in found]
            np.testing.assert_allclose(said.scores, scores, atol=1e-4)
    [weapons] = Subject.of(embedded, encoder).predict({"weapons": policies["weapons"]})
    wide = [name.startswith("wide") for name in names]
    first = _embedded(dataset, encoder, tmp_path / "here", Looking())
    [centre] = Subject.of(first, encoder).predict({"weapons": policies["weapons"]})
    assert weapons.flagged[wide].sum() > centre.flagged[wide].sum() == 0
    other = Looking(16, 1)
    with pytest.raises(AuditError, match="a worker looks at frames=16 views=auto of a file"):
        remote_stamp(dataset, "starter", broker_url, looking=other)
    with pytest.raises(AuditError, match="MODERATION_VIEWS alike on all workers"):
        embed_dataset(dataset, stamp, EmbeddingStore(tmp_path / "x"), remotely, looking=other)

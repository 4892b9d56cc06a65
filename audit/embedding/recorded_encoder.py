"""The texts of a recording in place of a model: exact prompts alone, and their features."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from audit.embedding.dataset_features import EmbeddedDataset
from audit.errors import AuditError
from audit.recordings.recording import Recording
from moderation.encoders.encoder import Float32s
from moderation.errors import ModelError
from moderation.messages import ModelStamp

#: How many recorded texts are named that resemble one that is not recorded.
_NEAREST = 3

#: Of more texts none is searched for the nearest, which would take minutes.
_SEARCHED = 100_000

#: What nobody said of the model of recorded features.
_NOT_KNOWN = "not known"


class RecordedEncoder:
    """The texts of a recording (`moderation.encoders.encoder.TextEncoder`); no text is embedded.

    How many tokens a text has is not known, so none is refused for its length: it is recorded, so
    the model has read it.
    """

    context_length = 0

    def __init__(self, recording: Recording) -> None:
        """Takes the texts of a recording.

        Raises:
            AuditError: none were recorded.
        """
        if recording.texts is None:
            what = (
                "no texts were recorded with the features, so no prompt can be compared with them"
            )
            remedy = "Import them with --texts, or name the model of the features with --model"
            raise AuditError(what, str(recording.path), remedy)
        claims = recording.stated.claims
        self.path = recording.path
        self.logit_scale = claims.logit_scale
        self.logit_bias = claims.logit_bias
        self.stamp = claimed_stamp(recording)
        self.recorded = recording.texts
        self._places = {text: place for place, text in enumerate(recording.texts.texts)}

    def text_features(self, texts: Sequence[str]) -> Float32s:
        """Returns (n, d) rows of unit length.

        Raises:
            ModelError: a text is not recorded.
        """
        for text in self.unrecorded(texts):
            what, remedy = self.unrecorded_rule(text)
            raise ModelError(what, str(self.path), remedy)
        rows: Float32s = self.recorded.rows[[self._places[text] for text in texts]]
        return rows

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns no tokens for each text, since it is not known what they are."""
        return [0] * len(texts)

    def unrecorded(self, texts: Iterable[str]) -> list[str]:
        """Returns the texts that are not recorded, each once."""
        return [text for text in dict.fromkeys(texts) if text not in self._places]

    def unrecorded_rule(self, text: str) -> tuple[str, str]:
        """Returns the message and remedy of a prompt that is not recorded."""
        n = len(self._places)
        near = (
            difflib.get_close_matches(text, self.recorded.texts, n=_NEAREST)
            if n <= _SEARCHED
            else ()
        )
        named = ", ".join(map(repr, near))
        remedy = f"The nearest recorded: {named}" if near else f"None of {n:,} recorded is like it"
        also = "Import its features too, with `audit import --texts`, to use it"
        return f"the prompt {text!r} is not recorded in {self.path}", f"{remedy}. {also}"


def claimed_stamp(recording: Recording) -> ModelStamp:
    """Returns the stamp of a model of which there are claims alone; they are its fingerprint."""
    stated = recording.stated
    return ModelStamp(
        id=stated.claims.model_id,
        revision=_NOT_KNOWN,
        fingerprint=hashlib.sha256(stated.claims.model_dump_json().encode()).hexdigest()[:16],
        preprocessing=_NOT_KNOWN,
        dtype=stated.dtype,
        device=_NOT_KNOWN,
        runtime=_NOT_KNOWN,
    )


def embedded_recording(recording: Recording) -> EmbeddedDataset:
    """Returns the dataset of a recording with its features, which stay in their file."""
    dataset = recording.dataset
    rounded = len(dataset) if recording.features.dtype == np.float16 else 0
    return EmbeddedDataset(dataset, recording.features, (), 0, rounded, recording=recording.stated)

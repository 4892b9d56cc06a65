"""Embeds the starter's class names again, for when they change, or the weights of the sentences do.

python scripts/class_embeddings.py
"""

from __future__ import annotations

import numpy as np

from moderation.encoders.starter import CLASS_EMBEDDINGS, embed_classes

if __name__ == "__main__":
    np.save(CLASS_EMBEDDINGS, embed_classes())

"""The embedding store: features kept by the hash of what was embedded, computed once, then read.

An `EmbeddingStore` is a folder. It opens the `Features` of one `FeatureSpace`, which says the model
and all else that must be equal for two features to be comparable. Needs pyarrow.
"""

from moderation.features.files import FeatureSpace, Storage
from moderation.features.store import EmbeddingStore, Features, text_key

__all__ = ["EmbeddingStore", "FeatureSpace", "Features", "Storage", "text_key"]

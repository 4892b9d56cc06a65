"""The embedding store: features kept by the hash of what was embedded, computed once, then read.

An `EmbeddingStore` is a folder. It opens the `Features` of one `FeatureSpace`, which says the model
and all else that must be equal for two features to be comparable. Needs pyarrow.
"""

from moderation.features.space import FeatureSpace
from moderation.features.store import EmbeddingStore, Features, text_key
from moderation.features.store_files import Storage
from moderation.features.stored_encoder import StoredEncoder

__all__ = ["EmbeddingStore", "FeatureSpace", "Features", "Storage", "StoredEncoder", "text_key"]

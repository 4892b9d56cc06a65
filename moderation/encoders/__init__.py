"""Pixels and texts -> features: one file an encoder."""

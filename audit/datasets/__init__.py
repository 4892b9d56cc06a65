"""Annotated images: how they lie on disk -> Dataset."""

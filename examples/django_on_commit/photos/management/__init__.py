"""Management of the photos."""

"""`moderation`, with one encoder more: the stub of the tests, which needs no model."""

from __future__ import annotations

from moderation.__main__ import main
from moderation.encoders.registry import LOADERS
from tests.support.stub_encoder import StubEncoder

if __name__ == "__main__":
    LOADERS["stub"] = lambda reference, options: StubEncoder()
    main()

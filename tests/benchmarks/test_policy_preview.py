"""The benchmark of the preview: both ways print the same difference, at a small size."""

from __future__ import annotations

import pytest

from benchmarks.policy_preview import measure


@pytest.mark.slow
def test_watching_and_a_new_command_print_the_same() -> None:
    found = measure(pictures=12, saves=1)
    assert found["labels"] == 20
    assert 0 < found["watch"]["median"] < found["new command"]["median"]
    assert "prompt added: 'a revolver of kind 0'" in "\n".join(found["difference"])
    assert any(line.startswith("before \\ after") for line in found["difference"])

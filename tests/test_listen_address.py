"""HOST:PORT, where something listens."""

from __future__ import annotations

import pytest

from moderation.listen_address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("9100", Address("127.0.0.1", 9100), "127.0.0.1:9100"),
        ("0.0.0.0:9100", Address("0.0.0.0", 9100), "0.0.0.0:9100"),
        ("[::1]:0", Address("::1", 0), "[::1]:0"),
    ],
)
def test_an_address_is_host_and_port(text: str, address: Address, shown: str) -> None:
    assert (parse_address(text), str(address)) == (address, shown)


WRONG = "|h|h:|:1|h:x|70000|-1|h:1/b|u@h:1|u:p@h:1|h:1?x|h:1#x|//h:1|nonsense|1.2.3.4:x|:9808|h/:1"


@pytest.mark.parametrize("text", WRONG.split("|"))
def test_anything_else_is_not_an_address(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        parse_address(text)

"""Which addresses may be reached: public ones, named networks, and never those of metadata."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.images.fetch.addresses import may_reach
from moderation.settings import load_settings

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::8.8.8.8",
]
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.1.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.9",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "::ffff:0:8.8.8.8",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::10.0.0.1",
    "64:ff9b:1:a00:0:100::",
    "64:ff9b:1:a00:0:100:808:808",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:2::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:127.0.0.1",
]
METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b::168.63.129.16",
    "2002:a9fe:a9fe::",
    "2001:0:808:808:0:0:5601:5601",
    "2606:4700::5efe:169.254.169.254",
]
EVERYTHING = load_settings(allowed_networks="0.0.0.0/0,::/0").allowed_networks


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_reached(address: str) -> None:
    assert may_reach(address, ())


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_may_be_reached_only_where_it_is_named(address: str) -> None:
    assert not may_reach(address, ())
    assert may_reach(address, EVERYTHING)


@pytest.mark.parametrize("address", METADATA)
def test_an_address_that_hands_out_credentials_is_refused_always(address: str) -> None:
    assert not may_reach(address, ())
    assert not may_reach(address, EVERYTHING)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fe80::1%eth0",
        "2606:4700::1%1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "localhost",
        "1.1.1.1 ",
    ],
)
def test_a_scope_and_what_is_not_an_address_are_refused(text: str) -> None:
    assert not may_reach(text, EVERYTHING)


def test_a_named_network_opens_nothing_else() -> None:
    networks = load_settings(allowed_networks="10.2.0.0/16, fd12::/32,2002::/16").allowed_networks
    for address in ("10.2.3.4", "::ffff:10.2.3.4", "64:ff9b::10.2.3.4", "fd12::1"):
        assert may_reach(address, networks)
    # 6to4 is named, but what it would lead to is still judged.
    assert may_reach("2002:a02:304::", networks)
    for address in ("10.3.0.1", "::ffff:10.3.0.1", "fd13::1", "127.0.0.1", "2002:7f00:1::"):
        assert not may_reach(address, networks)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_however_it_is_dressed(
    address: ipaddress.IPv4Address,
) -> None:
    judged = may_reach(str(address), ())
    for prefix in ("::ffff:", "64:ff9b::", "64:ff9b:1::"):
        assert may_reach(f"{prefix}{address}", ()) == judged


@given(st.ip_addresses())
def test_nothing_is_public_that_python_knows_to_be_otherwise(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    known = address.is_private or address.is_loopback or address.is_link_local
    dressed = getattr(address, "ipv4_mapped", None)
    if (known or address.is_multicast or address.is_unspecified) and dressed is None:
        assert not may_reach(str(address), ())

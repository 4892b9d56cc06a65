"""Which IP addresses a URL may lead to: public ones, and those in networks an operator names.

What counts as public is written out here, since `ipaddress` differs between versions of Python.
Whatever is not known to be public is refused. Addresses that hand out a cloud machine's own
credentials are refused even in a named network.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _address_networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, texts))


#: IANA's special-purpose registry for IPv4.
_SPECIAL_4 = _address_networks(
    "0.0.0.0/8",  # this network, unspecified
    "10.0.0.0/8",
    "100.64.0.0/10",  # shared by customers of a provider
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",  # protocol assignments
    "192.0.2.0/24",  # documentation
    "192.88.99.0/24",  # relays of 6to4
    "192.168.0.0/16",
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, broadcast
)
#: All IPv6 addresses that are assigned to the public are in one network; these parts are special.
_PUBLIC_6 = ip_network("2000::/3")
_SPECIAL_6 = _address_networks(
    "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4
    "3fff::/20",  # documentation
)
#: Where clouds give a machine its credentials. Not all of these are link-local, or even private.
_METADATA = _address_networks(
    "169.254.169.0/24",  # most clouds; name servers and clocks of AWS
    "169.254.170.0/24",  # tasks and pods on AWS
    "169.254.0.23/32",  # Tencent
    "169.254.10.10/32",
    "169.254.42.42/32",  # Scaleway
    "100.100.100.200/32",  # Alibaba
    "168.63.129.16/32",  # Azure; a public address
    "192.0.0.192/32",  # Oracle
    "fd00:ec2::/32",  # AWS
    "fd20:ce::254/128",  # Google
    "fd00:c1::a9fe:a9fe/128",  # Oracle
    "fd00:a9fe:a9fe::/48",  # Akamai
    "fd00:42::42/128",  # Scaleway
    "fe80::a9fe:a9fe/128",  # OpenStack
)
_MAPPED = ip_network("::ffff:0:0/96")
_NAT64 = ip_network("64:ff9b::/96")
#: NAT64 within one network. Its other prefixes put the IPv4 address elsewhere, so only its first
#: /96 can be judged.
_LOCAL_NAT64 = ip_network("64:ff9b:1::/96")
#: Other prefixes of 96 bits that an IPv4 address follows.
_EMBEDDING = _address_networks("::/96", "::ffff:0:0:0/96")
_6TO4 = ip_network("2002::/16")
_TEREDO = ip_network("2001::/32")
_ISATAP = (0x5EFE, 0x2005EFE)


def may_reach(text: str, allowed: tuple[Network, ...]) -> bool:
    """Returns whether a connection may be made to an IP address.

    Args:
        text: the address as the resolver gave it; one with a scope is refused.
        allowed: networks that may be reached although they are not public.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    meant = _translated_address(address)
    forms = (address, meant, *_embedded_addresses(meant))
    if any(form in network for form in forms for network in _METADATA):
        return False
    # A tunnel's end is judged too: otherwise a named network would open all behind it.
    return all(_is_open_address(form, allowed) for form in forms[1:])


def _translated_address(address: Address) -> Address:
    """Returns the IPv4 address that an IPv6 one is translated to, or the address itself."""
    if any(address in network for network in (_MAPPED, _NAT64, _LOCAL_NAT64)):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _embedded_addresses(address: Address) -> Iterator[IPv4Address]:
    """Yields the IPv4 addresses that a tunnel at this address leads on to."""
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    low = IPv4Address(number & 0xFFFFFFFF)
    compatible = number > 1 and any(address in network for network in _EMBEDDING)  # not :: and ::1
    if compatible or (number >> 32) & 0xFFFFFFFF in _ISATAP:
        yield low
    if address in _6TO4:
        yield IPv4Address((number >> 80) & 0xFFFFFFFF)
    if address in _TEREDO:
        yield IPv4Address((number >> 64) & 0xFFFFFFFF)
        yield IPv4Address(int(low) ^ 0xFFFFFFFF)


def _is_open_address(address: Address, allowed: tuple[Network, ...]) -> bool:
    if any(address in network for network in allowed):
        return True
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_4)
    return address in _PUBLIC_6 and not any(address in network for network in _SPECIAL_6)

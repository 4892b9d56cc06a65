"""What a setting's text can be, and how it is read."""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from moderation.listen_address import parse_address


def _split_setting(separator: str) -> BeforeValidator:
    def split(value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(separator) if part.strip())
        return value

    return BeforeValidator(split)


def _resolved_roots_setting(roots: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(root.expanduser().resolve() for root in roots)


def _lower_setting(hosts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(host.lower() for host in hosts)


def _schemes_setting(schemes: tuple[str, ...]) -> tuple[str, ...]:
    if strange := set(schemes) - {"http", "https"}:
        raise ValueError(f"a URL is fetched over https or http, not {', '.join(sorted(strange))}")
    return schemes


def _networks_setting(value: Any) -> Any:
    """Returns texts as networks; an address within one is a slip that would allow too much."""
    return tuple(map(_network_setting, value)) if isinstance(value, list | tuple) else value


def _network_setting(value: Any) -> IPv4Network | IPv6Network:
    try:
        return ip_network(value)
    except ValueError:
        pass
    try:
        meant = ip_network(value, strict=False)
    except ValueError:
        raise ValueError(f"{value!r} is not a network; write 10.2.0.0/16 or fd12::/32") from None
    raise ValueError(f"{value!r} names an address inside a network; write {meant} for all of it")


def _redis_url_setting(url: SecretStr) -> SecretStr:
    """Refuses a URL that redis and kombu would fail on later, each in its own way."""
    wrong = ValueError("write redis://host:6379/0, or rediss:// for TLS")
    try:
        parts = urlsplit(url.get_secret_value())
        _ = parts.port
    except ValueError as error:
        raise wrong from error
    if parts.scheme not in ("redis", "rediss") or not re.fullmatch(r"(/\d*)?", parts.path):
        raise wrong
    if parts.query or parts.fragment:  # one option turns off the check of certificates
        raise ValueError("leave out what follows the database's number: settings say the rest")
    return url


def _listen_address_setting(address: str) -> str:
    try:
        parse_address(address)
    except ValueError as error:
        raise ValueError(f"{error}; write HOST:PORT or PORT") from None
    return address


ListenAddress = Annotated[str, AfterValidator(_listen_address_setting)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url_setting)]
Paths = Annotated[tuple[Path, ...], NoDecode, _split_setting(os.pathsep)]
Words = Annotated[tuple[str, ...], NoDecode, _split_setting(",")]
Networks = Annotated[
    tuple[IPv4Network | IPv6Network, ...],
    NoDecode,
    BeforeValidator(_networks_setting),
    _split_setting(","),
]
FolderPaths = Annotated[Paths, AfterValidator(_resolved_roots_setting)]
Hosts = Annotated[Words, AfterValidator(_lower_setting)]
Schemes = Annotated[Words, AfterValidator(_lower_setting), AfterValidator(_schemes_setting)]

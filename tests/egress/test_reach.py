"""What kind of place an address is, and that nothing private passes for public in any disguise."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.broker.egress.reach import Reach, parse_address, reach_of

TABLE = {
    "8.8.8.8": Reach.PUBLIC,
    "93.184.216.34": Reach.PUBLIC,
    "100.63.255.255": Reach.PUBLIC,
    "100.128.0.0": Reach.PUBLIC,
    "172.15.255.255": Reach.PUBLIC,
    "172.32.0.0": Reach.PUBLIC,
    "2606:4700:4700::1111": Reach.PUBLIC,
    "127.0.0.1": Reach.LOOPBACK,
    "127.255.255.254": Reach.LOOPBACK,
    "::1": Reach.LOOPBACK,
    "10.0.0.1": Reach.PRIVATE,
    "172.16.0.1": Reach.PRIVATE,
    "172.31.255.255": Reach.PRIVATE,
    "192.168.1.1": Reach.PRIVATE,
    "fc00::1": Reach.PRIVATE,
    "fd00:ec2::254": Reach.PRIVATE,
    "fec0::1": Reach.PRIVATE,
    "169.254.169.254": Reach.LINK_LOCAL,
    "169.254.170.2": Reach.LINK_LOCAL,
    "fe80::1": Reach.LINK_LOCAL,
    "100.64.0.1": Reach.SHARED,
    "100.100.100.200": Reach.SHARED,
    "168.63.129.16": Reach.SHARED,
    "0.0.0.0": Reach.UNSPECIFIED,
    "::": Reach.UNSPECIFIED,
    "0.0.0.1": Reach.RESERVED,
    "0.255.255.255": Reach.RESERVED,
    "192.0.0.8": Reach.RESERVED,
    "192.0.0.192": Reach.RESERVED,
    "192.0.2.1": Reach.RESERVED,
    "198.18.0.1": Reach.RESERVED,
    "198.19.255.255": Reach.RESERVED,
    "198.51.100.7": Reach.RESERVED,
    "203.0.113.9": Reach.RESERVED,
    "240.0.0.1": Reach.RESERVED,
    "224.0.0.1": Reach.MULTICAST,
    "239.255.255.250": Reach.MULTICAST,
    "ff02::1": Reach.MULTICAST,
    "255.255.255.255": Reach.BROADCAST,
    "2001:db8::1": Reach.RESERVED,
    "3fff::1": Reach.RESERVED,
    "2001:10::1": Reach.RESERVED,
    "100::1": Reach.RESERVED,
    "4000::1": Reach.RESERVED,
    # Addresses that carry others.
    "::ffff:127.0.0.1": Reach.LOOPBACK,
    "::ffff:169.254.169.254": Reach.LINK_LOCAL,
    "::ffff:8.8.8.8": Reach.PUBLIC,
    "::127.0.0.1": Reach.RESERVED,
    "2002:7f00:1::": Reach.LOOPBACK,
    "2002:a9fe:a9fe::1": Reach.LINK_LOCAL,
    "64:ff9b::10.0.0.1": Reach.PRIVATE,
    "64:ff9b::169.254.169.254": Reach.LINK_LOCAL,
    "64:ff9b::8.8.8.8": Reach.PUBLIC,
    "64:ff9b:1::8.8.8.8": Reach.PRIVATE,
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": Reach.RESERVED,
    "2606:4700::5efe:127.0.0.1": Reach.LOOPBACK,
    "2606:4700::200:5efe:10.1.1.1": Reach.PRIVATE,
    "ff02::5efe:10.0.0.1": Reach.MULTICAST,
}


@pytest.mark.parametrize(("text", "reach"), TABLE.items())
def test_the_table(text: str, reach: Reach) -> None:
    assert reach_of(ipaddress.ip_address(text)) is reach


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_is_public_that_python_calls_special(address: IPv4Address) -> None:
    if reach_of(address) is Reach.PUBLIC:
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_is_public_that_python_calls_special(address: IPv6Address) -> None:
    if reach_of(address) is Reach.PUBLIC and address.ipv4_mapped is None:
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=4), st.integers(0, 2**64 - 1))
def test_an_address_in_disguise_is_at_least_as_bad_as_itself(inner: IPv4Address, rest: int) -> None:
    order = list(Reach)
    number = int(inner)
    for disguised in (
        (0xFFFF << 32) | number,
        (0x0064_FF9B << 96) | number,
        (0x2002 << 112) | (number << 80) | rest,
        (0x2606_4700 << 96) | (0x5EFE << 32) | number,
    ):
        assert order.index(reach_of(IPv6Address(disguised))) >= order.index(reach_of(inner))


def test_a_zone_is_left_away_and_nonsense_raises() -> None:
    assert parse_address("fe80::1%eth0") == IPv6Address("fe80::1")
    with pytest.raises(ValueError, match="does not appear"):
        parse_address("localhost")

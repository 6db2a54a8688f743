"""What kind of place an address is. Pure.

The lists are IANA's registries of special-purpose addresses (RFC 6890 and its updates). What is in none of them and
outside of IPv6's global unicast space is no place to go either.
"""

from __future__ import annotations

import ipaddress
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address


class Reach(Enum):
    """Who could be there, the best first. The values finish "its address is ..."."""

    PUBLIC = "a public one"
    #: Reached only where an operator has granted it by name.
    LOOPBACK = "the host's own machine"
    PRIVATE = "one of a private network"
    LINK_LOCAL = "one of the local link, where clouds keep the credentials of their machines"
    SHARED = "one of a carrier's or cloud's own network"
    #: Never reached.
    UNSPECIFIED = "none at all"
    MULTICAST = "a multicast one"
    BROADCAST = "the broadcast one"
    RESERVED = "reserved, and belongs to nobody"

    @property
    def can_be_granted(self) -> bool:
        return self in _GRANTABLE


_GRANTABLE = frozenset({Reach.PUBLIC, Reach.LOOPBACK, Reach.PRIVATE, Reach.LINK_LOCAL, Reach.SHARED})

_BY_BADNESS = tuple(Reach)

#: The first that fits counts.
_IPV4: tuple[tuple[IPv4Network, Reach], ...] = tuple(
    (IPv4Network(network), reach)
    for network, reach in (
        ("0.0.0.0/32", Reach.UNSPECIFIED),
        ("0.0.0.0/8", Reach.RESERVED),
        ("10.0.0.0/8", Reach.PRIVATE),
        ("100.64.0.0/10", Reach.SHARED),
        ("127.0.0.0/8", Reach.LOOPBACK),
        ("169.254.0.0/16", Reach.LINK_LOCAL),
        ("172.16.0.0/12", Reach.PRIVATE),
        ("192.0.0.0/24", Reach.RESERVED),
        ("192.0.2.0/24", Reach.RESERVED),
        ("192.88.99.0/24", Reach.RESERVED),
        ("192.168.0.0/16", Reach.PRIVATE),
        # Azure's metadata and DNS, for its machines alone.
        ("168.63.129.16/32", Reach.SHARED),
        ("198.18.0.0/15", Reach.RESERVED),
        ("198.51.100.0/24", Reach.RESERVED),
        ("203.0.113.0/24", Reach.RESERVED),
        ("224.0.0.0/4", Reach.MULTICAST),
        ("255.255.255.255/32", Reach.BROADCAST),
        ("240.0.0.0/4", Reach.RESERVED),
    )
)

_IPV6: tuple[tuple[IPv6Network, Reach], ...] = tuple(
    (IPv6Network(network), reach)
    for network, reach in (
        ("::/128", Reach.UNSPECIFIED),
        ("::1/128", Reach.LOOPBACK),
        # What these carry is what counts: IPv4 in IPv6's notation, and the translators between the two.
        ("::ffff:0:0/96", Reach.PUBLIC),
        ("64:ff9b::/96", Reach.PUBLIC),
        ("64:ff9b:1::/48", Reach.PRIVATE),
        ("fc00::/7", Reach.PRIVATE),
        ("fe80::/10", Reach.LINK_LOCAL),
        # Site-local, given up by RFC 3879, still routed where somebody has it.
        ("fec0::/10", Reach.PRIVATE),
        ("ff00::/8", Reach.MULTICAST),
        # Protocol assignments, among them benchmarking, ORCHID and Teredo.
        ("2001::/23", Reach.RESERVED),
        ("2001:db8::/32", Reach.RESERVED),
        ("3fff::/20", Reach.RESERVED),
        ("2000::/3", Reach.PUBLIC),
    )
)

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
#: Addresses of the form ``::a.b.c.d``, given up by RFC 4291.
_COMPATIBLE = IPv6Network("::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")
#: Without its last bits: an interface identifier of ISATAP (RFC 5214), before the IPv4 address.
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def reach_of(address: Address) -> Reach:
    """The kind of place; of an IPv6 address that carries an IPv4 one, the worse of both."""
    if isinstance(address, IPv4Address):
        return next((reach for network, reach in _IPV4 if address in network), Reach.PUBLIC)
    own = next((reach for network, reach in _IPV6 if address in network), Reach.RESERVED)
    carried = _carried(address)
    return own if carried is None else max(own, reach_of(carried), key=_BY_BADNESS.index)


def _carried(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address to which a gateway on the way would hand the packets."""
    low = int(address) & 0xFFFF_FFFF
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _SIX_TO_FOUR:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _NAT64):
        return IPv4Address(low)
    if address in _COMPATIBLE and low > 1:
        return IPv4Address(low)
    if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return IPv4Address(low)
    return None


def parse_address(text: str) -> Address:
    """An address as the resolver writes it; a zone after % is left away. Raises ValueError."""
    return ipaddress.ip_address(text.partition("%")[0])

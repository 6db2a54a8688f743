"""Names of hosts in one spelling. Pure; both sides use it, so that what was granted is what is reached.

Addresses have many spellings (``2130706433``, ``0x7f.1``, ``[::ffff:127.0.0.1]``), and programs disagree about some:
``010.0.0.1`` is 8.0.0.1 to one and 10.0.0.1 to another. Here each has one, and every other is refused.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Optional, Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

#: Of a name in the DNS (RFC 1035, 2.3.4).
MAX_NAME_CHARACTERS = 253

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_BYTE}(?:\.{_BYTE}){{3}}")
#: What the C library, and browsers, read as an IPv4 address when it ends a name (inet_aton(3), the URL standard).
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")

#: Names below these are never in the public DNS (RFC 6761, 6762, 8375; ICANN's resolution of 2024 for "internal").
LOCAL_SUFFIXES = ("localhost", "local", "internal", "home.arpa")


class HostInvalid(ValueError):
    """The text names no host, or does so in a spelling that programs disagree about. The sentence says which."""

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(f"{text[:MAX_NAME_CHARACTERS]!r} is no host: {problem}")


def canonical(text: str) -> str:
    """The one spelling: lower case, no dot at the end; an IPv6 address without brackets, compressed.

    An IPv4 address that is written as an IPv6 one is the IPv4 address. Raises HostInvalid.
    """
    if not text:
        raise HostInvalid(text, "it is empty")
    if not text.isascii():
        raise HostInvalid(text, "it has letters beyond ASCII; write its punycode, such as xn--bcher-kva.example")
    if text.startswith("[") or ":" in text:
        return _canonical_ipv6(text)
    name = text.lower()
    if name.endswith("."):
        name = name[:-1]
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _canonical_ipv4(text, name)
    if len(name) > MAX_NAME_CHARACTERS or not all(map(_LABEL.fullmatch, labels)):
        raise HostInvalid(
            text, f"a name is labels of letters, digits, '-' and '_' between dots, {MAX_NAME_CHARACTERS} characters"
        )
    return name


def address(host: str) -> Optional[Address]:
    """The address that a canonical host is; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def in_url(host: str) -> str:
    """A canonical host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def is_local(host: str) -> bool:
    """Whether nobody can have the canonical host in the public DNS: an address, a name without a dot, a local suffix.

    Whoever may name such a host reaches what the operator's own network says it is, and not what a stranger says.
    """
    if address(host) is not None or "." not in host:
        return True
    return any(host.endswith(f".{suffix}") for suffix in LOCAL_SUFFIXES)


def _canonical_ipv6(text: str) -> str:
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if "%" in inner:
        raise HostInvalid(text, "a zone after % is a network interface of one machine; leave it away")
    try:
        found = ipaddress.IPv6Address(inner)
    except ValueError:
        raise HostInvalid(text, "it is no IPv6 address, which stands in brackets where a port may follow") from None
    mapped = found.ipv4_mapped
    return str(mapped) if mapped is not None else str(found)


def _canonical_ipv4(text: str, name: str) -> str:
    if not _IPV4.fullmatch(name):
        raise HostInvalid(text, "a number at its end makes it an IPv4 address; write four decimal numbers: 192.0.2.1")
    return name

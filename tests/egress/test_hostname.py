"""One spelling for each host, and a refusal for those that programs read differently."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_proto import hostname
from moorage_proto.hostname import HostInvalid

CANONICAL = {
    "api.example.com": "api.example.com",
    "API.Example.COM": "api.example.com",
    "example.com.": "example.com",
    "localhost": "localhost",
    "my_service": "my_service",
    "xn--bcher-kva.example": "xn--bcher-kva.example",
    "1.2.3.com": "1.2.3.com",
    "0x7f.example": "0x7f.example",
    "127.0.0.1": "127.0.0.1",
    "127.0.0.1.": "127.0.0.1",
    "[::1]": "::1",
    "::1": "::1",
    "[0:0:0:0:0:0:0:1]": "::1",
    "[2001:DB8::A]": "2001:db8::a",
    "[::ffff:127.0.0.1]": "127.0.0.1",
    "[::ffff:7f00:1]": "127.0.0.1",
    "a" * 63 + ".com": "a" * 63 + ".com",
}

REFUSED = (
    "",
    ".",
    "..",
    "example..com",
    "example.com..",
    ".example.com",
    "2130706433",
    "0x7f000001",
    "0X7F.1",
    "017700000001",
    "0177.0.0.1",
    "127.1",
    "127.0.1",
    "127.0.0.01",
    "127.0.0.1.1",
    "127.0.0.256",
    "0x7f.0.0.1",
    "0x",
    "1.2.3.0x4",
    "example.123",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "fe80::1%1",
    "[::1",
    "::1]",
    "[127.0.0.1]",
    "[::g]",
    "[]",
    "[v1.x]",
    "1:2",
    "user@example.com",
    "example.com/",
    "example.com\\",
    "example.com:80",
    "example.com?x",
    "example.com#x",
    "exam ple.com",
    " example.com",
    "example.com\n",
    "example.com\x00",
    "example%2ecom",
    "%31%32%37.0.0.1",
    "*",
    "*.example.com",
    "-example.com",
    "example-.com",
    "bücher.example",
    "\uff45xample.com",
    "127。0。0。1",
    "①②⑦.0.0.1",
    "١٢٧.0.0.1",
    "a" * 64 + ".com",
    ".".join(["a" * 60] * 5),
)


@pytest.mark.parametrize(("text", "host"), CANONICAL.items())
def test_a_host_has_one_spelling(text: str, host: str) -> None:
    assert hostname.canonical(text) == host
    assert hostname.canonical(hostname.in_url(host)) == host


@pytest.mark.parametrize("text", REFUSED)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(HostInvalid, match="is no host"):
        hostname.canonical(text)


@given(st.text(st.sampled_from("0123456789abcdefx.:[]%-ABCDEF"), max_size=20))
def test_what_the_c_library_reads_as_an_address_is_that_address_here_or_refused(text: str) -> None:
    try:
        host = hostname.canonical(text)
    except HostInvalid:
        return
    assert hostname.canonical(host) == host
    try:
        read = socket.inet_ntoa(socket.inet_aton(text))
    except OSError:
        return
    assert host == read


@given(st.ip_addresses())
def test_every_address_is_itself(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    host = hostname.canonical(hostname.in_url(str(address)))
    found = hostname.address(host)
    assert found == (getattr(address, "ipv4_mapped", None) or address)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "8.8.8.8", "localhost", "db", "a.local", "x.svc.internal"])
def test_hosts_that_the_public_dns_cannot_hold(host: str) -> None:
    assert hostname.is_local(host)


@pytest.mark.parametrize("host", ["example.com", "local.example", "evil-local.com", "notlocal.xlocal"])
def test_hosts_that_anybody_may_own(host: str) -> None:
    assert not hostname.is_local(host)

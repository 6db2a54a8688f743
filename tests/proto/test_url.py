"""URLs in one spelling, their readings, and the patterns that rights are."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.store.effective import effective, includes
from moorage_proto import url
from moorage_proto.capability import Capability, CapabilityInvalid, Grants, need, parse
from moorage_proto.glob import Glob
from moorage_proto.url import UrlInvalid

CANONICAL = {
    "https://api.example.com/v1": "https://api.example.com/v1",
    "https://api.example.com": "https://api.example.com/",
    "HTTPS://API.Example.COM:443/V1": "https://api.example.com/V1",
    "http://example.com:80/": "http://example.com/",
    "http://example.com:443/": "http://example.com:443/",
    "https://example.com.:8443/": "https://example.com:8443/",
    "https://example.com/a/../b/./c": "https://example.com/b/c",
    "https://example.com/../../etc": "https://example.com/etc",
    "https://example.com/a/%2e%2e/b": "https://example.com/b",
    "https://example.com/a/%2E./b": "https://example.com/b",
    "https://example.com/%61%2d%7e": "https://example.com/a-~",
    "https://example.com/%c3%a9": "https://example.com/%C3%A9",
    'https://example.com/a"<>^`{|}b': "https://example.com/a%22%3C%3E%5E%60%7B%7C%7Db",
    "https://example.com/a\\b": "https://example.com/a%5Cb",
    "https://example.com/a?b=/../c": "https://example.com/a",
    "https://example.com/a#b": "https://example.com/a",
    "https://example.com?b": "https://example.com/",
    "https://127.0.0.1#@example.com/": "https://127.0.0.1/",
    "https://example.com/public/%2f%2f../../admin": "https://example.com/public/admin",
    "https://example.com/a*b": "https://example.com/a%2Ab",
    "http://[::1]/": "http://[::1]/",
    "http://[::1]:8080/": "http://[::1]:8080/",
    "http://[0::FFFF:7F00:1]/": "http://127.0.0.1/",
    "http://xn--bcher-kva.example/": "http://xn--bcher-kva.example/",
}

REFUSED = (
    "",
    "example.com/",
    "//example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "http:example.com",
    "http:/example.com",
    "http:///path",
    "http://",
    "https:\\\\example.com\\",
    "https://example.com\\@127.0.0.1/",
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com%40127.0.0.1/",
    "https://127.0.0.1\\.example.com/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://[fe80::1%25eth0]/",
    "http://[::1/",
    "http://[::1]8080/",
    "http://[::1]@evil.example/",
    "http://::1/",
    "https://example.com:/",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:080/",
    "https://example.com:+80/",
    "https://example.com:80:80/",
    "https://example.com:http/",
    "https://example.com:\uff18\uff10/",
    "https://exa mple.com/",
    "https://example.com/a b",
    "https://example.com/\r\nHost: evil.example",
    "https://example.com/\tx",
    "https://example.com/é",
    "https://bücher.example/",
    "https://example.com/%",
    "https://example.com/%zz",
    "https://example.com/%0d%0aSet-Cookie:x",
    "https://example.com/%00",
    "https://example.com/%2525252525252e",
    "https://*.example.com/",
    "https://example.com/" + "a" * 9000,
)


@pytest.mark.parametrize(("text", "resource"), CANONICAL.items())
def test_a_url_has_one_spelling(text: str, resource: str) -> None:
    parsed = url.parse(text)
    assert parsed.resources[0] == resource
    assert url.parse(parsed.origin + parsed.target) == parsed


@pytest.mark.parametrize("text", REFUSED)
def test_other_texts_are_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(UrlInvalid) as refused:
        _ = url.parse(text).resources
    assert "The URL cannot be requested" in str(refused.value)


def test_userinfo_stays_out_of_the_sentence() -> None:
    with pytest.raises(UrlInvalid) as refused:
        url.parse("https://user:hunter2@example.com/")
    assert "hunter2" not in str(refused.value)


def test_the_query_is_passed_on_and_no_part_of_the_resource() -> None:
    parsed = url.parse("https://example.com/a?b=%zz&c=[1]|2&d=%2e%2e/")
    assert parsed.target == "/a?b=%zz&c=%5B1%5D%7C2&d=%2e%2e/"
    assert parsed.resources == ("https://example.com/a",)
    assert url.parse("https://example.com/a?").target == "/a?"


@pytest.mark.parametrize(
    ("path", "reading"),
    [
        ("/public/%2e%2e%2fadmin", "/admin"),
        ("/public/..%2fadmin", "/admin"),
        ("/public%2f..%2fadmin", "/admin"),
        ("/public/%252e%252e/admin", "/admin"),
        ("/public/%252e%252e%252fadmin", "/admin"),
        ("/public/..%5cadmin", "/admin"),
        ("/public/..\\admin", "/admin"),
        ("/public/..;/admin", "/admin"),
        ("/public/..;x=1/admin", "/admin"),
        ("/public/%2e%2e;/admin", "/admin"),
        ("/public/..%3b/admin", "/admin"),
        ("/public/%2f../admin", "/admin"),
        ("/public/%c0%ae%c0%ae/admin", "/admin"),
        ("/public/..%c0%afadmin", "/admin"),
        ("/admin;x=1", "/admin"),
        ("//admin", "/admin"),
        ("/%2fadmin", "/admin"),
        ("/ad%256din", "/admin"),
        ("/admin%2f", "/admin/"),
    ],
)
def test_whatever_a_server_may_read_has_to_be_granted(path: str, reading: str) -> None:
    resources = url.parse(f"https://example.com{path}").resources
    assert f"https://example.com{reading}" in resources
    public = Grants((parse("http.get:https://example.com/public/**"),))
    assert not all(public.decide(need("http.get", resource)).allowed for resource in resources)
    everything = parse("http.get:https://example.com/**")
    assert all(Grants((everything,)).decide(need("http.get", resource)).allowed for resource in resources)
    but_admin = Grants((everything,), (parse(f"http.get:https://example.com{reading}"),))
    assert not all(but_admin.decide(need("http.get", resource)).allowed for resource in resources)


@pytest.mark.parametrize("path", ["/", "/a/b.json", "/a%20b", "/100%25", "/caf%C3%A9", "/a+b", "/~me/(1)", "/a:b@c,d"])
def test_a_plain_path_has_one_reading(path: str) -> None:
    assert url.parse(f"https://example.com{path}").resources == (f"https://example.com{path}",)


COVERED = [
    ("https://api.example.com/v1/**", "https://api.example.com/v1/", True),
    ("https://api.example.com/v1/**", "https://api.example.com/v1/a/b.json", True),
    ("https://api.example.com/v1/**", "https://api.example.com/v1", False),
    ("https://api.example.com/v1/**", "https://api.example.com/v2/", False),
    ("https://api.example.com/v1/**", "http://api.example.com/v1/a", False),
    ("https://api.example.com/v1/**", "https://api.example.com:8443/v1/a", False),
    ("https://api.example.com/v1/**", "https://api.example.com.evil.example/v1/a", False),
    ("https://api.example.com/*", "https://api.example.com/a.json", True),
    ("https://api.example.com/*", "https://api.example.com/a/b", False),
    ("https://api.example.com/users/*/name", "https://api.example.com/users/7/name", True),
    ("https://api.example.com/users/*/name", "https://api.example.com/users/7/8/name", False),
    ("https://*.example.com/**", "https://api.example.com/x", True),
    ("https://*.example.com/**", "https://a.b.example.com/x", False),
    ("https://*.example.com/**", "https://example.com/x", False),
    ("https://*.example.com/**", "https://evil.example/.example.com/x", False),
    ("https://**.example.com/**", "https://a.b.example.com/x", True),
    ("https://**.example.com/**", "https://evil.example/a.example.com/x", False),
    ("https://**.example.com/**", "https://evilexample.com/x", False),
    ("https://**/v1", "https://anything.example/v1", True),
    ("https://**/v1", "https://anything.example/v2/v1", False),
    ("https://**/v1", "https://anything.example:8443/v1", False),
    ("https://**:*/v1", "https://anything.example:8443/v1", True),
    ("https://example.com:*/**", "https://example.com/a", True),
    ("https://example.com:*/**", "https://example.com:8443/a", True),
    ("https://example.com:443/**", "https://example.com/a", True),
    ("http://[::1]:80/**", "http://[::1]/a", True),
    ("http://*/**", "http://[::1]/a", False),
    ("https://**", "https://anything.example:8443/v2/v1", True),
    ("https://**", "https://[2606::1]/a", True),
    ("https://**", "http://anything.example/", False),
    ("*://example.com/**", "http://example.com/a", True),
    ("*://example.com/**", "https://example.com/a", True),
    ("**", "http://anything.example:81/a", True),
    ("https://example.com/a%2Ab", "https://example.com/a*b", True),
    ("https://example.com/a*b", "https://example.com/a*b", True),
    ("https://example.com/%7eme/%2f", "https://example.com/~me/%2F", False),
    ("https://example.com/**", "https://example.com/~me/%2F", True),
]


@pytest.mark.parametrize(("right", "wanted", "covered"), COVERED)
def test_what_a_right_covers(right: str, wanted: str, covered: bool) -> None:
    grants = Grants((parse(f"http.get:{right}"),))
    needs = [need("http.get", resource) for resource in url.parse(wanted).resources]
    assert all(grants.decide(each).allowed for each in needs) is covered
    assert not Grants((parse(f"http.post:{right}"),)).decide(needs[0]).allowed


@pytest.mark.parametrize(
    "right",
    [
        "*",
        "example.com/**",
        "ftp://example.com/**",
        "https://example.com",
        "https://user@example.com/**",
        "https://example.com/a?b=*",
        "https://example.com/a#b",
        "https://example.com/../a",
        "https://example.com/%2e%2e/a",
        "https://exa**mple.com/**",
        "https://**example.com/**",
        "https://api.**.com/**",
        "https://127.1/**",
        "https://bücher.example/**",
        "https://example.com:0/**",
        "https://example.com:4*/**",
        "https://example.com/***",
        "https://example.com/%zz",
        "https://[::*]/**",
    ],
)
def test_what_is_no_right_is_said_in_a_sentence(right: str) -> None:
    with pytest.raises(CapabilityInvalid, match="of its URL"):
        parse(f"http.get:{right}")


@pytest.mark.parametrize("right", [right for right, _, _ in COVERED])
def test_a_right_is_written_in_one_way(right: str) -> None:
    once = str(parse(f"http.get:{right}"))
    assert str(parse(once)) == once


_hosts = st.sampled_from(["**", "*", "**.a", "*.a", "b.a", "c.b.a", "*.b.a", "*b.a", "[::1]", "127.0.0.1"])
_ports = st.sampled_from(["", ":*", ":81", ":80"])
_paths = st.lists(st.sampled_from(["a", "b", "*", "**", "/", ".", "a*", "%2A"]), max_size=4).map(
    lambda parts: "/" + "".join(parts)
)
_schemes = st.sampled_from(["http", "https", "*"])
_texts = st.builds(lambda s, h, p, path: f"{s}://{h}{p}{path}", _schemes, _hosts, _ports, _paths)


def _right(text: str) -> Capability | None:
    try:
        return parse(f"http.get:{text}")
    except CapabilityInvalid:
        return None


rights = _texts.map(_right).filter(lambda right: right is not None)
needs = st.builds(
    lambda s, h, p, path: need("http.get", url.parse(f"{s}://{h}{p}{path}").resources[0]),
    st.sampled_from(["http", "https"]),
    st.sampled_from(["a", "b.a", "c.b.a", "[::1]", "127.0.0.1"]),
    st.sampled_from(["", ":81"]),
    st.lists(st.sampled_from(["a", "b", "/", ".", "%2A"]), max_size=5).map(lambda parts: "/" + "".join(parts)),
)


@given(st.lists(rights, max_size=3), st.lists(rights, max_size=3), needs)
def test_effective_never_allows_what_one_side_did_not(requested, granted, wanted) -> None:
    if Grants(allow=effective(requested, granted)).decide(wanted).allowed:
        assert any(right.covers(wanted) for right in requested)
        assert any(right.covers(wanted) for right in granted)


@given(rights, rights, needs)
def test_what_includes_another_covers_all_of_it(wide, narrow, wanted) -> None:
    assert includes(wide, wide)
    if includes(wide, narrow) and narrow.covers(wanted):
        assert wide.covers(wanted)


def test_no_wildcard_of_a_host_reaches_into_the_path_when_rights_are_intersected() -> None:
    wide = parse("http.get:https://**.example.com/**")
    asked = parse("http.get:https://evil.example/a.example.com/**")
    assert effective([asked], [wide]) == ()
    narrow = parse("http.get:https://api.example.com/**")
    assert effective([narrow], [wide]) == (narrow,)


@given(st.text(st.sampled_from("ab/.*"), max_size=8), st.text(st.sampled_from("ab/."), max_size=8))
def test_the_matcher_agrees_with_a_slow_one(pattern: str, text: str) -> None:
    assert Glob(pattern, "/").matches(text) == _slowly(pattern, text)


def _slowly(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern.startswith("**"):
        return any(_slowly(pattern[2:], text[n:]) for n in range(len(text) + 1))
    if pattern.startswith("*"):
        return any(_slowly(pattern[1:], text[n:]) for n in range(len(text.partition("/")[0]) + 1))
    return text[:1] == pattern[0] and _slowly(pattern[1:], text[1:])


def test_many_wildcards_take_no_time() -> None:
    glob = Glob("/" + "**a" * 100 + "b", "/")
    began = time.perf_counter()
    assert not glob.matches("/" + "a" * 8000)
    assert time.perf_counter() - began < 1


def test_a_long_need_against_many_rights_takes_no_time() -> None:
    rights = [parse(f"http.get:https://example.com/**/x{number}") for number in range(100)]
    rights += [parse(f"redis.read:cache:**:x{number}:**") for number in range(100)]
    grants = Grants((*rights, parse("http.get:https://example.com/**")))
    wanted = url.parse("https://example.com/" + "%2525/b;c/" * 800)
    began = time.perf_counter()
    assert all(grants.decide(need("http.get", resource)).allowed for resource in wanted.resources)
    assert not grants.decide(need("redis.read", "cache:" + "a:" * 500_000)).allowed
    assert time.perf_counter() - began < 1


def test_a_request_names_its_host_or_does_not() -> None:
    wanted = url.parse("http://intranet.local/x")
    assert url.parse_pattern("http://intranet.local/**").names(wanted)
    assert url.parse_pattern("http://intranet.local:*/**").names(wanted)
    for right in ("*://intranet.local/**", "http://*.local/**", "http://**", "**", "https://intranet.local/**"):
        assert not url.parse_pattern(right).names(wanted)

"""URLs in one spelling, and patterns of them. Pure; both sides use it, so that what was granted is what is requested.

Servers disagree about what a path means: some decode ``%2f``, some merge ``//``, some cut ``;jsessionid=1`` off, some
take ``\\`` for ``/``. Whatever they make of it has to be covered: a request needs a right to each of its readings.
"""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass
from typing import List, Optional, Tuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from moorage_proto import glob, hostname

MAX_URL_CHARACTERS = 8 * 1024

DEFAULT_PORTS = {"http": 80, "https": 443}

_SCHEME = re.compile(r"(https?)://", re.IGNORECASE)
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9A-F]|7F)")

#: What may stand in a path as it is (RFC 3986, 3.3), but for ``*``, which is a wildcard in rights.
_PATH_CHARACTERS = "/:@!$&'()+,;="
#: In a query too.
_QUERY_CHARACTERS = _PATH_CHARACTERS + "*?%"

#: How often a path may be encoded on top of itself.
MAX_ENCODINGS = 4


class UrlInvalid(ValueError):
    """The text is no URL that is requested, or no pattern of such. It is not repeated: it may be anything."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"The URL cannot be requested: {problem}.")
        self.problem = problem


@dataclass(frozen=True)
class Url:
    scheme: str
    #: Canonical (``hostname``).
    host: str
    port: int
    #: Canonical: percent-encoded where it has to be, without ``.`` and ``..``; begins with ``/``.
    path: str
    #: None: there is no ``?``.
    query: Optional[str]

    @property
    def authority(self) -> str:
        """As in a Host header: the default port is left out."""
        host = hostname.in_url(self.host)
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def target(self) -> str:
        """What stands in the request line."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def resources(self) -> Tuple[str, ...]:
        """Of the capabilities that a request needs: the URL without its query, in each of its readings."""
        return tuple(self.origin + path for path in readings(self.path))


def parse(text: str) -> Url:
    """Raises UrlInvalid."""
    if len(text) > MAX_URL_CHARACTERS:
        raise UrlInvalid(f"it is longer than {MAX_URL_CHARACTERS} characters")
    if not text.isascii() or any(ord(character) <= 32 or ord(character) == 127 for character in text):
        raise UrlInvalid("it holds a space, a control character or a letter beyond ASCII; percent-encode these")
    scheme_match = _SCHEME.match(text)
    if scheme_match is None:
        raise UrlInvalid("it begins with neither http:// nor https://")
    scheme = scheme_match[1].lower()
    rest, _, _ = text[scheme_match.end() :].partition("#")
    rest, question, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    host, port = _split_authority(authority)
    return Url(
        scheme,
        _host(host),
        DEFAULT_PORTS[scheme] if port is None else _port(port),
        _without_dots(_canonical_path(slash + path)),
        quote_from_bytes(query.encode(), _QUERY_CHARACTERS) if question else None,
    )


def readings(path: str) -> Tuple[str, ...]:
    """What servers may take a canonical path for; it is the first of them itself."""
    found = [_in_resource(path)]
    if any(sign in path for sign in ("%", ";", "//")):
        for text, cut, merge in itertools.product(_decodings(path), (False, True), (False, True)):
            read = re.sub(r";[^/]*", "", text) if cut else text
            read = re.sub(r"/{2,}", "/", read) if merge else read
            found.append(_in_resource(_without_dots(read)))
    return tuple(dict.fromkeys(found))


def _decodings(path: str) -> List[str]:
    """As it is, and decoded so often as it changes something; each encoded again where a path has to be."""
    found, data = [path], path.encode()
    for _ in range(MAX_ENCODINGS):
        decoded = unquote_to_bytes(data)
        if decoded == data:
            return found
        data = decoded
        # Two bytes where one would do: no UTF-8, and decoded by some all the same.
        slashes = data.replace(b"\xc0\xaf", b"/").replace(b"\xc0\xae", b".").replace(b"\\", b"/")
        found.append(quote_from_bytes(slashes, _PATH_CHARACTERS + "*"))
    raise UrlInvalid(f"its path is percent-encoded more than {MAX_ENCODINGS} times over")


def _split_authority(authority: str) -> Tuple[str, Optional[str]]:
    """(host, port), as they were written."""
    if "@" in authority:
        raise UrlInvalid("it holds a name or password before an @; put them into a header")
    if "\\" in authority:
        raise UrlInvalid("it holds a backslash before its path")
    if authority.startswith("["):
        host, bracket, rest = authority.partition("]")
        host += bracket
        if rest and not rest.startswith(":"):
            raise UrlInvalid("something stands between its host and its port")
        return host, rest[1:] if rest else None
    host, colon, port = authority.partition(":")
    return host, port if colon else None


def _host(text: str) -> str:
    try:
        return hostname.canonical(text)
    except hostname.HostInvalid as error:
        raise UrlInvalid(f"{error}") from None


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise UrlInvalid("its port is no number from 1 to 65535")
    return int(text)


def _canonical_path(path: str, safe: str = _PATH_CHARACTERS + "*") -> str:
    """Each character in its one spelling: encoded in capitals where it has to be, and only there."""
    if any(match[1] is None for match in _ESCAPE.finditer(path)):
        raise UrlInvalid("a % in its path is not followed by two hexadecimal digits; write %25 for the sign itself")
    canonical = re.sub(
        r"%[0-9A-Fa-f]{2}|[^%]+",
        lambda part: _canonical_escape(part[0]) if part[0][0] == "%" else quote_from_bytes(part[0].encode(), safe),
        path,
    )
    if _ENCODED_CONTROL.search(canonical):
        raise UrlInvalid("its path holds an encoded control character")
    return canonical or "/"


def _canonical_escape(escape: str) -> str:
    character = chr(int(escape[1:], 16))
    return character if character.isascii() and (character.isalnum() or character in "-._~") else escape.upper()


def _without_dots(path: str) -> str:
    """RFC 3986, 5.2.4."""
    kept: List[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _in_resource(path: str) -> str:
    return path.replace("*", "%2A")


# Patterns, as they stand in rights

_HOST_PATTERN = re.compile(r"(?:\*\*|[a-z0-9_*-]+)(?:\.[a-z0-9_*-]+)*")


@dataclass(frozen=True)
class UrlPattern:
    """The resource of a right to requests, in its parts, so that a wildcard of one never reaches into another.

    In a host ``*`` stands for any characters of one label, and ``**`` for one or more labels, or for any host; in a
    path ``*`` stands for any characters but ``/``, and ``**`` for any.
    """

    #: "http", "https", or "*" for both.
    scheme: str
    #: As in a URL.
    host: str
    #: Empty: the scheme's default; "*": any.
    port: str
    path: str

    def __str__(self) -> str:
        if self == _EVERYTHING:
            return "**"
        if (self.host, self.port, self.path) == ("**", "*", "/**"):
            return f"{self.scheme}://**"
        return f"{self.scheme}://{self.host}{':' if self.port else ''}{self.port}{self.path}"

    def includes(self, other: UrlPattern) -> bool:
        """Whether all that fits the other pattern fits this one. A literal URL is a pattern too."""
        return (
            self.scheme in ("*", other.scheme)
            and self.port in ("*", other.port)
            and glob.compiled(self.host, "./:[]").includes(other.host)
            and glob.compiled(self.path, "/").includes(other.path)
        )

    def names(self, url: Url) -> bool:
        """Whether the scheme and host of the URL stand in it as they are: whoever granted it has read them."""
        return self.scheme == url.scheme and self.host == hostname.in_url(url.host)


_EVERYTHING = UrlPattern("*", "**", "*", "/**")


def parse_pattern(text: str) -> UrlPattern:
    """What people write in a right: ``https://api.example.com/v1/**``. Raises UrlInvalid."""
    if text == "**":
        return _EVERYTHING
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("http", "https", "*"):
        raise UrlInvalid("it begins with neither http:// nor https://, nor *:// for both")
    if rest == "**":
        return UrlPattern(scheme, "**", "*", "/**")
    if any(sign in rest for sign in "?#"):
        raise UrlInvalid("a right says nothing of what follows a ? or #; leave it away")
    authority, slash, path = rest.partition("/")
    if not slash:
        raise UrlInvalid(f"it names no path; write {text}/** for all that is there")
    host, port = _split_authority(authority)
    return UrlPattern(scheme, _host_pattern(host), _port_pattern(scheme, port), _path_pattern(slash + path))


@functools.lru_cache(maxsize=4096)
def pattern(resource: str) -> Optional[UrlPattern]:
    """Of a right's resource; None for one that is no pattern and so covers nothing."""
    try:
        return parse_pattern(resource)
    except UrlInvalid:
        return None


def covers(resource: str, url: str) -> bool:
    """Whether a right's resource covers that of a need, or another right's as a whole."""
    wide, narrow = pattern(resource), _latest(url)
    return wide is not None and narrow is not None and wide.includes(narrow)


@functools.lru_cache(maxsize=32)
def _latest(url: str) -> Optional[UrlPattern]:
    """As ``pattern``, for needs: each is compared with several rights. They are as many and as long as a plugin likes,
    so few are remembered.
    """
    try:
        return parse_pattern(url)
    except UrlInvalid:
        return None


def _host_pattern(text: str) -> str:
    if "*" not in text:
        return hostname.in_url(_host(text))
    lowered = text.lower()
    labels = lowered.split(".")
    if not _HOST_PATTERN.fullmatch(lowered) or any("**" in label for label in labels[1:]):
        raise UrlInvalid("in its host ** stands alone or before the first dot, and * within one label")
    if "**" in labels[0] and labels[0] != "**":
        raise UrlInvalid("in its host ** stands for whole labels; write **.example.com")
    return lowered


def _port_pattern(scheme: str, text: Optional[str]) -> str:
    if text is None:
        return ""
    if text == "*":
        return text
    port = _port(text)
    return "" if DEFAULT_PORTS.get(scheme) == port else str(port)


def _path_pattern(path: str) -> str:
    if "***" in path:
        raise UrlInvalid("*** is neither * nor **")
    canonical = _canonical_path(path)
    if canonical != _without_dots(canonical):
        raise UrlInvalid(f"its path goes up; write {_without_dots(canonical)}")
    return canonical

"""Shared access signatures: which key signed a token, for what, until when.

A token is ``SharedAccessSignature sr=<resource>&sig=<signature>&se=<expiry>&skn=<key name>``; the signature is the
HMAC-SHA256 of the resource as it stands there, a line feed, and the expiry.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol
from urllib.parse import unquote, urlsplit

from moorage.broker.services.servicebus.peer.performatives import AmqpError

_PREFIX = "SharedAccessSignature "
_FIELDS = {"sr", "sig", "se", "skn"}
MAX_TOKEN_CHARACTERS = 4096


class Right(Enum):
    SEND = "Send"
    LISTEN = "Listen"


class Authority(Protocol):
    """Whose keys there are, and what they may do."""

    def key(self, name: str) -> str | None:
        """The text that tokens of this name are signed with; None: there is no such key."""

    def allows(self, name: str, right: Right, entity: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class SharedKey:
    text: str
    #: Entities by right; None: all of them.
    rights: Mapping[Right, frozenset[str]] | None = None


@dataclass(slots=True)
class SharedKeys:
    """Implements ``Authority`` from a table."""

    keys: dict[str, SharedKey] = field(default_factory=dict)

    def key(self, name: str) -> str | None:
        found = self.keys.get(name)
        return None if found is None else found.text

    def allows(self, name: str, right: Right, entity: str) -> bool:
        found = self.keys.get(name)
        return found is not None and (found.rights is None or entity in found.rights.get(right, frozenset()))


@dataclass(frozen=True, slots=True)
class Claim:
    """What a token that was found good says."""

    key_name: str
    #: The entity it is for, and all below it; empty: the namespace.
    path: str
    expires_at: float

    def covers(self, entity: str) -> bool:
        return not self.path or entity == self.path or entity.startswith(f"{self.path}/")


def claim_of(token: str, authority: Authority, now: float) -> Claim:
    """Raises AmqpError for a token that is forged, expired, or none."""
    fields = _fields(token)
    name = unquote(fields["skn"])
    key = authority.key(name)
    signed = f"{fields['sr']}\n{fields['se']}".encode()
    # A name that is not known takes as long as one that is.
    expected = base64.b64encode(hmac.digest((key or "").encode(), signed, hashlib.sha256))
    if not hmac.compare_digest(expected, unquote(fields["sig"]).encode()) or key is None:
        raise _refused("its signature is not that of the key it names")
    expires_at = float(fields["se"])
    if expires_at <= now:
        raise _refused("it has expired")
    return Claim(name, entity_path(unquote(fields["sr"])), expires_at)


def entity_path(address: str) -> str:
    """Of an address such as ``amqps://127.0.0.1:5672/Orders``: ``orders``."""
    path = urlsplit(address).path if "://" in address else address
    return path.removeprefix("/").lower()


def _fields(token: str) -> dict[str, str]:
    if not token.startswith(_PREFIX) or len(token) > MAX_TOKEN_CHARACTERS:
        raise _refused("it is no shared access signature")
    pairs = [part.partition("=") for part in token.removeprefix(_PREFIX).split("&")]
    fields = {name: value for name, _, value in pairs}
    expiry = fields.get("se", "")
    if set(fields) != _FIELDS or len(pairs) != len(_FIELDS) or not (expiry.isascii() and expiry.isdecimal()):
        raise _refused("it does not have the four fields of a shared access signature, once each")
    return fields


def _refused(problem: str) -> AmqpError:
    return AmqpError("amqp:unauthorized-access", f"the token is refused: {problem}")

"""Signatures of webhooks: whether a request is from one who knows the secret, and as it was sent. Pure.

Two forms. Our own signs the time as well, so that a request cannot be sent again later:
``Moorage-Signature: t=1763625600,v1=HEX``, where HEX is the HMAC-SHA256 of "1763625600." and the body. The other is the
common one of GitHub and many more: ``X-Hub-Signature-256: sha256=HEX``, of the body alone.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum

#: How far the sender's clock may be from ours, and how long a request may be on its way.
TOLERANCE = timedelta(minutes=5)

#: In one header: one for each secret that the sender has, while it changes them.
_MOST = 4

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_SECONDS = re.compile(r"[0-9]{1,11}")


class Form(StrEnum):
    MOORAGE = "moorage"
    GITHUB = "github"

    @property
    def header(self) -> str:
        """In small letters."""
        return "moorage-signature" if self is Form.MOORAGE else "x-hub-signature-256"


def sign(secret: str, body: bytes, at: datetime) -> str:
    """The header's value, in our own form: for senders."""
    seconds = str(int(at.timestamp()))
    return f"t={seconds},v1={_digest(secret, _signed(seconds, body))}"


def verified(form: Form, headers: Mapping[str, str], body: bytes, secrets: Iterable[str], now: datetime) -> str | None:
    """What tells what was signed from all else, by whichever of the secrets it was; None: by none of them.

    ``headers``: names in small letters.
    """
    value = headers.get(form.header, "")
    if form is Form.GITHUB:
        kind, _, digest = value.partition("=")
        return _matching([digest] if kind == "sha256" else [], body, secrets)
    seconds, digests = _read(value)
    if not _SECONDS.fullmatch(seconds) or abs(now - datetime.fromtimestamp(int(seconds), UTC)) > TOLERANCE:
        return None
    found = _matching(digests, _signed(seconds, body), secrets)
    return None if found is None else f"{seconds}.{hashlib.sha256(body).hexdigest()}"


def _read(value: str) -> tuple[str, list[str]]:
    """Its time, and its digests."""
    pairs = [part.strip().partition("=") for part in value.split(",", 2 * _MOST)]
    times = [text for name, _, text in pairs if name == "t"]
    return times[0] if len(times) == 1 else "", [text for name, _, text in pairs if name == "v1"]


def _matching(digests: list[str], signed: bytes, secrets: Iterable[str]) -> str | None:
    """The first that is right. Every one is compared with every secret, each in constant time."""
    expected = [_digest(secret, signed) for secret in secrets if secret]
    well_formed = [digest.lower() for digest in digests[:_MOST] if _HEX.fullmatch(digest)]
    found = [each for each in well_formed for one in expected if hmac.compare_digest(each, one)]
    return found[0] if found else None


def _signed(seconds: str, body: bytes) -> bytes:
    return seconds.encode() + b"." + body


def _digest(secret: str, signed: bytes) -> str:
    return hmac.digest(secret.encode(), signed, hashlib.sha256).hex()

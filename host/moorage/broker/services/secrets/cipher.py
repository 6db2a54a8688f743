"""Sealing with AES-256-GCM. What is sealed opens under its own installation and name alone. Pure."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from moorage.broker.services.secrets.base import Key
from moorage.models.installation import InstallationId

#: NIST SP 800-38D: 96 bits, never twice for one key. Random ones are good for 2^32 secrets.
NONCE_BYTES = 12


class NotOpened(Exception):
    """Another key, another place, or not what was sealed."""


def seal(key: Key, installation: InstallationId, name: str, value: str) -> bytes:
    """Nonce and ciphertext."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key.material).encrypt(nonce, value.encode(), _place(installation, name))


def unseal(key: Key, installation: InstallationId, name: str, sealed: bytes) -> str:
    """Raises NotOpened."""
    try:
        data = AESGCM(key.material).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _place(installation, name))
        return data.decode()
    except (InvalidTag, ValueError) as error:
        raise NotOpened from error


def _place(installation: InstallationId, name: str) -> bytes:
    """Neither holds a zero byte: no two places have the same text."""
    return b"\0".join((b"moorage secret", installation.encode(), name.encode()))

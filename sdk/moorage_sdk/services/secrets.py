"""The secrets of this installation: what the operator gave it, and what it keeps itself."""

from __future__ import annotations

import hmac
from typing import Optional, Tuple

from moorage_proto import secrets_pb2
from moorage_proto.methods import Method, service_methods
from moorage_sdk.channel import Channel
from moorage_sdk.services.base import Ask, Provided

_METHODS = service_methods(secrets_pb2, "SecretsService")
_READ: Method[secrets_pb2.ReadSecretRequest, secrets_pb2.ReadSecretReply] = _METHODS["read"]
_WRITE: Method[secrets_pb2.WriteSecretRequest, secrets_pb2.WriteSecretReply] = _METHODS["write"]
_DELETE: Method[secrets_pb2.DeleteSecretRequest, secrets_pb2.DeleteSecretReply] = _METHODS["delete"]
_LIST: Method[secrets_pb2.ListSecretsRequest, secrets_pb2.ListSecretsReply] = _METHODS["list"]


class Secret:
    """A value that does not show itself: not in a log, a traceback, an f-string or a debugger. ``reveal()`` does."""

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one who needs it."""
        return self._value

    def __repr__(self) -> str:
        return f"<secret {self.name}>"

    def __eq__(self, other: object) -> bool:
        """With another secret, in a time that tells nothing of where they differ."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError(f"{self!r} is not written down anywhere; pass reveal() on to who needs it")


class Secrets:
    """By name: ``secrets["LASTFM_KEY"].reveal()``. Each is read from the host when it is asked for.

    Reading needs ``secrets.read:NAME``, setting and deleting ``secrets.write:NAME``; without, CapabilityMissing is
    raised. In coroutines prefer the methods that end in ``_async``.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def __getitem__(self, name: str) -> Secret:
        """Raises KeyError where there is no such secret."""
        secret = self.get(name)
        if secret is None:
            raise KeyError(name)
        return secret

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def get(self, name: str) -> Optional[Secret]:
        """None where there is no such secret."""
        return _secret(name, self._channel.call(_READ, secrets_pb2.ReadSecretRequest(name=name)))

    async def get_async(self, name: str) -> Optional[Secret]:
        return _secret(name, await self._channel.call_async(_READ, secrets_pb2.ReadSecretRequest(name=name)))

    def set(self, name: str, value: str) -> None:
        """Keeps a text, of 16 KiB at most, in the place of the one before. It is encrypted, outlives this worker, and
        is masked in all that people see from now on.
        """
        self._channel.call(_WRITE, secrets_pb2.WriteSecretRequest(name=name, value=_text(value)))

    async def set_async(self, name: str, value: str) -> None:
        await self._channel.call_async(_WRITE, secrets_pb2.WriteSecretRequest(name=name, value=_text(value)))

    def delete(self, name: str) -> bool:
        """Whether there was one of the installation's own."""
        return self._channel.call(_DELETE, secrets_pb2.DeleteSecretRequest(name=name)).found

    async def delete_async(self, name: str) -> bool:
        return (await self._channel.call_async(_DELETE, secrets_pb2.DeleteSecretRequest(name=name))).found

    def names(self) -> Tuple[str, ...]:
        """Those that there are, whether they may be read or not; sorted."""
        return tuple(self._channel.call(_LIST, secrets_pb2.ListSecretsRequest()).names)

    async def names_async(self) -> Tuple[str, ...]:
        return tuple((await self._channel.call_async(_LIST, secrets_pb2.ListSecretsRequest())).names)


class SecretsFace:
    """``Optional[Secrets]`` is None when no secret may be read or written."""

    provides: Tuple[str, ...] = ("moorage_sdk.services.secrets:Secrets",)
    per_scope = False
    capability_verbs: Tuple[str, ...] = ("secrets.read", "secrets.write")

    def make(self, ask: Ask) -> Provided:
        return Provided(Secrets(ask.channel))


def _secret(name: str, reply: secrets_pb2.ReadSecretReply) -> Optional[Secret]:
    return Secret(name, reply.value) if reply.found else None


def _text(value: str) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    if not isinstance(value, str):
        raise TypeError(f"a secret is text, not {type(value).__name__}; encode bytes first, as Base64 say")
    return value

"""The vault: every secret, opened once and kept in the host's memory; sealed in the store.

Values are in memory because they have to be masked in whatever people are shown. There are few, and they are short.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from moorage.broker.services.secrets.base import Key, KeySource, SecretStore
from moorage.broker.services.secrets.cipher import NotOpened, seal, unseal
from moorage.broker.services.secrets.errors import SecretInvalid, SecretSealed, SecretUnknown, TooManySecrets
from moorage.models.installation import InstallationId
from moorage.models.secret import SHARED, SealedSecret, SecretInfo, SecretOrigin
from moorage.owned import OwnedTasks

log = logging.getLogger(__name__)

#: Of one value. Looking for it in every line takes time, and memory.
MAX_VALUE_BYTES = 16 * 1024
#: Of one installation; and of those a plugin wrote itself.
MAX_SECRETS = 100
MAX_OWN_SECRETS = 32
#: Of a value that a plugin wrote itself: lines are looked for one by one. A private key has some fifty.
MAX_OWN_LINES = 64

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class _Kept:
    sealed: SealedSecret
    #: None: no key opens it.
    value: str | None


class Vault:
    """From ``open`` on; on one event loop."""

    def __init__(
        self,
        store: SecretStore,
        keys: KeySource,
        *,
        shared: Callable[[InstallationId], Collection[str]],
        sharing: Collection[InstallationId],
        mask: Callable[[InstallationId, Iterable[str], Iterable[str]], None],
    ) -> None:
        """``shared``: which of the operator's shared secrets an installation may use; ``sharing``: those that may use
        any. ``mask`` is told of all that must not be shown of an installation's, whenever that changes: of what people
        gave it, and of what it wrote itself.
        """
        self._store = store
        self._source = keys
        self._shared = shared
        self._sharing = frozenset(sharing)
        self._mask = mask
        self._keys: dict[str, Key] = {}
        #: The first of them.
        self._newest: Key | None = None
        self._kept: dict[tuple[InstallationId, str], _Kept] = {}
        #: What was replaced or deleted: a plugin may still have it. The last one of each name.
        self._former: dict[tuple[InstallationId, str], _Kept] = {}
        self._changing = asyncio.Lock()
        #: Changes, which go on when whoever asked for one is cancelled: memory and store must say the same.
        self._changes = OwnedTasks()

    async def open(self) -> None:
        """Raises what the source of the keys raises. Secrets that no key opens are told of in the log alone."""
        self._know(await asyncio.to_thread(self._source.keys))
        self._kept = {(each.installation, each.name): self._opened(each) for each in await self._store.list()}
        for kept in self._kept.values():
            if kept.value is None:
                log.error("%s", _problem(kept.sealed))
        for installation in {installation for installation, _ in self._kept} | self._sharing:
            self._tell(installation)

    async def look(self) -> None:
        """What another host has set, deleted or sealed anew counts here too. Raises what the store, and the source of
        the keys, raise.
        """
        async with self._changing:
            self._know(await asyncio.to_thread(self._source.keys))
            stored = {(each.installation, each.name): each for each in await self._store.list()}
            changed = {place for place in {*stored, *self._kept} if self._is_other(place, stored.get(place))}
            for place in changed:
                self._forget_value(*place)
                self._kept.pop(place, None)
                if place in stored:
                    self._kept[place] = self._opened(stored[place])
            for installation in {installation for installation, _ in changed}:
                self._tell_all(installation)

    def _is_other(self, place: tuple[InstallationId, str], stored: SealedSecret | None) -> bool:
        kept = self._kept.get(place)
        return kept is None or kept.value is None or kept.sealed != stored

    async def close(self) -> None:
        """After the changes that were begun."""
        await self._changes.settled()

    # -- for the services of plugins -----------------------------------------------------------------------------

    async def read(self, installation: InstallationId, name: str) -> str | None:
        """The installation's own secret, or a shared one that it may use; None: there is none.

        Nobody has asked whether it may: that is the caller's to have done. Raises SecretSealed.
        """
        kept = self._kept.get((installation, name))
        if kept is None and name in self._shared(installation):
            kept = self._kept.get((SHARED, name))
        if kept is None:
            return None
        if kept.value is None:
            raise _problem(kept.sealed)
        return kept.value

    def names(self, installation: InstallationId) -> tuple[str, ...]:
        """What ``read`` would find, sorted."""
        own = {name for owner, name in self._kept if owner == installation}
        shared = {name for name in self._shared(installation) if (SHARED, name) in self._kept}
        return tuple(sorted(own | shared))

    # -- changes -------------------------------------------------------------------------------------------------

    async def write(
        self, installation: InstallationId, name: str, value: str, *, by: str, origin: SecretOrigin
    ) -> SecretInfo:
        """In the place of the one before. Raises SecretInvalid, TooManySecrets, InstallationUnknown."""
        _check(name, value)
        if origin is SecretOrigin.PLUGIN:
            _check_own(name, value)
        work = self._write(installation, name, value, by, origin)
        return await asyncio.shield(self._changes.start(work, f"secret of {installation}"))

    async def delete(self, installation: InstallationId, name: str) -> None:
        """Raises SecretUnknown."""
        await asyncio.shield(self._changes.start(self._delete(installation, name), f"secret of {installation}"))

    async def rotate(self) -> int:
        """Seals all of them with a new key, and forgets the others. Returns how many were sealed.

        Broken off at any point, every secret still opens: the new key is kept before it is used, and the old ones until
        nothing needs them.
        """
        return await asyncio.shield(self._changes.start(self._rotate(), "new key of secrets"))

    async def _write(
        self, installation: InstallationId, name: str, value: str, by: str, origin: SecretOrigin
    ) -> SecretInfo:
        async with self._changing:
            self._check_room(installation, name, origin)
            key = self._newest or await self._add_key()
            sealed = SealedSecret(
                installation, name, key.id, seal(key, installation, name, value), origin, by, datetime.now(UTC)
            )
            await self._store.put([sealed])
            self._forget_value(installation, name)
            self._kept[installation, name] = _Kept(sealed, value)
            self._tell_all(installation)
        return _info(self._kept[installation, name])

    async def _delete(self, installation: InstallationId, name: str) -> None:
        async with self._changing:
            if not await self._store.delete(installation, name):
                raise SecretUnknown(installation, name)
            self._forget_value(installation, name)
            self._kept.pop((installation, name), None)
            self._tell_all(installation)

    async def _rotate(self) -> int:
        async with self._changing:
            key = await self._add_key()
            fresh = {
                place: _Kept(_resealed(kept.sealed, key, kept.value), kept.value)
                for place, kept in self._kept.items()
                if kept.value is not None
            }
            await self._store.put([kept.sealed for kept in fresh.values()])
            self._kept.update(fresh)
            await asyncio.to_thread(self._source.keep, {kept.sealed.key_id for kept in self._kept.values()} | {key.id})
            self._know(await asyncio.to_thread(self._source.keys))
        return len(fresh)

    def forget(self, installation: InstallationId) -> None:
        """It was removed, with its secrets."""
        self._kept = {place: kept for place, kept in self._kept.items() if place[0] != installation}
        self._former = {place: kept for place, kept in self._former.items() if place[0] != installation}
        self._tell(installation)

    # -- for people ----------------------------------------------------------------------------------------------

    def list(self, installation: InstallationId | None = None) -> tuple[SecretInfo, ...]:
        """Of one installation, of none (``SHARED``), or of all; by installation and name."""
        kept = (kept for place, kept in sorted(self._kept.items()) if installation in (None, place[0]))
        return tuple(_info(each) for each in kept)

    # -- inside --------------------------------------------------------------------------------------------------

    def _know(self, keys: Iterable[Key]) -> None:
        known = tuple(keys)
        self._keys = {key.id: key for key in known}
        self._newest = known[0] if known else None

    async def _add_key(self) -> Key:
        key = await asyncio.to_thread(self._source.add)
        self._know([key, *self._keys.values()])
        return key

    def _opened(self, sealed: SealedSecret) -> _Kept:
        key = self._keys.get(sealed.key_id)
        if key is None:
            return _Kept(sealed, None)
        try:
            return _Kept(sealed, unseal(key, sealed.installation, sealed.name, sealed.sealed))
        except NotOpened:
            return _Kept(sealed, None)

    def _check_room(self, installation: InstallationId, name: str, origin: SecretOrigin) -> None:
        others = [kept for place, kept in self._kept.items() if place[0] == installation and place[1] != name]
        if len(others) >= MAX_SECRETS:
            raise TooManySecrets(installation, MAX_SECRETS)
        own = [kept for kept in others if kept.sealed.origin is SecretOrigin.PLUGIN]
        if origin is SecretOrigin.PLUGIN and len(own) >= MAX_OWN_SECRETS:
            raise TooManySecrets(installation, MAX_OWN_SECRETS)

    def _forget_value(self, installation: InstallationId, name: str) -> None:
        kept = self._kept.get((installation, name))
        if kept is None or kept.value is None:
            return
        self._former.pop((installation, name), None)
        self._former[installation, name] = kept
        former = [place for place in self._former if place[0] == installation]
        for place in former[: -MAX_OWN_SECRETS or None]:
            del self._former[place]

    def _tell_all(self, installation: InstallationId) -> None:
        for concerned in {SHARED, *self._sharing} if installation == SHARED else (installation,):
            self._tell(concerned)

    def _tell(self, installation: InstallationId) -> None:
        places = [place for place in {*self._kept, *self._former} if place[0] == installation]
        places += [(SHARED, name) for name in self._shared(installation)]
        found = [each.get(place) for each in (self._kept, self._former) for place in places]
        values: dict[SecretOrigin, list[str]] = {origin: [] for origin in SecretOrigin}
        for kept in found:
            if kept is not None and kept.value is not None:
                values[kept.sealed.origin].append(kept.value)
        self._mask(installation, values[SecretOrigin.OPERATOR], values[SecretOrigin.PLUGIN])


def _check(name: str, value: str) -> None:
    if not NAME.fullmatch(name):
        raise SecretInvalid(
            f"{name!a:.120} is no name for a secret; write letters, digits, '_', '.' and '-', at most 100, such as"
            " LASTFM_KEY."
        )
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise SecretInvalid(f"The value of {name} is no text: it holds half of a surrogate pair.") from None
    if not value:
        raise SecretInvalid(f"The value of {name} is empty. To do away with a secret, delete it.")
    if size > MAX_VALUE_BYTES:
        raise SecretInvalid(f"The value of {name} has {size:,} bytes; a secret has at most {MAX_VALUE_BYTES:,}.")


def _check_own(name: str, value: str) -> None:
    if len(value.splitlines()) > MAX_OWN_LINES:
        raise SecretInvalid(
            f"The value of {name} has more than {MAX_OWN_LINES} lines, which are too many for a secret that a plugin"
            " writes. Encode it as one line, or keep what is no secret of it elsewhere."
        )


def _resealed(sealed: SealedSecret, key: Key, value: str | None) -> SealedSecret:
    assert value is not None, "what was not opened is not sealed anew"
    return replace(sealed, key_id=key.id, sealed=seal(key, sealed.installation, sealed.name, value))


def _problem(sealed: SealedSecret) -> SecretSealed:
    return SecretSealed(sealed.installation, sealed.name, sealed.key_id)


def _info(kept: _Kept) -> SecretInfo:
    sealed = kept.sealed
    problem = str(_problem(sealed)) if kept.value is None else ""
    return SecretInfo(sealed.installation, sealed.name, sealed.origin, sealed.set_by, sealed.set_at, problem)

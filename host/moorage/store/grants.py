"""What people granted and denied, and what follows from it for the gate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, case, delete, insert, or_, select, update

from moorage.models.installation import InstallationId
from moorage.models.manifest import Manifest
from moorage.store import schema
from moorage.store.database import Database
from moorage.store.effective import effective, includes, missing
from moorage.store.errors import GrantUnknown, InstallationUnknown
from moorage.store.installations import epoch_and_manifest
from moorage_proto.capability import Capability, parse
from moorage_proto.capability import Grants as EffectiveGrants

_table = schema.grants


class Effect(StrEnum):
    ALLOW = "allow"
    #: Beats every allow.
    DENY = "deny"


@dataclass(frozen=True)
class Grant:
    """A person's word on one capability."""

    #: As ``str(Capability)`` writes it.
    capability: str
    effect: Effect
    #: Why, in the words of the person; may be empty.
    because: str
    granted_by: str
    granted_at: datetime
    #: Calls under it are refused while the audit cannot be written.
    fail_closed: bool = False
    #: Calls that it allowed, and when it allowed one last; as of the last time that was written down.
    uses: int = 0
    used_at: datetime | None = None


@dataclass(frozen=True)
class Used:
    """Calls that a grant allowed."""

    count: int
    #: The last of them.
    at: datetime


@dataclass(frozen=True)
class Rights:
    """What an installation may do, and what it lacks."""

    #: Requested ∩ granted, with the deny rules and the epoch.
    effective: EffectiveGrants
    #: What the manifest requires and nobody granted, or what is denied: with any, the installation does not start.
    missing: tuple[Capability, ...]
    #: The deny rules that take something away that is required.
    denying: tuple[Capability, ...] = ()


@dataclass(frozen=True)
class _Rules:
    epoch: int
    manifest: Manifest
    allowed: tuple[Capability, ...]
    denied: tuple[Capability, ...]
    fail_closed: tuple[Capability, ...]


class Grants:
    def __init__(self, database: Database, host: str = "") -> None:
        """``host``: whose versions of plugins they are measured against."""
        self._database = database
        self._host = host

    async def list(self, installation: InstallationId) -> tuple[Grant, ...]:
        """Oldest first."""
        statement = select(_table).where(_table.c.installation == installation).order_by(_table.c.id)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(_grant(row) for row in rows)

    async def grant(
        self,
        installation: InstallationId,
        capabilities: Iterable[str],
        *,
        by: str,
        because: str = "",
        effect: Effect = Effect.ALLOW,
        fail_closed: bool = False,
    ) -> int:
        """Adds what is not there yet; returns the epoch.

        What is there stays as it is, but for ``fail_closed``, which then counts for it too; to have it otherwise again
        it is revoked first. Raises InstallationUnknown, CapabilityInvalid.
        """
        wanted = _canonical(capabilities)

        def work(connection: Connection) -> int:
            there = _texts(connection, installation, effect)
            new = [text for text in wanted if text not in there]
            stricter = _make_fail_closed(connection, installation, wanted) if fail_closed else 0
            epoch = _advance(connection, installation, changed=bool(new) or stricter > 0)
            now = datetime.now(UTC)
            for text in new:
                row = {"capability": text, "effect": effect, "because": because, "granted_by": by, "granted_at": now}
                row |= {"fail_closed": fail_closed, "uses": 0}
                connection.execute(insert(_table).values(installation=installation, **row))
            return epoch

        return await self._database.write(work)

    async def revoke(
        self, installation: InstallationId, capabilities: Iterable[str], *, effect: Effect = Effect.ALLOW
    ) -> int:
        """Takes back the allows, or the denies, of exactly these texts; returns the epoch.

        Raises InstallationUnknown, GrantUnknown, CapabilityInvalid; nothing was changed then.
        """
        unwanted = _canonical(capabilities)

        def work(connection: Connection) -> int:
            epoch = _advance(connection, installation, changed=bool(unwanted))
            existing = _texts(connection, installation, effect)
            for text in unwanted:
                own = (_table.c.installation == installation) & (_table.c.capability == text)
                if connection.execute(delete(_table).where(own & (_table.c.effect == effect))).rowcount == 0:
                    raise GrantUnknown(installation, text, existing, denied=effect is Effect.DENY)
            return epoch

        return await self._database.write(work)

    async def used(self, uses: Mapping[tuple[InstallationId, str], Used]) -> None:
        """Adds to the counts of grants, by installation and capability; of those that are gone nothing is kept."""
        if not uses:
            return

        def work(connection: Connection) -> None:
            for (installation, text), used in uses.items():
                own = (_table.c.installation == installation) & (_table.c.capability == text)
                latest = case(
                    (or_(_table.c.used_at.is_(None), _table.c.used_at < used.at), used.at), else_=_table.c.used_at
                )
                connection.execute(
                    update(_table)
                    .where(own & (_table.c.effect == Effect.ALLOW))
                    .values(uses=_table.c.uses + used.count, used_at=latest)
                )

        await self._database.write(work)

    async def effective(self, installation: InstallationId) -> EffectiveGrants:
        """Requested ∩ granted, with the deny rules and the epoch.

        Raises InstallationUnknown.
        """
        return (await self.rights(installation)).effective

    async def missing(self, installation: InstallationId) -> tuple[Capability, ...]:
        """What the manifest requires and nobody granted: with any, the installation does not start.

        Raises InstallationUnknown.
        """
        return (await self.rights(installation)).missing

    async def rights(self, installation: InstallationId, manifest: Manifest | None = None) -> Rights:
        """Both at one moment; measured against another manifest than the stored one where one is given.

        Raises InstallationUnknown.
        """
        rules = await self._rules(installation, manifest)
        requested = (request.capability for request in rules.manifest.capabilities)
        allowed = EffectiveGrants(
            allow=effective(requested, rules.allowed),
            deny=rules.denied,
            epoch=rules.epoch,
            fail_closed=rules.fail_closed,
        )
        required = rules.manifest.required
        denying = tuple(rule for rule in rules.denied if any(includes(rule, right) for right in required))
        return Rights(allowed, missing(required, rules.allowed, rules.denied), denying)

    async def _rules(self, installation: InstallationId, manifest: Manifest | None) -> _Rules:
        def work(connection: Connection) -> _Rules:
            epoch, placed = epoch_and_manifest(connection, self._host, installation)
            own = select(_table).where(_table.c.installation == installation).order_by(_table.c.id)
            rules = connection.execute(own).all()
            allowed = tuple(parse(rule.capability) for rule in rules if rule.effect == Effect.ALLOW)
            denied = tuple(parse(rule.capability) for rule in rules if rule.effect == Effect.DENY)
            fail_closed = tuple(parse(rule.capability) for rule in rules if rule.fail_closed)
            return _Rules(epoch, manifest or placed, allowed, denied, fail_closed)

        return await self._database.read(work)


def _canonical(capabilities: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(parse(text)) for text in capabilities))


def _texts(connection: Connection, installation: InstallationId, effect: Effect) -> list[str]:
    own = (_table.c.installation == installation) & (_table.c.effect == effect)
    return list(connection.scalars(select(_table.c.capability).where(own).order_by(_table.c.id)))


def _make_fail_closed(connection: Connection, installation: InstallationId, texts: tuple[str, ...]) -> int:
    """How many of the grants that were there became so."""
    own = (_table.c.installation == installation) & (_table.c.effect == Effect.ALLOW)
    lenient = own & _table.c.capability.in_(texts) & _table.c.fail_closed.is_(False)
    return connection.execute(update(_table).where(lenient).values(fail_closed=True)).rowcount


def _advance(connection: Connection, installation: InstallationId, *, changed: bool) -> int:
    owner = schema.installations
    if changed:
        one_more = owner.c.grants_epoch + 1
        connection.execute(update(owner).where(owner.c.id == installation).values(grants_epoch=one_more))
    epoch = connection.scalar(select(owner.c.grants_epoch).where(owner.c.id == installation))
    if epoch is None:
        raise InstallationUnknown(installation)
    return int(epoch)


def _grant(row: Row[Any]) -> Grant:
    return Grant(
        row.capability,
        Effect(row.effect),
        row.because,
        row.granted_by,
        row.granted_at,
        row.fail_closed,
        row.uses,
        row.used_at,
    )

"""The broker shard: services, the table of their methods, and a session for each link."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack

from moorage.broker.audit_sink import AuditSink
from moorage.broker.learning import Learning
from moorage.broker.link_state import Identity
from moorage.broker.loop_shares import LoopShare, LoopShares
from moorage.broker.methods import MethodTable, build_table, says_of, verbs_of
from moorage.broker.net import Dialler
from moorage.broker.quota import Quota
from moorage.broker.services.base import Forgetting, Service
from moorage.broker.services.typed import pack_contracts
from moorage.broker.session import BrokerSession
from moorage.broker.use import Use
from moorage.models.installation import InstallationId
from moorage.models.manifest import Limits
from moorage_proto.capability import Grants
from moorage_proto.classifiers import CLASSIFIERS
from moorage_proto.learning import Learnt
from moorage_proto.rules import Classifier

__all__ = ["Broker", "Identity"]

log = logging.getLogger(__name__)

#: Of one service, for doing away with what it has made for an installation.
FORGET_SECONDS = 15.0


class Broker:
    """Owns its services from ``open`` to ``close``; one event loop."""

    def __init__(
        self,
        services: Sequence[Service],
        audit: AuditSink,
        classifiers: Mapping[str, Classifier] = CLASSIFIERS,
        quota: Callable[[InstallationId, Limits], Limits] = lambda _installation, limits: limits,
        dialler: Dialler | None = None,
        learnt: Learnt | None = None,
    ) -> None:
        """``quota``: what the operator makes of the limits of an installation's manifest. ``dialler``: makes the
        connections that plugins were granted. ``learnt``: everything that is not denied is allowed, and noted there.
        """
        self._services = tuple(services)
        self._audit = audit
        self._classifiers = classifiers
        self._limits = quota
        self._methods: MethodTable = {}
        self._contracts = b""
        self._sessions: dict[str, BrokerSession] = {}
        #: Of installations that have a session.
        self._quotas: dict[InstallationId, Quota] = {}
        self._loop_shares = LoopShares()
        #: Of installations that have a session, as the quotas.
        self._shares: dict[InstallationId, LoopShare] = {}
        #: Of installations that had a session while this host runs.
        self._uses: dict[InstallationId, Use] = {}
        self._dialler = dialler or Dialler()
        self._learning = None if learnt is None else Learning(learnt, lambda: self.verbs)
        self._opened = AsyncExitStack()

    async def open(self) -> None:
        """Builds the table of methods, then opens the services in their order.

        Raises AccessRuleMissing or ServiceUnusable before anything is opened; what a service raises ends those that
        were opened before it.
        """
        self._methods = build_table(self._services, self._classifiers)
        self._contracts = pack_contracts(self._services)
        async with AsyncExitStack() as opened:
            for service in self._services:
                await service.open()
                opened.push_async_callback(service.close)
            self._opened = opened.pop_all()

    async def close(self) -> None:
        """Ends the sessions, then the services, last opened first. May be called twice."""
        if self._sessions:
            await asyncio.gather(*(session.end() for session in self._sessions.values()))
        await self._opened.aclose()

    async def forget(self, installation: InstallationId) -> None:
        """Of one that was removed. What a service cannot do away with now, because its server is away, is logged."""
        for service in self._services:
            if isinstance(service, Forgetting):
                try:
                    async with asyncio.timeout(FORGET_SECONDS):
                        await service.forget(installation)
                except Exception as error:  # noqa: BLE001 - whatever one service raises, the others forget it too
                    name = type(service).__name__
                    log.warning("%s: %s has left something of it behind: %s", installation, name, error)

    @property
    def methods(self) -> MethodTable:
        return self._methods

    @property
    def verbs(self) -> frozenset[str]:
        """Those that some method's access rule asks for."""
        return frozenset(verb for service in self._services for verb in verbs_of(service.contract))

    @property
    def words(self) -> Mapping[str, str]:
        """What an application's services say of their own verbs, for the people who grant them."""
        found: dict[str, str] = {}
        for service in self._services:
            found |= says_of(service.contract)
        return found

    @property
    def contracts(self) -> bytes:
        """Of the services in typed Python, packed: workers compare theirs."""
        return self._contracts

    @property
    def uses(self) -> Mapping[InstallationId, Use]:
        """What installations made of their rights while this host runs."""
        return self._uses

    @property
    def sessions(self) -> Mapping[str, BrokerSession]:
        """By incarnation id."""
        return self._sessions

    def grants_of(self, installation: InstallationId) -> Grants:
        """The newest that its sessions have; none where it has no session."""
        own = [session.grants for session in self._sessions.values() if session.installation == installation]
        return max(own, key=lambda grants: grants.epoch, default=Grants())

    def others_call(self, installation: InstallationId) -> bool:
        """Whether other installations than this one have called a moment ago. From any thread."""
        share = self._shares.get(installation)
        return share is not None and share.others_are_active

    def in_effect(self, grants: Grants) -> Grants:
        """What calls are decided by, and workers are told, where this was granted."""
        return grants if self._learning is None else self._learning.grants(grants)

    def connect(self, identity: Identity, grants: Grants, limits: Limits) -> BrokerSession:
        """The session of a new incarnation; it is the broker's until its ``end``.

        Raises ValueError when the incarnation has one already.
        """
        if identity.incarnation in self._sessions:
            raise ValueError(f"{identity.incarnation} is connected already")
        quota = self._quota(identity.installation, self._limits(identity.installation, limits))
        share = self._shares.setdefault(identity.installation, self._loop_shares.share())
        use = self._uses.setdefault(identity.installation, Use(self._methods))
        session = BrokerSession(
            identity,
            self.in_effect(grants),
            quota,
            share,
            self._methods,
            self._audit,
            use,
            self._forget,
            self._dialler,
            self._learning,
        )
        self._sessions[identity.incarnation] = session
        return session

    def _quota(self, installation: InstallationId, limits: Limits) -> Quota:
        """One for all its links: the limits of the newest of them count for the installation as a whole."""
        quota = self._quotas.get(installation)
        if quota is None:
            quota = self._quotas[installation] = Quota(installation, limits)
        quota.relimit(limits)
        return quota

    def _forget(self, session: BrokerSession) -> None:
        self._sessions.pop(session.identity.incarnation, None)
        if all(other.installation != session.installation for other in self._sessions.values()):
            self._quotas.pop(session.installation, None)
            self._shares.pop(session.installation, None)

"""What listens to triggers, kind by kind: sources, and the services that they reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from moorage.app.services import Services
from moorage.broker.services.events import EventHub
from moorage.events.bus import EventBus
from moorage.models.installation import Installation
from moorage.models.manifest import Trigger
from moorage.models.trigger import TriggerId, TriggerState
from moorage.orchestrator.triggers.application import ApplicationSources
from moorage.orchestrator.triggers.base import Source, SourceFailed
from moorage.orchestrator.triggers.events import EventSource
from moorage.orchestrator.triggers.kafka import KafkaSource, Topic
from moorage.orchestrator.triggers.outcome import OutcomeSource
from moorage.orchestrator.triggers.redis_channel import Channel, ChannelSource
from moorage.orchestrator.triggers.redis_group import Stream
from moorage.orchestrator.triggers.redis_stream import StreamSource
from moorage.orchestrator.triggers.registry import SourceKind
from moorage.orchestrator.triggers.servicebus import ServiceBusSource, entity_of, receiver_of
from moorage.orchestrator.triggers.startup import StartupSource
from moorage.packages.trigger_kinds import COMMON
from moorage.store.store import Store
from moorage_proto.capability import MAIN_BACKEND
from moorage_proto.errors import CallError


@dataclass(frozen=True)
class HostClaims:
    """Of sources that one host alone may listen to. What a dead host had is released by whoever finds it dead."""

    store: Store
    host: str

    async def claim(self, trigger: TriggerId) -> bool:
        return await self.store.triggers.claim(trigger, self.host)

    async def release(self, trigger: TriggerId) -> None:
        await self.store.triggers.release(self.host, trigger)


@dataclass(frozen=True)
class TriggerSources:
    services: Services
    hub: EventHub
    events: EventBus
    store: Store
    application: ApplicationSources
    #: This host's name among those that use the same servers; the same after a restart.
    host: str
    #: Of this run of the host, and of no other host's or other run.
    start: str

    def kinds(self) -> Mapping[str, SourceKind]:
        """By the kind of their triggers."""
        return {
            "kafka": SourceKind(self._kafka),
            "redis": SourceKind(self._redis, lambda trigger: not _is_stream(trigger)),
            "servicebus": SourceKind(self._servicebus),
            "event": SourceKind(self._event),
            "outcome": SourceKind(self._outcome),
            "startup": SourceKind(self._startup),
            "source": SourceKind(self._application),
        }

    def _kafka(self, state: TriggerState, _: Installation | None) -> Source:
        access = partial(self.services.kafka.access, _backend(state.trigger))
        return KafkaSource(Topic.of(state.id, state.trigger), access)

    def _redis(self, state: TriggerState, _: Installation | None) -> Source:
        access = partial(self.services.redis.access, _backend(state.trigger))
        if _is_stream(state.trigger):
            return StreamSource(Stream.of(state.id, state.trigger), access, self.host)
        skipped = partial(self.store.triggers.skipped, state.id)
        return ChannelSource(Channel(state.id, state.trigger.source), access, skipped)

    def _servicebus(self, state: TriggerState, _: Installation | None) -> Source:
        backend = _backend(state.trigger)
        try:
            entity = entity_of(state.trigger)
        except CallError as error:
            raise SourceFailed(error.message) from error
        connection = self.services.servicebus.connection_strings.get(backend)
        if connection is None:
            raise SourceFailed(f"The settings name no Service Bus namespace {backend!r}: [servicebus.{backend}].")
        label = f"moorage/trigger/{state.id}"
        return ServiceBusSource(backend, entity, lambda: receiver_of(connection, entity, label))

    def _event(self, state: TriggerState, _: Installation | None) -> Source:
        return EventSource(self.hub, state.trigger.source)

    def _outcome(self, state: TriggerState, _: Installation | None) -> Source:
        store, trigger = self.store, state.trigger
        on = trigger.options.get("on", ())
        return OutcomeSource(state.id, trigger.source, on, store.outcomes, store.executions.get, self.events)

    def _startup(self, _: TriggerState, installation: Installation | None) -> Source:
        """One start for each version that is installed while the host runs: the digest of its code is in the key."""
        code = "" if installation is None else f"/{installation.code_hash[:12]}"
        return StartupSource(f"{self.start}{code}")

    def _application(self, state: TriggerState, _: Installation | None) -> Source:
        own = {key: value for key, value in state.trigger.options.items() if key not in COMMON}
        return self.application.source(state.trigger.source, own)


def _backend(trigger: Trigger) -> str:
    return str(trigger.options.get("backend", MAIN_BACKEND))


def _is_stream(trigger: Trigger) -> bool:
    return trigger.options.get("mode") == "stream"

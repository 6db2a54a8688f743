"""The broker shard in the host's own process: attaches workers to the broker."""

from __future__ import annotations

from collections.abc import Callable

from moorage.broker.attached import AttachedLink
from moorage.broker.broker import Broker
from moorage.models.attachment import Attachment
from moorage.models.installation import InstallationId
from moorage.models.levels import WorkerLevels, level_name
from moorage_proto import link_pb2
from moorage_proto.errors import CallError

#: Told to workers of a host under ``moorage dev``: it has a ConsoleService.
CONSOLE_FEATURE = "console"


class LocalShard:
    """``sql_backends`` tells workers of the databases they may name. ``console``: the broker has a ConsoleService, so
    that a breakpoint asks the developer. ``log_levels``: those of an installation's loggers.
    """

    def __init__(
        self,
        broker: Broker,
        sql_backends: Callable[[], tuple[link_pb2.SqlBackend, ...]],
        *,
        console: bool = False,
        log_levels: Callable[[InstallationId], WorkerLevels] = lambda _: WorkerLevels(),
    ) -> None:
        self._broker = broker
        self._sql_backends = sql_backends
        self._console = console
        self._log_levels = log_levels

    async def attach(self, attachment: Attachment, on_refused: Callable[[CallError], None]) -> AttachedLink:
        """Listens for one worker."""
        attached = AttachedLink(
            self._broker, attachment, self._welcome(attachment), on_refused, run_deadlines=not self._console
        )
        try:
            await attached.listen()
        except BaseException:
            await attached.end()
            raise
        return attached

    def _welcome(self, attachment: Attachment) -> link_pb2.Welcome:
        """What a worker is told in the handshake; version, limits and ticket are the listener's to fill in."""
        levels = self._log_levels(attachment.installation)
        return link_pb2.Welcome(
            features=[CONSOLE_FEATURE] if self._console else [],
            installation=attachment.installation,
            incarnation_number=attachment.number,
            incarnation_scope=attachment.incarnation,
            log_level=level_name(levels.level),
            logger_levels=levels.loggers,
            capabilities=[str(right) for right in self._broker.in_effect(attachment.grants).allow],
            sql_backends=self._sql_backends(),
            contracts=self._broker.contracts,
        )

"""One worker by itself: started through the launcher, answered over its link, without keeper, store or health watch."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from moorage.app.wiring import Wiring
from moorage.broker.shard import LocalShard
from moorage.config.settings import Settings
from moorage.models.attachment import Attachment
from moorage.models.execution import Execution, ExecutionState
from moorage.models.installation import Installation
from moorage.supervisor.bounded import BoundedLauncher
from moorage.supervisor.incarnation import SOCKET_NAME
from moorage.supervisor.launch import Launch
from moorage.supervisor.orders import Commission, Orders
from moorage.supervisor.plain import PlainLauncher
from moorage.supervisor.records import Records
from moorage.supervisor.shard import AttachedWorker
from moorage_proto import start_pb2

TIMEOUT = timedelta(seconds=30)


@dataclass(frozen=True)
class LoneWorker:
    pid: int
    #: From the request until the worker had answered its first call.
    seconds: float
    installation: Installation
    attached: AttachedWorker

    async def run(self, task: str, given: Any) -> Any:
        """The result of one execution."""
        await self.attached.load(self.installation.config)
        execution = Execution(
            id=f"e-{secrets.token_hex(8)}",
            installation=self.installation.id,
            plugin=self.installation.manifest.name,
            version=self.installation.manifest.version,
            task=task,
            trigger="manual",
            state=ExecutionState.RUNNING,
            queued_at=datetime.now(UTC),
            input=given,
        )
        outcome = await self.attached.run(execution, TIMEOUT)
        if outcome.state is not ExecutionState.SUCCEEDED:
            raise SystemExit(f"{task}: {outcome.error}")
        return outcome.result


class LoneWorkers:
    """Starts workers of installations that are in the store; ``plain``: without a sandbox."""

    def __init__(self, wiring: Wiring, settings: Settings) -> None:
        self._wiring = wiring
        self._orders = Orders(wiring.store, wiring.environments, settings.sockets, settings.state_dir / "data")
        self._shard = LocalShard(wiring.broker, lambda: wiring.services.sql.backends)
        records = Records(settings.state_dir)
        self._launchers = {
            False: wiring.launcher,
            True: BoundedLauncher(PlainLauncher(), wiring.cgroups, records),
        }

    @contextlib.asynccontextmanager
    async def start(self, name: str, *, plain: bool = False) -> AsyncIterator[LoneWorker]:
        """A worker that has answered; killed in the end. What is timed has the order complete."""
        launch = await self._orders.launch(Commission(await self._wiring.store.installations.get(name)))
        if plain:
            # Another user could not reach what lies in the home of this one.
            launch = replace(launch, order=replace(launch.order, uid=None))
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        attachment = _attachment(launch)
        order = replace(
            launch.order,
            number=launch.number,
            stdout_fd=null,
            stderr_fd=null,
            start_record=lambda folder: _record(launch, attachment.token, folder),
            require="none" if plain else "full",
        )
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(shutil.rmtree, order.socket_dir, ignore_errors=True)
            stack.callback(os.close, null)
            began = time.perf_counter()
            attached = await self._shard.attach(attachment, lambda _: None)
            stack.push_async_callback(attached.end)
            worker = await self._launchers[plain].start(order, timeout=TIMEOUT)
            stack.push_async_callback(worker.wait)
            stack.callback(worker.kill)
            await attached.connected(TIMEOUT)
            await attached.ping(TIMEOUT)
            yield LoneWorker(worker.pid, time.perf_counter() - began, launch.installation, attached)

    async def close(self) -> None:
        await self._launchers[True].close()


def _attachment(launch: Launch) -> Attachment:
    order = launch.order
    return Attachment(
        installation=launch.installation.id,
        incarnation=order.incarnation,
        number=launch.number,
        socket_path=order.socket_dir / SOCKET_NAME,
        socket_uid=order.uid,
        token=secrets.token_bytes(32),
        grants=launch.grants,
        limits=launch.installation.manifest.limits,
    )


def _record(launch: Launch, token: bytes, folder: str) -> bytes:
    record = start_pb2.StartRecord(
        token=token, socket=f"{folder}/{SOCKET_NAME}", entry_point=launch.installation.manifest.entry_point
    )
    return record.SerializeToString()
